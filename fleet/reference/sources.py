"""docs/sources.md and `explain --statement`: statements of the documents and their scenarios.

The page is generated from `scenarios/library/statements.toml` and the library, never edited:
`python -m fleet.reference.build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from broker.errors import UsageError
from scenarios.model.statements import Document, Statement, nearest_number, statements
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenarios

__all__ = [
    "Proof",
    "StatementExplanation",
    "explain_statement",
    "scenario_link",
    "scenarios_by_statement",
    "sources_page",
]

_MADE: Final = "<!-- Made by `python -m fleet.reference.build`. Do not edit. -->"
_INTRO: Final = """\
# The source documents

passfleet simulates five documents. This page has every statement of theirs in passfleet's own
words, with the scenarios of the library that prove it, or the reason for which none does. A
scenario proves a statement if its steps and expectations fail wherever passfleet contradicts the
statement; its key [`proves`](scenarios.md#statements-of-the-source-documents) has the numbers. A
test fails for a statement that has neither scenario nor reason. On the command line:
`passfleet explain --statement 001.27`.
"""
_FOLDER: Final = "../scenarios/library"


@dataclass(frozen=True, slots=True)
class Proof:
    """Scenario of the library that proves a statement; `file` is its name in the library."""

    name: str
    file: str


@dataclass(frozen=True, slots=True)
class StatementExplanation:
    """One statement, its document, and its proofs."""

    statement: Statement
    proofs: tuple[Proof, ...]

    @property
    def status(self) -> str:
        """`proven`, `open` or `notSimulated`; `unproven` if neither scenario nor reason exists."""
        if self.proofs:
            return "proven"
        if self.statement.not_simulated:
            return "notSimulated"
        return "open" if self.statement.open else "unproven"

    @property
    def reason(self) -> str | None:
        """Reason for which no scenario proves the statement, or None."""
        return self.statement.not_simulated or self.statement.open

    def as_json(self) -> dict[str, Any]:
        """For `--json`: camelCase keys."""
        statement = self.statement
        return {
            "statement": statement.number,
            "text": statement.text,
            "document": asdict(statement.document),
            "status": self.status,
            "reason": self.reason,
            "provedBy": [asdict(proof) for proof in self.proofs],
        }


@cache
def scenarios_by_statement() -> Mapping[str, tuple[Proof, ...]]:
    """Return the scenarios of the library by the number of the statement that they prove."""
    found: dict[str, tuple[Proof, ...]] = {}
    for scenario in load_scenarios(find_scenarios([LIBRARY])):
        proof = Proof(scenario.name, Path(scenario.path).name)
        for number in scenario.proves:
            found[number] = (*found.get(number, ()), proof)
    return found


def explain_statement(number: str) -> StatementExplanation:
    """Explain one statement. Raises UsageError with the nearest number if it is unknown."""
    statement = statements().get(number.strip())
    if statement is None:
        nearest = nearest_number(number)
        known = "docs/sources.md lists all, from 000.1 to 004.40"
        hint = f"did you mean '{nearest}'? {known}" if nearest else known
        raise UsageError(f"there is no statement {number!r}", hint=hint)
    return StatementExplanation(statement, scenarios_by_statement().get(statement.number, ()))


def sources_page() -> str:
    """Return the whole page, in Markdown."""
    explained = [explain_statement(number) for number in statements()]
    lines = [_MADE, "", *_INTRO.splitlines(), "", *_summary(explained)]
    for document, rows in groupby(explained, key=lambda each: each.statement.document):
        lines += ["", *_section(document, rows)]
    return "\n".join(lines) + "\n"


def _summary(explained: list[StatementExplanation]) -> Iterator[str]:
    counts = dict.fromkeys(("proven", "open", "notSimulated"), 0)
    for each in explained:
        counts[each.status] = counts.get(each.status, 0) + 1
    yield (
        f"Of {len(explained)} statements, {counts['proven']} are proven, {counts['open']} are open,"
        f" and {counts['notSimulated']} are not simulated."
    )


def _section(document: Document, rows: Iterator[StatementExplanation]) -> Iterator[str]:
    yield f"## {document.number}: {document.title}"
    yield ""
    yield f"{document.publisher}, {document.date}."
    yield ""
    yield "| number | statement | proven by |"
    yield "|---|---|---|"
    for each in rows:
        yield f"| {each.statement.number} | {each.statement.text} | {_evidence(each)} |"


def scenario_link(file: str) -> str:
    """Return a Markdown link from docs/ to a scenario of the library."""
    return f"[{file.rpartition('.')[0]}]({_FOLDER}/{file})"


def _evidence(explained: StatementExplanation) -> str:
    if explained.proofs:
        return ", ".join(scenario_link(proof.file) for proof in explained.proofs)
    label = {"open": "open", "notSimulated": "not simulated"}.get(explained.status, "unproven")
    return f"*{label}:* {explained.reason or 'no scenario, no reason'}"
