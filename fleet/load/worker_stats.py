"""Loop lag and deaths of the worker processes of a fleet that the load started.

Loop lag shows a slow simulator, not a slow broker. `Measurements.lag` is the generator's own lag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleet.load.measurements import TimeHistogram

__all__ = ["WorkerStats"]


@dataclass
class WorkerStats:
    """Statistics of all processes that host the devices.

    `lag` holds the longest loop lag of each process for each half second of the load.
    """

    workers: int
    log: Callable[[str], None] = lambda _: None
    """Called with a message when a worker has died."""
    lag: TimeHistogram = field(default_factory=TimeHistogram)
    restarts: int = 0
    """Number of workers that died and were restarted."""
    _deaths: Counter[str] = field(default_factory=Counter)
    _measuring: bool = False
    _fresh: bool = False

    def begin(self) -> None:
        """Start to record lag."""
        self._measuring = self._fresh = True

    def end(self) -> None:
        """Stop recording lag."""
        self._measuring = False

    def record_report(self, lag: Mapping[str, float], deaths: Mapping[str, int]) -> None:
        """Record a report: `lag` in seconds since the last report, and `deaths`, both by worker."""
        for worker, count in deaths.items():
            if count > self._deaths[worker]:
                self.restarts += count - self._deaths[worker]
                self._deaths[worker] = count
                self.log(
                    f"worker {worker} of the fleet died and was started again; its devices"
                    " reconnect"
                )
        if self._fresh:
            # The first report covers the time before the load, when devices were connecting.
            self._fresh = False
        elif self._measuring:
            for longest in lag.values():
                if longest > 0:
                    self.lag.record(longest)
