"""Hosting backends of `passfleet up`: devices in this process, or in worker processes.

`up`, its live table and the metrics use both through the `HostingBackend` protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from agent.clock import Clock, RealClock, VirtualClock
from agent.coverage import RuleRecorder
from agent.storage.file import StateFile
from broker.address import BrokerAddress
from broker.contract import Topics
from fleet.config.loader import FleetConfig
from fleet.hosting.counters import DeviceCounts, FleetCounters
from fleet.hosting.host import Host

__all__ = ["HostingBackend", "LocalBackend", "LoopLag", "make_clock"]

_LAG_EVERY: Final = 0.05
"""Seconds between two measurements; a shorter stall of the loop may be missed."""


class HostingBackend(Protocol):
    """Hosting of a fleet's devices on a reachable broker."""

    counters: FleetCounters
    size: int
    """Number of devices."""
    failed: asyncio.Future[BaseException]
    """Resolved with the error to raise when the backend cannot continue."""

    async def start(
        self,
        address: BrokerAddress,
        *,
        control: BrokerAddress | None,
        fresh: bool,
        progress: Callable[[int], None],
    ) -> None:
        """Connect every device; see `Host.start`."""

    async def stop(self, *, forget: bool, progress: Callable[[int], None]) -> None:
        """Disconnect every device; see `Host.stop`."""

    async def abandon(self) -> None:
        """Drop all connections without DISCONNECT; see `Host.abandon`."""

    def counts(self) -> Mapping[str, Counter[str]]:
        """Number of devices by platform and state."""

    def reconnects(self) -> int:
        """Number of connections lost or closed since the start."""

    def lag(self) -> Mapping[str, float]:
        """Longest loop lag of each process, in seconds, since the previous call; by process name.

        0 for a process that has sent no report since.
        """

    def deaths(self) -> Mapping[str, int]:
        """Number of restarts after a death, by worker name."""


def make_clock(config: FleetConfig, since: float, reached: int | None = None) -> Clock:
    """Make the fleet's clock, the same in all workers.

    `since` is the start by `time.time()`, in seconds. `reached` is the fleet's time in a previous
    run, in milliseconds, at which the clock continues, so that restored devices keep their
    deadlines. Real time at speed 1 ignores it.
    """
    if config.speed is None:
        return VirtualClock() if reached is None else VirtualClock(reached)
    return RealClock(config.speed, since, None if config.speed == 1 else reached)


class LoopLag:
    """Event loop lag: shows a slow simulator, not a slow broker."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._task = asyncio.create_task(self._watch(), name="passfleet.lag")

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            self._longest = max(self._longest, loop.time() - due)

    def read_and_reset(self) -> float:
        """Longest lag, in seconds, since the previous call."""
        longest, self._longest = self._longest, 0.0
        return longest

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()


class LocalBackend:
    """Backend that hosts all devices in this process."""

    def __init__(
        self, config: FleetConfig, store: StateFile | None = None, *, coverage: bool = False
    ) -> None:
        """Create the devices, with the states in `store`.

        `coverage`: count the rules that they exercise. Raises FileError as `StateFile.load` does.
        """
        specs = config.devices()
        rules = RuleRecorder() if coverage else None
        self.counters = FleetCounters(rules=rules)
        self.size = len(specs)
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._counts = DeviceCounts()
        if store is not None:
            store.on_failure = self._fail
        self._host = Host(
            specs,
            Topics(config.root),
            seed=config.seed,
            clock=make_clock(config, time.time(), store.reached if store else None),
            store=store,
            on_effect=self.counters.on_effect,
            on_event=rules.on_event if rules else None,
            counts=self._counts,
            on_dialect_event=self.counters.on_dialect_event,
            known=config.known,
        )
        self._lag = LoopLag()

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    async def start(
        self,
        address: BrokerAddress,
        *,
        control: BrokerAddress | None,
        fresh: bool,
        progress: Callable[[int], None],
    ) -> None:
        """Connect every device."""
        await self._host.start(address, control=control, fresh=fresh, progress=progress)

    async def stop(self, *, forget: bool, progress: Callable[[int], None]) -> None:
        """Disconnect every device."""
        self._lag.close()
        await self._host.stop(forget=forget, progress=progress)

    async def abandon(self) -> None:
        """Drop all connections without DISCONNECT."""
        self._lag.close()
        await self._host.abandon()

    def counts(self) -> Mapping[str, Counter[str]]:
        """Number of devices by platform and state."""
        return self._counts.by_platform()

    def reconnects(self) -> int:
        """Number of connections lost or closed since the start."""
        return self._host.pool.reconnects

    def lag(self) -> Mapping[str, float]:
        """Longest loop lag of this process, in seconds, since the previous call."""
        return {"0": self._lag.read_and_reset()}

    def deaths(self) -> Mapping[str, int]:
        """Empty: this backend has no worker processes."""
        return {}
