"""Process that hosts devices and reports their cost; `bench/run.py` starts and controls it.

    python bench/hosted.py KIND URL DEVICES PLATFORM

Reads one command per line from stdin, answers each with a line of JSON, and ends with stdin. Only
the devices run here, so that the CPU time and memory of this process are theirs. KIND is
`passfleet`, `shared` (passfleet's devices behind one connection), `dialect` (passfleet's devices
through a dialect, controlled over the contract on the same broker) or `bare`.

    start   connect all: seconds it took, its CPU seconds, and the KiB of memory that came with it
    usage   CPU seconds and KiB so far; the worst lag of the loop since the last `usage`, in ms
    storm   lose every connection at once (passfleet alone): seconds until all are back, the most
            that came back within a tenth of a second, and the worst lag of the loop
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from bare import BareFleet

from agent.clock import RealClock
from agent.device_factory import DeviceSpec
from agent.effects import Publication
from agent.events import Command
from agent.machine import enroll, first_state, step
from agent.payloads import publication
from agent.random_stream import DeviceRandomStream
from agent.state import GroupSetup
from broker.address import BrokerAddress
from broker.contract import Topics
from broker.dialects.dialect import Dialect
from fleet.hosting.host import Host
from fleet.hosting.system_limits import check_system_limits
from platforms import PLATFORMS_BY_ID
from platforms.profile import Action

DIALECT = {
    "command": {
        "topic": "dialect/v1/devices/{deviceId}/commands",
        "payload": {"commandId": "{commandId}", "actionName": "{actionName}"},
    },
    "result": {
        "topic": "dialect/v1/devices/{deviceId}/results",
        "payload": {
            "commandId": "{commandId}",
            "actionState": "{actionState}",
            "text": "{message}",
            "newPasscode": "{newPasscode?}",
            "errorCode": "{errorCode?}",
        },
    },
    "words": {"errorCode": {"notEnrolled": "GONE"}},
}
"""Dialect with a command and a result, as most back-ends have."""
GROUP = "phones"
TICK = 0.005


def memory_kib() -> float:
    """Proportional set size of this process."""
    gc.collect()
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def sample_answers(setup: GroupSetup) -> list[tuple[str, bytes, bool]]:
    """Messages that a device of this kind publishes for a reset: (leaf, payload, retained)."""
    draws = DeviceRandomStream(7, "d-00000")
    state = first_state(enroll("d-00000", "user0", setup, "2580", draws), 0)
    command = Command("c-100000", Action.RESET_PASSCODE, None, None, None)
    state, effects = step(state, command, RealClock().now(), draws)
    made = (publication(e, state, draws) for e in effects if isinstance(e, Publication))
    return [(leaf, payload.to_bytes(), retained) for leaf, payload, retained in made]


class Passfleet:
    """passfleet's own devices."""

    def __init__(
        self, names: list[str], setup: GroupSetup, address: BrokerAddress, kind: str
    ) -> None:
        self.address = address
        dialect = Dialect("bench", DIALECT) if kind == "dialect" else None
        specs = [
            DeviceSpec(
                name, f"user-{name}", setup, "2580", shared=kind == "shared", dialect=dialect
            )
            for name in names
        ]
        # The control topics of a dialect are below a root of their own: both run on one broker.
        root = "passfleet/v1" if dialect is None else "control/v1"
        self.host = Host(specs, Topics(root), seed=7, clock=RealClock())

    async def start(self) -> None:
        """Connect all."""
        await self.host.start(self.address, fresh=True)

    async def storm(self) -> dict[str, float]:
        """Drop all connections at once and wait until they are back."""
        pool, started = self.host.pool, time.perf_counter()
        for device in self.host.devices.values():
            device.connection.drop()
        dropped, wanted = time.perf_counter() - started, pool.up + len(self.host.devices)
        counts = [pool.up]
        while pool.up < wanted and time.perf_counter() - started < 60:
            await asyncio.sleep(0.1)
            counts.append(pool.up)
        most = max(after - before for before, after in pairwise(counts))
        return {
            "drop_seconds": dropped,
            "back_seconds": time.perf_counter() - started,
            "back_most_in_100ms": most,
            "missing": wanted - pool.up,
        }


class LoopLag:
    """Measures the delay of the event loop."""

    def __init__(self) -> None:
        self.worst = 0.0

    def begin(self) -> None:
        """Measure from now on."""
        self.due = time.perf_counter() + TICK
        asyncio.get_running_loop().call_later(TICK, self.tick)

    def tick(self) -> None:
        """Record the delay."""
        self.worst = max(self.worst, time.perf_counter() - self.due)
        self.begin()

    def take(self) -> float:
        """Return the longest delay since the last call, in milliseconds."""
        worst, self.worst = self.worst, 0.0
        return worst * 1000


async def serve(kind: str, url: str, devices: int, platform: str) -> None:
    """Execute the commands from stdin."""
    loop = asyncio.get_running_loop()
    asked = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(asked), sys.stdin)
    address = BrokerAddress.parse(url)
    if kind != "shared":
        check_system_limits(devices)
    setup = GroupSetup(name=GROUP, profile=PLATFORMS_BY_ID[platform])
    names = [f"d-{n:05}" for n in range(devices)]
    answers = sample_answers(setup)
    fleet: Any = None
    lag = LoopLag()
    while line := await asked.readline():
        word = line.decode().strip()
        if word == "start":
            before, cpu, started = memory_kib(), time.process_time(), time.perf_counter()
            if kind == "bare":
                fleet = BareFleet(names, GROUP, "bare/v1", address, answers)
            else:
                fleet = Passfleet(names, setup, address, kind)
            await fleet.start()
            answer = {
                "seconds": time.perf_counter() - started,
                "cpu": time.process_time() - cpu,
            }
            await asyncio.sleep(0.5)
            answer["kib"] = memory_kib() - before
        elif word == "lag":
            lag.begin()
            answer = {}
        elif word == "storm":
            answer = await fleet.storm()
        else:
            cpu = time.process_time()
            answer = {"cpu": cpu, "at": time.perf_counter(), "lag_ms": lag.take()}
            if word == "memory":
                answer["kib"] = memory_kib()
        print(json.dumps(answer), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
