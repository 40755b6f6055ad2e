"""Measurements of a load: time histograms, and counts per time slice.

Latency counts from the time a command was due, not from when it was sent: while a broker or this
process stalls, commands queue, and their waiting time is part of what users see. (Counted from the
sending, a stall of ten seconds would show as one slow command, which is known as coordinated
omission.) The service time, from sending to answer, is recorded as well.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # has no types

__all__ = ["PERCENTILES", "STATS", "Latencies", "Measurements", "TimeHistogram", "TimeSlice"]

PERCENTILES: Final = MappingProxyType(
    {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
)
STATS: Final = (*PERCENTILES, "max", "mean")
"""Statistics of a histogram."""

_HOUR: Final = 3_600_000_000
_DIGITS: Final = 3
_WIDTHS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_SLICES: Final = 60
_RECENT: Final = 500
_CURVE_TICKS: Final = 5
"""Points of the percentile curve for each halving of the distance to 100 %."""


class TimeHistogram:
    """Histogram of times: 1 us to 1 h, with three significant digits."""

    __slots__ = ("_histogram", "_total")

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _HOUR, _DIGITS)
        # Kept for the mean, since the histogram reads all of its buckets twice for that.
        self._total = 0

    def record(self, seconds: float) -> None:
        """Record one time."""
        value = min(max(1, round(seconds * 1e6)), _HOUR)
        self._total += value
        self._histogram.record_value(value)

    def merge(self, other: TimeHistogram) -> None:
        """Add the counts of another histogram."""
        self._histogram.add(other._histogram)
        self._total += other._total

    @property
    def count(self) -> int:
        """Number of recorded times."""
        return int(self._histogram.get_total_count())

    def stats(self) -> dict[str, float | None]:
        """Return all of STATS in seconds; None if nothing was recorded."""
        if not self.count:
            return dict.fromkeys(STATS)
        # One pass for all percentiles. It takes milliseconds: do not call it during a load.
        found = self._histogram.get_percentile_to_value_dict(list(PERCENTILES.values()))
        values = {name: found[percent] for name, percent in PERCENTILES.items()}
        values |= {"max": self._histogram.get_max_value(), "mean": self._total / self.count}
        return {name: value / 1e6 for name, value in values.items()}

    def stat(self, name: str) -> float | None:
        """Return one of STATS in seconds; None if nothing was recorded."""
        return self.stats()[name]

    def milliseconds(self) -> dict[str, float | None]:
        """Return all of STATS in milliseconds."""
        return {
            name: None if value is None else round(value * 1e3, 3)
            for name, value in self.stats().items()
        }

    def curve(self) -> Iterator[tuple[float, float]]:
        """Return (percentile, milliseconds) points, closer together towards 100."""
        if self.count:
            for item in self._histogram.get_percentile_iterator(_CURVE_TICKS):
                yield item.percentile_level_iterated_to, item.value_iterated_to / 1e3


@dataclass
class Latencies:
    """Latency (from the time due) and service time (from the sending) of a set of commands."""

    latency: TimeHistogram = field(default_factory=TimeHistogram)
    service: TimeHistogram = field(default_factory=TimeHistogram)

    def merge(self, other: Latencies) -> None:
        """Add the counts of other latencies."""
        self.latency.merge(other.latency)
        self.service.merge(other.service)


@dataclass(slots=True)
class TimeSlice:
    """Time slice of the run: `sent` and `answered` by their own time, `latencies` by time due.

    With the time due, a stall shows at its beginning.
    """

    sent: int = 0
    answered: int = 0
    latencies: array[int] = field(default_factory=lambda: array("L"))

    def percentile(self, percent: float) -> float | None:
        """Return the latency percentile in milliseconds; None if nothing was answered."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        rank = -(-len(ordered) * percent // 100)
        return ordered[max(0, int(rank) - 1)] / 1e3


class Measurements:
    """All measurements of one load. Times are seconds after the start."""

    def __init__(self, duration: float, limit: float) -> None:
        """Take the sending time `duration` and the answer timeout `limit`, in seconds."""
        fitting = (width for width in _WIDTHS if duration / width <= _SLICES)
        self.width = next(fitting, _WIDTHS[-1])
        self.slices = [TimeSlice()]
        self.by_kind: dict[tuple[str, str], Latencies] = {}
        """Latencies by (action, platform)."""
        self.lag = TimeHistogram()
        """Delay between due and sent of each command: the generator's lag."""
        self.broker_pass = TimeHistogram()
        self.simulator_pass = TimeHistogram()
        self.recent: deque[float] = deque(maxlen=_RECENT)
        """Last latencies, for the progress display: histograms are too slow to query then."""
        self.storm = TimeHistogram()
        """Latency of the commands sent during a storm."""
        self._last = int((duration + limit) / self.width)

    def record_sent(self, due: float, now: float) -> None:
        """Record a sent command."""
        self.lag.record(now - due)
        self._slice(now).sent += 1

    def record_answered(
        self, kind: tuple[str, str], due: float, sent: float, now: float, *, during_storm: bool
    ) -> None:
        """Record a command that was answered in time."""
        if kind not in self.by_kind:
            self.by_kind[kind] = Latencies()
        latency = max(0.0, now - due)
        self.by_kind[kind].latency.record(latency)
        self.recent.append(latency)
        self.by_kind[kind].service.record(now - sent)
        if during_storm:
            self.storm.record(latency)
        self._slice(now).answered += 1
        self._slice(due).latencies.append(min(int(latency * 1e6), _HOUR))

    def of(self, action: str | None = None, platform: str | None = None) -> Latencies:
        """Return the latencies of an action and platform; None means all."""
        merged = Latencies()
        for (its_action, its_platform), latencies in self.by_kind.items():
            if action in (None, its_action) and platform in (None, its_platform):
                merged.merge(latencies)
        return merged

    def _slice(self, at: float) -> TimeSlice:
        index = min(max(0, int(at / self.width)), self._last)
        while len(self.slices) <= index:
            self.slices.append(TimeSlice())
        return self.slices[index]
