"""Rules of the platforms: found by exploration, complete for what the library exercises."""

from __future__ import annotations

import pytest

from agent.coverage import Case, RuleKind
from agent.state import Timer
from fleet.reference.rules import reachable_cases
from platforms import PLATFORMS, PlatformProfile
from platforms.profile import Action, NativeCase
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenarios
from scenarios.run.runner import PlayOptions, play_all


def answers(cases: frozenset[Case], kind: RuleKind, name: str) -> set[str]:
    return {case.answer for case in cases if (case.kind, case.name) == (kind, name)}


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_every_action_has_rules_with_the_native_cases_of_the_platform(
    profile: PlatformProfile,
) -> None:
    cases = reachable_cases(profile)

    for action in Action:
        found = answers(cases, RuleKind.ACTION, action)
        assert found
        assert all(
            profile.native_answer(action, NativeCase(answer)) is not None
            for answer in found & set(NativeCase)
            if answer != NativeCase.NOT_SUPPORTED
        )


def test_rules_differ_by_platform() -> None:
    ios, android, tablet = (
        reachable_cases(next(p for p in PLATFORMS if p.id == name))
        for name in ("ios", "android", "windows_rt")
    )

    assert Case(RuleKind.TIMER, Timer.GRACE, "fired") in ios
    assert answers(ios, RuleKind.ACTION, "resetPasscode") >= {"done", "notEnrolled"}
    assert answers(tablet, RuleKind.ACTION, "resetPasscode") >= {"notSupported"}
    assert answers(tablet, RuleKind.ACTION, "remoteLock") >= {"done", "wrongUser"}
    assert "wrongUser" not in answers(ios, RuleKind.ACTION, "remoteLock")
    assert answers(ios, RuleKind.INPUT, "enterPasscode") >= {"wrongPasscode", "tooManyAttempts"}
    assert answers(android, RuleKind.SCREEN, "New temporary passcode")
    assert not answers(ios, RuleKind.SCREEN, "New temporary passcode")


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_every_timer_that_a_group_can_set_has_a_rule(profile: PlatformProfile) -> None:
    fired = {case.name for case in reachable_cases(profile) if case.kind is RuleKind.TIMER}

    assert fired == {*Timer} - ({Timer.GRACE} if profile.reset.grace is None else set())


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_lost_mode_has_rules_where_the_platform_has_it(profile: PlatformProfile) -> None:
    cases = reachable_cases(profile)
    screens = {case.name for case in cases if case.kind is RuleKind.SCREEN}

    expected = {"notSupported", "notEnrolled", *(["done"] if profile.lost_mode.supported else [])}
    assert answers(cases, RuleKind.ACTION, "enableLostMode") == expected
    assert answers(cases, RuleKind.ACTION, "disableLostMode") == expected
    assert ("Lost Mode" in screens) is profile.lost_mode.supported
    assert ("Device locked" in screens) is profile.lock.shows_message


async def test_the_rules_have_every_case_that_the_library_exercises() -> None:
    library = load_scenarios(find_scenarios([LIBRARY]))
    outcomes = await play_all(library, PlayOptions(coverage=True))
    profiles = {
        device.setup.profile.id: device.setup.profile for s in library for device in s.devices
    }
    known = {name: reachable_cases(profile) for name, profile in profiles.items()}

    exercised = {rule for outcome in outcomes for rule in outcome.exercised}
    unknown = {
        rule
        for rule in exercised
        # The titles of text messages are their senders: these are no rules of a platform.
        if rule.case.kind is not RuleKind.SCREEN and rule.case not in known[rule.platform]
    }
    assert exercised
    assert unknown == set()


async def test_without_coverage_nothing_is_counted() -> None:
    library = load_scenarios(find_scenarios([LIBRARY])[:1])

    (outcome,) = await play_all(library, PlayOptions())

    assert outcome.exercised == {}
