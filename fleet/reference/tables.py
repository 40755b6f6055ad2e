"""What the dated tables say of an action, each with its source: for `explain`, `--diff`, docs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from platforms import PLATFORMS
from platforms.conformance import CONFORMANCE, ConformanceTable, Row, agree, differences
from platforms.profile import Action

__all__ = ["Dated", "Differing", "differing", "otherwise", "statement"]


@dataclass(frozen=True, slots=True)
class Dated:
    """What one table says. `support` is `supported`, `notSupported`, `notListed`, or None."""

    table: str
    date: str
    support: str | None
    says: str
    cite: str | None
    assumption: str | None


@dataclass(frozen=True, slots=True)
class Differing:
    """One action on one platform of which two tables say different things."""

    platform: str
    action: str
    one: Dated
    other: Dated


def statement(table: ConformanceTable, platform: str, action: Action) -> Dated:
    """What `table` says of an action on a built-in platform."""
    return _dated(table, table.row(platform, action))


def otherwise(table: ConformanceTable, platform: str, action: Action) -> Iterator[Dated]:
    """What every other table says that does not agree with `table`, the oldest first."""
    row = table.row(platform, action)
    for other in CONFORMANCE.values():
        theirs = other.row(platform, action)
        if not agree(row, theirs):
            yield _dated(other, theirs)


def differing(one: ConformanceTable, other: ConformanceTable) -> Iterator[Differing]:
    """Row by row, where two tables differ."""
    for found in differences(one, other, tuple(profile.id for profile in PLATFORMS)):
        yield Differing(
            found.platform,
            str(found.action),
            _dated(one, found.one),
            _dated(other, found.other),
        )


def _dated(table: ConformanceTable, row: Row | None) -> Dated:
    if row is None:
        return Dated(table.name, table.date, None, "says nothing", None, None)
    source = row.source
    support = str(row.support)
    return Dated(table.name, table.date, support, row.says, source.cite, source.assumption)
