"""Time as the wire writes it.

Instants are ISO 8601 in UTC; inside, whole milliseconds since the epoch. A clock is `real`,
`virtual`, or a speed such as `60x`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = [
    "FASTEST",
    "LAST_INSTANT",
    "format_timestamp",
    "parse_clock_speed",
    "parse_timestamp",
    "timestamp_of",
]

_NOT_ONE: Final = "not an ISO 8601 date and time in UTC, such as 2015-12-10T20:19:07Z"
LAST_INSTANT: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: no instant is written beyond it."""
FASTEST: Final = 1_000_000
"""No clock runs faster: so many times as fast as the time of day."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp_of(moment: datetime) -> int:
    """Milliseconds since the epoch; `moment` must know its zone."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_timestamp(text: str) -> int:
    """Read an ISO 8601 date and time in UTC. Raises ValueError where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_NOT_ONE) from None
    if "T" not in text.upper() or moment.utcoffset() != timedelta(0):
        raise ValueError(_NOT_ONE)
    return timestamp_of(moment)


def format_timestamp(instant: int) -> str:
    """Whole seconds, or three decimals where there is a fraction: `2015-12-10T20:19:07Z`."""
    seconds, millis = divmod(instant, 1000)
    text = _second(seconds)
    return f"{text}.{millis:03}Z" if millis else f"{text}Z"


def parse_clock_speed(clock: str) -> float:
    """Return the speed of a clock relative to the time of day: 1.0 for `real`, 60.0 for `60x`.

    0.0 where it does not run by itself: for `virtual`, and for what is no clock.
    """
    if clock == "real":
        return 1.0
    try:
        speed = float(clock.removesuffix("x")) if clock.endswith("x") else 0.0
    except ValueError:
        return 0.0
    return speed if 0 < speed <= FASTEST else 0.0


# A fleet formats the same second thousands of times.
@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
