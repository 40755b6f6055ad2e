"""Statements of the dated tables about actions, with sources: for `explain`, `--diff`, docs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from platforms import PLATFORMS
from platforms.conformance import CONFORMANCE, ConformanceTable, Row, agree, differences
from platforms.profile import Action

__all__ = [
    "TableDifference",
    "TableStatement",
    "disagreeing_statements",
    "table_differences",
    "table_statement",
]


@dataclass(frozen=True, slots=True)
class TableStatement:
    """Statement of one table. `support` is `supported`, `notSupported`, `notListed`, or None."""

    table: str
    date: str
    support: str | None
    says: str
    cite: str | None
    assumption: str | None


@dataclass(frozen=True, slots=True)
class TableDifference:
    """Action on a platform about which two tables disagree."""

    platform: str
    action: str
    one: TableStatement
    other: TableStatement


def table_statement(table: ConformanceTable, platform: str, action: Action) -> TableStatement:
    """Statement of `table` about an action on a built-in platform."""
    return _dated(table, table.row(platform, action))


def disagreeing_statements(
    table: ConformanceTable, platform: str, action: Action
) -> Iterator[TableStatement]:
    """Statements of all other tables that disagree with `table`, the oldest first."""
    row = table.row(platform, action)
    for other in CONFORMANCE.values():
        theirs = other.row(platform, action)
        if not agree(row, theirs):
            yield _dated(other, theirs)


def table_differences(one: ConformanceTable, other: ConformanceTable) -> Iterator[TableDifference]:
    """Rows on which two tables disagree."""
    for found in differences(one, other, tuple(profile.id for profile in PLATFORMS)):
        yield TableDifference(
            found.platform,
            str(found.action),
            _dated(one, found.one),
            _dated(other, found.other),
        )


def _dated(table: ConformanceTable, row: Row | None) -> TableStatement:
    if row is None:
        return TableStatement(table.name, table.date, None, "says nothing", None, None)
    source = row.source
    support = str(row.support)
    return TableStatement(table.name, table.date, support, row.says, source.cite, source.assumption)
