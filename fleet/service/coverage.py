"""Coverage of rules of a run of scenarios, or of a running fleet.

The rules that exist come from `fleet.reference.rules`; the rules that a run exercised come from the
`agent.coverage.RuleRecorder` of its devices. Only the platforms and managements of the devices
count: a suite for iOS need not exercise Android.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agent.coverage import Case, Rule
from agent.state import GroupSetup
from fleet.reference.rules import reachable_cases
from platforms import PLATFORMS
from platforms.profile import Management, PlatformProfile
from scenarios.model.coverage import Coverage, CoveredRule, CoveredStatement, PlatformCoverage
from scenarios.model.outcome import ScenarioOutcome
from scenarios.model.statements import statements

__all__ = ["coverage_of_fleet", "coverage_of_scenarios"]


def coverage_of_scenarios(outcomes: Sequence[ScenarioOutcome]) -> Coverage:
    """Return the coverage of scenarios that were run with `PlayOptions.coverage`.

    A failed scenario exercises rules, but proves no statement.
    """
    names: dict[Rule, list[str]] = {}
    counts: Counter[Rule] = Counter()
    proven: dict[str, list[str]] = {}
    for outcome in outcomes:
        counts.update(outcome.exercised)
        for rule in outcome.exercised:
            names.setdefault(rule, []).append(outcome.name)
        for number in outcome.proves if outcome.passed else ():
            proven.setdefault(number, []).append(outcome.name)
    setups = [device.state.enrollment.setup for o in outcomes for device in o.initial_devices]
    covered = tuple(
        CoveredStatement(statement, tuple(proven.get(number, ())))
        for number, statement in statements().items()
        if statement.not_simulated is None
    )
    return _coverage(setups, counts, names, covered)


def coverage_of_fleet(setups: Iterable[GroupSetup], counts: Mapping[Rule, int]) -> Coverage:
    """Return the coverage of a fleet whose groups have these setups."""
    return _coverage(setups, counts, {}, ())


def _coverage(
    setups: Iterable[GroupSetup],
    counts: Mapping[Rule, int],
    names: Mapping[Rule, Sequence[str]],
    covered: tuple[CoveredStatement, ...],
) -> Coverage:
    profiles = _profiles(setups)
    cases: dict[int, frozenset[Case]] = {}
    found = []
    for (platform, management), variants in profiles.items():
        own: set[Case] = set()
        for profile in variants:
            if id(profile) not in cases:
                cases[id(profile)] = reachable_cases(profile)
            own |= cases[id(profile)]
        rules = [Rule(platform, management, case) for case in sorted(own)]
        covered_rules = [
            CoveredRule(rule, counts.get(rule, 0), tuple(names.get(rule, ()))) for rule in rules
        ]
        found.append(PlatformCoverage(platform, management, tuple(covered_rules)))
    unused = [
        (profile.id, management.value)
        for profile in PLATFORMS
        for management in Management
        if (profile.id, management.value) not in profiles
    ]
    return Coverage(tuple(found), tuple(unused), covered)


def _profiles(setups: Iterable[GroupSetup]) -> dict[tuple[str, str], list[PlatformProfile]]:
    """Return the profiles by (platform, management), sorted; own platforms may have several."""
    found: dict[tuple[str, str], list[PlatformProfile]] = {}
    for setup in setups:
        known = found.setdefault((setup.profile.id, setup.management.value), [])
        if not any(setup.profile is each for each in known):
            known.append(setup.profile)
    order = {profile.id: number for number, profile in enumerate(PLATFORMS)}
    return dict(
        sorted(found.items(), key=lambda item: (order.get(item[0][0], len(order)), item[0]))
    )
