"""Results of commands, word for word and instant by instant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.effects import (
    AcknowledgeDelivery,
    PublishResult,
)
from agent.passcode import PasscodePolicy
from agent.state import (
    ActionState,
    DeviceState,
    ErrorCode,
    PastResults,
    Result,
)
from platforms.profile import (
    Action,
    Attributes,
    NativeCase,
)
from tests.support.device_harness import START, Rig
from tests.support.device_steps import (
    ANDROID,
    DONE,
    FAILED,
    IOS,
    LATER,
    NOT_SUPPORTED,
    device,
    do,
    past_deadline,
    wiped,
)

# --- results -----------------------------------------------------------------------------------

OUT_OF_BOUNDS = PasscodePolicy(max_failed_attempts=1)
NEWER_ANDROID = replace(ANDROID, attributes=Attributes(api_level=24))
UNLOCKABLE = replace(IOS, lock=replace(IOS.lock, supported=False, refusal="Not here."))
SAID: dict[str, tuple[DeviceState, Action, dict[str, Any], tuple[Any, ...]]] = {
    "reset, not supported": (
        device("windows_rt"),
        Action.RESET_PASSCODE,
        {},
        (
            NOT_SUPPORTED,
            "Passcode reset is not supported on this device. Contact your IT admin.",
            None,
            NativeCase.NOT_SUPPORTED,
        ),
    ),
    "reset, limited": (
        device(NEWER_ANDROID),
        Action.RESET_PASSCODE,
        {},
        (
            NOT_SUPPORTED,
            "From Android 7 on, an administrator cannot change a passcode that exists.",
            None,
            NativeCase.REFUSED,
        ),
    ),
    "reset": (
        device(),
        Action.RESET_PASSCODE,
        {},
        (DONE, "Passcode successfully reset", None, NativeCase.DONE),
    ),
    "lock": (
        device(),
        Action.REMOTE_LOCK,
        {},
        (DONE, "Device successfully locked", None, NativeCase.DONE),
    ),
    "lock, no passcode": (
        device(passcode=None),
        Action.REMOTE_LOCK,
        {},
        (DONE, "Device successfully locked", None, NativeCase.NO_PASSCODE),
    ),
    "lock, refused without": (
        device("windows_phone_8_1", passcode=None),
        Action.REMOTE_LOCK,
        {},
        (
            FAILED,
            "The device has no passcode to lock with.",
            ErrorCode.PASSCODE_NOT_SET,
            NativeCase.NO_PASSCODE,
        ),
    ),
    "lock, somebody else": (
        replace(device("windows_rt"), current_user="kim"),
        Action.REMOTE_LOCK,
        {},
        (
            FAILED,
            "The current user is not the user who enrolled the device.",
            ErrorCode.WRONG_USER,
            NativeCase.WRONG_USER,
        ),
    ),
    "lock, not supported": (
        device(UNLOCKABLE),
        Action.REMOTE_LOCK,
        {},
        (NOT_SUPPORTED, "Not here.", None, NativeCase.NOT_SUPPORTED),
    ),
    "sync": (device(), Action.SYNC_DEVICE, {}, (DONE, "Device checked in", None, NativeCase.DONE)),
    "policy": (
        device(),
        Action.APPLY_PASSCODE_POLICY,
        {"policy": PasscodePolicy(min_length=4)},
        (DONE, "Passcode policy applied", None, NativeCase.DONE),
    ),
    "policy, not satisfied": (
        device(),
        Action.APPLY_PASSCODE_POLICY,
        {"policy": PasscodePolicy(min_length=9)},
        (DONE, "Passcode policy applied", None, NativeCase.DONE),
    ),
    "policy, not satisfied again": (
        past_deadline(),
        Action.APPLY_PASSCODE_POLICY,
        {"policy": PasscodePolicy(min_length=9)},
        (DONE, "Passcode policy applied", None, NativeCase.DONE),
    ),
    "policy, out of bounds": (
        device(),
        Action.APPLY_PASSCODE_POLICY,
        {"policy": OUT_OF_BOUNDS},
        (
            FAILED,
            "maxFailedAttempts 1 is not within 2 to 11.",
            ErrorCode.POLICY_VIOLATION,
            NativeCase.POLICY_VIOLATION,
        ),
    ),
}


@pytest.mark.parametrize("case", SAID.values(), ids=SAID)
def test_a_command_is_answered_word_for_word(case: Any) -> None:
    state, action, more, (said, message, error, native) = case
    after, result = do(replace(state, results=PastResults()), action, **more)
    assert result == Result("c", action, said, message, LATER, LATER, error, native, None)
    assert after.results == PastResults.of([result])


def test_a_refusal_is_a_whole_result_and_is_not_remembered() -> None:
    done, _ = do(device(), Action.SYNC_DEVICE)

    def refused(state: DeviceState, error: ErrorCode, message: str, **more: Any) -> None:
        after, result = do(state, Action.REMOTE_LOCK, **more)
        assert result == Result(
            "c", Action.REMOTE_LOCK, FAILED, message, LATER, LATER, error, None, None
        )
        assert after == state

    reused = "The command id was used before, for syncDevice."
    refused(done, ErrorCode.COMMAND_ID_REUSED, reused)
    expired = "The command expired before it was done."
    refused(device(), ErrorCode.EXPIRED, expired, expires=LATER - 1)
    refused(wiped(), ErrorCode.NOT_ENROLLED, "The device is not enrolled.")
    assert do(device(), Action.REMOTE_LOCK, expires=LATER)[1].state is DONE


# --- a device that takes its time --------------------------------------------------------------


def test_a_reaction_is_drawn_from_the_devices_own_stream() -> None:
    rig = Rig("ios", reaction=(2000, 9000))
    for number in (1, 2):
        delay = 2000 + rig.draws.bits("reaction", number) % 7001
        effects = rig.send("remoteLock", f"c-{number}")
        assert rig.state.work is not None
        assert (rig.state.work.started, rig.state.work.due) == (rig.now, rig.now + delay)
        assert rig.state.draws == number
        active = Result(
            f"c-{number}",
            Action.REMOTE_LOCK,
            ActionState.ACTIVE,
            "In progress",
            rig.now,
            rig.now,
        )
        assert effects[0] == PublishResult(active)
        started = rig.now
        (done,) = (e.result for e in rig.advance(delay) if isinstance(e, PublishResult))
        assert (done.started, done.updated) == (started, started + delay)


def test_a_reaction_of_no_time_is_done_at_once_and_counted() -> None:
    seen = set()
    for seed in range(12):
        rig = Rig("ios", reaction=(0, 1), seed=seed)
        effects = rig.send("remoteLock", "c-1", delivery="d-1")
        delay = rig.draws.bits("reaction", 1) % 2
        seen.add(delay)
        assert rig.state.draws == 1
        assert (rig.state.work is not None) == (delay == 1)
        if delay == 0:
            assert rig.state.locked
            assert effects[-1] == AcknowledgeDelivery("d-1")
            assert rig.state.results[-1].started == rig.state.results[-1].updated == START
    assert seen == {0, 1}


def test_a_command_that_expires_at_work_is_settled() -> None:
    rig = Rig("ios", reaction=(3000, 3000))
    rig.send("remoteLock", expires=START + 1, delivery="d-9")
    effects = rig.advance(3000)
    assert AcknowledgeDelivery("d-9") in effects
    assert rig.state.work is None
