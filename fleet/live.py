"""What `passfleet up` shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from agent.runner import Device
from fleet.figures import Figures
from fleet.host import Host

__all__ = ["progress_bar", "show_lines", "show_table"]

_REFRESH: Final = 0.5
_LINES_EVERY: Final = 5.0
_MANY: Final = 2_000
"""From so many devices on, the table is drawn a quarter as often: it looks at each of them."""


def progress_bar(console: Console, what: str, total: int) -> tuple[Progress, Callable[[int], None]]:
    """A progress bar, to enter as a context, and what moves it. Silent off a terminal."""
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


async def show_table(console: Console, host: Host, figures: Figures, headline: str) -> None:
    """Draw the table until cancelled."""
    refresh = _REFRESH * (4 if len(host.devices) > _MANY else 1)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            live.update(_screen(host, figures, headline), refresh=True)
            await asyncio.sleep(refresh)


def _screen(host: Host, figures: Figures, headline: str) -> Group:
    counts = by_platform(host.devices.values())
    table = Table(title=headline, title_justify="left", title_style="bold")
    for column in ("platform", "devices", "online", "locked", "user", "temporary", "none"):
        table.add_column(column, justify="left" if column == "platform" else "right")
    table.add_column("in grace", justify="right")
    table.add_column("noncompliant", justify="right")
    table.add_column("wiped", justify="right")
    for platform, count in counts.items():
        table.add_row(platform, *(_number(count[key]) for key in _KEYS))
    outcomes = figures.by_outcome()
    line = Text.assemble(
        ("commands ", "bold"), f"{figures.commands}  ({figures.rate():.1f}/s)   ",
        *(f"{name} {count}   " for name, count in sorted(outcomes.items())),
        f"duplicates {figures.duplicates}   reconnects {host.pool.reconnects}",
    )  # fmt: skip
    shown = [
        Text.assemble((f"  {device}  ", "cyan"), (f"{title}: ", "bold"), body)
        for device, title, body in figures.last_shown
    ]
    return Group(table, line, *shown, Text("Ctrl-C stops", style="dim"))


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


def by_platform(devices: Iterable[Device]) -> dict[str, Counter[str]]:
    """For each platform how many devices are online, locked, with which passcode, how compliant."""
    counts: dict[str, Counter[str]] = {}
    for device in devices:
        state = device.state
        count = counts.setdefault(state.profile.id, Counter())
        count["devices"] += 1
        count["online"] += device.connection.up
        count["locked"] += state.locked
        count["wiped"] += state.wiped
        count[state.passcode.value] += 1
        count[state.compliance.value] += 1
    return counts


def _number(count: int) -> Text:
    return Text(str(count), style="" if count else "dim")


async def show_lines(console: Console, host: Host, figures: Figures) -> None:
    """Write a line whenever something has changed, every few seconds at most, until cancelled."""
    before: tuple[int, ...] = (len(host.devices), 0, 0, 0)
    while True:
        await asyncio.sleep(_LINES_EVERY)
        online = sum(device.connection.up for device in host.devices.values())
        now = (online, figures.commands, figures.duplicates, host.pool.reconnects)
        if now == before:
            continue
        before = now
        outcomes = " ".join(f"{k}={v}" for k, v in sorted(figures.by_outcome().items()))
        last = f" last: {' '.join(figures.last_shown[-1][:2])}" if figures.last_shown else ""
        console.print(
            f"{time.strftime('%H:%M:%S')} online={online}/{len(host.devices)}"
            f" commands={figures.commands} rate={figures.rate():.1f}/s {outcomes}"
            f" duplicates={figures.duplicates} reconnects={host.pool.reconnects}{last}",
            markup=False,
        )
