"""Progress of a load on stderr: two live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fleet.load.generator import Generator
from fleet.load.ledger import CommandOutcome
from fleet.load.measurements import Measurements
from fleet.load.run import ShowProgress
from fleet.load.schedule import Schedule

__all__ = ["progress_on"]

_REFRESH: Final = 0.25
_LINES_EVERY: Final = 5.0
_ROW: Final = 6
_RATE_OVER: Final = 8
"""Number of refreshes over which the reached rate is averaged."""


def progress_on(console: Console) -> ShowProgress:
    """Return a function that shows the progress on this console."""

    async def show(generator: Generator, measurements: Measurements, schedule: Schedule) -> None:
        view = _View(generator, measurements, schedule)
        if not console.is_terminal:
            while True:
                await asyncio.sleep(_LINES_EVERY)
                console.print(view.line(), markup=False)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(view.table(), refresh=True)
                await asyncio.sleep(_REFRESH)

    return show


class _View:
    """Current figures of a load."""

    def __init__(
        self, generator: Generator, measurements: Measurements, schedule: Schedule
    ) -> None:
        self._generator = generator
        self._measurements = measurements
        self._schedule = schedule
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=_RATE_OVER)

    def figures(self) -> dict[str, str]:
        """Return the figures by name."""
        ledger, now = self._generator.ledger, max(self._generator.now(), 1e-9)
        answered = ledger.answered
        since, before = self._marks[0]
        self._marks.append((now, answered))
        reached = (answered - before) / (now - since) if now > since else 0.0
        # The rate of the schedule over the last half second, which grows during the ramp.
        asked = (self._schedule.due_by(now) - self._schedule.due_by(now - 0.5)) / min(now, 0.5)
        latencies = sorted(self._measurements.recent)
        figures = {
            "time": f"{min(now, self._schedule.duration):.0f}/{self._schedule.duration:.0f} s",
            "asked": f"{asked:.0f}/s",
            "reached": f"{reached:.0f}/s",
            "in flight": str(ledger.in_flight),
            "p50": _ms(latencies, 50),
            "p99": _ms(latencies, 99),
        }
        return figures | {column.value: str(ledger.count(column)) for column in CommandOutcome}

    def line(self) -> str:
        """Return the figures on one line."""
        return "  ".join(f"{n.replace(' ', '-')}={v}" for n, v in self.figures().items())

    def table(self) -> Table:
        """Return the figures in two rows, the outcomes in the second; 80 columns are enough."""
        table = Table.grid(padding=(0, 2))
        figures = list(self.figures().items())
        for part in (figures[:_ROW], figures[_ROW:]):
            table.add_row(*(f"[bold]{name}[/] {value}" for name, value in part))
        return table


def _ms(ordered: list[float], percent: int) -> str:
    """Return a percentile of the last latencies."""
    return f"{ordered[len(ordered) * percent // 100] * 1e3:.1f}ms" if ordered else "-"
