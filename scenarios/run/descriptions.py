"""Texts of a run: clocks, durations, and the values of a failed expectation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from agent.clock import Clock, RealClock
from scenarios.model.masking import mask
from scenarios.model.matchers import describe

__all__ = ["clock_name", "format_duration", "format_values", "speed_of"]

_SECRET: Final = frozenset({"newPasscode", "newPasscodeLine"})


def speed_of(clock: Clock) -> float:
    """Return the speed of a clock: 1 for real and virtual time."""
    return clock.speed if isinstance(clock, RealClock) else 1.0


def clock_name(clock: Clock) -> str:
    """Return `virtual`, `real`, or a speed such as `60x`."""
    if not isinstance(clock, RealClock):
        return "virtual"
    return "real" if clock.speed == 1 else f"{clock.speed:g}x"


def format_values(values: Mapping[str, object]) -> str:
    """Return `key: value, ...` with new passcodes masked."""
    hidden: Mapping[str, object] = mask(values, _SECRET)
    return ", ".join(f"{key}: {describe(value)}" for key, value in hidden.items())


def format_duration(milliseconds: int) -> str:
    """Return a duration as written in a scenario, such as `5m`."""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
