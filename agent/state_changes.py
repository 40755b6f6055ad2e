"""Changes of a device's state that several transitions share, and their outcome.

Pure functions: lock, grace, biometrics, passcode history, wrong passcodes, wipe and unenrollment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

from agent.effects import Reboot
from agent.fast_dataclass import fast_dataclass
from agent.passcode import DIGEST_BYTES, PasscodePolicy, PasscodeRef, violations
from agent.state import (
    ActionState,
    BiometricState,
    Compliance,
    DeviceState,
    ErrorCode,
    Prompt,
    Secret,
    changed,
)
from platforms.profile import BiometricConsequence, NativeCase, ScreenMessage, WipeRule

__all__ = [
    "AS_IT_WAS",
    "LOCKED",
    "NO_GRACE",
    "TRUSTED",
    "Outcome",
    "biometrics_after",
    "changed_biometrics",
    "count_wrong_passcode",
    "done",
    "expiry",
    "failed",
    "grace_until",
    "lock_by_itself",
    "not_supported",
    "out_of_policy",
    "requires_passcode",
    "restart",
    "satisfies_policy",
    "stay_awake",
    "unenroll",
    "unlock",
    "wipe",
    "with_former",
]

_HISTORY_KEPT: Final = 50
"""No platform's policy asks for more."""
_MINUTE: Final = 60_000
_DAY: Final = 24 * 60 * _MINUTE


@fast_dataclass
class Outcome:
    """Outcome of a command or an input."""

    state: DeviceState
    said: ActionState
    message: str
    error: ErrorCode | None = None
    native: NativeCase | None = None
    screen: ScreenMessage | None = None
    passcode: PasscodeRef | None = None
    reboot: Reboot | None = None
    show_state: bool = False
    stored: bool = True
    """False lets the same command be sent again."""


def done(
    state: DeviceState,
    message: str,
    native: NativeCase | None = None,
    screen: ScreenMessage | None = None,
    passcode: PasscodeRef | None = None,
    *,
    reboot: Reboot | None = None,
    show_state: bool = False,
) -> Outcome:
    """Outcome of an action or input that was done."""
    done = ActionState.DONE
    return Outcome(state, done, message, None, native, screen, passcode, reboot, show_state)


def failed(
    state: DeviceState,
    error: ErrorCode,
    message: str,
    native: NativeCase | None = None,
    screen: ScreenMessage | None = None,
) -> Outcome:
    """Outcome of an action or input that failed."""
    return Outcome(state, ActionState.FAILED, message, error, native, screen)


def not_supported(state: DeviceState, message: str, native: NativeCase | None = None) -> Outcome:
    """Outcome of an action or input that the platform does not support."""
    return Outcome(state, ActionState.NOT_SUPPORTED, message, None, native)


def satisfies_policy(state: DeviceState, now: int) -> bool:
    """True if the present passcode satisfies the policy, or none is needed and none was reset."""
    if state.policy is None:
        return state.secret is not None or state.resets == 0
    if state.secret is None and not requires_passcode(state):
        return state.resets == 0
    return (
        state.secret is not None
        and not violations(state.secret.traits, state.policy, state.profile.passcode)
        and not _is_too_old(state.policy, state.passcode_set_at, now)
    )


def requires_passcode(state: DeviceState) -> bool:
    """True if the policy in force requires a passcode; any policy does unless it waives it."""
    return state.policy is not None and state.policy.force_pin is not False


def _is_too_old(policy: PasscodePolicy | None, set_at: int, now: int) -> bool:
    days = policy.max_age_days if policy else None
    return bool(days) and now >= set_at + (days or 0) * _DAY


def expiry(
    policy: PasscodePolicy | None, secret: Secret | None, set_at: int, now: int
) -> int | None:
    """Instant at which a passcode set at `set_at` expires; None for never or already expired."""
    days = policy.max_age_days if policy else None
    if not days or secret is None or _is_too_old(policy, set_at, now):
        return None
    return set_at + days * _DAY


class _Grace(TypedDict):
    """Fields of a state about the time to set a passcode."""

    compliance: Compliance
    passcode_deadline: int | None
    prompt: Prompt


NO_GRACE: Final = _Grace(
    compliance=Compliance.COMPLIANT, passcode_deadline=None, prompt=Prompt.NONE
)


def grace_until(deadline: int) -> _Grace:
    """Fields of a state whose user has until `deadline` to set a passcode."""
    return _Grace(
        compliance=Compliance.IN_GRACE_PERIOD, passcode_deadline=deadline, prompt=Prompt.SHOWN
    )


class _Lock(TypedDict, total=False):
    """Fields of a state about its lock."""

    locked: bool
    auto_lock_at: int | None
    open_until: int | None


LOCKED: Final = _Lock(locked=True, auto_lock_at=None, open_until=None)
AS_IT_WAS: Final = _Lock(open_until=None)


def unlock(state: DeviceState, now: int) -> DeviceState:
    """Unlock the device and start counting its inactivity."""
    return stay_awake(changed(state, locked=False, open_until=None), now)


def lock_by_itself(state: DeviceState, now: int) -> DeviceState:
    """Lock a device that was not used; a policy may let a swipe open it for some minutes more.

    With an enrolled biometric the passcode is required at once.
    """
    minutes = state.policy.max_grace_period_minutes if state.policy else None
    enrolled = BiometricState.ENROLLED in (state.touch_id, state.face)
    until = now + minutes * _MINUTE if minutes and not enrolled else None
    return changed(state, locked=True, auto_lock_at=None, open_until=until)


def stay_awake(state: DeviceState, now: int) -> DeviceState:
    """Count inactivity from now on, where the policy in force does."""
    minutes = state.policy.max_inactivity_minutes if state.policy else None
    at = now + minutes * _MINUTE if minutes and not state.locked else None
    return state if state.auto_lock_at == at else changed(state, auto_lock_at=at)


class _Biometrics(TypedDict):
    """Fields of a state about its biometrics."""

    touch_id: BiometricState
    face: BiometricState


_BIOMETRICS_AFTER: Final[Mapping[BiometricConsequence, Mapping[BiometricState, BiometricState]]] = {
    BiometricConsequence.KEPT: {},
    BiometricConsequence.MUST_ENROLL: {
        BiometricState.ENROLLED: BiometricState.MUST_ENROLL,
        BiometricState.BLOCKED: BiometricState.MUST_ENROLL,
    },
    BiometricConsequence.BLOCKED: {BiometricState.ENROLLED: BiometricState.BLOCKED},
}
TRUSTED: Final = {BiometricState.BLOCKED: BiometricState.ENROLLED}
"""Once the passcode was entered."""


def biometrics_after(state: DeviceState, consequence: BiometricConsequence) -> _Biometrics:
    """The biometrics after an action; what was never enrolled stays as it is."""
    return changed_biometrics(state, _BIOMETRICS_AFTER[consequence])


def changed_biometrics(
    state: DeviceState, becomes: Mapping[BiometricState, BiometricState]
) -> _Biometrics:
    """Biometrics of a state, each value replaced as `becomes` maps it."""
    touch_id, face = state.touch_id, state.face
    return {"touch_id": becomes.get(touch_id, touch_id), "face": becomes.get(face, face)}


def count_wrong_passcode(state: DeviceState, now: int) -> DeviceState:
    """Count a wrong passcode: the delay that follows, or the wipe."""
    rules = state.profile.passcode
    failed = state.failed_attempts + 1
    limit = state.policy.max_failed_attempts if state.policy else None
    if limit and failed >= limit + (rules.wipe is WipeRule.EXCEEDED):
        return wipe(state)
    wait = max(
        (seconds for attempts, seconds in rules.attempt_delays if failed >= attempts), default=0
    )
    return changed(state, failed_attempts=failed, retry_at=now + wait * 1000 if wait else None)


def wipe(state: DeviceState) -> DeviceState:
    """Wipe the device. Its connection is kept, as the contract demands."""
    return changed(
        state,
        wiped=True,
        enrolled=False,
        lost_mode=False,
        push_at=None,
        check_in_at=None,
        secret=None,
        policy=None,
        history=b"",
        failed_attempts=0,
        retry_at=None,
        compliance=Compliance.NONCOMPLIANT,
        passcode_deadline=None,
        prompt=Prompt.NONE,
        touch_id=BiometricState.NONE,
        face=BiometricState.NONE,
        auto_lock_at=None,
        open_until=None,
        passcode_expires_at=None,
        call=None,
    )


def unenroll(state: DeviceState) -> DeviceState:
    """Remove enrollment and policy; the passcode is kept."""
    return changed(
        state,
        enrolled=False,
        lost_mode=False,
        push_at=None,
        check_in_at=None,
        policy=None,
        auto_lock_at=None,
        open_until=None,
        passcode_expires_at=None,
        **NO_GRACE,
    )


def restart(state: DeviceState) -> DeviceState:
    """Restart the device: it locks, ends a call and may block its biometrics."""
    blocked = state.profile.biometrics_blocked_by_restart and state.secret is not None
    consequence = BiometricConsequence.BLOCKED if blocked else BiometricConsequence.KEPT
    return changed(state, call=None, **LOCKED, **biometrics_after(state, consequence))


def out_of_policy(state: DeviceState, now: int) -> DeviceState:
    """The present passcode is not enough: the platform gives time to change that, or none."""
    grace = state.profile.passcode.policy_grace
    if grace is not None:
        return changed(state, **grace_until(now + grace * 1000))
    return changed(state, compliance=Compliance.NONCOMPLIANT)


def with_former(history: bytes, secret: Secret) -> bytes:
    """A history and, the last of it, a passcode that is no longer set."""
    return (history + secret.digest)[-_HISTORY_KEPT * DIGEST_BYTES :]
