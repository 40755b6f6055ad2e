"""Charts of the HTML report as SVG paths."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.load.result import CSV_HEADER, LoadResult

__all__ = ["Chart", "charts_of"]

WIDTH: Final = 720
HEIGHT: Final = 240
_LEFT: Final = 58
_RIGHT: Final = 26
_TOP: Final = 12
_BOTTOM: Final = 42
_TICKS: Final = 5
_STEPS: Final = (1, 2, 2.5, 5, 10)

Point = tuple[float, float | None]


@dataclass(frozen=True)
class Line:
    """Line of a chart; `kind` is its CSS class."""

    name: str
    kind: str
    path: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Chart with its layout in pixels; ticks are (position, label)."""

    title: str
    note: str
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    lines: list[Line]
    across_title: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass
class _Frame:
    """Mapping from values to pixel positions."""

    x_max: float
    y_max: float
    unit: str
    y_step: float = field(init=False)

    def __post_init__(self) -> None:
        self.y_step = _nice(self.y_max / _TICKS)
        self.y_max = max(self.y_step, math.ceil(self.y_max / self.y_step) * self.y_step)
        self.x_max = self.x_max or 1.0

    def x(self, value: float) -> float:
        return round(_LEFT + value / self.x_max * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _BOTTOM - value / self.y_max * (HEIGHT - _TOP - _BOTTOM), 1)

    def up(self) -> list[tuple[float, str]]:
        count = round(self.y_max / self.y_step)
        return [(self.y(i * self.y_step), f"{i * self.y_step:g}") for i in range(count + 1)]

    def line(self, name: str, kind: str, points: Iterable[Point], label: str = "{:g} s") -> Line:
        """Return a line with gaps at missing values."""
        path: list[str] = []
        dots: list[tuple[float, float, str]] = []
        pen = "M"
        for at, value in points:
            if value is None:
                pen = "M"
                continue
            x, y = self.x(at), self.y(value)
            path.append(f"{pen}{x} {y}")
            dots.append((x, y, f"{label.format(at)}: {name} {value:.4g} {self.unit}"))
            pen = "L"
        return Line(name, kind, " ".join(path), dots)


def charts_of(result: LoadResult) -> list[Chart]:
    """Return the charts: throughput and latency over time, and latency by percentile."""
    rows = list(result.timeline())
    return [_throughput(rows), _latency(rows), _curve(result)]


def _throughput(rows: Sequence[Sequence[float | int | None]]) -> Chart:
    lines = (("asked", "rateAsked"), ("sent", "rateSent"), ("answered", "rateAnswered"))
    return _over_time("Throughput", "commands a second", "/s", rows, lines)


def _latency(rows: Sequence[Sequence[float | int | None]]) -> Chart:
    lines = (("max", "max"), ("p99", "p99"), ("p50", "p50"))
    note = "milliseconds, by the instant each command was due"
    return _over_time("Latency", note, "ms", rows, lines)


def _over_time(
    title: str,
    note: str,
    unit: str,
    rows: Sequence[Sequence[float | int | None]],
    names: Sequence[tuple[str, str]],
) -> Chart:
    columns = {name: CSV_HEADER.index(name) for _, name in names}
    highest = max((row[c] or 0 for row in rows for c in columns.values()), default=0)
    seconds = [float(row[0] or 0) for row in rows]
    frame = _Frame(seconds[-1] if seconds else 1.0, float(highest), unit)
    lines = [
        frame.line(label, label, zip(seconds, (row[columns[name]] for row in rows), strict=True))
        for label, name in names
    ]
    step = _nice(frame.x_max / _TICKS)
    across = [
        (frame.x(i * step), f"{i * step:g}") for i in range(int(frame.x_max / step + 1e-9) + 1)
    ]
    return Chart(title, note, across, frame.up(), lines, "seconds")


def _curve(result: LoadResult) -> Chart:
    """Return latency by percentile, on a logarithmic axis with equal width per nine."""
    latencies = {a: result.measurements.of(a).latency for a in result.options.mix.actions}
    curves = {a: list(times.curve()) for a, times in latencies.items() if times.count}
    nines = max((math.log10(times.count) for times in latencies.values() if times.count), default=1)
    deepest = max(1, math.ceil(nines))
    highest = max((ms for points in curves.values() for _, ms in points), default=0.0)
    frame = _Frame(float(deepest), highest, "ms")
    lines = []
    for number, (action, points) in enumerate(curves.items()):
        placed = [(min(_nines(percent), deepest), ms) for percent, ms in points]
        line = frame.line(action, f"action{number}", placed)
        named = [
            (x, y, f"{percent:.6g} %: {action} {ms:.4g} ms")
            for (x, y, _), (percent, ms) in zip(line.dots, points, strict=True)
        ]
        lines.append(Line(line.name, line.kind, line.path, named))
    across = [(frame.x(0), "0")]
    across += [(frame.x(n), f"{100 - 10 ** (2 - n):.10g}") for n in range(1, deepest + 1)]
    note = "milliseconds within which so many commands were answered"
    return Chart("Percentiles", note, across, frame.up(), lines, "percent")


def _nines(percent: float) -> float:
    return math.inf if percent >= 100 else -math.log10(1 - percent / 100)  # noqa: PLR2004


def _nice(step: float) -> float:
    """Round up to the next tick step."""
    if step <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(step))
    return next(s * size for s in _STEPS if s * size >= step * (1 - 1e-9))
