"""Thresholds of a load, such as `reset.p99<500ms` or `lost==0`: parsing and evaluation.

Metric names are checked before the load runs, so that a misspelt threshold cannot pass silently.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from agent.clock import parse_duration
from broker.errors import UsageError
from broker.file_validation import suggest
from fleet.load.ledger import COLUMNS
from fleet.load.measurements import STATS

__all__ = [
    "IMPLIED",
    "MetricKind",
    "Threshold",
    "Verdict",
    "metric_names",
    "parse_threshold",
    "threshold_platform",
    "with_default_thresholds",
]

_FORM: Final = re.compile(r"\s*([A-Za-z0-9_.-]+?)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
)
_DEEPEST: Final = 3
"""Number of parts of a metric with a platform, such as `reset.ios.p99`."""
_COUNTS: Final = ("sent", *COLUMNS, "duplicate", "late", "unsent")
IMPLIED: Final = ("failed", "lost", "unknown")
"""Outcomes whose count must be 0 unless a threshold names them."""


class MetricKind(Enum):
    """Unit of a metric: time, count or rate."""

    TIME = "time"
    COUNT = "count"
    RATE = "rate"


def metric_names(
    actions: Iterable[str], platforms: Iterable[str], *, storm: bool, own_fleet: bool
) -> dict[str, MetricKind]:
    """Return every metric that a threshold may use, with its kind."""
    names = dict.fromkeys(_COUNTS, MetricKind.COUNT)
    scopes = ["all", *actions]
    scopes += [f"{scope}.{platform}" for platform in platforms for scope in scopes]
    for scope in scopes:
        names |= {f"{scope}.{stat}": MetricKind.TIME for stat in STATS}
        names[f"{scope}.rate"] = MetricKind.RATE
    names |= {f"lag.{stat}": MetricKind.TIME for stat in STATS}
    if own_fleet:
        names |= {f"fleetLag.{stat}": MetricKind.TIME for stat in STATS}
    if storm:
        names |= {f"back.{stat}": MetricKind.TIME for stat in STATS}
        names["back.missing"] = MetricKind.COUNT
    return names


@dataclass(frozen=True, slots=True)
class Threshold:
    """Threshold; `limit` is in seconds, commands or commands per second."""

    metric: str
    comparison: str
    limit: float
    shown: str
    """Limit as it was written."""
    kind: MetricKind
    implied: bool = False

    @classmethod
    def zero(cls, metric: str) -> Threshold:
        """Return the default threshold of an outcome: its count must be 0."""
        return cls(metric, "==", 0.0, "0", MetricKind.COUNT, implied=True)

    def evaluate(self, seen: float | None) -> Verdict:
        """Compare a measured value with the limit; None never holds."""
        holds = seen is not None and _OPERATORS[self.comparison](seen, self.limit)
        return Verdict(self, seen, holds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Evaluated threshold: the measured value, and True in `holds` if it is met."""

    threshold: Threshold
    seen: float | None
    holds: bool

    @property
    def expected(self) -> str:
        """Comparison and limit, such as `< 500ms`."""
        return f"{self.threshold.comparison} {self.threshold.shown}"

    @property
    def seen_text(self) -> str:
        """Measured value with its unit."""
        if self.seen is None:
            return "nothing measured"
        if self.threshold.kind is MetricKind.TIME:
            return _time(self.seen)
        if self.threshold.kind is MetricKind.RATE:
            return f"{self.seen:.1f}/s"
        return f"{self.seen:.0f}"

    def as_json(self) -> dict[str, Any]:
        """Return the verdict for `--json`; times in milliseconds."""
        factor = 1e3 if self.threshold.kind is MetricKind.TIME else 1.0
        return {
            "metric": self.threshold.metric,
            "expected": self.expected,
            "limit": self.threshold.limit * factor,
            "seen": None if self.seen is None else round(self.seen * factor, 3),
            "implied": self.threshold.implied,
            "passed": self.holds,
        }


def parse_threshold(text: str, names: Mapping[str, MetricKind]) -> Threshold:
    """Parse `reset.p99<500ms`. Raises UsageError for wrong syntax or an unknown metric."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--threshold: {text!r} is not a metric, a comparison and a value",
            hint="write it as 'reset.p99<500ms' or 'lost==0'",
        )
    metric, comparison, value = match.groups()
    kind = names.get(metric)
    if kind is None:
        raise UsageError(
            f"--threshold: there is no metric {metric!r} in this load",
            hint=_suggested(metric, names) or f"such as {_examples(names)}",
        )
    return Threshold(metric, comparison, _limit(text, kind, value), value, kind)


def threshold_platform(text: str) -> str | None:
    """Return the platform in a threshold's text; None if there is none."""
    match = _FORM.fullmatch(text)
    parts = match[1].split(".") if match else []
    return parts[1] if len(parts) == _DEEPEST else None


def with_default_thresholds(thresholds: Sequence[Threshold]) -> list[Threshold]:
    """Return the thresholds and the default ones for outcomes that they do not name."""
    named = {threshold.metric for threshold in thresholds}
    return [*thresholds, *(Threshold.zero(name) for name in IMPLIED if name not in named)]


def _limit(text: str, kind: MetricKind, value: str) -> float:
    if kind is MetricKind.TIME:
        try:
            return parse_duration(value).total_seconds()
        except ValueError as error:
            raise UsageError(f"--threshold: {text!r} compares a time: {error}") from None
    number = value.removesuffix("/s") if kind is MetricKind.RATE else value
    if _NUMBER.fullmatch(number) is None:
        what = "commands a second" if kind is MetricKind.RATE else "a count"
        raise UsageError(f"--threshold: {text!r} compares {what}, and {value!r} is not a number")
    return float(number)


def _suggested(metric: str, names: Mapping[str, MetricKind]) -> str | None:
    """Return a hint with the metric of all commands for a statistic alone, such as `p99`."""
    of_all = f"all.{metric}"
    return f"did you mean {of_all!r}?" if of_all in names else suggest(metric, names)


def _examples(names: Mapping[str, MetricKind]) -> str:
    timed = [name for name in names if name.endswith(".p99")]
    return ", ".join([*timed[:3], "lost", "duplicate"])


def _time(seconds: float) -> str:
    if seconds < 1e-3:  # noqa: PLR2004  # a millisecond
        return f"{seconds * 1e6:.0f}us"
    return f"{seconds * 1e3:.2f}ms" if seconds < 1 else f"{seconds:.3f}s"
