"""What the operator's commands print for people. Nothing here talks to a broker.

Text that came over the wire goes through `clean_text`: it must not move a terminal's cursor, nor be
read as rich's markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.answers import Effect, Outcome, Seen
from broker.instants import format_instant
from fleet.cli.common import out

__all__ = [
    "clean_text",
    "count_devices",
    "device_lines",
    "device_table",
    "effect_table",
    "outcome_table",
    "print_table",
    "summary_line",
    "summary_table",
]

_PIPED_WIDTH = 250
"""Columns where no terminal says how wide it is: lines are for grep, not for eyes."""
_DEVICE_HEADERS = (
    "Device",
    "Platform",
    "Group",
    "Presence",
    "Screen",
    "Passcode",
    "Compliance",
    "Deadline",
)
_GIVES_WAY = frozenset({"Message", "What", "Group", "Deadline"})
"""The columns that are wrapped where a terminal is too narrow."""
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}")
_STYLES = {
    "done": "green",
    "seen": "green",
    "failed": "red",
    "notSupported": "yellow",
    "canceled": "yellow",
    "no answer": "red",
    "unseen": "red",
    "sent": "yellow",
    "online": "green",
    "offline": "yellow",
    "compliant": "green",
    "inGracePeriod": "yellow",
    "noncompliant": "red",
}
_ORDER = ("done", "notSupported", "canceled", "failed", "no answer")


def clean_text(text: str, style: str = "") -> Text:
    """Text from the wire as a terminal may show it."""
    return Text(text.translate(_CONTROLS), style=style)


def print_table(table: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it is where there is none."""
    console = out if out.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)
    console.print(table, soft_wrap=False)


def outcome_table(outcomes: Iterable[Outcome], devices: Mapping[str, Seen]) -> Table:
    """What became of a command on each device, as the portal would say it."""
    rows = list(outcomes)
    refused = any(outcome.result and outcome.result.error_code for outcome in rows)
    table = _table("Device", "Platform", "Outcome", "Message", *(["Error"] if refused else []))
    table.add_column("Time", no_wrap=True)
    for outcome in rows:
        seen = devices.get(outcome.device_id)
        error = (outcome.result.error_code if outcome.result else None) or ""
        table.add_row(
            clean_text(outcome.device_id),
            clean_text(seen.platform if seen else "?"),
            _word(outcome.word),
            _portal_text(outcome),
            *([clean_text(error)] if refused else []),
            f"{outcome.seconds:.2f} s",
        )
    return table


def summary_table(outcomes: Iterable[Outcome], devices: Mapping[str, Seen]) -> Table:
    """How many of each platform came to what: for fleets too large to list."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        seen = devices.get(outcome.device_id)
        counts.setdefault(seen.platform if seen else "?", Counter())[outcome.word] += 1
    words = [word for word in _ORDER if any(word in count for count in counts.values())]
    table = _table("Platform")
    for word in ("devices", *words):
        table.add_column(word, justify="right", style=_STYLES.get(word, ""))
    for platform, count in sorted(counts.items()):
        numbers = (str(count[word]) if count[word] else "" for word in words)
        table.add_row(clean_text(platform), str(count.total()), *numbers)
    return table


def summary_line(outcomes: Sequence[Outcome]) -> str:
    """`25 devices: 24 done, 1 no answer; slowest 0.31 s`."""
    count = Counter(outcome.word for outcome in outcomes)
    parts = ", ".join(f"{count[word]} {word}" for word in _ORDER if count[word])
    slowest = max((o.seconds for o in outcomes if o.result), default=None)
    text = f"{count_devices(len(outcomes))}: {parts or 'none'}"
    return text if slowest is None else f"{text}; slowest {slowest:.2f} s"


def device_table(devices: Iterable[Seen]) -> Table:
    """Who is there, in what state."""
    rows = list(devices)
    limited = any(seen.state and seen.state.passcode_deadline is not None for seen in rows)
    table = _table(*(_DEVICE_HEADERS if limited else _DEVICE_HEADERS[:-1]))
    for seen in rows:
        cells = device_row(seen)
        table.add_row(*(_word(cell) for cell in (cells if limited else cells[:-1])))
    return table


def device_row(seen: Seen) -> tuple[str, ...]:
    """One device's cells, the passcode's deadline last."""
    state, presence = seen.state, seen.presence
    status = presence.status if presence else "?"
    if state is None:
        return (seen.device_id, "?", "?", status, "?", "?", "?", "")
    deadline = state.passcode_deadline
    return (
        seen.device_id,
        state.platform,
        state.group,
        status,
        "locked" if state.locked else "open",
        "wiped" if state.wiped else state.passcode,
        state.compliance,
        "" if deadline is None else format_instant(deadline),
    )


def device_lines(devices: Sequence[Seen]) -> Iterator[str]:
    """The same without a table's looks: rich takes seconds for thousands of rows."""
    rows = [_DEVICE_HEADERS, *map(device_row, devices)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_DEVICE_HEADERS))]
    for row in rows:
        line = " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield line.translate(_CONTROLS).rstrip()


def effect_table(effects: Iterable[Effect], action: str) -> Table:
    """What could be seen of a simulation on each device."""
    words = {
        "seen": action,
        "sent": f"{action} sent; the device is offline and shows nothing of it now",
        "unseen": f"no sign of {action} in time",
    }
    table = _table("Device", "Outcome", "What")
    table.add_column("Time", no_wrap=True)
    for effect in effects:
        table.add_row(
            clean_text(effect.device_id),
            _word(effect.effect),
            words[effect.effect],
            f"{effect.seconds:.2f} s",
        )
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=header not in _GIVES_WAY, overflow="fold")
    return table


def _word(word: str) -> Text:
    return clean_text(word, _STYLES.get(word, ""))


def count_devices(count: int) -> str:
    """`1 device`, `25 devices`."""
    return f"{count} device" if count == 1 else f"{count} devices"


def _portal_text(outcome: Outcome) -> Text:
    """What the portal shows: the message, and the new passcode on a line of its own."""
    if outcome.result is None:
        return Text("no answer in time")
    text = clean_text(outcome.result.message)
    if outcome.result.new_passcode is not None:
        # Off a terminal a device keeps to one line: it may be on its way into grep.
        text.append("\n" if out.is_terminal else "  ")
        text.append_text(clean_text(f"New Passcode: {outcome.result.new_passcode}", "bold"))
    return text
