"""Hosting backends of `passfleet up`: devices in this process, or in worker processes.

`up`, its live table and the metrics use both through the `HostingBackend` protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from agent.clock import Clock, RealClock, VirtualClock
from agent.runner import Device
from agent.state import Compliance, PasscodeKind
from agent.state_file import StateFile
from broker.address import BrokerAddress
from broker.contract import Topics
from fleet.config.loader import FleetConfig
from fleet.hosting.counters import FleetCounters
from fleet.hosting.host import Host

__all__ = ["HostingBackend", "LocalBackend", "LoopLag", "count_by_platform", "make_clock"]

_LAG_EVERY: Final = 0.05
"""Seconds between two looks; a loop that stands still for less may do so unseen."""

_NO_DEVICES: Final = dict.fromkeys(
    ("devices", "online", "locked", "wiped", *map(str, PasscodeKind), *map(str, Compliance)), 0
)


class HostingBackend(Protocol):
    """Hosts a fleet's devices on a broker that answers."""

    counters: FleetCounters
    size: int
    """How many devices there are."""
    failed: asyncio.Future[BaseException]
    """Resolved with an error to raise where the backend cannot go on."""

    async def start(
        self, address: BrokerAddress, *, fresh: bool, progress: Callable[[int], None]
    ) -> None:
        """Connect every device; see `Host.start`."""

    async def stop(self, *, forget: bool, progress: Callable[[int], None]) -> None:
        """Take every device off the broker; see `Host.stop`."""

    async def abandon(self) -> None:
        """End without a word to the broker; see `Host.abandon`."""

    def counts(self) -> Mapping[str, Counter[str]]:
        """For each platform how many devices are in which state."""

    def reconnects(self) -> int:
        """How many connections were lost or closed since the start."""

    def lag(self) -> Mapping[str, float]:
        """For each process by name, the longest its loop was late since asked before, in seconds.

        0 where nothing has been heard of it since.
        """

    def deaths(self) -> Mapping[str, int]:
        """For each worker by name, how often it died and was started again."""


def make_clock(config: FleetConfig, since: float, reached: int | None = None) -> Clock:
    """The fleet's clock: the same in all its workers.

    `since` is when it started, by `time.time()`; `reached` is how far its time had come before, and
    where it goes on: devices that survive a restart keep their deadlines. The time of day needs
    nobody to remember it.
    """
    if config.speed is None:
        return VirtualClock() if reached is None else VirtualClock(reached)
    return RealClock(config.speed, since, None if config.speed == 1 else reached)


def count_by_platform(devices: Iterable[Device]) -> dict[str, Counter[str]]:
    """For each platform how many devices are online, locked, with which passcode, how compliant.

    Each platform has all the states, those of nobody too: a series that is missing is no zero.
    """
    counts: dict[str, Counter[str]] = {}
    for device in devices:
        state = device.state
        count = counts.setdefault(state.profile.id, Counter(_NO_DEVICES))
        count["devices"] += 1
        count["online"] += device.connection.up
        count["locked"] += state.locked
        count["wiped"] += state.wiped
        count[state.passcode.value] += 1
        count[state.compliance.value] += 1
    return counts


class LoopLag:
    """How late the event loop is: a slow simulator shows here, a slow broker does not."""

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
        """The longest lag, in seconds, since it was taken before."""
        longest, self._longest = self._longest, 0.0
        return longest

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()


class LocalBackend:
    """This process hosts all devices."""

    def __init__(self, config: FleetConfig) -> None:
        specs = config.devices()
        self.counters = FleetCounters()
        self.size = len(specs)
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        store = StateFile(config.state, config.seed) if config.state else None
        self._host = Host(
            specs,
            Topics(config.root),
            seed=config.seed,
            clock=make_clock(config, time.time(), store.reached if store else None),
            store=store,
            on_effect=self.counters.on_effect,
            known=config.known,
        )
        self._lag = LoopLag()

    async def start(
        self, address: BrokerAddress, *, fresh: bool, progress: Callable[[int], None]
    ) -> None:
        """Connect every device."""
        await self._host.start(address, fresh=fresh, progress=progress)

    async def stop(self, *, forget: bool, progress: Callable[[int], None]) -> None:
        """Take every device off the broker."""
        self._lag.close()
        await self._host.stop(forget=forget, progress=progress)

    async def abandon(self) -> None:
        """End without a word to the broker."""
        self._lag.close()
        await self._host.abandon()

    def counts(self) -> Mapping[str, Counter[str]]:
        """For each platform how many devices are in which state."""
        return count_by_platform(self._host.devices.values())

    def reconnects(self) -> int:
        """How many connections were lost or closed since the start."""
        return self._host.pool.reconnects

    def lag(self) -> Mapping[str, float]:
        """The longest this process' loop was late since asked before, in seconds."""
        return {"0": self._lag.read_and_reset()}

    def deaths(self) -> Mapping[str, int]:
        """Nobody survives this process to count them."""
        return {}
