"""What platforms do, printed for people."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from fleet.cli.console import out
from fleet.cli.tables import fit_to_terminal, print_hanging, print_table
from fleet.reference import sentences as words
from fleet.reference.facts import Answer, Explanation
from fleet.reference.tables import Dated, Differing
from platforms.conformance import ConformanceTable
from platforms.profile import PlatformProfile

__all__ = ["print_difference", "print_explanation", "print_platforms"]


def print_platforms(profiles: Iterable[PlatformProfile], dated: ConformanceTable) -> None:
    """One row a platform, as it behaves under `dated`."""
    title = f"Behaviour table {dated.name} ({dated.title})"
    table = Table(title=title, show_lines=True, title_justify="left")
    for heading in (
        "platform",
        "resetPasscode",
        "portal on success",
        "on the device",
        "remoteLock",
    ):
        table.add_column(heading, overflow="fold")
    for profile in profiles:
        cells = (
            profile.id,
            words.reset_in_short(profile.reset),
            "\n".join(words.portal_in_short(profile.reset)),
            words.screen_in_short(profile),
            words.lock_in_short(profile),
        )
        table.add_row(*(_literal(cell) for cell in cells))
    print_table(fit_to_terminal(table))
    out.print("Why: passfleet explain PLATFORM ACTION", markup=False)


def print_difference(
    rows: Iterable[Differing], one: ConformanceTable, other: ConformanceTable
) -> None:
    """Row by row, what two dated tables say differently, each with its source."""
    title = f"{one.name} and {other.name}"
    table = Table(title=title, show_lines=True, title_justify="left")
    for heading in ("platform", "action", one.name, other.name):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.platform, row.action, _cell(row.one), _cell(row.other))
    if table.row_count:
        print_table(fit_to_terminal(table))
    else:
        out.print(f"{title} say the same of every platform", markup=False)


def _cell(dated: Dated) -> str:
    text = _literal(dated.says)
    if dated.cite:
        text += f"\n[dim]{_literal(dated.cite)}[/]"
    if dated.assumption:
        text += f"\n[yellow]assumption:[/] {_literal(dated.assumption)}"
    return text


def _literal(text: str) -> str:
    return text.replace("[", r"\[")


def print_explanation(told: Explanation) -> None:
    """One action on one platform: rule, portal, device, answers, sources, other tables."""
    title = (f"{told.title}: {told.action}", "bold")
    out.print(Text.assemble(title, f"  ({told.platform}, {told.table})"))
    _say("", told.rule)
    if told.says is not None:
        _heading("The table in force")
        _print_dated(told.says)
    _heading("Portal and console")
    for view in told.portal:
        _say("  ", view.management)
        _say("    portal:  ", "; ".join(view.portal) or "says nothing")
        _say("    console: ", "; ".join(view.console))
    _heading("On the device")
    for line in told.device:
        _say("  ", line)
    _heading("Answers")
    for answer in told.answers:
        _print_answer(answer)
    _heading("Sources")
    for source in told.sources:
        _say("  ", f"{source.about}: {source.cite}")
        _assume(source.assumption)
    if told.otherwise:
        _heading("Other tables say otherwise")
    for dated in told.otherwise:
        _print_dated(dated)


def _print_dated(dated: Dated) -> None:
    _say("  ", f"{dated.table}: {dated.says}")
    if dated.cite:
        _say("    ", dated.cite)
    _assume(dated.assumption)


def _assume(assumption: str | None) -> None:
    if assumption:
        print_hanging(Text("    "), Text.assemble(("assumption:", "yellow"), " ", assumption))


def _print_answer(answer: Answer) -> None:
    error = f" ({answer.error_code})" if answer.error_code else ""
    native = "its protocol is not asked" if answer.native is None else json.dumps(answer.native)
    _say("  ", f"{answer.when}: {answer.action_state}{error}")
    _say("    native: ", native)


def _heading(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def _say(head: str, text: str) -> None:
    print_hanging(Text(head), Text(text))
