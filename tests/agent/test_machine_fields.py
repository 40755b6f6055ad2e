"""Fields of a device after inputs, messages, resets, wipes and policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.effects import (
    PublishNotification,
    PublishState,
)
from agent.events import Command, Input, InputAction, MessageArrived, MessageKind
from agent.machine import first_state, step
from agent.passcode import PasscodePolicy, PasscodeRef, PasscodeSpec, traits_of
from agent.state import (
    BiometricState,
    Compliance,
    PasscodeKind,
    PastAnswers,
    PastResults,
    Prompt,
    Secret,
)
from platforms.profile import (
    Action,
    Attributes,
    BiometricConsequence,
    ResetOutcome,
)
from tests.support.device_harness import (
    DAY,
    FIRST,
    MINUTE,
    OTHER,
    SECOND,
    START,
    THIRD,
    Rig,
    screens,
    snapshots,
)
from tests.support.device_steps import (
    ANDROID,
    DRAWS,
    IOS,
    LATER,
    TOUCH,
    device,
    do,
    opened,
    press,
)

# --- what a press leaves -----------------------------------------------------------------------


def test_pressing_leaves_a_whole_state() -> None:
    policy = PasscodePolicy(max_inactivity_minutes=3, max_age_days=2)
    swiped, _ = press(device(passcode=None, policy=policy), "swipeUp")
    assert (swiped.locked, swiped.auto_lock_at) == (False, LATER + 3 * MINUTE)
    still, _ = press(opened(device()), "swipeUp")
    assert (still.locked, still.version, still.auto_lock_at) == (False, 1, None)

    hidden, _ = press(do(device(), Action.RESET_PASSCODE)[0], "later")
    assert hidden.prompt is Prompt.HIDDEN

    tried = replace(device(), failed_attempts=3, retry_at=LATER)
    entered, _ = press(tried, "enterPasscode", passcode=FIRST)
    assert (entered.failed_attempts, entered.retry_at, entered.locked) == (0, None, False)

    before = opened(device(policy=policy))
    after, _ = press(before, "setPasscode", passcode=OTHER)
    secret = Secret(PasscodeKind.USER, DRAWS.digest(OTHER), traits_of(OTHER))
    assert after.secret == secret
    assert after.history == DRAWS.digest(FIRST)
    assert after.passcode_expires_at == LATER + 2 * DAY
    assert (after.prompt, after.passcode_deadline) == (Prompt.NONE, None)


def test_a_refused_passcode_shows_why_on_the_screen() -> None:
    state = opened(device(policy=PasscodePolicy(min_length=9)))
    after, effects = step(state, Input("i", InputAction.SET_PASSCODE, passcode=OTHER), LATER, DRAWS)
    (shown,) = screens(effects)
    why = "The passcode is too short."
    assert shown == PublishNotification(1, "Passcode Requirement", why, (), LATER)
    assert replace(after, notifications=0, answers=PastAnswers()) == state


def test_a_biometric_is_set_up_where_the_platform_has_its_sensor() -> None:
    touch, _ = press(opened(device("ios")), "enrollBiometric")
    assert (touch.touch_id, touch.face) == (BiometricState.ENROLLED, BiometricState.NONE)
    face, _ = press(opened(device("windows_10_mobile")), "enrollBiometric")
    assert (face.touch_id, face.face) == (BiometricState.NONE, BiometricState.ENROLLED)


def test_who_signs_in_is_the_current_user_and_awake() -> None:
    policy = PasscodePolicy(max_inactivity_minutes=3)
    after, _ = press(device("windows_rt", policy=policy), "signIn", user="kim")
    assert (after.current_user, after.locked) == ("kim", False)
    assert after.auto_lock_at == LATER + 3 * MINUTE
    again, _ = press(device("windows_rt"), "signIn")
    assert again.current_user == "alex"


def test_a_restart_locks_ends_a_call_and_blocks_touch_id() -> None:
    before = replace(opened(device(**TOUCH)), call="m-1")
    after, _ = press(before, "restart")
    assert (after.locked, after.call) == (True, None)
    assert after.touch_id is BiometricState.BLOCKED
    face = opened(device("windows_10_mobile", biometrics=("face",)))
    assert press(face, "restart")[0].face is BiometricState.ENROLLED
    bare = replace(device(**TOUCH), secret=None)
    assert press(bare, "restart")[0].touch_id is BiometricState.ENROLLED


@pytest.mark.parametrize("kind", ["touch_id", "face"])
@pytest.mark.parametrize(
    ("consequence", "before", "after"),
    [
        ("mustEnroll", "enrolled", "mustEnroll"),
        ("mustEnroll", "blocked", "mustEnroll"),
        ("mustEnroll", "none", "none"),
        ("blocked", "enrolled", "blocked"),
        ("blocked", "mustEnroll", "mustEnroll"),
        ("kept", "blocked", "blocked"),
    ],
)
def test_biometrics_after_a_reset(kind: str, consequence: str, before: str, after: str) -> None:
    rule = replace(IOS.reset, biometrics=BiometricConsequence(consequence))
    profile = replace(IOS, reset=rule)
    changed: dict[str, Any] = {kind: BiometricState(before)}
    state = replace(device(profile), **changed)
    assert getattr(do(state, Action.RESET_PASSCODE)[0], kind) == after


# --- messages ----------------------------------------------------------------------------------


def test_a_text_and_a_call_appear_on_the_screen() -> None:
    state, effects = step(
        device(), MessageArrived("m-1", MessageKind.TEXT, "Contoso", "code 123456"), LATER, DRAWS
    )
    assert effects == (PublishNotification(1, "Contoso", "code 123456", (), LATER),)
    assert (state.call, state.notifications) == (None, 1)
    state, effects = step(
        state, MessageArrived("m-2", MessageKind.CALL, "Contoso", ""), LATER + 1, DRAWS
    )
    assert effects == (
        PublishNotification(2, "Incoming call", "Contoso", ("pressKey",), LATER + 1),
    )
    assert (state.call, state.messages) == ("m-2", ("m-1", "m-2"))


# --- reset, wipe, restore ----------------------------------------------------------------------


def test_a_reset_leaves_a_whole_state() -> None:
    before = replace(
        opened(device("android", policy=PasscodePolicy(max_age_days=3, min_length=9))),
        failed_attempts=3,
        retry_at=LATER + 1,
        prompt=Prompt.SHOWN,
        draws=4,
    )
    after, result = do(before, Action.RESET_PASSCODE)
    assert result.passcode == PasscodeRef(5, PasscodeSpec(9, "dl"))
    assert after.draws == 5
    assert (after.failed_attempts, after.retry_at, after.resets) == (0, None, 1)
    assert after.passcode_expires_at == LATER + 3 * DAY
    assert (after.prompt, after.compliance) == (Prompt.NONE, Compliance.COMPLIANT)
    assert after.history == DRAWS.digest(FIRST)
    cleared, none = do(device(), Action.RESET_PASSCODE)
    assert none.passcode is None
    assert (cleared.passcode_deadline, cleared.prompt) == (LATER + 60 * MINUTE, Prompt.SHOWN)
    assert cleared.passcode_expires_at is None
    assert (cleared.passcode_set_at, after.passcode_set_at) == (START, LATER)


def test_an_expiry_ends_with_the_passcode_that_a_reset_removes() -> None:
    before = device("ios", policy=PasscodePolicy(max_age_days=3))
    assert before.passcode_expires_at == START + 3 * DAY
    assert do(before, Action.RESET_PASSCODE)[0].passcode_expires_at is None


def test_an_alphabet_alone_makes_no_temporary_passcode() -> None:
    rule = replace(ANDROID.reset, outcome=ResetOutcome.REMOVES)
    after, result = do(device(replace(ANDROID, reset=rule)), Action.RESET_PASSCODE)
    assert (after.secret, result.passcode) == (None, None)


def test_a_temporary_passcode_is_drawn_until_the_policy_takes_it() -> None:
    """One in so many six-digit passcodes was used before: here the first draw was."""
    first, result = do(device("windows_phone_8_1"), Action.RESET_PASSCODE)
    assert first.secret is not None
    used = replace(device("windows_phone_8_1"), history=first.secret.digest)
    second, other = do(used, Action.RESET_PASSCODE)
    assert result.passcode is not None
    assert other.passcode is not None
    assert (result.passcode.draw, other.passcode.draw, second.draws) == (1, 2, 2)


def test_the_history_holds_the_last_fifty_passcodes() -> None:
    rig, former = Rig("android"), [DRAWS.digest(FIRST)]
    for _ in range(60):
        assert rig.state.history == b"".join(former[-51:-1])
        rig.send("resetPasscode")
        former.append(DRAWS.digest(rig.temporary(), temporary=True))


@pytest.mark.parametrize(
    ("version", "kept"), [((9, 2), True), ((15, 9), True), ((16,), False), ((16, 1), False)]
)
def test_a_cleared_passcode_enters_the_history_below_ios_16(
    version: tuple[int, ...],
    kept: bool,  # noqa: FBT001
) -> None:
    state = device(replace(IOS, attributes=Attributes(os_version=version)))
    assert (do(state, Action.RESET_PASSCODE)[0].history != b"") == kept


def test_a_platform_that_forgets_what_it_clears() -> None:
    rules = replace(IOS.passcode, cleared_enters_history=False)
    state = device(replace(IOS, passcode=rules))
    assert do(state, Action.RESET_PASSCODE)[0].history == b""


@pytest.mark.parametrize(
    ("level", "passcode", "said"),
    [
        (23, FIRST, "done"),
        (24, FIRST, "notSupported"),
        (25, FIRST, "notSupported"),
        (23, None, "done"),
        (24, None, "done"),
    ],
)
def test_android_from_7_on_changes_no_passcode(level: int, passcode: str | None, said: str) -> None:
    state = device(replace(ANDROID, attributes=Attributes(api_level=level)), passcode=passcode)
    assert do(state, Action.RESET_PASSCODE)[1].state == said


def test_a_wipe_leaves_nothing_but_the_device() -> None:
    policy = PasscodePolicy(max_failed_attempts=2, max_age_days=4, max_inactivity_minutes=4)
    before = replace(
        device("windows_10_mobile", biometrics=("face",), policy=policy),
        failed_attempts=1,
        history=b"x" * 16,
        call="m-1",
        touch_id=BiometricState.BLOCKED,
        passcode_deadline=LATER + 1,
        prompt=Prompt.SHOWN,
        auto_lock_at=LATER + 1,
        retry_at=LATER,
    )
    after, answer = press(before, "enterPasscode", passcode="wrong")
    assert after == replace(
        first_state(before.enrollment, START),
        version=2,
        wiped=True,
        enrolled=False,
        secret=None,
        policy=None,
        face=BiometricState.NONE,
        compliance=Compliance.NONCOMPLIANT,
        passcode_expires_at=None,
        answers=PastAnswers.of([answer]),
    )


def test_a_restore_is_the_first_state_with_the_counters_going_on() -> None:
    rig = Rig("android", policy=PasscodePolicy(max_age_days=5), reaction=(5000, 5000))
    rig.send("resetPasscode")
    rig.advance(5000)
    rig.press("enterPasscode", "wrong")
    rig.reach("m-1")
    rig.send("remoteLock")
    rig.send("syncDevice")
    before = rig.state
    assert before.work is not None
    assert before.inbox
    rig.advance(SECOND)
    effects = rig.simulate("restore")
    assert rig.state == replace(
        first_state(before.enrollment, rig.now),
        version=before.version + 1,
        draws=before.draws,
        notifications=before.notifications,
        work=before.work,
        inbox=before.inbox,
        results=before.results,
        answers=before.answers,
        messages=before.messages,
    )
    assert rig.state.passcode_expires_at == rig.now + 5 * DAY
    assert snapshots(effects) == [rig.state]
    again = rig.simulate("restore")
    assert snapshots(again) == [rig.state]
    assert rig.state.version == before.version + 1


# --- policies ----------------------------------------------------------------------------------


def test_a_policy_leaves_a_whole_state() -> None:
    policy = PasscodePolicy(min_length=9, max_age_days=2, max_inactivity_minutes=4)
    command = Command("c", Action.APPLY_PASSCODE_POLICY, policy=policy)
    after, effects = step(opened(device()), command, LATER, DRAWS)
    assert (after.policy, after.compliance) == (policy, Compliance.IN_GRACE_PERIOD)
    assert (after.passcode_deadline, after.prompt) == (LATER + 60 * MINUTE, Prompt.SHOWN)
    assert after.passcode_expires_at == START + 2 * DAY
    assert after.auto_lock_at == LATER + 4 * MINUTE
    (shown,) = screens(effects)
    assert shown == PublishNotification(
        1,
        "Passcode Requirement",
        "You must change your passcode within 60 minutes.",
        ("changeNow", "later"),
        LATER,
    )
    after = replace(after, results=PastResults())
    lifted, _ = do(after, Action.APPLY_PASSCODE_POLICY, policy=PasscodePolicy())
    assert (lifted.policy, lifted.passcode_expires_at, lifted.auto_lock_at) == (None, None, None)
    assert (lifted.compliance, lifted.prompt) == (Compliance.COMPLIANT, Prompt.NONE)
    unsaid, _ = do(after, Action.APPLY_PASSCODE_POLICY)
    assert unsaid.policy is None


def test_a_screen_without_a_grace_is_due_at_once() -> None:
    policy = PasscodePolicy(min_length=9)
    command = Command("c", Action.APPLY_PASSCODE_POLICY, policy=policy)
    after, effects = step(device("android"), command, LATER, DRAWS)
    assert (after.compliance, after.passcode_deadline) == (Compliance.NONCOMPLIANT, None)
    (shown,) = screens(effects)
    assert (shown.title, shown.at) == ("Passcode Requirement", LATER)


def test_an_expired_passcode_asks_for_a_new_one() -> None:
    rig = Rig("ios", policy=PasscodePolicy(max_age_days=1))
    rig.state = replace(rig.state, passcode_deadline=None)
    effects = rig.advance(DAY)
    assert (rig.state.prompt, rig.state.compliance) == (Prompt.SHOWN, Compliance.NONCOMPLIANT)
    assert rig.state.passcode_expires_at is None
    (shown,) = screens(effects)
    assert shown.at == START + DAY
    assert shown.title == "Passcode Expired"
    fresh = Rig("ios", policy=PasscodePolicy(max_age_days=1, min_length=9))
    fresh.send("applyPasscodePolicy", policy=PasscodePolicy(max_age_days=1, min_length=9))
    assert fresh.press("enterPasscode", FIRST).state == "done"
    assert fresh.press("setPasscode", f"{THIRD}9").state == "done"


def test_wrong_passcodes_delay_the_next_and_nothing_before_the_first_step() -> None:
    state = device("ios")
    for attempts, wait in [(1, None), (4, None), (5, 60), (6, 300), (7, 900), (8, 900), (9, 3600)]:
        tried = replace(state, failed_attempts=attempts - 1)
        after, _ = press(tried, "enterPasscode", passcode="wrong")
        assert after.failed_attempts == attempts
        assert after.retry_at == (LATER + wait * SECOND if wait else None)
    after, _ = press(device("android"), "enterPasscode", passcode="wrong")
    assert (after.failed_attempts, after.retry_at) == (1, None)


def test_a_state_is_published_when_asked_for_even_if_nothing_changed() -> None:
    state = replace(device(), last_check_in=LATER)
    after, effects = step(state, Command("c", Action.SYNC_DEVICE), LATER, DRAWS)
    assert isinstance(effects[0], PublishState)
    assert effects[0].state.version == after.version == 1
