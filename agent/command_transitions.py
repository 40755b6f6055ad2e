"""Transitions of a device for the actions that a command can ask for.

Pure functions `(state, command, now, rng) -> Outcome`; `ACTION_TRANSITIONS` maps each action to
its own. The rules are data (`platforms.profile`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from agent.effects import Reboot
from agent.events import Command
from agent.passcode import (
    PasscodePolicy,
    PasscodeRef,
    RandomSource,
    contradiction,
    merged,
    out_of_bounds,
    reveal,
    temporary_spec,
    traits_of,
    violations,
)
from agent.state import Compliance, DeviceState, ErrorCode, PasscodeKind, Prompt, Secret, changed
from agent.state_changes import (
    AS_IT_WAS,
    LOCKED,
    NO_GRACE,
    Outcome,
    biometrics_after,
    done,
    expiry,
    failed,
    grace_until,
    not_supported,
    out_of_policy,
    requires_passcode,
    restart,
    satisfies_policy,
    stay_awake,
    unenroll,
    wipe,
    with_former,
)
from platforms.profile import (
    Action,
    ActionRule,
    Alphabet,
    Attributes,
    NativeCase,
    PasscodeRules,
    PolicyMerge,
    ResetOutcome,
    ScreenMessage,
    WithoutPasscode,
)

__all__ = ["ACTION_TRANSITIONS"]

_TEMPORARY_TRIES: Final = 1_000


def _reset_passcode(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    profile = state.profile
    rule = profile.reset
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        return not_supported(state, rule.message, native=NativeCase.NOT_SUPPORTED)
    attributes = state.attributes
    for limit in rule.limits:
        if limit.applies(attributes, has_passcode=state.secret is not None):
            return not_supported(state, limit.message, native=limit.native)
    history = state.history
    if state.secret is not None and _cleared_enters_history(profile.passcode, attributes):
        history = with_former(history, state.secret)
    ref, secret = None, None
    if rule.outcome is ResetOutcome.TEMPORARY and rule.alphabet is not None:
        ref, secret = _draw_temporary(state, rule.alphabet, history, rng)
    state = changed(
        state,
        history=history,
        secret=secret,
        draws=ref.draw if ref else state.draws,
        passcode_set_at=now if secret else state.passcode_set_at,
        passcode_expires_at=expiry(state.policy, secret, now, now),
        resets=state.resets + 1,
        failed_attempts=0,
        retry_at=None,
        **(LOCKED if rule.locks else AS_IT_WAS),
        **(NO_GRACE if rule.grace is None else grace_until(now + rule.grace * 1000)),
        **biometrics_after(state, rule.biometrics),
    )
    return done(state, rule.message, native=NativeCase.DONE, screen=rule.screen, passcode=ref)


def _cleared_enters_history(rules: PasscodeRules, attributes: Attributes) -> bool:
    """True if a passcode that a reset clears enters the history, on the device's OS version."""
    kept_out_from = rules.cleared_kept_out_from
    newer = kept_out_from is not None and attributes.os_version >= kept_out_from
    return rules.cleared_enters_history and not newer


def _draw_temporary(
    state: DeviceState, alphabet: Alphabet, history: bytes, rng: RandomSource
) -> tuple[PasscodeRef, Secret]:
    """Draw passcodes until one obeys the policy in force and was not used before."""
    profile, policy = state.profile, state.policy
    spec = temporary_spec(alphabet, profile.reset.default_length, policy, profile.passcode)
    for draw in range(state.draws + 1, state.draws + 1 + _TEMPORARY_TRIES):
        ref = PasscodeRef(draw, spec)
        passcode = reveal(ref, rng)
        traits = traits_of(passcode)
        refused = violations(traits, policy, profile.passcode)
        if not refused and not rng.matches(passcode, history, quick=True):
            break
    return ref, Secret(PasscodeKind.TEMPORARY, rng.digest(passcode, temporary=True), traits)


def _remote_lock(state: DeviceState, command: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    rule = state.profile.lock
    if not rule.supported:
        return not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)
    if rule.enrolling_user_only and state.current_user != state.enrollment.owner:
        return failed(
            state,
            ErrorCode.WRONG_USER,
            "The current user is not the user who enrolled the device.",
            native=NativeCase.WRONG_USER,
        )
    case = NativeCase.DONE if state.secret else NativeCase.NO_PASSCODE
    if state.lost_mode:
        case = NativeCase.LOST_MODE
    if state.secret is None and rule.without_passcode is WithoutPasscode.REFUSED:
        return failed(
            state,
            ErrorCode.PASSCODE_NOT_SET,
            "The device has no passcode to lock with.",
            native=case,
        )
    locked = changed(state, **LOCKED, **biometrics_after(state, rule.biometrics))
    # iOS shows no message on a device without a passcode (Apple MDM Protocol Reference).
    shows = rule.shows_message and state.secret is not None and not state.lost_mode
    return done(locked, rule.message, native=case, screen=_lock_screen(command) if shows else None)


def _lock_screen(command: Command, title: str = "Device locked") -> ScreenMessage | None:
    """Lock screen with the message and telephone number of a command; None where it has none."""
    lines = [text for text in (command.message, command.phone_number) if text]
    return ScreenMessage(title, "\n".join(lines)) if lines else None


def _sync_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    del rng
    period = state.enrollment.setup.check_in
    state = changed(
        state, last_check_in=now, check_in_at=now + period if period else state.check_in_at
    )
    return done(state, "Device checked in", native=_inventory(state, now), show_state=True)


def _inventory(state: DeviceState, now: int) -> NativeCase:
    """Case of the inventory that the platform's protocol reports on a check-in."""
    if state.secret is None:
        required = requires_passcode(state)
        return NativeCase.NO_PASSCODE if required else NativeCase.PASSCODE_NOT_REQUIRED
    compliant = satisfies_policy(state, now)
    return NativeCase.DONE if compliant else NativeCase.PASSCODE_INSUFFICIENT


def _apply_policy(state: DeviceState, command: Command, now: int, rng: RandomSource) -> Outcome:
    del rng
    rules = state.profile.passcode
    policy = command.policy if command.policy and command.policy.asks_for_something else None
    in_force = policy
    if policy is not None:
        if rules.policy_merge is PolicyMerge.STRICTEST:
            in_force = merged(state.policy, policy)
        problem = _policy_problem(policy, in_force, rules)
        if problem is not None:
            violation = NativeCase.POLICY_VIOLATION
            return failed(state, ErrorCode.POLICY_VIOLATION, problem, native=violation)
    message = _policy_message(policy, in_force)
    expires = expiry(in_force, state.secret, state.passcode_set_at, now)
    state = changed(state, policy=in_force, passcode_expires_at=expires, open_until=None)
    state = stay_awake(state, now)
    if satisfies_policy(state, now):
        return done(changed(state, **NO_GRACE), message, native=NativeCase.DONE)
    if state.prompt is not Prompt.NONE:
        return done(state, message, native=NativeCase.DONE)
    if state.compliance is Compliance.COMPLIANT:
        state = out_of_policy(state, now)
    return done(state, message, native=NativeCase.DONE, screen=rules.requirement_screen)


def _policy_problem(
    policy: PasscodePolicy, in_force: PasscodePolicy | None, rules: PasscodeRules
) -> str | None:
    """Return the reason for refusing a policy, alone or with those in force; None for none."""
    for name, value, bound in out_of_bounds(policy, rules):
        return f"{_camel(name)} {value} is not within {bound.low} to {bound.high}."
    return contradiction(policy, rules) or contradiction(in_force or policy, rules)


def _policy_message(policy: PasscodePolicy | None, in_force: PasscodePolicy | None) -> str:
    """Message of an applied policy; it lists the stricter values of other policies."""
    if policy is None or in_force is None or in_force == policy:
        return "Passcode policy applied"
    stricter = [
        f"{_camel(field.name)} {str(value).lower()}"
        for field in fields(in_force)
        if (value := getattr(in_force, field.name)) != getattr(policy, field.name)
    ]
    return f"Passcode policy applied; in force from other policies: {', '.join(stricter)}"


def _refused(state: DeviceState, rule: ActionRule) -> Outcome | None:
    """Refusal of an action that the platform, or the unsupervised device, does not have."""
    if rule.supported and (state.attributes.supervised or not rule.supervised_only):
        return None
    return not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)


def _wipe_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    rule = state.profile.wipe
    return _refused(state, rule) or done(wipe(state), rule.message, native=NativeCase.DONE)


def _retire_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    rule = state.profile.retire
    return _refused(state, rule) or done(unenroll(state), rule.message, native=NativeCase.DONE)


def _reboot_now(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    rule, reboot = state.profile.restart, Reboot(abrupt=False)
    return _refused(state, rule) or done(
        restart(state), rule.message, native=NativeCase.DONE, reboot=reboot
    )


def _enable_lost_mode(state: DeviceState, command: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    rule = state.profile.lost_mode
    return _refused(state, rule) or done(
        changed(state, lost_mode=True, **LOCKED),
        rule.message,
        native=NativeCase.DONE,
        screen=_lock_screen(command, "Lost Mode") or ScreenMessage("Lost Mode", ""),
    )


def _disable_lost_mode(state: DeviceState, _: Command, now: int, rng: RandomSource) -> Outcome:
    del now, rng
    return _refused(state, state.profile.lost_mode) or done(
        changed(state, lost_mode=False), "Lost Mode is off.", native=NativeCase.DONE
    )


def _camel(name: str) -> str:
    """Name of a policy setting in the contract: `minLength`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


ACTION_TRANSITIONS: Final[
    Mapping[Action, Callable[[DeviceState, Command, int, RandomSource], Outcome]]
] = {
    Action.RESET_PASSCODE: _reset_passcode,
    Action.REMOTE_LOCK: _remote_lock,
    Action.SYNC_DEVICE: _sync_device,
    Action.APPLY_PASSCODE_POLICY: _apply_policy,
    Action.WIPE: _wipe_device,
    Action.RETIRE: _retire_device,
    Action.REBOOT_NOW: _reboot_now,
    Action.ENABLE_LOST_MODE: _enable_lost_mode,
    Action.DISABLE_LOST_MODE: _disable_lost_mode,
}
