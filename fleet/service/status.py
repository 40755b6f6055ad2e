"""Display of a running `passfleet up`: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from fleet.hosting.backend import HostingBackend

__all__ = ["progress_bar", "show_lines", "show_table"]

_REFRESH: Final = 0.5
_LINES_EVERY: Final = 5.0
_MANY: Final = 2_000
"""Number of devices from which the table, which counts all of them, is drawn less often."""


def progress_bar(console: Console, what: str, total: int) -> tuple[Progress, Callable[[int], None]]:
    """Progress bar, used as a context manager, and the function that advances it.

    Prints nothing unless the console is a terminal.
    """
    progress = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task(what, total=total)
    return progress, lambda done: progress.update(task, completed=done)


async def show_table(console: Console, backend: HostingBackend, headline: str) -> None:
    """Draw the table until cancelled."""
    refresh = _REFRESH * (4 if backend.size > _MANY else 1)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            live.update(_screen(backend, headline), refresh=True)
            await asyncio.sleep(refresh)


def _screen(backend: HostingBackend, headline: str) -> Group:
    counts, counters = backend.counts(), backend.counters
    # Without lines, and with two-line headings, it fits a terminal of 80 columns.
    table = Table(title=headline, title_justify="left", title_style="bold", box=None)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    for heading in _HEADINGS:
        left = heading == "platform"
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for platform, count in counts.items():
        table.add_row(platform, *(_number(count[key]) for key in _KEYS))
    outcomes, deaths = counters.by_outcome(), sum(backend.deaths().values())
    line = Text.assemble(
        ("commands ", "bold"), f"{counters.commands}  ({counters.rate():.1f}/s)   ",
        *(f"{name} {count}   " for name, count in sorted(outcomes.items())),
        f"duplicates {counters.duplicates}   reconnects {backend.reconnects()}",
        f"   worker deaths {deaths}" if deaths else "",
    )  # fmt: skip
    shown = [
        Text.assemble((f"  {device}  ", "cyan"), (f"{title}: ", "bold"), body)
        for device, title, body in counters.last_shown
    ]
    # In a grid, the line breaks where the terminal is narrow; by itself it would be cut.
    summary = Table.grid()
    summary.add_row(line)
    return Group(table, summary, *shown, Text("Ctrl-C stops", style="dim"))


_HEADINGS: Final = (
    "platform",
    "devices",
    "online",
    "locked",
    "user",
    "tempo-\nrary",
    "none",
    "in\ngrace",
    "non-\ncompliant",
    "wiped",
)
_KEYS: Final = (
    "devices",
    "online",
    "locked",
    "user",
    "temporary",
    "none",
    "inGracePeriod",
    "noncompliant",
    "wiped",
)


def _number(count: int) -> Text:
    return Text(str(count), style="" if count else "dim")


async def show_lines(console: Console, backend: HostingBackend) -> None:
    """Write a line whenever something has changed, every few seconds at most, until cancelled."""
    counters = backend.counters
    before: tuple[int, ...] = (backend.size, 0, 0, 0)
    while True:
        await asyncio.sleep(_LINES_EVERY)
        online = sum(count["online"] for count in backend.counts().values())
        now = (online, counters.commands, counters.duplicates, backend.reconnects())
        if now == before:
            continue
        before = now
        outcomes = " ".join(f"{k}={v}" for k, v in sorted(counters.by_outcome().items()))
        last = f" last: {' '.join(counters.last_shown[-1][:2])}" if counters.last_shown else ""
        console.print(
            f"{time.strftime('%H:%M:%S')} online={online}/{backend.size}"
            f" commands={counters.commands} rate={counters.rate():.1f}/s {outcomes}"
            f" duplicates={counters.duplicates} reconnects={backend.reconnects()}{last}",
            markup=False,
        )
