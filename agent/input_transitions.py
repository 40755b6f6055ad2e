"""Transitions of a device for the inputs of its user.

Pure functions `(state, input, now, rng) -> Outcome`; `INPUT_TRANSITIONS` maps each input to its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from agent.effects import Reboot
from agent.events import Input, InputAction
from agent.passcode import DIGEST_BYTES, RandomSource, traits_of, violations
from agent.state import (
    BiometricState,
    Compliance,
    DeviceState,
    ErrorCode,
    PasscodeKind,
    Prompt,
    Secret,
    changed,
)
from agent.state_changes import (
    NO_GRACE,
    TRUSTED,
    Outcome,
    changed_biometrics,
    count_wrong_passcode,
    done,
    expiry,
    failed,
    not_supported,
    restart,
    unlock,
    with_former,
)
from platforms.profile import Biometric, ScreenMessage

__all__ = ["INPUT_TRANSITIONS"]


def _swipe_up(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del rng
    in_grace = state.open_until is not None and now < state.open_until
    if state.locked and state.secret is not None and not in_grace:
        return failed(state, ErrorCode.DEVICE_LOCKED, "The device asks for its passcode.")
    if state.prompt is Prompt.SHOWN and state.compliance is Compliance.NONCOMPLIANT:
        # The passcode screen takes the place of the lock screen; nothing else opens.
        return failed(
            unlock(state, now),
            ErrorCode.PASSCODE_REQUIRED,
            "The device opens nothing until a passcode is set.",
        )
    if not state.locked:
        return done(state, "The device is open.")
    return _opened(state, now)


def _opened(state: DeviceState, now: int, message: str = "The device opened.") -> Outcome:
    """Unlock the device; a prompt that Later hid returns, since this is the next unlock."""
    if not (state.locked and state.prompt is Prompt.HIDDEN):
        return done(unlock(state, now), message)
    state = changed(unlock(state, now), prompt=Prompt.SHOWN)
    return done(state, message, screen=state.profile.passcode.requirement_screen)


def _enter_passcode(state: DeviceState, press: Input, now: int, rng: RandomSource) -> Outcome:
    if state.secret is None:
        return failed(state, ErrorCode.PASSCODE_NOT_SET, "The device has no passcode to enter.")
    if state.retry_at is not None and now < state.retry_at:
        return _disabled(state, now)
    own = _is_own_session(state)
    if not own or not rng.matches(press.passcode or "", state.secret.digest):
        state = count_wrong_passcode(state, now)
        message = "Wrong passcode; the device wiped itself." if state.wiped else "Wrong passcode."
        return failed(state, ErrorCode.WRONG_PASSCODE, message)
    state = changed(state, failed_attempts=0, retry_at=None, **changed_biometrics(state, TRUSTED))
    return _opened(state, now)


def _is_own_session(state: DeviceState) -> bool:
    """Return whether the device's passcode is that of the current user.

    Users of a platform on which users sign in have passcodes of their own; the simulated one is
    that of the user who enrolled the device.
    """
    return not state.profile.sign_in or state.current_user == state.enrollment.owner


def _disabled(state: DeviceState, now: int) -> Outcome:
    seconds = -(-((state.retry_at or now) - now) // 1000)
    return failed(
        state, ErrorCode.TOO_MANY_ATTEMPTS, f"The device is disabled; try again in {seconds} s."
    )


def _change_now(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    if state.prompt is Prompt.NONE:
        return failed(state, ErrorCode.NOT_ON_SCREEN, "No passcode requirement is on the screen.")
    if state.locked:
        return failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if state.prompt is Prompt.HIDDEN:
        return failed(state, ErrorCode.NOT_ON_SCREEN, "The passcode requirement was put off.")
    return done(state, "The screen to set a passcode opened.")


def _later(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    if state.prompt is not Prompt.SHOWN or state.compliance is not Compliance.IN_GRACE_PERIOD:
        return failed(state, ErrorCode.NOT_ON_SCREEN, "No prompt with a Later button is shown.")
    return done(
        changed(state, prompt=Prompt.HIDDEN),
        "The prompt is hidden until the next unlock or the deadline.",
    )


def _set_passcode(state: DeviceState, press: Input, now: int, rng: RandomSource) -> Outcome:
    profile = state.profile
    if state.locked:
        return failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if not _is_own_session(state):
        return failed(
            state,
            ErrorCode.WRONG_USER,
            "The current user is not the user who enrolled the device.",
        )
    passcode = press.passcode or ""
    traits = traits_of(passcode)
    problems = [str(v) for v in violations(traits, state.policy, profile.passcode)]
    if _was_used(state, passcode, rng):
        problems.append("The passcode was used before.")
    if problems:
        why = " ".join(problems)
        screen = ScreenMessage("Passcode Requirement", why)
        return failed(state, ErrorCode.POLICY_VIOLATION, why, screen=screen)
    secret = Secret(PasscodeKind.USER, rng.digest(passcode), traits)
    state = changed(
        state,
        history=with_former(state.history, state.secret) if state.secret else state.history,
        secret=secret,
        passcode_set_at=now,
        passcode_expires_at=expiry(state.policy, secret, now, now),
        **NO_GRACE,
    )
    return done(state, "The passcode was set.")


def _was_used(state: DeviceState, passcode: str, rng: RandomSource) -> bool:
    """True if the history of the policy in force forbids a passcode.

    Some platforms count the current passcode among the last so many, others remember so many
    besides it.
    """
    count = (state.policy.history if state.policy else None) or 0
    if count == 0:
        return False
    last = slice(-count * DIGEST_BYTES, None)
    current = state.secret.digest if state.secret else b""
    if state.profile.passcode.history_counts_current:
        return rng.matches(passcode, (state.history + current)[last])
    return rng.matches(passcode, current + state.history[last])


def _use_biometric(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del rng
    if not state.profile.biometrics:
        return not_supported(state, "The device has no biometric sensor.")
    states = {state.touch_id, state.face}
    if state.secret is None:
        return failed(state, ErrorCode.PASSCODE_NOT_SET, "A biometric needs a passcode.")
    if state.retry_at is not None and now < state.retry_at:
        return _disabled(state, now)
    if BiometricState.ENROLLED in states:
        return _opened(state, now)
    if BiometricState.BLOCKED in states:
        return failed(state, ErrorCode.BIOMETRIC_BLOCKED, "The passcode must be entered first.")
    return failed(state, ErrorCode.BIOMETRIC_NOT_ENROLLED, "No biometric is set up.")


def _enroll_biometric(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    has = state.profile.biometrics
    if not has:
        return not_supported(state, "The device has no biometric sensor.")
    if state.locked:
        return failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if state.secret is None:
        return failed(state, ErrorCode.PASSCODE_NOT_SET, "A biometric needs a passcode.")
    return done(
        changed(
            state,
            touch_id=BiometricState.ENROLLED if Biometric.TOUCH_ID in has else state.touch_id,
            face=BiometricState.ENROLLED if Biometric.FACE in has else state.face,
        ),
        "The biometric was set up.",
    )


def _sign_in(state: DeviceState, press: Input, now: int, rng: RandomSource) -> Outcome:
    del rng
    if not state.profile.sign_in:
        return not_supported(state, "Nobody signs in to this device.")
    return done(
        unlock(changed(state, current_user=press.user or state.current_user), now),
        "The user signed in.",
    )


def _press_key(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    if state.call is None:
        return failed(state, ErrorCode.NOT_ON_SCREEN, "No call is coming in.")
    return done(changed(state, call=None), "The key was pressed on the call.")


def _press_restart(state: DeviceState, _: Input, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    return done(restart(state), "The device restarts.", reboot=Reboot(abrupt=False))


INPUT_TRANSITIONS: Final[
    Mapping[InputAction, Callable[[DeviceState, Input, int, RandomSource], Outcome]]
] = {
    InputAction.SWIPE_UP: _swipe_up,
    InputAction.ENTER_PASSCODE: _enter_passcode,
    InputAction.CHANGE_NOW: _change_now,
    InputAction.LATER: _later,
    InputAction.SET_PASSCODE: _set_passcode,
    InputAction.USE_BIOMETRIC: _use_biometric,
    InputAction.ENROLL_BIOMETRIC: _enroll_biometric,
    InputAction.SIGN_IN: _sign_in,
    InputAction.PRESS_KEY: _press_key,
    InputAction.RESTART: _press_restart,
}
