"""The rules that concern one device, one test a rule: platform behaviour and the wire contract."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.effects import AcknowledgeDelivery, PublishAnswer, PublishResult, PublishState, Reboot
from agent.events import TimerFired
from agent.machine import timers
from agent.passcode import PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, PastAnswers, PastResults, Timer
from platforms import PLATFORMS
from tests.support.device_harness import (
    DAY,
    FIRST,
    HOUR,
    MINUTE,
    OTHER,
    SECOND,
    START,
    THIRD,
    Rig,
    results,
    screens,
    snapshots,
    unlocked,
)

PHONES = ("windows_phone_8", "windows_phone_8_1", "windows_10_mobile")
TABLETS = ("windows_rt", "windows_rt_8_1", "windows_8_1")
EVERY = tuple(p.id for p in PLATFORMS)
RESETTABLE = tuple(p for p in EVERY if p not in TABLETS)
COUNTS_CURRENT = ("android", *PHONES, *TABLETS)


def _policy(rig: Rig, **settings: object) -> None:
    assert rig.do("applyPasscodePolicy", policy=PasscodePolicy(**settings)).state == "done"  # type: ignore[arg-type]


def _without_memory(state: DeviceState) -> DeviceState:
    """A state but for what goes on through a restore."""
    return replace(
        state,
        version=0,
        draws=0,
        notifications=0,
        results=PastResults(),
        answers=PastAnswers(),
        messages=(),
    )


def _after_reset() -> Rig:
    rig = Rig("ios")
    rig.send("resetPasscode", "reset")
    return rig


# The grace period


def test_anyone_may_swipe_up_after_an_ios_reset() -> None:
    rig = _after_reset()
    assert rig.state.locked
    assert rig.press("swipeUp").state == "done"
    assert not rig.state.locked


def test_a_further_reset_starts_the_grace_anew() -> None:
    rig = _after_reset()
    rig.advance(40 * MINUTE)
    rig.send("resetPasscode", "another")
    assert rig.state.passcode_deadline == START + 100 * MINUTE
    rig.advance(59 * MINUTE)
    assert rig.state.compliance == "inGracePeriod"


def test_a_duplicate_does_not_start_the_grace_anew() -> None:
    rig = _after_reset()
    rig.advance(40 * MINUTE)
    rig.send("resetPasscode", "reset")
    assert rig.state.passcode_deadline == START + HOUR
    rig.advance(20 * MINUTE)
    assert rig.state.compliance == "noncompliant"


def test_a_reset_past_the_deadline_gives_a_new_grace() -> None:
    rig = _after_reset()
    rig.advance(2 * HOUR)
    rig.send("resetPasscode", "another")
    assert rig.state.compliance == "inGracePeriod"
    assert rig.press("swipeUp").state == "done"


def test_the_grace_starts_when_the_reset_is_done_not_when_it_was_sent() -> None:
    rig = Rig("ios", reaction=(2 * SECOND, 2 * SECOND))
    rig.send("resetPasscode")
    rig.advance(2 * SECOND)
    assert rig.state.passcode_deadline == START + 2 * SECOND + HOUR


@pytest.mark.parametrize("policy", [None, PasscodePolicy(min_length=6)])
def test_the_grace_runs_policy_or_not(policy: PasscodePolicy | None) -> None:
    rig = Rig("ios", policy=policy)
    rig.send("resetPasscode")
    assert rig.state.compliance == "inGracePeriod"


def test_setting_a_passcode_ends_the_grace() -> None:
    rig = unlocked(_after_reset(), None)
    assert rig.press("setPasscode", OTHER).state == "done"
    assert (rig.state.compliance, rig.state.passcode_deadline) == ("compliant", None)
    assert rig.advance(2 * HOUR) == ()


def test_lifting_the_policy_does_not_end_the_grace_of_a_reset() -> None:
    rig = _after_reset()
    _policy(rig)
    assert rig.state.compliance == "inGracePeriod"
    assert rig.state.passcode_deadline == START + HOUR


def test_the_prompt_needs_an_open_device() -> None:
    rig = _after_reset()
    assert rig.press("changeNow").error == "deviceLocked"
    assert rig.press("setPasscode", OTHER).error == "deviceLocked"
    rig.press("swipeUp")
    assert rig.press("changeNow").state == "done"


def _prompted_again(rig: Rig) -> bool:
    return [(s.title, s.buttons) for s in screens(rig.effects)] == [
        ("Passcode Requirement", ("changeNow", "later"))
    ]


def test_a_prompt_that_was_put_off_returns_at_the_next_unlock() -> None:
    rig = unlocked(_after_reset(), None)
    assert rig.press("later").state == "done"
    assert rig.press("swipeUp").state == "done"  # it is open already
    assert not screens(rig.effects)
    rig.do("remoteLock")
    unlocked(rig, None)
    assert _prompted_again(rig)
    assert rig.press("changeNow").state == "done"


@pytest.mark.parametrize("opens", ["enterPasscode", "useBiometric"])
def test_a_prompt_for_a_policy_returns_however_the_device_is_opened(opens: str) -> None:
    policy = PasscodePolicy(min_length=12, max_inactivity_minutes=5)
    rig = unlocked(Rig("ios", biometrics=("touchId",)))
    assert rig.do("applyPasscodePolicy", policy=policy).state == "done"
    assert rig.press("later").state == "done"
    rig.advance(6 * MINUTE)
    assert rig.state.locked
    assert rig.press(opens, FIRST if opens == "enterPasscode" else None).state == "done"
    assert _prompted_again(rig)


def test_a_stricter_policy_prompts_on_a_device_that_is_noncompliant_already() -> None:
    rig = Rig("android")
    for length in (12, 14):
        rig.send("applyPasscodePolicy", policy=PasscodePolicy(min_length=length))
        assert rig.state.compliance == "noncompliant"
        assert [screen.title for screen in screens(rig.effects)] == ["Passcode Requirement"]


@pytest.mark.parametrize("platform", TABLETS)
def test_the_enrolling_users_passcode_opens_no_other_users_session(platform: str) -> None:
    rig = Rig(platform)
    assert rig.press("signIn", user="robin").state == "done"
    assert rig.press("setPasscode", OTHER).error == "wrongUser"
    rig.simulate("restart")
    assert rig.press("enterPasscode", FIRST).error == "wrongPasscode"
    assert rig.state.locked
    assert rig.press("signIn", user="alex").state == "done"
    rig.simulate("restart")
    assert rig.press("enterPasscode", FIRST).state == "done"


def test_later_hides_the_prompt_until_the_deadline() -> None:
    rig = unlocked(_after_reset(), None)
    assert rig.press("changeNow").state == "done"
    assert rig.press("later").state == "done"
    assert rig.press("changeNow").error == "notOnScreen"
    assert rig.press("later").error == "notOnScreen"
    (screen,) = screens(rig.advance(HOUR))
    assert "later" not in screen.buttons
    assert rig.press("changeNow").state == "done"
    assert rig.press("later").error == "notOnScreen"


@pytest.mark.parametrize("was_open", [True, False])
def test_at_the_deadline_the_device_opens_nothing_until_a_passcode_is_set(
    *, was_open: bool
) -> None:
    rig = _after_reset()
    if was_open:
        unlocked(rig, None)
    rig.advance(HOUR)
    assert rig.state.compliance == "noncompliant"
    if not was_open:
        assert rig.press("setPasscode", OTHER).error == "deviceLocked"
    assert rig.press("swipeUp").error == "passcodeRequired"
    assert not rig.state.locked  # the passcode screen shows in place of the lock screen
    assert rig.press("swipeUp").error == "passcodeRequired"
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.state.compliance == "compliant"
    rig.do("remoteLock")
    assert rig.press("enterPasscode", OTHER).state == "done"


def test_a_temporary_passcode_is_compliant_though_the_old_one_was_not() -> None:
    rig = Rig("android", passcode="58", policy=PasscodePolicy(min_length=8))
    assert rig.state.compliance == "noncompliant"
    rig.send("resetPasscode")
    assert (rig.state.passcode, rig.state.compliance) == ("temporary", "compliant")


# Lock and unlock


@pytest.mark.parametrize("platform", EVERY)
def test_a_device_starts_locked(platform: str) -> None:
    assert Rig(platform).state.locked
    assert Rig(platform, passcode=None).state.locked


@pytest.mark.parametrize("platform", EVERY)
def test_swipe_up_opens_only_without_a_passcode(platform: str) -> None:
    assert Rig(platform).press("swipeUp").error == "deviceLocked"
    assert Rig(platform, passcode=None).press("swipeUp").state == "done"


@pytest.mark.parametrize("platform", EVERY)
def test_a_passcode_is_entered_only_where_there_is_one(platform: str) -> None:
    rig = Rig(platform, passcode=None)
    assert rig.press("enterPasscode", FIRST).error == "passcodeNotSet"
    assert rig.state.locked
    assert rig.state.failed_attempts == 0


@pytest.mark.parametrize("platform", EVERY)
@pytest.mark.parametrize("how", ["press", "simulate"])
def test_a_restart_locks(platform: str, how: str) -> None:
    rig = unlocked(Rig(platform))
    if how == "press":
        rig.press("restart")
    else:
        rig.simulate("restart")
    assert rig.state.locked
    assert Reboot(abrupt=False) in rig.effects


def test_a_crash_goes_down_without_a_word_and_comes_up_locked() -> None:
    rig = unlocked(Rig("android"))
    assert rig.simulate("crash")[0] == Reboot(abrupt=True)
    assert rig.state.locked


@pytest.mark.parametrize("platform", TABLETS)
def test_signing_in_opens_for_that_user(platform: str) -> None:
    rig = Rig(platform)
    assert rig.press("signIn", user="robin").state == "done"
    assert (rig.state.locked, rig.state.current_user) == (False, "robin")


@pytest.mark.parametrize("platform", RESETTABLE)
def test_phones_do_not_support_sign_in(platform: str) -> None:
    rig = Rig(platform)
    assert rig.press("signIn", user="robin").state == "notSupported"
    assert (rig.state.locked, rig.state.current_user) == (True, "alex")


@pytest.mark.parametrize("platform", EVERY)
@pytest.mark.parametrize("passcode", [FIRST, None])
def test_setting_a_passcode_needs_an_unlocked_device(platform: str, passcode: str | None) -> None:
    rig = Rig(platform, passcode=passcode)
    assert rig.press("setPasscode", OTHER).error == "deviceLocked"
    unlocked(rig, passcode)
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.state.passcode == "user"


@pytest.mark.parametrize("platform", EVERY)
def test_an_empty_passcode_is_too_short_on_every_platform(platform: str) -> None:
    rig = unlocked(Rig(platform))
    for nothing in ("", None):
        assert rig.press("setPasscode", nothing).error == "policyViolation"
    rig.do("remoteLock")
    assert rig.press("enterPasscode", "").error == "wrongPasscode"
    assert rig.press("enterPasscode", FIRST).state == "done"


# Policy


def test_a_device_locks_after_inactivity_and_each_press_counts() -> None:
    rig = unlocked(Rig("android", policy=PasscodePolicy(max_inactivity_minutes=5)))
    rig.advance(4 * MINUTE)
    rig.press("changeNow")
    rig.advance(5 * MINUTE - 1)
    assert not rig.state.locked
    rig.advance(1)
    assert rig.state.locked


def test_zero_minutes_of_inactivity_is_never() -> None:
    rig = unlocked(Rig("android", policy=PasscodePolicy(max_inactivity_minutes=0)))
    rig.advance(30 * DAY)
    assert not rig.state.locked


def test_the_inactivity_of_a_new_policy_counts_from_its_arrival() -> None:
    rig = unlocked(Rig("android"))
    rig.advance(HOUR)
    _policy(rig, max_inactivity_minutes=1)
    rig.advance(MINUTE - 1)
    assert not rig.state.locked
    rig.advance(1)
    assert rig.state.locked


@pytest.mark.parametrize("platform", PHONES)
def test_a_reset_that_locks_leaves_no_auto_lock_behind(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=PasscodePolicy(max_inactivity_minutes=5)))
    rig.send("resetPasscode")
    assert timers(rig.state) == {}


def test_a_passcode_expires_and_a_new_one_makes_the_device_compliant() -> None:
    rig = Rig("windows_10_mobile", policy=PasscodePolicy(max_age_days=30))
    (screen,) = screens(rig.advance(30 * DAY))
    assert "expired" in screen.body
    assert rig.state.compliance == "noncompliant"
    unlocked(rig)
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.state.compliance == "compliant"
    rig.advance(30 * DAY - 1)
    assert rig.state.compliance == "compliant"
    rig.advance(1)
    assert rig.state.compliance == "noncompliant"


def test_a_passcode_does_not_get_younger_by_a_policy_applied_again() -> None:
    policy = PasscodePolicy(max_age_days=30)
    rig = Rig("windows_10_mobile", policy=policy)
    rig.advance(29 * DAY)
    assert rig.do("applyPasscodePolicy", policy=policy).state == "done"
    rig.advance(DAY)
    assert rig.state.compliance == "noncompliant"
    assert rig.do("applyPasscodePolicy", policy=policy).state == "done"
    assert rig.state.compliance == "noncompliant"


def test_an_iphone_enrolled_under_a_policy_its_passcode_breaks_has_sixty_minutes() -> None:
    rig = Rig("ios", policy=PasscodePolicy(min_length=16))
    assert rig.state.compliance == "inGracePeriod"
    assert rig.state.passcode_deadline == START + HOUR
    rig.advance(HOUR)
    assert rig.state.compliance == "noncompliant"


def test_touch_id_does_not_open_a_disabled_iphone() -> None:
    rig = Rig("ios", biometrics=("touchId",))
    for _ in range(5):
        rig.press("enterPasscode", OTHER)
    assert rig.press("useBiometric").error == "tooManyAttempts"
    rig.advance(MINUTE)
    assert rig.press("useBiometric").state == "done"


@pytest.mark.parametrize("platform", EVERY)
def test_a_right_passcode_forgives_the_wrong_ones(platform: str) -> None:
    rig = Rig(platform, policy=PasscodePolicy(max_failed_attempts=3))
    for _ in range(3):
        for attempt in (1, 2):
            assert rig.press("enterPasscode", OTHER).error == "wrongPasscode"
            assert rig.state.failed_attempts == attempt
        assert rig.press("enterPasscode", FIRST).state == "done"
        assert rig.state.failed_attempts == 0
    assert not rig.state.wiped


def test_without_a_limit_wrong_passcodes_never_wipe() -> None:
    rig = Rig("windows_phone_8_1", policy=PasscodePolicy(max_failed_attempts=0))
    for _ in range(200):
        rig.press("enterPasscode", OTHER)
    assert not rig.state.wiped


def test_ios_takes_no_passcode_for_a_while_after_many_wrong_ones() -> None:
    rig = Rig("ios")
    for minutes in (0, 0, 0, 0, 1, 5, 15, 15, 60, 60):
        assert rig.press("enterPasscode", OTHER).error == "wrongPasscode"
        failed = rig.state.failed_attempts
        if minutes:
            rig.advance(minutes * MINUTE - 1)
            assert rig.press("enterPasscode", FIRST).error == "tooManyAttempts"
            assert rig.state.failed_attempts == failed
            rig.advance(1)
    assert rig.press("enterPasscode", FIRST).state == "done"


def test_a_reset_lifts_the_delay_after_wrong_passcodes() -> None:
    rig = Rig("ios")
    for _ in range(5):
        rig.press("enterPasscode", OTHER)
    rig.send("resetPasscode")
    assert rig.state.failed_attempts == 0
    unlocked(rig, None)
    rig.press("setPasscode", THIRD)
    assert rig.press("enterPasscode", THIRD).state == "done"


def _wiped(platform: str = "android") -> Rig:
    rig = Rig(platform, policy=PasscodePolicy(max_failed_attempts=2))
    while not rig.state.wiped:
        assert rig.press("enterPasscode", OTHER).error == "wrongPasscode"
    return rig


@pytest.mark.parametrize("platform", EVERY)
def test_a_wiped_device_answers_not_enrolled_until_it_is_restored(platform: str) -> None:
    rig = _wiped(platform)
    for action in ("resetPasscode", "remoteLock", "syncDevice", "applyPasscodePolicy"):
        assert rig.do(action, policy=PasscodePolicy()).error == "notEnrolled"
    for action in ("swipeUp", "enterPasscode", "setPasscode", "restart", "later"):
        assert rig.press(action, FIRST).error == "notEnrolled"
    assert rig.state.wiped
    rig.simulate("restore")
    restored = rig.state
    assert not restored.wiped
    assert rig.do("syncDevice").state == "done"
    assert rig.press("enterPasscode", FIRST).state == "done"


def test_a_wiped_device_waits_for_nothing() -> None:
    policy = PasscodePolicy(max_failed_attempts=2, max_inactivity_minutes=5, max_age_days=3)
    rig = Rig("android", policy=policy)
    unlocked(rig)
    for _ in range(2):
        rig.press("enterPasscode", OTHER)
    assert rig.state.wiped
    assert timers(rig.state) == {}


def test_a_wiped_device_still_knows_what_it_answered() -> None:
    rig = Rig("android", policy=PasscodePolicy(max_failed_attempts=2))
    first = rig.do("remoteLock", "c")
    for _ in range(2):
        rig.press("enterPasscode", OTHER)
    assert rig.state.wiped
    assert results(rig.send("remoteLock", "c")) == [PublishResult(first, duplicate=True)]


@pytest.mark.parametrize("platform", EVERY)
def test_a_policy_out_of_bounds_changes_nothing(platform: str) -> None:
    rig = Rig(platform)
    before = rig.state
    for policy in (
        PasscodePolicy(min_length=-1),
        PasscodePolicy(min_length=10**30),
        PasscodePolicy(max_age_days=731, min_length=6),
        PasscodePolicy(history=51),
    ):
        assert rig.do("applyPasscodePolicy", policy=policy).error == "policyViolation"
    assert replace(rig.state, results=PastResults()) == before


BOUNDS = [
    ("ios", "history", 1, 50),
    ("ios", "max_failed_attempts", 2, 11),
    ("ios", "max_inactivity_minutes", 0, 15),
    ("ios", "min_length", 0, 16),
    ("windows_phone_8", "min_length", 4, 18),
    ("windows_phone_8_1", "min_length", 4, 18),
    ("windows_10_mobile", "min_length", 4, 16),
    ("windows_10_mobile", "history", 0, 50),
    ("windows_phone_8_1", "max_failed_attempts", 0, 999),
    ("windows_phone_8_1", "min_complex_characters", 1, 4),
]


@pytest.mark.parametrize(("platform", "name", "low", "high"), BOUNDS)
def test_bounds_are_the_platform_s_own_both_ends_included(
    platform: str, name: str, low: int, high: int
) -> None:
    for value, state in ((low, "done"), (high, "done"), (low - 1, "failed"), (high + 1, "failed")):
        policy = PasscodePolicy(**{name: value})  # type: ignore[arg-type]
        assert Rig(platform).do("applyPasscodePolicy", policy=policy).state == state


def test_a_tightened_policy_gives_ios_an_hour_and_others_none() -> None:
    ios, android = Rig("ios"), Rig("android")
    for rig in (ios, android):
        _policy(rig, min_length=12)
    assert ios.state.passcode_deadline == START + HOUR
    assert android.state.compliance == "noncompliant"
    ios.advance(30 * MINUTE)
    _policy(ios, min_length=14)
    assert ios.state.passcode_deadline == START + HOUR
    _policy(ios, min_length=4)
    relaxed = ios.state
    assert (relaxed.compliance, relaxed.passcode_deadline) == ("compliant", None)


def test_the_screen_shows_why_a_passcode_is_refused_but_not_the_passcode() -> None:
    rig = unlocked(Rig("android", policy=PasscodePolicy(min_length=8)))
    answer = rig.press("setPasscode", "Kd3")
    assert answer.error == "policyViolation"
    (screen,) = screens(rig.effects)
    assert "short" in screen.body
    assert "Kd3" not in answer.message + screen.body
    assert rig.state.passcode == "user"


# History


@pytest.mark.parametrize("platform", COUNTS_CURRENT)
def test_a_history_of_two_holds_the_current_passcode_and_one_more(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=PasscodePolicy(history=2)))
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.press("setPasscode", OTHER).error == "policyViolation"
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", THIRD).state == "done"
    assert rig.press("setPasscode", FIRST).state == "done"


@pytest.mark.parametrize("platform", COUNTS_CURRENT)
def test_a_history_of_one_is_the_current_passcode_alone(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=PasscodePolicy(history=1)))
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.press("setPasscode", FIRST).state == "done"


def test_an_ios_history_counts_besides_the_current_passcode() -> None:
    rig = unlocked(Rig("ios", policy=PasscodePolicy(history=1)))
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", THIRD).state == "done"
    assert rig.press("setPasscode", FIRST).state == "done"


def test_the_passcode_that_an_ios_reset_cleared_enters_the_history() -> None:
    rig = Rig("ios", policy=PasscodePolicy(history=1))
    rig.send("resetPasscode")
    unlocked(rig, None)
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", OTHER).state == "done"


@pytest.mark.parametrize("platform", RESETTABLE)
def test_without_a_policy_an_old_passcode_may_be_set_again(platform: str) -> None:
    rig = Rig(platform)
    rig.send("resetPasscode")
    unlocked(rig, None if platform == "ios" else rig.temporary())
    assert rig.press("setPasscode", FIRST).state == "done"


@pytest.mark.parametrize("platform", EVERY)
def test_a_history_reaches_back_fifty_passcodes_and_not_further(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=PasscodePolicy(history=50)))
    besides_current = 50 if platform == "ios" else 49
    used = [f"Bn{n}!kW" for n in range(besides_current)]
    for passcode in used:
        assert rig.press("setPasscode", passcode).state == "done"
    assert rig.press("setPasscode", FIRST).error == "policyViolation"
    assert rig.press("setPasscode", OTHER).state == "done"
    assert rig.press("setPasscode", FIRST).state == "done"


# Biometrics


def test_touch_id_must_be_set_up_again_after_a_reset() -> None:
    rig = Rig("ios", biometrics=("touchId",))
    assert rig.press("useBiometric").state == "done"
    rig.send("resetPasscode")
    assert rig.state.touch_id == "mustEnroll"
    rig.press("setPasscode", OTHER)
    assert rig.press("useBiometric").error == "biometricNotEnrolled"
    assert rig.press("enrollBiometric").state == "done"
    rig.advance(MINUTE)
    assert rig.press("useBiometric").state == "done"


def test_a_biometric_is_not_set_up_without_a_passcode() -> None:
    rig = unlocked(Rig("ios", passcode=None), None)
    assert rig.press("enrollBiometric").error == "passcodeNotSet"
    assert rig.press("useBiometric").error == "passcodeNotSet"


@pytest.mark.parametrize("by", ["remoteLock", "restart", "crash"])
def test_touch_id_is_refused_after_a_lock_from_afar_until_the_passcode_was_entered(
    by: str,
) -> None:
    rig = unlocked(Rig("ios", biometrics=("touchId",)))
    if by == "remoteLock":
        rig.send(by)
    else:
        rig.simulate(by)
    assert rig.state.touch_id == "blocked"
    assert rig.press("useBiometric").error == "biometricBlocked"
    assert rig.press("enterPasscode", OTHER).error == "wrongPasscode"
    assert rig.press("useBiometric").error == "biometricBlocked"
    assert rig.press("enterPasscode", FIRST).state == "done"
    assert rig.state.touch_id == "enrolled"


def test_touch_id_opens_after_an_auto_lock() -> None:
    policy = PasscodePolicy(max_inactivity_minutes=5)
    rig = unlocked(Rig("ios", biometrics=("touchId",), policy=policy))
    rig.advance(5 * MINUTE)
    assert rig.state.locked
    assert rig.press("useBiometric").state == "done"


@pytest.mark.parametrize("by", ["resetPasscode", "remoteLock"])
def test_windows_hello_keeps_opening(by: str) -> None:
    rig = unlocked(Rig("windows_10_mobile", biometrics=("face",)))
    rig.send(by)
    assert rig.state.locked
    assert rig.press("useBiometric").state == "done"
    assert not rig.state.locked


def test_a_platform_without_a_sensor_does_not_support_biometrics() -> None:
    for platform in ("windows_phone_8", "windows_phone_8_1", *TABLETS):
        assert Rig(platform).press("useBiometric").state == "notSupported"


# Commands in time


def test_a_command_that_expired_before_it_was_taken_up_is_refused() -> None:
    rig = Rig("android")
    assert rig.do("remoteLock", "late", expires=START - 1).error == "expired"
    assert rig.do("remoteLock", "just in time", expires=START).state == "done"


def test_a_command_that_expires_during_the_reaction_is_refused_and_does_nothing() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    before = rig.state
    rig.send("resetPasscode", expires=START + SECOND)
    (said,) = results(rig.advance(2 * SECOND))
    assert said.result.error == "expired"
    assert rig.state == replace(before, draws=rig.state.draws)


def test_a_command_that_expires_while_others_are_done_is_refused_in_its_turn() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    rig.send("syncDevice", "slow")
    rig.send("remoteLock", "behind", expires=START + SECOND)
    said = [(r.result.command_id, r.result.error) for r in results(rig.advance(2 * SECOND))]
    assert said == [("slow", None), ("behind", "expired")]


@pytest.mark.parametrize(("reaction", "announced"), [(1_000, 0), (1_001, 1), (60_000, 1)])
def test_active_is_published_once_if_the_reaction_takes_over_a_second(
    reaction: int, announced: int
) -> None:
    rig = Rig("android", reaction=(reaction, reaction))
    said = [*results(rig.send("remoteLock")), *results(rig.advance(reaction))]
    assert [r.result.state for r in said] == ["active"] * announced + ["done"]
    assert said[-1].result.started == START
    assert said[-1].result.updated == START + reaction


def test_nothing_is_done_before_the_reaction_is_over() -> None:
    rig = unlocked(Rig("android", reaction=(500, 500)))
    rig.send("remoteLock")
    rig.advance(499)
    assert not rig.state.locked
    rig.advance(1)
    assert rig.state.locked


def test_commands_behind_a_slow_one_wait_in_their_order() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    for command_id in ("a", "b", "c"):
        rig.send("syncDevice", command_id)
    said = [r.result for r in results(rig.advance(10 * SECOND)) if r.result.state == "done"]
    assert [(r.command_id, r.updated - START) for r in said] == [
        ("a", 2 * SECOND),
        ("b", 4 * SECOND),
        ("c", 6 * SECOND),
    ]


def test_a_duplicate_behind_the_first_gets_its_result_when_it_is_there() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    rig.send("resetPasscode", "c")
    for _ in range(2):
        assert rig.send("resetPasscode", "c") == ()
    effects = rig.advance(2 * SECOND)
    said = results(effects)
    assert [(r.duplicate, r.result) for r in said] == [
        (False, said[0].result),
        (True, said[0].result),
        (True, said[0].result),
    ]
    settled = [e.delivery for e in effects if isinstance(e, AcknowledgeDelivery)]
    assert settled == ["delivery-1", "delivery-2", "delivery-3"]
    assert rig.state.resets == 1


def test_a_reused_id_behind_the_first_is_refused_in_its_turn() -> None:
    rig = Rig("android", reaction=(500, 500))
    rig.send("resetPasscode", "c")
    rig.send("remoteLock", "c")
    said = [(r.result.action, r.result.error) for r in results(rig.advance(500))]
    assert said == [("resetPasscode", None), ("remoteLock", "commandIdReused")]
    assert rig.state.work is None


def test_a_reset_at_work_outlives_a_crash_and_is_announced_once() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    said = [*results(rig.send("resetPasscode", "a"))]
    rig.send("remoteLock", "b")
    crashed = rig.simulate("crash")
    assert not [e for e in crashed if isinstance(e, AcknowledgeDelivery)]
    # The broker has no acknowledgement of them and sends them again.
    rig.send("resetPasscode", "a")
    rig.send("remoteLock", "b")
    said += results(rig.advance(HOUR))
    answers = [(r.result.command_id, r.result.state, r.duplicate) for r in said]
    assert [one for one in answers if one[0] == "a"] == [
        ("a", "active", False),
        ("a", "done", False),
        ("a", "done", True),
    ]
    assert [one for one in answers if one[0] == "b"] == [
        ("b", "active", False),
        ("b", "done", False),
        ("b", "done", True),
    ]
    assert rig.state.resets == 1


def test_what_was_done_before_a_crash_is_not_done_again() -> None:
    rig = Rig("ios")
    first = rig.do("resetPasscode", "a")
    rig.simulate("crash")
    rig.advance(MINUTE)
    assert results(rig.send("resetPasscode", "a")) == [PublishResult(first, duplicate=True)]
    assert rig.state.passcode_deadline == START + HOUR


def test_presses_are_answered_while_a_command_is_at_work() -> None:
    rig = Rig("android", reaction=(2 * SECOND, 2 * SECOND))
    rig.send("remoteLock")
    assert rig.press("enterPasscode", FIRST).state == "done"
    rig.advance(2 * SECOND)
    assert rig.state.locked


# Exactly once


@pytest.mark.parametrize("action", ["resetPasscode", "remoteLock", "syncDevice"])
@pytest.mark.parametrize("platform", EVERY)
def test_the_same_command_again_gets_the_stored_result_and_changes_nothing(
    platform: str, action: str
) -> None:
    rig = Rig(platform)
    first = rig.do(action, "c")
    before = rig.state
    rig.advance(MINUTE)
    effects = rig.send(action, "c", delivery="again")
    assert effects == (PublishResult(first, duplicate=True), AcknowledgeDelivery("again"))
    assert rig.state == before


def test_the_same_id_with_another_action_is_refused_and_the_first_stays_known() -> None:
    rig = Rig("android")
    first = rig.do("remoteLock", "c")
    before = rig.state
    assert rig.do("resetPasscode", "c").error == "commandIdReused"
    assert rig.state == before
    assert results(rig.send("remoteLock", "c")) == [PublishResult(first, duplicate=True)]


def test_a_refusal_is_not_stored() -> None:
    rig = Rig("android")
    assert rig.do("remoteLock", "c", expires=START - 1).error == "expired"
    assert rig.do("remoteLock", "c").state == "done"
    wiped = _wiped()
    assert wiped.do("remoteLock", "c").error == "notEnrolled"
    wiped.simulate("restore")
    assert wiped.do("resetPasscode", "c").state == "done"


@pytest.mark.parametrize("platform", PHONES)
def test_a_failure_of_the_device_itself_is_stored(platform: str) -> None:
    rig = Rig(platform, passcode=None)
    failed = rig.do("remoteLock", "c")
    assert failed.error == "passcodeNotSet"
    unlocked(rig, None)
    rig.press("setPasscode", OTHER)
    assert results(rig.send("remoteLock", "c")) == [PublishResult(failed, duplicate=True)]


def test_the_last_thirty_two_results_are_known() -> None:
    rig = Rig("android")
    for n in range(40):
        rig.send("syncDevice", f"c-{n}")
    assert len(rig.state.results) <= 64
    for n in range(8, 40):
        (said,) = results(rig.send("syncDevice", f"c-{n}"))
        assert said.duplicate


def test_the_same_input_id_counts_once() -> None:
    rig = Rig("android", policy=PasscodePolicy(max_failed_attempts=4))
    for _ in range(10):
        rig.press("enterPasscode", OTHER, input_id="i")
    (said,) = (e for e in rig.effects if isinstance(e, PublishAnswer))
    assert said.duplicate
    assert rig.state.failed_attempts == 1
    assert rig.press("swipeUp", input_id="i").error == "inputIdReused"
    assert not rig.state.wiped


def test_a_press_from_before_a_restore_counts_once_too() -> None:
    rig = unlocked(Rig("android"))
    rig.press("setPasscode", OTHER, input_id="i")
    rig.simulate("restore")
    rig.press("setPasscode", OTHER, input_id="i")
    (said,) = (e for e in rig.effects if isinstance(e, PublishAnswer))
    assert said.duplicate
    assert rig.state.secret == rig.enrollment.first


def test_the_same_message_comes_once() -> None:
    rig = Rig("android")
    assert len(screens(rig.reach("m"))) == 1
    assert rig.reach("m") == ()


def test_a_key_is_pressed_on_a_call_and_on_nothing_else() -> None:
    rig = Rig("android")
    assert rig.press("pressKey", key="#").error == "notOnScreen"
    rig.reach("text")
    assert rig.press("pressKey", key="#").error == "notOnScreen"
    rig.reach("call", "call")
    assert rig.press("pressKey", key="#").state == "done"
    assert rig.press("pressKey", key="#").error == "notOnScreen"


@pytest.mark.parametrize("by", ["crash", "restart", "restore"])
def test_a_call_does_not_outlive_the_device_s_going_down(by: str) -> None:
    rig = Rig("android")
    rig.reach("call", "call")
    rig.simulate(by)
    assert rig.press("pressKey", key="#").error == "notOnScreen"


# Restore


@pytest.mark.parametrize("platform", EVERY)
def test_restore_is_the_first_state_again_but_counters_and_memory_go_on(platform: str) -> None:
    policy = PasscodePolicy(min_length=4, max_inactivity_minutes=5)
    rig = Rig(platform, policy=policy)
    start = rig.state
    done = rig.do("resetPasscode", "c")
    rig.do("applyPasscodePolicy", policy=PasscodePolicy(min_length=12))
    rig.press("enterPasscode", OTHER)
    before = rig.state
    (published,) = snapshots(rig.simulate("restore"))
    assert _without_memory(rig.state) == _without_memory(start)
    assert published.version == rig.state.version > before.version
    assert results(rig.send("resetPasscode", "c")) == [PublishResult(done, duplicate=True)]


def test_a_temporary_passcode_does_not_come_back_after_a_restore() -> None:
    rig = Rig("android")
    seen = set()
    for n in range(20):
        rig.send("resetPasscode", f"c-{n}")
        seen.add(rig.temporary())
        rig.simulate("restore")
    assert len(seen) == 20


def test_a_temporary_passcode_that_was_used_before_is_drawn_again() -> None:
    class Stuck(DeviceRandomStream):
        """The first five draws give the same bits."""

        def bits(self, purpose: str, number: int) -> int:
            return super().bits(purpose, max(number, 5))

    rig = Rig("android")
    rig.draws = Stuck(rig.seed, "d-1")
    drawn = []
    for _ in range(2):
        rig.send("resetPasscode")
        drawn.append(rig.temporary())
    assert drawn[0] != drawn[1]
    assert rig.state.draws == 6


# State and version


def test_a_sync_publishes_the_state_and_counts_the_check_in() -> None:
    rig = Rig("android")
    (published,) = snapshots(rig.send("syncDevice"))
    assert (published.version, published.last_check_in) == (2, rig.now)
    (published,) = snapshots(rig.send("syncDevice"))  # at the same instant: no change
    assert published.version == rig.state.version == 2


def test_a_lock_on_a_locked_device_is_no_change() -> None:
    rig = Rig("android")
    effects = rig.send("remoteLock")
    assert snapshots(effects) == []
    assert rig.state.version == 1


def test_state_notification_and_escrow_come_before_the_result() -> None:
    rig = Rig("windows_phone_8_1", management="hybrid")
    names = [type(e).__name__ for e in rig.send("resetPasscode")]
    assert names == [
        "PublishState",
        "PublishNotification",
        "PublishEscrow",
        "PublishResult",
        "AcknowledgeDelivery",
    ]
    published = rig.effects[0]
    assert isinstance(published, PublishState)
    assert published.state.passcode == "temporary"


def test_reset_numbers_count_the_resets_of_a_device() -> None:
    rig = Rig("windows_phone_8_1", management="hybrid")
    numbers = [getattr(rig.send("resetPasscode")[2], "reset_number", None) for _ in range(3)]
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize("platform", RESETTABLE)
def test_a_reset_without_a_passcode_is_done_all_the_same(platform: str) -> None:
    rig = Rig(platform, passcode=None)
    assert rig.do("resetPasscode").state == "done"
    assert rig.state.passcode == ("none" if platform == "ios" else "temporary")


def test_two_seeds_draw_different_passcodes_and_one_seed_the_same() -> None:
    def drawn(seed: int) -> str:
        rig = Rig("android", seed=seed)
        rig.send("resetPasscode")
        return rig.temporary()

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(20)}) == 20


def test_a_reaction_that_fires_too_early_does_nothing() -> None:
    rig = Rig("android", reaction=(500, 500))
    rig.send("remoteLock")
    rig.now += 499
    assert rig.happen(TimerFired(Timer.REACTION)) == ()
    assert results(rig.advance(1))[0].result.state == "done"


def test_a_timer_that_fires_too_early_does_nothing() -> None:
    rig = _after_reset()
    rig.now = START + HOUR - 1
    before = rig.state
    assert rig.happen(TimerFired(Timer.GRACE)) == ()
    assert rig.state == before
