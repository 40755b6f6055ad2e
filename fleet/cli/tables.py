"""Tables of devices, results and simulation effects for the terminal.

Text from the wire goes through `clean_text`: it must not move a terminal's cursor or be parsed as
rich markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from broker.operator.readers import KnownDevice, RequestOutcome, SimulationOutcome
from broker.timestamps import format_timestamp
from fleet.cli.console import out
from fleet.plural import count_noun

__all__ = [
    "clean_text",
    "device_lines",
    "device_table",
    "effect_table",
    "fit_to_terminal",
    "outcome_table",
    "print_hanging",
    "print_table",
    "summary_line",
    "summary_table",
]

_PIPED_WIDTH: Final = 250
"""Width in columns without a terminal: one line per row, for grep."""
_MIN_LINED_WIDTH: Final = 110
"""Terminal width from which a table of sentences has vertical lines."""
_MIN_HANGING_WIDTH: Final = 30
"""Width in columns below which text is not wrapped with a hanging indent."""
_MIN_MESSAGE_WIDTH: Final = 24
"""Width in columns to which a message is wrapped before other columns are left out."""
_DEVICE_HEADERS: Final = (
    "Device",
    "Platform",
    "Group",
    "Presence",
    "Screen",
    "Passcode",
    "Compliance",
    "Deadline",
)
_DROPPABLE_DEVICE_COLUMNS: Final = ("Group", "Screen", "Platform", "Deadline")
_DROPPABLE_OUTCOME_COLUMNS: Final = ("Platform", "Time")
"""Columns to leave out on a narrow terminal, in this order."""
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
_OUTCOME_ORDER = ("done", "notSupported", "canceled", "failed", "no answer")


def clean_text(text: str, style: str = "") -> Text:
    """Replace control characters in text from the wire."""
    return Text(text.translate(_CONTROLS), style=style)


def print_hanging(head: Text, text: Text) -> None:
    """Print `text` after `head`, on a terminal wrapped with a hanging indent.

    Without a terminal it stays one line, for grep.
    """
    width = out.width - head.cell_len
    if not out.is_terminal or width < _MIN_HANGING_WIDTH:
        out.print(head, text, sep="")
        return
    for number, line in enumerate(text.wrap(out, width)):
        line.rstrip()
        out.print(Text(" " * head.cell_len) if number else head, line, sep="")


def fit_to_terminal(table: Table) -> Table:
    """Return `table`; on a narrow terminal drop its vertical lines to make room for text."""
    if not out.is_terminal or out.width >= _MIN_LINED_WIDTH:
        return table
    table.box, table.padding = box.HORIZONTALS, 0
    sizes = [_sizes(column) for column in table.columns]
    wanted = sum(line - word for word, line in sizes)
    spare = out.width - len(sizes) - 1 - sum(word for word, _ in sizes)
    if 0 <= spare < wanted:
        for column, (word, line) in zip(table.columns, sizes, strict=True):
            column.width = word + (line - word) * spare // wanted
    return table


def _sizes(column: Column) -> tuple[int, int]:
    """Return the widths of the longest word and of the longest line."""
    cells = [Text.from_markup(str(cell)).plain for cell in (column.header, *column.cells)]
    words = max(cell_len(word) for cell in cells for word in cell.split())
    return words, max(cell_len(line) for cell in cells for line in cell.split("\n"))


def print_table(table: Table) -> None:
    """Print a table fitted to the terminal, or in full width without one."""
    console = out if out.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)
    console.print(table, soft_wrap=False)


@dataclass(frozen=True, slots=True)
class _Column:
    """Column of text; one with `min_width` is wrapped to that before others are left out."""

    header: str
    cells: Sequence[Text]
    min_width: int | None = None

    @property
    def needed_width(self) -> int:
        """Smallest width in terminal columns."""
        lines = (line for cell in self.cells for line in cell.plain.split("\n"))
        widest = max((cell_len(line) for line in lines), default=0)
        wanted = widest if self.min_width is None else min(widest, self.min_width)
        return max(wanted, cell_len(self.header))


def _columns_that_fit(columns: Sequence[_Column], droppable: Sequence[str]) -> tuple[_Column, ...]:
    """Return the columns that fit, leaving out as many of `droppable` as needed."""
    width = out.width if out.is_terminal else _PIPED_WIDTH
    left = tuple(columns)
    for name in droppable:
        if sum(column.needed_width + 1 for column in left) - 1 <= width:
            break
        left = tuple(column for column in left if column.header != name)
    return left


def _table_that_fits(columns: Sequence[_Column], droppable: Sequence[str]) -> Table:
    """Return a table no wider than the terminal; its caption names the columns left out."""
    shown = _columns_that_fit(columns, droppable)
    table = _table()
    for number, column in enumerate(shown):
        # Once all droppable columns are gone, the first column is folded.
        folds = number == 0 and not any(c.header in droppable for c in shown)
        table.add_column(
            column.header, no_wrap=column.min_width is None and not folds, overflow="fold"
        )
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    if len(shown) < len(columns):
        left_out = ", ".join(column.header for column in columns if column not in shown)
        table.caption = f"left out for lack of room: {left_out}"
        table.caption_justify = "left"
    return table


def outcome_table(outcomes: Iterable[RequestOutcome], devices: Mapping[str, KnownDevice]) -> Table:
    """Return a table with each device's outcome and the portal's message."""
    rows = list(outcomes)
    platforms = (s.platform if (s := devices.get(o.device_id)) else "?" for o in rows)
    errors = [(o.result.error_code if o.result else None) or "" for o in rows]
    columns = [
        _Column("Device", [clean_text(o.device_id) for o in rows]),
        _Column("Platform", [clean_text(platform) for platform in platforms]),
        _Column("Outcome", [_styled(o.word) for o in rows]),
        _Column("Message", [_portal_text(o) for o in rows], min_width=_MIN_MESSAGE_WIDTH),
        _Column("Time", [Text(f"{o.seconds:.2f} s") for o in rows]),
    ]
    if any(errors):
        columns.insert(-1, _Column("Error", [clean_text(error) for error in errors]))
    return _table_that_fits(columns, _DROPPABLE_OUTCOME_COLUMNS)


def summary_table(outcomes: Iterable[RequestOutcome], devices: Mapping[str, KnownDevice]) -> Table:
    """Return a table of outcome counts by platform, for fleets too large to list."""
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        seen = devices.get(outcome.device_id)
        counts.setdefault(seen.platform if seen else "?", Counter())[outcome.word] += 1
    words = [word for word in _OUTCOME_ORDER if any(word in count for count in counts.values())]
    table = _table("Platform")
    for word in ("devices", *words):
        table.add_column(word, justify="right", style=_STYLES.get(word, ""))
    for platform, count in sorted(counts.items()):
        numbers = (str(count[word]) if count[word] else "" for word in words)
        table.add_row(clean_text(platform), str(count.total()), *numbers)
    return table


def summary_line(outcomes: Sequence[RequestOutcome]) -> str:
    """Return a line such as `25 devices: 24 done, 1 no answer; slowest 0.31 s`."""
    count = Counter(outcome.word for outcome in outcomes)
    parts = ", ".join(f"{count[word]} {word}" for word in _OUTCOME_ORDER if count[word])
    slowest = max((o.seconds for o in outcomes if o.result), default=None)
    text = f"{count_noun(len(outcomes), 'device')}: {parts or 'none'}"
    return text if slowest is None else f"{text}; slowest {slowest:.2f} s"


def device_table(devices: Iterable[KnownDevice]) -> Table:
    """Return a table of devices and their state."""
    return _table_that_fits(_device_columns(devices), _DROPPABLE_DEVICE_COLUMNS)


def _device_columns(devices: Iterable[KnownDevice]) -> list[_Column]:
    """Return all columns, with the deadline only if some device has one."""
    rows = list(devices)
    limited = any(seen.state and seen.state.passcode_deadline is not None for seen in rows)
    cells = zip(*map(device_row, rows), strict=True)
    columns = [
        _Column(header, [_styled(cell) for cell in column])
        for header, column in zip(_DEVICE_HEADERS, cells, strict=True)
    ]
    return columns if limited else columns[:-1]


def device_row(seen: KnownDevice) -> tuple[str, ...]:
    """Return the cells of one device, the passcode deadline last."""
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
        "" if deadline is None else format_timestamp(deadline),
    )


def device_lines(devices: Sequence[KnownDevice]) -> Iterator[str]:
    """Return the device table as plain lines: rich takes seconds for thousands of rows."""
    columns = _columns_that_fit(_device_columns(devices), _DROPPABLE_DEVICE_COLUMNS)
    widths = [column.needed_width for column in columns]
    rows = zip(*(column.cells for column in columns), strict=True)
    for row in ([column.header for column in columns], *rows):
        cells = (set_cell_size(str(cell), width) for cell, width in zip(row, widths, strict=True))
        yield " ".join(cells).rstrip()


def effect_table(effects: Iterable[SimulationOutcome], action: str) -> Table:
    """Return a table with the observed effect of a simulation on each device."""
    words = {
        "seen": action,
        "sent": f"{action} sent; the device is offline, so no effect is visible now",
        "unseen": f"no effect of {action} in time",
    }
    table = _table("Device", "Outcome", "What")
    table.add_column("Time", no_wrap=True)
    for effect in effects:
        table.add_row(
            clean_text(effect.device_id),
            _styled(effect.effect),
            words[effect.effect],
            f"{effect.seconds:.2f} s",
        )
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=header != "What", overflow="fold")
    return table


def _styled(word: str) -> Text:
    return clean_text(word, _STYLES.get(word, ""))


def _portal_text(outcome: RequestOutcome) -> Text:
    """Return the message as in the portal, with the new passcode on a separate line."""
    if outcome.result is None:
        return Text("no answer in time")
    text = clean_text(outcome.result.message)
    if outcome.result.new_passcode is not None:
        # Without a terminal each device has one line, for grep.
        text.append("\n" if out.is_terminal else "  ")
        text.append_text(clean_text(f"New Passcode: {outcome.result.new_passcode}", "bold"))
    return text
