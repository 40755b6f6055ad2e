"""Rules of several policies, of contradictory ones, of forcePin and of the grace after a lock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.passcode import (
    PasscodePolicy,
    contradiction,
    merged,
    out_of_bounds,
    traits_of,
    violations,
)
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.profile import Bound, NativeCase, PlatformProfile, PolicyMerge
from tests.support.device_harness import FIRST, MINUTE, OTHER, SECOND, Rig, screens, unlocked

WINDOWS_PHONES = ("windows_phone_8", "windows_phone_8_1", "windows_10_mobile")
OTHERS = tuple(p for p in PLATFORMS_BY_ID if p not in WINDOWS_PHONES)
GRACE = PasscodePolicy(max_inactivity_minutes=1, max_grace_period_minutes=5)


def apply(rig: Rig, **settings: object) -> tuple[str, str, str | None]:
    """(state, message, error) of a policy that is applied."""
    result = rig.do("applyPasscodePolicy", policy=PasscodePolicy(**settings))  # type: ignore[arg-type]
    return str(result.state), result.message, result.error and str(result.error)


# Several policies


@pytest.mark.parametrize("platform", WINDOWS_PHONES)
def test_windows_phones_keep_the_strictest_value_of_each_setting(platform: str) -> None:
    rig = Rig(platform)
    apply(rig, min_length=6, max_failed_attempts=0, max_inactivity_minutes=5, allow_simple=True)
    state, message, error = apply(
        rig, min_length=4, max_failed_attempts=8, max_inactivity_minutes=10, allow_simple=False
    )
    assert (state, error) == ("done", None)
    assert message == (
        "Passcode policy applied; in force from other policies: minLength 6, maxInactivityMinutes 5"
    )
    assert rig.state.policy == PasscodePolicy(
        min_length=6, max_failed_attempts=8, max_inactivity_minutes=5, allow_simple=False
    )


@pytest.mark.parametrize("platform", OTHERS)
def test_elsewhere_the_last_policy_replaces(platform: str) -> None:
    rig = Rig(platform)
    apply(rig, min_length=6, require_alphanumeric=True)
    assert apply(rig, min_length=4) == ("done", "Passcode policy applied", None)
    assert rig.state.policy == PasscodePolicy(min_length=4)


def test_a_policy_merges_with_that_of_the_group_until_all_are_lifted() -> None:
    rig = Rig("windows_phone_8_1", policy=PasscodePolicy(min_length=8, history=2))
    apply(rig, history=5)
    assert rig.state.policy == PasscodePolicy(min_length=8, history=5)
    assert apply(rig) == ("done", "Passcode policy applied", None)
    assert rig.state.policy is None


def test_a_stricter_policy_in_force_makes_the_temporary_passcode_longer() -> None:
    rig = Rig("windows_phone_8_1")
    apply(rig, min_length=9)
    apply(rig, min_length=4)
    rig.send("resetPasscode")
    assert len(rig.temporary()) == 9


def test_the_same_policy_again_names_no_other() -> None:
    rig = Rig("windows_10_mobile")
    apply(rig, min_length=6)
    assert apply(rig, min_length=6)[1] == "Passcode policy applied"


@pytest.mark.parametrize(
    ("one", "other", "result"),
    [
        ({"max_age_days": 0}, {"max_age_days": 30}, {"max_age_days": 30}),
        ({"max_age_days": 30}, {"max_age_days": 0}, {"max_age_days": 30}),
        ({"max_age_days": 0}, {"max_age_days": 0}, {"max_age_days": 0}),
        (
            {"max_grace_period_minutes": 5},
            {"max_grace_period_minutes": 0},
            {"max_grace_period_minutes": 0},
        ),
        ({"force_pin": False}, {"force_pin": False}, {"force_pin": False}),
        ({"force_pin": False}, {"force_pin": True}, {"force_pin": True}),
        ({"force_pin": True}, {}, {"force_pin": True}),
        ({"force_pin": False}, {"history": 1}, {"history": 1}),
        (
            {"require_alphanumeric": True},
            {"require_alphanumeric": False},
            {"require_alphanumeric": True},
        ),
        ({"min_length": 2}, {"min_length": 3}, {"min_length": 3}),
    ],
)
def test_the_stricter_of_two_values(
    one: dict[str, Any], other: dict[str, Any], result: dict[str, Any]
) -> None:
    assert merged(PasscodePolicy(**one), PasscodePolicy(**other)) == PasscodePolicy(**result)
    assert merged(PasscodePolicy(**other), PasscodePolicy(**one)) == PasscodePolicy(**result)


NUMBERS = st.none() | st.integers(0, 20)
FLAGS = st.none() | st.booleans()
POLICIES = st.builds(
    PasscodePolicy,
    min_length=NUMBERS,
    require_alphanumeric=FLAGS,
    min_complex_characters=st.none() | st.integers(0, 4),
    allow_simple=FLAGS,
    history=NUMBERS,
    max_failed_attempts=NUMBERS,
    max_inactivity_minutes=NUMBERS,
    max_age_days=NUMBERS,
    force_pin=FLAGS,
    max_grace_period_minutes=NUMBERS,
)
PASSCODES = st.text("aB3!", min_size=1, max_size=24)


@given(POLICIES, POLICIES, PASSCODES, st.sampled_from(PLATFORMS))
def test_a_passcode_satisfies_merged_policies_if_it_satisfies_each(
    one: PasscodePolicy, other: PasscodePolicy, passcode: str, platform: PlatformProfile
) -> None:
    rules = platform.passcode
    traits = traits_of(passcode)
    found = {*violations(traits, one, rules), *violations(traits, other, rules)}
    assert set(violations(traits, merged(one, other), rules)) == found
    assert merged(one, other) == merged(other, one)
    assert merged(one, one) == one


@given(POLICIES, POLICIES, st.sampled_from(PLATFORMS))
def test_no_two_policies_within_the_bounds_of_a_platform_contradict_each_other(
    one: PasscodePolicy, other: PasscodePolicy, platform: PlatformProfile
) -> None:
    rules = platform.passcode
    accepted = [p for p in (one, other) if not list(out_of_bounds(p, rules))]
    if len(accepted) == 2 and rules.policy_merge is PolicyMerge.STRICTEST:
        assert contradiction(merged(one, other), rules) is None


# Contradictions


@pytest.mark.parametrize("platform", ["ios", "android"])
def test_a_policy_that_contradicts_itself_is_refused(platform: str) -> None:
    rig = Rig(platform, policy=PasscodePolicy(min_length=4))
    result = rig.do(
        "applyPasscodePolicy", policy=PasscodePolicy(min_length=2, min_complex_characters=3)
    )
    assert (result.state, result.error) == ("failed", "policyViolation")
    assert result.message == "minComplexCharacters 3 does not fit into minLength 2."
    assert result.native is NativeCase.POLICY_VIOLATION
    assert rig.state.policy == PasscodePolicy(min_length=4)


def test_policies_that_contradict_each_other_are_refused() -> None:
    phone = PLATFORMS_BY_ID["windows_phone_8_1"]
    rules = replace(phone.passcode, max_length=3, min_length=Bound(0, 3))
    rig = Rig(replace(phone, passcode=rules), passcode="a1!")
    assert apply(rig, min_complex_characters=3)[0] == "done"
    state, message, error = apply(rig, min_length=2)
    assert (state, error) == ("failed", "policyViolation")
    assert message == "minComplexCharacters 3 does not fit into minLength 2."
    assert rig.state.policy == PasscodePolicy(min_complex_characters=3)
    assert apply(rig, min_complex_characters=4)[1] == (
        "No passcode of at most 3 characters satisfies the policy."
    )


# forcePin


@pytest.mark.parametrize("platform", PLATFORMS_BY_ID)
def test_a_policy_can_leave_it_to_the_user_to_have_a_passcode(platform: str) -> None:
    rig = Rig(platform, passcode=None, policy=PasscodePolicy(min_length=6, force_pin=False))
    assert rig.state.compliance == "compliant"
    assert rig.do("syncDevice").native is NativeCase.PASSCODE_NOT_REQUIRED
    unlocked(rig, None)
    assert rig.press("setPasscode", "Ab1").error == "policyViolation"
    assert rig.press("setPasscode", OTHER).state == "done"


@pytest.mark.parametrize("force", [None, True])
def test_any_other_policy_requires_a_passcode(force: bool | None) -> None:  # noqa: FBT001  # a value of the setting
    rig = Rig("android", passcode=None, policy=PasscodePolicy(allow_simple=True, force_pin=force))
    assert rig.state.compliance == "noncompliant"
    assert rig.do("syncDevice").native is NativeCase.NO_PASSCODE


def test_after_a_reset_a_passcode_is_missed_even_where_none_is_required() -> None:
    rig = Rig("ios", policy=PasscodePolicy(force_pin=False))
    rig.send("resetPasscode")
    assert rig.state.compliance == "inGracePeriod"
    assert apply(rig, force_pin=False, min_length=4)[0] == "done"
    assert rig.state.compliance == "inGracePeriod"
    assert rig.do("syncDevice").native is NativeCase.PASSCODE_NOT_REQUIRED


# maxGracePeriodMinutes


def locked_by_itself(policy: PasscodePolicy = GRACE, **more: object) -> Rig:
    rig = unlocked(Rig("ios", policy=policy, **more))  # type: ignore[arg-type]
    rig.advance(MINUTE)
    assert rig.state.locked
    return rig


def test_a_swipe_opens_a_device_that_locked_itself_within_the_grace_period() -> None:
    rig = locked_by_itself()
    rig.advance(5 * MINUTE - 1)
    assert rig.press("swipeUp").state == "done"
    assert not rig.state.locked
    assert rig.state.open_until is None


def test_the_grace_period_ends() -> None:
    rig = locked_by_itself()
    rig.advance(5 * MINUTE)
    assert rig.press("swipeUp").error == "deviceLocked"
    assert rig.press("enterPasscode", FIRST).state == "done"


@pytest.mark.parametrize(
    "policy",
    [PasscodePolicy(max_inactivity_minutes=1), replace(GRACE, max_grace_period_minutes=0)],
)
def test_without_a_grace_period_the_passcode_is_required_at_once(policy: PasscodePolicy) -> None:
    assert locked_by_itself(policy).press("swipeUp").error == "deviceLocked"


def test_touch_id_leaves_no_grace_period() -> None:
    rig = locked_by_itself(biometrics=("touchId",))
    assert rig.press("swipeUp").error == "deviceLocked"


@pytest.mark.parametrize(
    "end",
    [
        lambda rig: rig.send("remoteLock"),
        lambda rig: rig.simulate("restart"),
        lambda rig: rig.press("restart"),
        lambda rig: rig.send("retire"),
        lambda rig: rig.send("applyPasscodePolicy", policy=GRACE),
        lambda rig: rig.simulate("restore"),
    ],
    ids=["remoteLock", "crash", "restart", "retire", "policy", "restore"],
)
def test_a_lock_by_other_means_ends_the_grace_period(end: object) -> None:
    rig = locked_by_itself()
    rig.advance(SECOND)
    end(rig)  # type: ignore[operator]
    assert rig.press("swipeUp").error == "deviceLocked"


def test_a_temporary_passcode_ends_the_grace_period() -> None:
    android = PLATFORMS_BY_ID["android"]
    rules = replace(android.passcode, max_grace_period=Bound(0, 5))
    rig = unlocked(Rig(replace(android, passcode=rules), policy=GRACE))
    rig.advance(MINUTE)
    rig.send("resetPasscode")
    assert rig.press("swipeUp").error == "deviceLocked"


@pytest.mark.parametrize("platform", [p for p in PLATFORMS_BY_ID if p != "ios"])
def test_other_platforms_have_no_such_setting(platform: str) -> None:
    state, message, error = apply(Rig(platform), max_grace_period_minutes=5)
    assert (state, error) == ("failed", "policyViolation")
    assert message == "maxGracePeriodMinutes 5 is not within 0 to 0."


def test_the_bound_of_the_grace_period_on_ios() -> None:
    assert apply(Rig("ios"), max_grace_period_minutes=240)[0] == "done"
    assert apply(Rig("ios"), max_grace_period_minutes=241)[2] == "policyViolation"


def test_a_policy_that_is_not_met_shows_the_requirement_once_more_when_tightened() -> None:
    rig = Rig("ios", passcode="1357")
    rig.send("applyPasscodePolicy", policy=PasscodePolicy(min_length=6))
    assert [s.title for s in screens(rig.effects)] == ["Passcode Requirement"]
