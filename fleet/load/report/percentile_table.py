"""Table of latency percentiles, fitted to the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.cells import cell_len
from rich.table import Table

from fleet.load.measurements import Latencies
from fleet.load.result import LoadResult

__all__ = ["latency_table", "milliseconds"]

_SHOWN: Final = ("p50", "p90", "p95", "p99", "p999", "max")
_HEADS: Final = {"p999": "p99.9"}
_SERVICE: Final = ("p50", "p99")
_WORDS: Final = ("action", "platform")
_DROPPABLE: Final = ("service p99", "service p50", "p95", "p90", "answered", "p99.9")
"""Columns to leave out on a narrow terminal, in this order."""


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cells: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.head, *self.cells)))


def latency_table(result: LoadResult, width: int | None) -> Table:
    """Return latencies by action and platform in milliseconds; `width` None means no limit."""
    rows = sorted(_rows(result), key=lambda row: row[0])
    rows.append(("all", "all", result.measurements.of()))
    columns = _columns(rows)
    shown = _columns_that_fit(columns, width)
    left_out = [column.head for column in columns if column not in shown]
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        title="latency in ms, from the instant each command was due",
        title_justify="left",
        caption=f"left out for lack of room: {', '.join(left_out)}" if left_out else None,
        caption_justify="left",
    )
    for column in shown:
        table.add_column(
            column.head, justify="left" if column.head in _WORDS else "right", no_wrap=True
        )
    for number, (_, platform, _) in enumerate(rows):
        cells = [column.cells[number] for column in shown]
        table.add_row(*cells, style="bold" if platform == "all" else "")
    return table


def milliseconds(value: float | None) -> str:
    """Format a time with two decimals; `-` if nothing was measured."""
    return "-" if value is None else f"{value:.2f}"


def _rows(result: LoadResult) -> Iterator[tuple[str, str, Latencies]]:
    for action, platform, latencies, _ in result.by_action_and_platform():
        yield action, platform, latencies
    for action in result.options.mix.actions:
        yield action, "all", result.measurements.of(action)


def _columns(rows: Sequence[tuple[str, str, Latencies]]) -> list[_Column]:
    columns = [_Column(head) for head in (*_WORDS, "answered")]
    columns += [_Column(_HEADS.get(name, name)) for name in _SHOWN]
    columns += [_Column(f"service {name}") for name in _SERVICE]
    for action, platform, latencies in rows:
        times, service = latencies.latency.milliseconds(), latencies.service.milliseconds()
        cells = [action, platform, str(latencies.latency.count)]
        cells += [milliseconds(times[name]) for name in _SHOWN]
        cells += [milliseconds(service[name]) for name in _SERVICE]
        for column, cell in zip(columns, cells, strict=True):
            column.cells.append(cell)
    return columns


def _columns_that_fit(columns: list[_Column], width: int | None) -> list[_Column]:
    left = columns
    for head in _DROPPABLE:
        if width is None or sum(column.width + 2 for column in left) <= width:
            break
        left = [column for column in left if column.head != head]
    return left
