"""Rates and limits of connecting."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConnectionPace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPace:
    """Rates and limits of connecting, for all connections of a process together.

    `rate` is connections per second; `in_flight` the number of connections being opened at once;
    `keepalive` seconds; `answer_within` the seconds a broker has to answer a CONNECT and a
    SUBSCRIBE; `backoff` the (shortest, longest) seconds before a lost connection is tried again:
    doubled with each attempt, with a random factor of 0.5 to 1.5.
    """

    rate: float = 2_000.0
    in_flight: int = 64
    keepalive: int = 60
    answer_within: float = 10.0
    backoff: tuple[float, float] = (0.1, 30.0)
