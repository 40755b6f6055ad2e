"""docs/sources.md: every statement has a scenario that proves it, or a reason for none."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from fleet.reference.sources import explain_statement, scenarios_by_statement, sources_page
from scenarios.model.statements import statements
from scenarios.parsing.parser import LIBRARY

COUNTS = {"000": 23, "001": 31, "002": 22, "003": 25, "004": 40}
"""Number of statements of each document."""


def test_data_has_every_statement_of_the_documents_in_order() -> None:
    assert Counter(number.partition(".")[0] for number in statements()) == COUNTS
    numbers = [
        f"{document}.{position}"
        for document, count in COUNTS.items()
        for position in range(1, count + 1)
    ]
    assert list(statements()) == numbers


@pytest.mark.parametrize("number", statements())
def test_statement_has_a_scenario_that_proves_it_or_a_reason_for_none(number: str) -> None:
    statement = statements()[number]
    proven = [proof.file for proof in scenarios_by_statement().get(number, ())]
    reasons = [each for each in (statement.not_simulated, statement.open) if each]

    # A proven statement has no reason, any other one has exactly one.
    assert len(reasons) == (0 if proven else 1), f"{number}: proven by {proven}, reasons {reasons}"


def test_reasons_are_about_known_statements() -> None:
    data = tomllib.loads((LIBRARY / "statements.toml").read_text(encoding="utf-8"))

    assert set(data) == {"documents", "statements", "not_simulated", "open"}
    assert set(data["not_simulated"]) | set(data["open"]) <= set(data["statements"])


def test_page_has_a_row_with_the_evidence_of_every_statement() -> None:
    rows = dict(
        line[2:].split(" | ", 1)
        for line in sources_page().splitlines()
        if line[:2] == "| " and line[2:3].isdigit()
    )

    assert list(rows) == list(statements())
    for number, row in rows.items():
        explained = explain_statement(number)
        assert explained.statement.text in row
        assert all(proof.file in row for proof in explained.proofs)
        assert (explained.reason or "") in row
