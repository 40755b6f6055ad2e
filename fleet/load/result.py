"""Result of a load: the figures for thresholds, terminal, JSON, CSV and HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from fleet.load.ledger import COLUMNS, CommandOutcome, Ledger
from fleet.load.measurements import Latencies, Measurements, TimeHistogram
from fleet.load.options import LoadOptions
from fleet.load.reconnect_storm import ReconnectStorm
from fleet.load.schedule import Schedule
from fleet.load.thresholds import Threshold, Verdict
from fleet.load.worker_stats import WorkerStats

__all__ = ["CSV_HEADER", "DroppedDevices", "LoadResult", "RunEnding"]

CSV_HEADER: Final = (
    "seconds",
    "rateAsked",
    "sent",
    "answered",
    "rateSent",
    "rateAnswered",
    "p50",
    "p99",
    "max",
)
"""Columns of the timeline. Times in milliseconds, by time due; counts per slice."""
_SLOW_FROM: Final = 0.01
"""Seconds up to which no part is reported as slow."""


class RunEnding(StrEnum):
    """End of a run: complete, interrupted, or without its fleet."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FLEET_GONE = "fleetGone"


@dataclass(frozen=True, kw_only=True)
class DroppedDevices:
    """Devices that disconnected outside a storm, and the number of them that reconnected."""

    devices: int
    back: int


@dataclass(kw_only=True)
class LoadResult:
    """Result of one run. Times in seconds; `took` from the start to the last answer."""

    options: LoadOptions
    schedule: Schedule
    ledger: Ledger
    measurements: Measurements
    storm: ReconnectStorm | None
    ending: RunEnding
    broker: str
    platforms: Counter[str]
    offline: int
    """Devices that were offline before the start."""
    unsent: int
    sending_took: float
    took: float
    reconnects: int
    """Number of times the generator lost a connection."""
    cut_off: bool
    """True if a connection of the generator was down at the end."""
    dropped: DroppedDevices
    worker_stats: WorkerStats | None
    """Statistics of a fleet that the load started; None for a running one."""
    reason: str | None
    """Error message of a fleet whose process ended."""
    probes_unanswered: int
    thresholds: list[Threshold]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    verdicts: list[Verdict] = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = [t.evaluate(self.metric_value(t.metric)) for t in self.thresholds]

    @property
    def passed(self) -> bool:
        """True if the run was complete and every threshold holds."""
        return self.ending is RunEnding.COMPLETE and all(v.holds for v in self.verdicts)

    @property
    def exit_code(self) -> int:
        """Exit code: 0, 1, or 130 after Ctrl-C."""
        return 130 if self.ending is RunEnding.INTERRUPTED else int(not self.passed)

    # -- figures -------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Return a count by its name in thresholds and JSON."""
        if name in COLUMNS:
            return self.ledger.count(CommandOutcome(name))
        return {
            "sent": self.ledger.sent,
            "duplicate": self.ledger.duplicate,
            "late": self.ledger.late,
            "unsent": self.unsent,
        }[name]

    @property
    def rate_sent(self) -> float:
        """Sent commands per second."""
        return self.ledger.sent / self.sending_took if self.sending_took else 0.0

    @property
    def rate_reached(self) -> float:
        """Answered commands per second."""
        return self._rate(self.ledger.answered)

    @property
    def rate_asked(self) -> float:
        """Due commands per second, with the ramp."""
        due = self.schedule.due_by(self.sending_took)
        return due / self.sending_took if self.sending_took else 0.0

    def _rate(self, answered: int) -> float:
        return answered / self.took if self.took else 0.0

    def metric_value(self, metric: str) -> float | None:
        """Return the measured value of a metric; None if nothing was measured."""
        scope, _, rest = metric.partition(".")
        if not rest:
            return float(self.count(metric))
        platform, _, stat = rest.rpartition(".")
        if scope == "lag":
            return self.measurements.lag.stat(stat)
        if scope == "fleetLag":
            return None if self.worker_stats is None else self.worker_stats.lag.stat(stat)
        if scope == "back":
            return self._of_storm(stat)
        action = None if scope == "all" else scope
        times = self.measurements.of(action, platform or None).latency
        return self._rate(times.count) if stat == "rate" else times.stat(stat)

    def _of_storm(self, stat: str) -> float | None:
        if self.storm is None:
            return None
        return float(self.storm.missing) if stat == "missing" else self.storm.back.stat(stat)

    def by_action_and_platform(self) -> Iterator[tuple[str, str, Latencies, dict[str, int]]]:
        """Generate (action, platform, latencies, counts by outcome) of each pair."""
        for action, platform in self.ledger.pairs():
            columns = {
                c.value: self.ledger.count(c, action=action, platform=platform)
                for c in CommandOutcome
            }
            yield action, platform, self.measurements.of(action, platform), columns

    def slowest(self) -> str:
        """Return a sentence that names the slowest part: broker, simulator or generator."""
        p99 = {
            "the broker": self.measurements.broker_pass.stat("p99"),
            "the simulator": self.measurements.simulator_pass.stat("p99"),
            "the generator": self.measurements.lag.stat("p99"),
        }
        known = {name: seconds for name, seconds in p99.items() if seconds is not None}
        name = max(known, key=lambda n: known[n], default=None)
        if name is None:
            return "nothing was measured"
        return f"{name} was the slowest" if known[name] > _SLOW_FROM else "no part was slow"

    # -- as data -------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the `--json` document. Times in milliseconds, rates in commands per second."""
        all_latencies = self.measurements.of()
        return {
            "passed": self.passed,
            "ending": self.ending.value,
            "unit": "ms",
            **all_latencies.latency.milliseconds(),
            **{name: self.count(name) for name in ("sent", *COLUMNS)},
            **{name: self.count(name) for name in ("duplicate", "late", "unsent")},
            "rateAsked": round(self.options.rate, 3),
            "rateDue": round(self.rate_asked, 3),
            "rateSent": round(self.rate_sent, 3),
            "rateReached": round(self.rate_reached, 3),
            "thresholds": [verdict.as_json() for verdict in self.verdicts],
            "service": all_latencies.service.milliseconds(),
            "actions": self._actions(),
            "lag": self.measurements.lag.milliseconds(),
            "fleetLag": None if self.worker_stats is None else self.worker_stats.lag.milliseconds(),
            "brokerPass": self.measurements.broker_pass.milliseconds(),
            "simulatorPass": self.measurements.simulator_pass.milliseconds(),
            "probesUnanswered": self.probes_unanswered,
            "slowest": self.slowest(),
            "reconnects": self.reconnects,
            "dropped": asdict(self.dropped),
            "workerRestarts": None if self.worker_stats is None else self.worker_stats.restarts,
            "reason": self.reason,
            "storm": None if self.storm is None else self._storm(self.storm),
            "run": self._run(),
            "timeline": [dict(zip(CSV_HEADER, row, strict=True)) for row in self.timeline()],
        }

    def _actions(self) -> dict[str, Any]:
        return {
            action: {
                **self._kind(action, None),
                "platforms": {
                    platform: self._kind(action, platform)
                    for its_action, platform in self.ledger.pairs()
                    if its_action == action
                },
            }
            for action in self.options.mix.actions
        }

    def _kind(self, action: str, platform: str | None) -> dict[str, Any]:
        latencies = self.measurements.of(action, platform)
        columns = {
            c.value: self.ledger.count(c, action=action, platform=platform) for c in CommandOutcome
        }
        return {
            **latencies.latency.milliseconds(),
            "rate": round(self._rate(latencies.latency.count), 3),
            "service": latencies.service.milliseconds(),
            "sent": sum(columns.values()),
            **columns,
        }

    def _storm(self, storm: ReconnectStorm) -> dict[str, Any]:
        meanwhile: Mapping[CommandOutcome, int] = self.ledger.storm
        return {
            "thrownOut": storm.thrown_out,
            "missing": storm.missing,
            "allBack": None if storm.all_back is None else round(storm.all_back * 1e3, 3),
            "back": storm.back.milliseconds(),
            "meanwhile": {
                "sent": sum(meanwhile.values()),
                **{c.value: meanwhile[c] for c in CommandOutcome},
                **self._times(self.measurements.storm),
            },
        }

    @staticmethod
    def _times(times: TimeHistogram) -> dict[str, float | None]:
        return times.milliseconds()

    def _run(self) -> dict[str, Any]:
        options = self.options
        return {
            "started": self.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "broker": self.broker,
            "devices": self.platforms.total(),
            "workers": None if self.worker_stats is None else self.worker_stats.workers,
            "offlineBefore": self.offline,
            "platforms": dict(sorted(self.platforms.items())),
            "mix": dict(options.mix.weights),
            "seed": options.seed,
            "duration": round(options.duration * 1e3, 3),
            "ramp": round(options.ramp * 1e3, 3),
            "timeout": round(options.timeout * 1e3, 3),
            "took": round(self.took * 1e3, 3),
            "profile": "steady" if self.storm is None else "storm",
        }

    def timeline(self) -> Iterator[tuple[float | int | None, ...]]:
        """Generate the time slices, with the columns of CSV_HEADER."""
        width = self.measurements.width
        for index, part in enumerate(self.measurements.slices):
            since = index * width
            asked = self.schedule.due_by(since + width) - self.schedule.due_by(since)
            yield (
                round(since, 3),
                round(asked / width, 3),
                part.sent,
                part.answered,
                round(part.sent / width, 3),
                round(part.answered / width, 3),
                part.percentile(50),
                part.percentile(99),
                part.percentile(100),
            )
