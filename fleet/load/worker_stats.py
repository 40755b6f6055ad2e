"""What a load's own fleet tells of its processes while it runs: how late their loops are, who died.

A slow simulator shows here, a slow broker does not; the generator's own lag stands beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleet.load.measurements import TimeHistogram

__all__ = ["WorkerStats"]


@dataclass
class WorkerStats:
    """The processes that host the devices, all of them together.

    `lag` holds, for each half second of the load and each process, the longest its loop was late.
    """

    workers: int
    say: Callable[[str], None] = lambda _: None
    """Told in words when a worker has died."""
    lag: TimeHistogram = field(default_factory=TimeHistogram)
    restarts: int = 0
    """How many workers died and were started again."""
    _deaths: Counter[str] = field(default_factory=Counter)
    _measuring: bool = False
    _fresh: bool = False

    def begin(self) -> None:
        """Measure from now on."""
        self._measuring = self._fresh = True

    def end(self) -> None:
        """Measure no more."""
        self._measuring = False

    def record_report(self, lag: Mapping[str, float], deaths: Mapping[str, int]) -> None:
        """Take what the fleet tells: both by worker, `lag` in seconds since it told before."""
        for worker, count in deaths.items():
            if count > self._deaths[worker]:
                self.restarts += count - self._deaths[worker]
                self._deaths[worker] = count
                self.say(
                    f"worker {worker} of the fleet died and was started again; its devices come"
                    " back"
                )
        if self._fresh:
            # It reaches back to before the load: thousands of devices were connecting.
            self._fresh = False
        elif self._measuring:
            for longest in lag.values():
                if longest > 0:
                    self.lag.record(longest)
