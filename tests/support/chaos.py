"""Ledger of commands that are sent while the fleet's processes are killed and stopped.

`make chaos` runs it for minutes; `tests/fleet/hosting/test_chaos.py` runs a short form.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from agent.random_stream import DeviceRandomStream
from broker.server.open import MOSQUITTO
from tests.support.brokers import until
from tests.support.fleet_processes import (
    Process,
    Server,
    Start,
    fleet_text,
    phones,
    processes,
    running,
    write_fleet,
)
from tests.support.paho_operator import RESET, WireOperator, not_active

__all__ = ["Ledger", "run_chaos"]

_ROOT: Final = "chaos"
_DEVICES: Final = 20
_SETTLE_WITHIN: Final = 90.0


@dataclass
class Ledger:
    """Outcome of a run: commands by what became of them."""

    sent: int
    faults: int
    seconds: float
    ok: int = 0
    lost: int = 0
    """Commands without a final result."""
    twice: int = 0
    """Commands with two different effects."""
    wrong: int = 0
    """State changes too many or too few, and passcodes that two commands of a device share."""


def _children(pid: int) -> list[int]:
    """Worker processes of a fleet."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [int(child) for child in path.read_text().split()]
    return []


class _Chaos:
    """Faults drawn from a seed, against one fleet that is started again when it was killed."""

    def __init__(self, start: Start, seed: int) -> None:
        self._start = start
        self._stream, self._number = DeviceRandomStream(seed, "chaos"), 0
        self._fleet: Process

    def draw(self, below: int) -> int:
        """A whole number from 0 to below `below`."""
        self._number += 1
        return self._stream.bits("chaos", self._number) % below

    async def up(self) -> None:
        """Start the fleet and wait until it is ready."""
        self._fleet = self._start("up", "--workers", "2")
        await self._fleet.ready()

    async def fault(self) -> None:
        """Kill or stop the fleet's main process or one of its workers."""
        main = self._fleet.popen.pid
        workers = _children(main)
        kind = self.draw(4)
        victim = main if kind < 2 or not workers else workers[self.draw(len(workers))]
        if kind % 2:
            await _stop_for_a_while(victim)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim == main:
            self._fleet.popen.wait()
            await self.up()

    async def down(self) -> int:
        """Stop the fleet in order; returns its exit code."""
        return await self._fleet.signalled(signal.SIGTERM)


async def _stop_for_a_while(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.5)
        os.kill(pid, signal.SIGCONT)


async def run_chaos(commands: int, faults: int, seed: int, folder: Path) -> Ledger:
    """Send resets to a fleet with a state file under faults, and count what became of them."""
    began = time.monotonic()
    devices = [f"phones-{n:03}" for n in range(1, _DEVICES + 1)]
    async with running(MOSQUITTO, folder) as broker:
        text = fleet_text(phones(count=_DEVICES), root=_ROOT, state='"fleet.db"')
        write_fleet(folder, text, broker.url)
        async with _operator(broker) as operator:
            with processes(folder) as start:
                chaos = _Chaos(start, seed)
                await chaos.up()
                sent: dict[str, str] = {}
                for number in range(faults):
                    for n in range(commands * number // faults, commands * (number + 1) // faults):
                        device = devices[chaos.draw(_DEVICES)]
                        sent[operator.send(device, RESET, f"c-{n}")] = device
                    await chaos.fault()
                with contextlib.suppress(TimeoutError):
                    await until(lambda: len(_finals(operator)) >= len(sent), _SETTLE_WITHIN)
                ledger = _ledger(operator, sent, faults)
                await chaos.down()
    ledger.seconds = round(time.monotonic() - began, 1)
    return ledger


def _operator(broker: Server) -> contextlib.AbstractAsyncContextManager[WireOperator]:
    return WireOperator.connected(broker.port, _ROOT)


def _finals(operator: WireOperator) -> dict[str, set[tuple[str, str]]]:
    """(passcode, start) of the final results, by command."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for seen in list(operator.seen):
        if seen.leaf == "results" and seen.payload and not_active(seen.document):
            result = seen.document
            effect = (str(result["newPasscode"]), result["startDateTime"])
            found[result["commandId"]].add(effect)
    return found


def _ledger(operator: WireOperator, sent: dict[str, str], faults: int) -> Ledger:
    ledger, finals = Ledger(len(sent), faults, 0.0), _finals(operator)
    for command in sent:
        effects = finals.get(command, set())
        ledger.lost += not effects
        ledger.twice += len(effects) > 1
        ledger.ok += len(effects) == 1
    for device in set(sent.values()):
        own = [command for command, each in sent.items() if each == device]
        # Each reset changes the state once, and the version with it; each has its own passcode.
        ledger.wrong += abs(operator.state(device)["version"] - 1 - len(own))
        passcodes = {passcode for command in own for passcode, _ in finals.get(command, ())}
        ledger.wrong += len(own) - len(passcodes)
    return ledger


def main() -> int:
    """Run from the command line; returns 0 if nothing was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=4_000)
    parser.add_argument("--faults", type=int, default=70)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ledger = asyncio.run(
            run_chaos(options.commands, options.faults, options.seed, Path(folder))
        )
    sys.stdout.write(json.dumps(asdict(ledger)) + "\n")
    return 1 if ledger.lost or ledger.twice or ledger.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
