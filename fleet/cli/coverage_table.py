"""Table of the coverage of rules on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from agent.coverage import RuleKind
from fleet.cli.console import out
from fleet.cli.tables import fit_to_terminal, print_hanging, print_table
from scenarios.model.coverage import Coverage, PlatformCoverage, percent

__all__ = ["print_coverage"]


def print_coverage(coverage: Coverage) -> None:
    """Print the share of each platform, then the rules that the run did not exercise."""
    table = Table(title="Coverage of rules", title_justify="left")
    for heading in ("platform", "management", *(f"{kind}s" for kind in RuleKind), "exercised"):
        table.add_column(heading)
    for platform in coverage.platforms:
        table.add_row(*_cells(platform))
    print_table(fit_to_terminal(table))
    out.print(f"{_share(coverage.exercised, coverage.total)} of the rules exercised")
    if coverage.statements:
        total = len(coverage.statements)
        out.print(f"{_share(coverage.proven, total)} of the documents' statements proven")
    for platform in coverage.platforms:
        _print_missing(platform)
    if coverage.exercised < coverage.total:
        hint = "Scenarios that exercise a rule: passfleet explain PLATFORM --rules"
        out.print(f"\n{hint}", markup=False)


def _cells(platform: PlatformCoverage) -> Iterator[str]:
    yield platform.platform
    yield platform.management
    for kind in RuleKind:
        exercised, total = platform.of(kind)
        yield f"{exercised}/{total}"
    yield f"{percent(platform.exercised, len(platform.rules)):.1f} %"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({percent(part, whole):.1f} %)"


def _print_missing(platform: PlatformCoverage) -> None:
    if not platform.missing:
        return
    out.print(f"\n[bold]Not exercised: {platform.platform}, {platform.management}[/]")
    for kind in RuleKind:
        names: dict[str, list[str]] = {}
        for each in platform.missing:
            case = each.rule.case
            if case.kind is kind:
                names.setdefault(case.name, []).append(case.answer)
        for name, answers in names.items():
            print_hanging(Text(f"  {kind.value} {name}: "), Text(", ".join(answers)))
