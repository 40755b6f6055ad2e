"""Answers to presses on a device, word for word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.effects import (
    PublishAnswer,
)
from agent.events import Input, InputAction, MessageArrived, MessageKind
from agent.machine import step
from agent.passcode import PasscodePolicy
from agent.state import (
    RESULTS_KEPT,
    ActionState,
    DeviceState,
    ErrorCode,
    InputAnswer,
    Prompt,
    changed,
)
from platforms.profile import (
    Action,
)
from tests.support.device_harness import FIRST, OTHER
from tests.support.device_steps import (
    DONE,
    DRAWS,
    FAILED,
    LATER,
    NOT_SUPPORTED,
    TOUCH,
    device,
    do,
    opened,
    past_deadline,
    press,
    wiped,
)

# --- presses -----------------------------------------------------------------------------------

PRESSES: dict[str, tuple[DeviceState, str, dict[str, Any], ActionState, ErrorCode | None, str]] = {
    "swipe, passcode": (
        device(),
        "swipeUp",
        {},
        FAILED,
        ErrorCode.DEVICE_LOCKED,
        "The device asks for its passcode.",
    ),
    "swipe, past the deadline": (
        past_deadline(),
        "swipeUp",
        {},
        FAILED,
        ErrorCode.PASSCODE_REQUIRED,
        "The device opens nothing until a passcode is set.",
    ),
    "swipe, open": (opened(device()), "swipeUp", {}, DONE, None, "The device is open."),
    "swipe": (device(passcode=None), "swipeUp", {}, DONE, None, "The device opened."),
    "enter, none": (
        device(passcode=None),
        "enterPasscode",
        {"passcode": "1"},
        FAILED,
        ErrorCode.PASSCODE_NOT_SET,
        "The device has no passcode to enter.",
    ),
    "enter, disabled": (
        replace(device(), retry_at=LATER + 1001),
        "enterPasscode",
        {"passcode": FIRST},
        FAILED,
        ErrorCode.TOO_MANY_ATTEMPTS,
        "The device is disabled; try again in 2 s.",
    ),
    "enter, no longer disabled": (
        replace(device(), retry_at=LATER),
        "enterPasscode",
        {"passcode": FIRST},
        DONE,
        None,
        "The device opened.",
    ),
    "enter, wrong": (
        device(),
        "enterPasscode",
        {"passcode": "x"},
        FAILED,
        ErrorCode.WRONG_PASSCODE,
        "Wrong passcode.",
    ),
    "enter, wrong for the last time": (
        device("android", policy=PasscodePolicy(max_failed_attempts=1)),
        "enterPasscode",
        {"passcode": "x"},
        FAILED,
        ErrorCode.WRONG_PASSCODE,
        "Wrong passcode; the device wiped itself.",
    ),
    "enter, nothing": (
        device(),
        "enterPasscode",
        {},
        FAILED,
        ErrorCode.WRONG_PASSCODE,
        "Wrong passcode.",
    ),
    "change now": (
        changed(past_deadline(), locked=False),
        "changeNow",
        {},
        DONE,
        None,
        "The screen to set a passcode opened.",
    ),
    "change now, no prompt": (
        device(),
        "changeNow",
        {},
        FAILED,
        ErrorCode.NOT_ON_SCREEN,
        "No passcode requirement is on the screen.",
    ),
    "change now, locked": (
        past_deadline(),
        "changeNow",
        {},
        FAILED,
        ErrorCode.DEVICE_LOCKED,
        "The device is locked.",
    ),
    "change now, put off": (
        changed(past_deadline(), locked=False, prompt=Prompt.HIDDEN),
        "changeNow",
        {},
        FAILED,
        ErrorCode.NOT_ON_SCREEN,
        "The passcode requirement was put off.",
    ),
    "set, another user's session": (
        changed(device("windows_rt"), locked=False, current_user="robin"),
        "setPasscode",
        {"passcode": OTHER},
        FAILED,
        ErrorCode.WRONG_USER,
        "The current user is not the user who enrolled the device.",
    ),
    "enter, another user's session": (
        changed(device("windows_rt"), current_user="robin"),
        "enterPasscode",
        {"passcode": FIRST},
        FAILED,
        ErrorCode.WRONG_PASSCODE,
        "Wrong passcode.",
    ),
    "later": (
        do(device(), Action.RESET_PASSCODE)[0],
        "later",
        {},
        DONE,
        None,
        "The prompt is hidden until the next unlock or the deadline.",
    ),
    "later, past the deadline": (
        past_deadline(),
        "later",
        {},
        FAILED,
        ErrorCode.NOT_ON_SCREEN,
        "No prompt with a Later button is shown.",
    ),
    "set, locked": (
        device(),
        "setPasscode",
        {"passcode": OTHER},
        FAILED,
        ErrorCode.DEVICE_LOCKED,
        "The device is locked.",
    ),
    "set": (
        opened(device()),
        "setPasscode",
        {"passcode": OTHER},
        DONE,
        None,
        "The passcode was set.",
    ),
    "set, against the policy": (
        opened(device(policy=PasscodePolicy(min_length=9, min_complex_characters=1, history=1))),
        "setPasscode",
        {"passcode": FIRST},
        FAILED,
        ErrorCode.POLICY_VIOLATION,
        (
            "The passcode is too short. The passcode must contain more complex characters."
            " The passcode was used before."
        ),
    ),
    "biometric, no sensor": (
        device("android"),
        "useBiometric",
        {},
        NOT_SUPPORTED,
        None,
        "The device has no biometric sensor.",
    ),
    "biometric, no passcode": (
        device(passcode=None),
        "useBiometric",
        {},
        FAILED,
        ErrorCode.PASSCODE_NOT_SET,
        "A biometric needs a passcode.",
    ),
    "biometric": (device(**TOUCH), "useBiometric", {}, DONE, None, "The device opened."),
    "biometric, blocked": (
        do(device(**TOUCH), Action.REMOTE_LOCK)[0],
        "useBiometric",
        {},
        FAILED,
        ErrorCode.BIOMETRIC_BLOCKED,
        "The passcode must be entered first.",
    ),
    "biometric, none": (
        device(),
        "useBiometric",
        {},
        FAILED,
        ErrorCode.BIOMETRIC_NOT_ENROLLED,
        "No biometric is set up.",
    ),
    "enrol, no sensor": (
        opened(device("android")),
        "enrollBiometric",
        {},
        NOT_SUPPORTED,
        None,
        "The device has no biometric sensor.",
    ),
    "enrol, locked": (
        device(),
        "enrollBiometric",
        {},
        FAILED,
        ErrorCode.DEVICE_LOCKED,
        "The device is locked.",
    ),
    "enrol, no passcode": (
        opened(device(passcode=None)),
        "enrollBiometric",
        {},
        FAILED,
        ErrorCode.PASSCODE_NOT_SET,
        "A biometric needs a passcode.",
    ),
    "enrol": (opened(device()), "enrollBiometric", {}, DONE, None, "The biometric was set up."),
    "sign in, nobody does": (
        device(),
        "signIn",
        {"user": "kim"},
        NOT_SUPPORTED,
        None,
        "Nobody signs in to this device.",
    ),
    "sign in": (
        device("windows_rt"),
        "signIn",
        {"user": "kim"},
        DONE,
        None,
        "The user signed in.",
    ),
    "key, no call": (
        device(),
        "pressKey",
        {"key": "#"},
        FAILED,
        ErrorCode.NOT_ON_SCREEN,
        "No call is coming in.",
    ),
    "key": (
        replace(device(), call="m-1"),
        "pressKey",
        {"key": "#"},
        DONE,
        None,
        "The key was pressed on the call.",
    ),
    "restart": (device(), "restart", {}, DONE, None, "The device restarts."),
    "wiped": (
        wiped(),
        "swipeUp",
        {},
        FAILED,
        ErrorCode.NOT_ENROLLED,
        "The device was wiped; restore it first.",
    ),
}


@pytest.mark.parametrize("case", PRESSES.values(), ids=PRESSES)
def test_a_press_is_answered_word_for_word(case: Any) -> None:
    state, action, more, said, error, message = case
    after, answer = press(state, action, **more)
    assert answer == InputAnswer("i", action, said, message, LATER, error)
    assert after.answers[-1] == answer


def test_the_same_input_id_is_answered_once_and_refused_for_another_action() -> None:
    first, answer = press(device(), "swipeUp")
    same, effects = step(first, Input("i", InputAction.SWIPE_UP), LATER + 1, DRAWS)
    assert (same, effects) == (first, (PublishAnswer(answer, duplicate=True),))
    other, refused = press(first, "later")
    assert other == first
    assert refused == InputAnswer(
        "i",
        "later",
        FAILED,
        "The input id was used before, for swipeUp.",
        LATER,
        ErrorCode.INPUT_ID_REUSED,
    )


def test_exactly_so_many_answers_and_messages_are_remembered() -> None:
    state = device()
    for n in range(RESULTS_KEPT + 1):
        state, _ = step(state, Input(f"i{n}", InputAction.SWIPE_UP), LATER, DRAWS)
        state, _ = step(state, MessageArrived(f"m{n}", MessageKind.TEXT, "s", "b"), LATER, DRAWS)
    kept = range(1, RESULTS_KEPT + 1)
    assert [a.input_id for a in state.answers] == [f"i{n}" for n in kept]
    assert state.messages == tuple(f"m{n}" for n in kept)
