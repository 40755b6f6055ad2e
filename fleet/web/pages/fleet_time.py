"""The fleet's time as pages show it, and the control that moves it."""

from __future__ import annotations

import time
from typing import Any, Final

from broker.errors import BrokerError, UsageError
from fleet.web.fleet_view import FleetView

__all__ = ["FleetTime"]

_REAL: Final = 1.0
_NOTICED: Final = 2_000
"""Milliseconds by which time must differ from what pages computed to count as moved."""


class FleetTime:
    """Time of the fleet: `speed` 0 is virtual time, 1 the time of day. `moves` counts jumps."""

    def __init__(self, view: FleetView, speed: float | None) -> None:
        self._view = view
        self.speed = 0.0 if speed is None else speed
        self.moves = 0
        self._shown = (0, 0.0)

    @property
    def can_move(self) -> bool:
        """True if the fleet's time can be moved: virtual time, or a speed."""
        return self.speed != _REAL

    def as_json(self) -> dict[str, Any]:
        """The time now, as pages take it."""
        return {"now": self._view.now(), "speed": self.speed}

    def look(self) -> None:
        """Notice where time has moved otherwise than by passing."""
        if not self.can_move:
            return
        try:
            now = self._view.now()
        except BrokerError:
            return  # the connection is opened again by the view
        shown, at = self._shown
        expected = shown + (time.monotonic() - at) * 1000 * self.speed
        self._shown = (now, time.monotonic())
        if abs(now - expected) > _NOTICED * self.speed:
            self.moves += 1

    async def advance(self, milliseconds: int) -> None:
        """Move time forward."""
        await self._view.advance_clock(milliseconds)

    async def advance_to_next_deadline(self) -> None:
        """Move time to the next instant at which a passcode is due on a device.

        Raises UsageError where no device waits for one.
        """
        deadlines = [
            state.passcode_deadline
            for device in self._view.devices.values()
            if (state := device.state) is not None and state.passcode_deadline is not None
        ]
        if not deadlines:
            raise UsageError("No device waits for a deadline.")
        await self._view.advance_clock(max(0, min(deadlines) - self._view.now()))
