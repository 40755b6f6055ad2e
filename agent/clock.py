"""Clocks, and one heap of timers for all devices of a process.

Instants are whole milliseconds since the Unix epoch, UTC; virtual time moves only by `move`.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

__all__ = [
    "DURATION_PATTERN",
    "VIRTUAL_START",
    "Clock",
    "RealClock",
    "Timers",
    "VirtualClock",
    "parse_duration",
]

_UNITS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
DURATION_PATTERN: Final = r"\s*[0-9]+(\.[0-9]+)?(us|ms|s|m|h)\s*"
"""Regular expression of a duration, in the form that JSON Schema has it."""

_STALE_ALLOWED: Final = 64
"""Cancelled timers that the heap may hold in addition to the number of armed ones."""

# Date and time on the screenshots of the source document of 2015-12.
VIRTUAL_START: Final = 1_449_778_747_000
"""Start of virtual time: 2015-12-10T20:19:07Z."""


def parse_duration(text: str) -> timedelta:
    """Parse `200us`, `5ms`, `2s`, `5m` or `1h`.

    Raises ValueError with the accepted forms if `text` is none of them or exceeds `timedelta`.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write one as 200us, 5ms, 2s, 5m or 1h")
    try:
        return timedelta(microseconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None


class Clock(Protocol):
    """Source of the current time."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""

    def delay(self, instant: int) -> float | None:
        """Return real seconds until `instant`; None if the clock does not run by itself."""


class RealClock:
    """The time of day, or, with `speed`, time that runs that many times as fast.

    `since` is the real start in seconds since the epoch, None for now: clocks of several processes
    with the same `since` agree. `origin` is the clock's time at `since`, in milliseconds since the
    epoch, None for the time of day.
    """

    def __init__(
        self, speed: float = 1.0, since: float | None = None, origin: int | None = None
    ) -> None:
        self.speed = speed
        since = time.time() if since is None else since
        self._origin = since if origin is None else origin / 1000
        self._started = time.monotonic() - (time.time() - since)

    def now(self) -> int:
        """Return milliseconds since the epoch; monotonic within a process."""
        passed = (time.monotonic() - self._started) * self.speed
        return int((self._origin + passed) * 1000)

    def jump(self, instant: int) -> None:
        """Continue from `instant` at the same speed; an instant in the past changes nothing."""
        self._origin += max(0, instant - self.now()) / 1000

    def delay(self, instant: int) -> float:
        """Return real seconds until `instant`."""
        return max(0.0, (instant - self.now()) / 1000 / self.speed)


class VirtualClock:
    """Clock that moves only by `move`."""

    def __init__(self, start: int = VIRTUAL_START) -> None:
        self._now = start

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return self._now

    def delay(self, instant: int) -> float | None:
        """Return 0 if `instant` is due, else None: the clock does not run by itself."""
        return 0.0 if instant <= self._now else None

    def move(self, instant: int) -> None:
        """Set the time; an instant before the present is ignored."""
        self._now = max(self._now, instant)


class Timers:
    """One heap and at most one event-loop timer, for any number of devices.

    A timer has a name under which it can be armed anew or cancelled. Timers due at the same
    instant fire in the order of their names, so that a run does not depend on the order in which
    they were armed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, tuple[str, str]]] = []
        self._armed: dict[tuple[str, str], tuple[int, Callable[[], None]]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at: int | None = None

    def arm(self, owner: str, name: str, at: int, fire: Callable[[], None]) -> None:
        """Call `fire` at instant `at`. Replaces the timer of this name."""
        key = (owner, name)
        self._armed[key] = (at, fire)
        heapq.heappush(self._heap, (at, key))
        if len(self._heap) > _STALE_ALLOWED + 2 * len(self._armed):
            # Each press arms a device's auto-lock anew: remove the replaced timers.
            self._heap = [(at, key) for key, (at, _) in self._armed.items()]
            heapq.heapify(self._heap)
        if self._handle_at is None or at < self._handle_at:
            self._schedule()

    def cancel(self, owner: str, name: str) -> None:
        """Cancel a timer, if it is armed."""
        self._armed.pop((owner, name), None)

    def next_at(self) -> int | None:
        """Return the instant of the next timer, None if none is armed."""
        while self._heap:
            at, key = self._heap[0]
            armed = self._armed.get(key)
            if armed is not None and armed[0] == at:
                return at
            heapq.heappop(self._heap)
        return None

    def fire_due(self) -> int:
        """Fire the due timers in order; returns their number."""
        fired = 0
        while (at := self.next_at()) is not None and at <= self._clock.now():
            _, key = heapq.heappop(self._heap)
            _, fire = self._armed.pop(key)
            fire()
            fired += 1
        return fired

    def close(self) -> None:
        """Cancel all timers."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._handle_at = None
        self._armed.clear()
        self._heap.clear()

    def clock_moved(self) -> None:
        """Fire what is due after the clock has jumped, in this turn of the event loop or the next.

        Timers that are not due wait for the shorter time that is left.
        """
        self._schedule()

    def _schedule(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = self._handle_at = None
        at = self.next_at()
        delay = None if at is None else self._clock.delay(at)
        if delay is not None:
            self._handle_at = at
            self._handle = asyncio.get_running_loop().call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._handle = self._handle_at = None
        try:
            self.fire_due()
        finally:
            # A callback that raises must not stop the other timers.
            self._schedule()
