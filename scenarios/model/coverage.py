"""Coverage of rules: the rules of platforms and statements of documents that a run exercised.

`fleet.service.coverage` makes it; the terminal, `--json` and the HTML report show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.coverage import Rule, RuleKind
from scenarios.model.statements import Statement

__all__ = ["Coverage", "CoveredRule", "CoveredStatement", "PlatformCoverage", "percent"]


def percent(part: int, whole: int) -> float:
    """Return a share in percent; 100 of nothing."""
    return 100 * part / whole if whole else 100.0


@dataclass(frozen=True, slots=True)
class CoveredRule:
    """Rule of a platform, the number of times it was exercised, and the names of the scenarios."""

    rule: Rule
    count: int = 0
    scenarios: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        case = self.rule.case
        return {
            "kind": case.kind.value,
            "name": case.name,
            "answer": case.answer,
            "count": self.count,
            "scenarios": list(self.scenarios),
        }


@dataclass(frozen=True, slots=True)
class CoveredStatement:
    """Statement that is simulated, with the names of the passed scenarios that prove it."""

    statement: Statement
    scenarios: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlatformCoverage:
    """Rules of one platform under one management, sorted."""

    platform: str
    management: str
    rules: tuple[CoveredRule, ...]

    def of(self, kind: RuleKind) -> tuple[int, int]:
        """Return the number of exercised rules and of all rules of a kind."""
        kinds = [each for each in self.rules if each.rule.case.kind is kind]
        return sum(each.count > 0 for each in kinds), len(kinds)

    @property
    def exercised(self) -> int:
        """Number of rules that the run exercised."""
        return sum(each.count > 0 for each in self.rules)

    @property
    def missing(self) -> Sequence[CoveredRule]:
        """Rules that the run did not exercise."""
        return [each for each in self.rules if each.count == 0]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        kinds = {kind: self.of(kind) for kind in RuleKind}
        return {
            "platform": self.platform,
            "management": self.management,
            "exercised": self.exercised,
            "total": len(self.rules),
            "percent": round(percent(self.exercised, len(self.rules)), 1),
            "kinds": {
                kind.value: {"exercised": exercised, "total": total}
                for kind, (exercised, total) in kinds.items()
            },
            "rules": [each.as_json() for each in self.rules],
        }


@dataclass(frozen=True, slots=True)
class Coverage:
    """Coverage of a run.

    `platforms` are those that its devices had; `unused` are the (platform, management) without a
    device, whose rules do not count. `statements` is empty for a run that is no scenario.
    """

    platforms: tuple[PlatformCoverage, ...]
    unused: tuple[tuple[str, str], ...]
    statements: tuple[CoveredStatement, ...] = ()

    @property
    def exercised(self) -> int:
        """Number of rules that the run exercised."""
        return sum(each.exercised for each in self.platforms)

    @property
    def total(self) -> int:
        """Number of rules of the platforms that the devices had."""
        return sum(len(each.rules) for each in self.platforms)

    @property
    def percent(self) -> float:
        """Share of the exercised rules, 0 to 100; 100 if there are none."""
        return percent(self.exercised, self.total)

    @property
    def proven(self) -> int:
        """Number of statements that a passed scenario proves."""
        return sum(bool(each.scenarios) for each in self.statements)

    def as_json(self) -> dict[str, Any]:
        """Return the document of `--coverage`."""
        return {
            "exercised": self.exercised,
            "total": self.total,
            "percent": round(self.percent, 1),
            "platforms": [each.as_json() for each in self.platforms],
            "unused": [
                {"platform": platform, "management": management}
                for platform, management in self.unused
            ],
            "statements": {
                "proven": self.proven,
                "total": len(self.statements),
                "percent": round(percent(self.proven, len(self.statements)), 1),
                "missing": [
                    each.statement.number for each in self.statements if not each.scenarios
                ],
            },
        }
