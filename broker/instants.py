"""Instants as the wire writes them: ISO 8601 in UTC; inside, whole milliseconds since the epoch."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["LAST_INSTANT", "format_instant", "instant_of", "parse_instant"]

_NOT_ONE: Final = "not an ISO 8601 date and time in UTC, such as 2015-12-10T20:19:07Z"
LAST_INSTANT: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: no instant is written beyond it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(moment: datetime) -> int:
    """Milliseconds since the epoch; `moment` must know its zone."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_instant(text: str) -> int:
    """Read an ISO 8601 date and time in UTC. Raises ValueError where it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_NOT_ONE) from None
    if "T" not in text.upper() or moment.utcoffset() != timedelta(0):
        raise ValueError(_NOT_ONE)
    return instant_of(moment)


def format_instant(instant: int) -> str:
    """Whole seconds, or three decimals where there is a fraction: `2015-12-10T20:19:07Z`."""
    seconds, millis = divmod(instant, 1000)
    text = _second(seconds)
    return f"{text}.{millis:03}Z" if millis else f"{text}Z"


# A fleet says the same second thousands of times.
@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
