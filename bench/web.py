"""Cost and speed of `up --web`: CPU without a viewer, a Graph list, an update on the wall.

Each fleet runs in one process on the embedded broker, its devices behind a shared connection. CPU
is that of the process with its broker. `without` and `with` run by turns: compare the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import httpx  # noqa: E402  # after the path

from broker.address import BrokerAddress  # noqa: E402
from broker.contract import Topics  # noqa: E402
from broker.operator.operator import Group, Operator  # noqa: E402

LISTED = "/v1.0/deviceManagement/managedDevices?$top=1000"
ROOT = "passfleet/v1"
GROUP = "phones"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Fleet:
    """A running `passfleet up`."""

    pid: int
    broker: str
    web: str | None

    def cpu(self) -> float:
        """CPU seconds of the process and its children so far."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(_cpu_of(int(pid)) for pid in (self.pid, *map(int, children)))

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[Operator]:
        """An operator of the fleet."""
        async with Operator(BrokerAddress.parse(self.broker), Topics(ROOT)) as operator:
            yield operator


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def fleet(devices: int, *, web: bool) -> Iterator[Fleet]:
    """A fleet of Android devices, for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "fleet.toml").write_text(
            f'[[group]]\nname = "{GROUP}"\nplatform = "android"\ncount = {devices}\n'
            'id = "phone-{n:05}"\nconnection = "shared"\n'
        )
        command = [sys.executable, "-m", "fleet.cli", "up", *(("--web",) if web else ())]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline() + (process.stdout.readline() if web else "")
            broker, url = re.search(r"broker=(\S+)", said), re.search(r"web=(\S+)", said)
            assert broker is not None, said
            yield Fleet(process.pid, broker[1], url[1] if url else None)
        finally:
            process.terminate()
            process.wait()


async def idle(running: Fleet, seconds: float) -> float:
    """Share of a core that a fleet takes at rest."""
    before = running.cpu()
    await asyncio.sleep(seconds)
    return (running.cpu() - before) / seconds


async def resets(running: Fleet, devices: int, rounds: int) -> float:
    """CPU microseconds of a reset; every device is reset at once, in each of the rounds."""
    async with running.operator() as operator:
        before = running.cpu()
        for _ in range(rounds):
            outcomes = await operator.send(Group(GROUP), "resetPasscode", timeout=120)
            assert all(outcome.done for outcome in outcomes)
        return (running.cpu() - before) * 1e6 / (devices * rounds)


async def listing(running: Fleet, times: int) -> list[float]:
    """Milliseconds of each list of 1,000 devices."""
    took = []
    async with httpx.AsyncClient(base_url=running.web or "", trust_env=False) as client:
        for _ in range(times):
            begun = time.perf_counter()
            answer = await client.get(LISTED)
            took.append((time.perf_counter() - begun) * 1e3)
            assert len(answer.json()["value"]) == 1_000
    return took


async def updates(running: Fleet, times: int) -> list[float]:
    """Milliseconds from the press of a button, over MQTT, to its event on the wall."""
    took = []
    async with (
        running.operator() as operator,
        httpx.AsyncClient(base_url=running.web or "", trust_env=False, timeout=30) as client,
    ):
        token = re.search(r'name="csrf-token" content="(\w+)"', (await client.get("/")).text)
        assert token is not None
        client.headers["x-csrf-token"] = token[1]
        async with client.stream("GET", "/events?view=wall") as stream:
            lines = stream.aiter_lines()
            viewer = json.loads(await _data(lines, "hello"))["viewer"]
            window = {"first": 0, "count": 12}
            await client.post(f"/viewers/{viewer}/window", json=window)
            for _ in range(times):
                begun = time.perf_counter()
                pressing = asyncio.create_task(operator.tap("phone-00001", "restart"))
                await _data(lines, "phones")
                took.append((time.perf_counter() - begun) * 1e3)
                await pressing
                await asyncio.sleep(0.2)  # let the events of this press pass
                await operator.tap("phone-00001", "enterPasscode", passcode="2580")
                await _data(lines, "phones")
    return took


async def _data(lines: AsyncIterator[str], event: str) -> str:
    """Return the data of the next event of this name."""
    async for line in lines:
        if line == f"event: {event}":
            return (await anext(lines)).removeprefix("data: ")
    raise EOFError(event)


async def measure(devices: int, seconds: float, turns: int) -> dict[str, float]:
    """All figures; CPU figures are medians of the turns."""
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        for web in (False, True):
            with fleet(devices, web=web) as running:
                name = "with" if web else "without"
                found.setdefault(f"idle {name}", []).append(await idle(running, seconds))
                found.setdefault(f"reset {name}", []).append(await resets(running, devices, 2))
    with fleet(devices, web=True) as running:
        found["update ms"] = await updates(running, 20)
    with fleet(1_000, web=True) as running:
        found["list ms"] = await listing(running, 20)
    figures = {name: statistics.median(values) for name, values in found.items()}
    figures["update max ms"], figures["list max ms"] = (
        max(found["update ms"]),
        max(found["list ms"]),
    )
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="time at rest")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(measure(options.devices, options.seconds, options.turns))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:>16}  {value:10.3f}")


if __name__ == "__main__":
    main()
