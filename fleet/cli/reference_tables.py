"""Tables and text of the commands `platforms` and `explain`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby

from rich.table import Table
from rich.text import Text

from fleet.cli.console import out
from fleet.cli.tables import fit_to_terminal, print_hanging, print_table
from fleet.reference import sentences as words
from fleet.reference.exercised import Exercise, RuleExercise
from fleet.reference.facts import Answer, Explanation
from fleet.reference.sources import StatementExplanation
from fleet.reference.tables import TableDifference, TableStatement
from platforms.conformance import ConformanceTable
from platforms.profile import PlatformProfile

__all__ = [
    "print_difference",
    "print_explanation",
    "print_platforms",
    "print_rules",
    "print_statement",
]


def print_platforms(profiles: Iterable[PlatformProfile], dated: ConformanceTable) -> None:
    """Print one row per platform, with its behaviour under the table `dated`."""
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
    rows: Iterable[TableDifference], one: ConformanceTable, other: ConformanceTable
) -> None:
    """Print the rows in which two behaviour tables differ, each with its source."""
    title = f"{one.name} and {other.name}"
    table = Table(title=title, show_lines=True, title_justify="left")
    for heading in ("platform", "action", one.name, other.name):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.platform, row.action, _cell(row.one), _cell(row.other))
    if table.row_count:
        print_table(fit_to_terminal(table))
    else:
        out.print(f"{title} do not differ", markup=False)


def _cell(dated: TableStatement) -> str:
    text = _literal(dated.says)
    if dated.cite:
        text += f"\n[dim]{_literal(dated.cite)}[/]"
    if dated.assumption:
        text += f"\n[yellow]assumption:[/] {_literal(dated.assumption)}"
    return text


def _literal(text: str) -> str:
    return text.replace("[", r"\[")


def print_explanation(explanation: Explanation) -> None:
    """Print one action on one platform: rule, portal, device, answers, sources, other tables."""
    title = (f"{explanation.title}: {explanation.action}", "bold")
    out.print(Text.assemble(title, f"  ({explanation.platform}, {explanation.table})"))
    _print_text("", explanation.rule)
    if explanation.says is not None:
        _heading("The table in force")
        _print_dated(explanation.says)
    _heading("Portal and console")
    for view in explanation.portal:
        _print_text("  ", view.management)
        _print_text("    portal:  ", "; ".join(view.portal) or "says nothing")
        _print_text("    console: ", "; ".join(view.console))
    _heading("On the device")
    for line in explanation.device:
        _print_text("  ", line)
    _heading("Answers")
    for answer in explanation.answers:
        _print_answer(answer)
    _heading("Sources")
    for source in explanation.sources:
        _print_text("  ", f"{source.about}: {source.cite}")
        _print_assumption(source.assumption)
    if explanation.otherwise:
        _heading("Other tables differ")
    for dated in explanation.otherwise:
        _print_dated(dated)


_STATUS = {"open": "not proven yet", "notSimulated": "not simulated", "unproven": "not proven"}


def print_statement(explanation: StatementExplanation) -> None:
    """Print a statement, its document, and the scenarios that prove it or the reason for none."""
    statement = explanation.statement
    _print_text(f"{statement.number}  ", statement.text)
    _heading("Document")
    _print_text("  ", statement.document.cite)
    if not explanation.proofs:
        _heading("Proof")
        reason = f": {explanation.reason}" if explanation.reason else ""
        _print_text("  ", _STATUS[explanation.status] + reason)
        return
    _heading("Proven by")
    for proof in explanation.proofs:
        _print_text("  ", f"{proof.name} (scenarios/library/{proof.file})")


def _print_dated(dated: TableStatement) -> None:
    _print_text("  ", f"{dated.table}: {dated.says}")
    if dated.cite:
        _print_text("    ", dated.cite)
    _print_assumption(dated.assumption)


def _print_assumption(assumption: str | None) -> None:
    if assumption:
        print_hanging(Text("    "), Text.assemble(("assumption:", "yellow"), " ", assumption))


def _print_answer(answer: Answer) -> None:
    error = f" ({answer.error_code})" if answer.error_code else ""
    native = "no protocol answer" if answer.native is None else json.dumps(answer.native)
    _print_text("  ", f"{answer.when}: {answer.action_state}{error}")
    _print_text("    native: ", native)
    if answer.scenarios:
        _print_text("    scenarios: ", _scenarios(answer.scenarios))


def _scenarios(exercises: Iterable[Exercise]) -> str:
    """File names, each once: a scenario may exercise a rule under several managements."""
    return ", ".join(dict.fromkeys(each.file for each in exercises))


def print_rules(profile: PlatformProfile, rules: Iterable[RuleExercise]) -> None:
    """Print every rule of a platform with the scenarios of the library that exercise it."""
    title = (f"{profile.title}: rules, and the scenarios in scenarios/library/", "bold")
    out.print(Text.assemble(title, f"  ({profile.id})"))
    for kind, group in groupby(rules, key=lambda each: each.case.kind):
        _heading(f"{kind}s".capitalize())
        for each in group:
            name, answer = each.case.name, each.case.answer
            _print_text(f"  {name}: {answer}: ", _scenarios(each.scenarios) or "no scenario")


def _heading(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def _print_text(head: str, text: str) -> None:
    print_hanging(Text(head), Text(text))
