"""State machine of one device: `step(state, event, now, rng) -> (state, effects)`.

Theory of operation. `step` is a pure function and the only place where the state of a device
changes. An event comes in (a command, an input, a message, a simulation or a timer that fired); the
new state and a tuple of effects (publish, arm a timer, reboot) come out, and the runner carries out
the effects in their order. The module does no I/O and reads no clock and no source of randomness:
the instant and the random stream are arguments, and the platform is data (`platforms.profile`). The
same events therefore give the same states in a test, in virtual time and after a restart.

Dispatch. `_EVENTS` maps the type of an event to its handler; `_ACTIONS`, `_INPUTS`, `_SIMULATIONS`
and `_TIMERS` map each action, input, simulation and timer to its transition. A transition of a
command or an input returns an `_Outcome`. `_do` and `_on_input` turn that into the remembered
result and the effects, in the order of the contract: state, notification, escrow, result.

Timers are fields of the state, and `timers` reads them. No list of timers exists beside the state,
so a state loaded from a file is complete. `step` compares the fields before and after the event and
returns an effect for each difference.

Commands run one at a time, in the order of arrival. A command with a reaction time is the state's
`work` until the reaction timer fires; later commands wait in `inbox`. A command id or an input id
that was used before is answered from `results` or `answers` and changes nothing.

Performance. Half of the cost of a step is the construction of states. A transition therefore
collects its changes for one call of `changed`, and `_leave` adds the version, the counters and the
remembered results in a second one.

The state diagrams in docs/state-machine.md are made from this module by exploring `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict, Unpack

from agent.effects import (
    ArmTimer,
    CancelTimer,
    Effect,
    PublishAnswer,
    PublishEscrow,
    PublishNotification,
    PublishResult,
    PublishState,
    Reboot,
    Settled,
)
from agent.events import (
    Command,
    Event,
    Input,
    InputAction,
    MessageArrived,
    MessageKind,
    Simulate,
    Simulation,
    TimerFired,
)
from agent.fast_dataclass import fast_dataclass
from agent.passcode import (
    DIGEST_BYTES,
    PasscodePolicy,
    PasscodeRef,
    RandomSource,
    out_of_bounds,
    reveal,
    temporary_spec,
    traits_of,
    violations,
)
from agent.state import (
    RESULTS_KEPT,
    ActionState,
    BiometricState,
    Compliance,
    DeviceState,
    Enrollment,
    ErrorCode,
    GroupSetup,
    InputAnswer,
    PasscodeKind,
    PastAnswers,
    PastResults,
    Prompt,
    Result,
    Secret,
    Timer,
    Work,
    changed,
)
from platforms.profile import (
    Action,
    Alphabet,
    Attributes,
    Biometric,
    BiometricConsequence,
    NativeCase,
    PasscodeRules,
    ResetOutcome,
    ScreenMessage,
    WipeRule,
    WithoutPasscode,
)

__all__ = ["enroll", "first_state", "step", "timers"]

_HISTORY_KEPT: Final = 50
"""No platform's policy asks for more."""
_MINUTE: Final = 60_000
_DAY: Final = 24 * 60 * _MINUTE
_ACTIVE_AFTER: Final = 1_000
"""A reaction longer than this many milliseconds is announced with `active`."""
_TEMPORARY_TRIES: Final = 1_000
_PARTS: Final = 1_000_000
"""Resolution of a share such as `push_loss`: parts per million."""
_IN_LOST_MODE: Final = frozenset({InputAction.PRESS_KEY, InputAction.RESTART})
"""Inputs that a device in Lost Mode takes: a call may still come in."""


def enroll(
    device_id: str, owner: str, setup: GroupSetup, passcode: str | None, rng: RandomSource
) -> Enrollment:
    """The enrollment of a device that starts with `passcode`, None for none.

    Only the digest of the passcode is kept.
    """
    first = (
        Secret(PasscodeKind.USER, rng.digest(passcode), traits_of(passcode)) if passcode else None
    )
    return Enrollment(device_id=device_id, owner=owner, setup=setup, first=first)


def first_state(enrollment: Enrollment, now: int) -> DeviceState:
    """The state of a device that was just enrolled: locked, its owner signed in."""
    setup = enrollment.setup
    has = setup.biometrics if enrollment.first else frozenset()
    policy = setup.policy if setup.policy and setup.policy.asks_for_something else None
    state = DeviceState(
        enrollment=enrollment,
        current_user=enrollment.owner,
        secret=enrollment.first,
        policy=policy,
        touch_id=BiometricState.ENROLLED if Biometric.TOUCH_ID in has else BiometricState.NONE,
        face=BiometricState.ENROLLED if Biometric.FACE in has else BiometricState.NONE,
        passcode_set_at=now,
        passcode_expires_at=_expiry(policy, enrollment.first, now, now),
        check_in_at=now + setup.check_in if setup.check_in else None,
    )
    return state if _satisfies_policy(state, now) else _out_of_policy(state, now)


def step(
    state: DeviceState, event: Event, now: int, rng: RandomSource
) -> tuple[DeviceState, tuple[Effect, ...]]:
    """Let `event` happen to a device at instant `now`.

    Returns the new state and what to do about it, in order. Nothing that can be put into an event
    raises: what is wrong with one comes back as a `failed` result.
    """
    new, effects = _EVENTS[type(event)](state, event, now, rng)
    return new, (*effects, *_timer_effects(state, new))


def timers(state: DeviceState) -> dict[Timer, int]:
    """Timers of a state with their instants, to arm after a start from a stored state."""
    waits = zip(_ALL_TIMERS, _waits(state), strict=True)
    return {timer: at for timer, at in waits if at is not None}


_ALL_TIMERS: Final = tuple(Timer)


def _waits(state: DeviceState) -> tuple[int | None, ...]:
    """Instant of each `Timer`, in the order of the enum; None where it is not armed."""
    return (
        state.work.due if state.work else None,
        state.passcode_deadline,
        state.auto_lock_at,
        state.passcode_expires_at,
        state.push_at,
        state.check_in_at,
    )


# ---------------------------------------------------------------------------------------------
# Outcomes


@fast_dataclass
class _Outcome:
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


def _done(
    state: DeviceState,
    message: str,
    native: NativeCase | None = None,
    screen: ScreenMessage | None = None,
    passcode: PasscodeRef | None = None,
    *,
    reboot: Reboot | None = None,
    show_state: bool = False,
) -> _Outcome:
    done = ActionState.DONE
    return _Outcome(state, done, message, None, native, screen, passcode, reboot, show_state)


def _failed(
    state: DeviceState,
    error: ErrorCode,
    message: str,
    native: NativeCase | None = None,
    screen: ScreenMessage | None = None,
) -> _Outcome:
    return _Outcome(state, ActionState.FAILED, message, error, native, screen)


def _not_supported(state: DeviceState, message: str, native: NativeCase | None = None) -> _Outcome:
    return _Outcome(state, ActionState.NOT_SUPPORTED, message, None, native)


def _visible(state: DeviceState) -> tuple[object, ...]:
    """Fields whose change makes a new version: the keys of the snapshot, and the passcode."""
    return (
        state.locked,
        state.secret,
        state.passcode_deadline,
        state.compliance,
        state.touch_id,
        state.face,
        state.failed_attempts,
        state.wiped,
        state.enrolled,
        state.lost_mode,
        state.last_check_in,
        state.current_user,
    )


class _Remembered(TypedDict, total=False):
    """Remembered results and answers of a device."""

    results: PastResults
    answers: PastAnswers


def _leave(
    old: DeviceState,
    new: DeviceState,
    screen: ScreenMessage | None,
    now: int,
    *,
    always: bool = False,
    **remembered: Unpack[_Remembered],
) -> tuple[DeviceState, list[Effect]]:
    """Finish an event: count the version and publish the state if something visible changed.

    That counts as a version; what appears on the screen is counted too. `always` publishes the
    state in any case.
    """
    differs = new is not old and _visible(old) != _visible(new)
    shown = new.notifications + (screen is not None)
    new = changed(new, version=old.version + differs, notifications=shown, **remembered)
    effects: list[Effect] = [PublishState(new)] if differs or always else []
    if screen is not None:
        effects.append(PublishNotification(shown, screen.title, screen.body, screen.buttons, now))
    return new, effects


def _timer_effects(old: DeviceState, new: DeviceState) -> list[Effect]:
    before, after = _waits(old), _waits(new)
    if before == after:
        return []
    cancelled: list[Effect] = []
    armed: list[Effect] = []
    for timer, was, at in zip(_ALL_TIMERS, before, after, strict=True):
        if at is None and was is not None:
            cancelled.append(CancelTimer(timer))
        elif at is not None and at != was:
            armed.append(ArmTimer(timer, at))
    return cancelled + armed


# ---------------------------------------------------------------------------------------------
# Commands


def _on_command(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    if _waits_for_push(state, command):
        return _wait_for_push(state, command, now, rng), []
    if state.waiting:  # a check-in takes up what waits first
        state, effects = _check_in(state, now, rng)
        state, more = _take_next(state, command, now, rng)
        return state, effects + more
    return _take_next(state, command, now, rng)


def _take_next(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Take up a command now, or queue it behind the one at work."""
    if state.work is not None:
        return changed(state, inbox=(*state.inbox, command)), []
    return _take_up(state, command, now, rng)


def _waits_for_push(state: DeviceState, command: Command) -> bool:
    """Return whether a command waits for its push. Check status does not wait: it is the cure."""
    setup = state.enrollment.setup
    delayed = setup.push_delay[1] > 0 or setup.push_loss > 0
    return delayed and command.action is not Action.SYNC_DEVICE


def _wait_for_push(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> DeviceState:
    """Queue a command until its push arrives; one whose push is lost waits for a check-in."""
    setup, draw = state.enrollment.setup, state.draws + 1
    shortest, longest = setup.push_delay
    state = changed(state, draws=draw, waiting=(*state.waiting, command))
    if rng.bits("push loss", draw) % _PARTS < setup.push_loss * _PARTS:
        return state
    due = now + shortest + rng.bits("push delay", draw) % (longest - shortest + 1)
    return changed(state, push_at=due if state.push_at is None else min(due, state.push_at))


def _check_in(state: DeviceState, now: int, rng: RandomSource) -> tuple[DeviceState, list[Effect]]:
    """Connect to the management service: take up every command that waits, in order.

    A device that is told to check in asks for all its commands, not only for the pushed one.
    """
    waiting = state.waiting
    period = state.enrollment.setup.check_in
    checked_in = changed(
        state,
        waiting=(),
        push_at=None,
        last_check_in=now if state.enrolled else state.last_check_in,
        check_in_at=now + period if period and state.enrolled else None,
    )
    new, effects = _leave(state, checked_in, None, now)
    for command in waiting:
        new, more = _take_next(new, command, now, rng)
        effects += more
    return new, effects


def _take_up(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Answer at once what needs no work; begin or do what does."""
    answered = _answer_at_once(state, command, now)
    if answered is not None:
        return state, [answered, Settled(command.delivery)]
    shortest, longest = state.enrollment.setup.reaction
    if longest == 0:
        return _do(state, command, now, now, rng)
    draw = state.draws + 1
    delay = shortest + rng.bits("reaction", draw) % (longest - shortest + 1)
    state = changed(state, draws=draw)
    if delay == 0:
        return _do(state, command, now, now, rng)
    announced: list[Effect] = []
    if delay > _ACTIVE_AFTER:
        active = Result(
            command.command_id, command.action, ActionState.ACTIVE, "In progress", now, now
        )
        announced.append(PublishResult(active))
    return changed(state, work=Work(command, now, now + delay)), announced


def _answer_at_once(
    state: DeviceState, command: Command, now: int, started: int | None = None
) -> PublishResult | None:
    """The answer that needs no work, if there is one. `started` where work had begun."""
    began = now if started is None else started
    known = state.results.find(command.command_id)
    if known is not None:
        if known.action is command.action:
            return PublishResult(known, duplicate=True)
        used = f"The command id was used before, for {known.action}."
        return _refusal(command, ErrorCode.COMMAND_ID_REUSED, used, began, now)
    if command.expires is not None and now > command.expires:
        late = "The command expired before it was done."
        return _refusal(command, ErrorCode.EXPIRED, late, began, now)
    if not state.enrolled or state.wiped:
        gone = "The device is not enrolled."
        return _refusal(command, ErrorCode.NOT_ENROLLED, gone, began, now)
    return None


def _refusal(
    command: Command, error: ErrorCode, message: str, began: int, now: int
) -> PublishResult:
    """A result that is not remembered: the same command may be sent again, and be done."""
    return PublishResult(
        Result(
            command.command_id, command.action, ActionState.FAILED, message, began, now, error=error
        )
    )


def _do(
    state: DeviceState, command: Command, started: int, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Do a command now and remember its result."""
    outcome = _ACTIONS[command.action](state, command, now, rng)
    drawn, told, escrow = outcome.passcode, None, False
    if drawn is not None:
        rule, management = state.profile.reset, state.enrollment.setup.management
        told = drawn if management in rule.shown_to_user else None
        escrow = management in rule.escrow
    result = Result(
        command.command_id,
        command.action,
        outcome.said,
        outcome.message,
        started,
        now,
        outcome.error,
        outcome.native,
        told,
    )
    new, effects = _leave(
        state,
        outcome.state,
        outcome.screen,
        now,
        always=outcome.show_state,
        results=state.results.plus(result),
    )
    if drawn is not None and escrow:
        effects.append(PublishEscrow(command.command_id, drawn, new.resets))
    effects += (PublishResult(result), Settled(command.delivery))
    if outcome.reboot is not None:
        effects.append(outcome.reboot)
    return new, effects


def _on_reaction(
    state: DeviceState, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Finish the command at work, then go on with those that waited."""
    work = state.work
    if work is None or now < work.due:
        return state, []
    state = changed(state, work=None)
    answered = _answer_at_once(state, work.command, now, work.started)
    if answered is not None:
        effects: list[Effect] = [answered, Settled(work.command.delivery)]
    else:
        state, effects = _do(state, work.command, work.started, now, rng)
    while state.inbox and state.work is None:
        command, rest = state.inbox[0], state.inbox[1:]
        state, more = _take_up(changed(state, inbox=rest), command, now, rng)
        effects += more
    return state, effects


def _reset_passcode(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    profile = state.profile
    rule = profile.reset
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        return _not_supported(state, rule.message, native=NativeCase.NOT_SUPPORTED)
    attributes = state.enrollment.setup.attributes or profile.attributes
    for limit in rule.limits:
        if limit.applies(attributes, has_passcode=state.secret is not None):
            return _not_supported(state, limit.message, native=limit.native)
    history = state.history
    if state.secret is not None and _cleared_enters_history(profile.passcode, attributes):
        history = _with_former(history, state.secret)
    ref, secret = None, None
    if rule.outcome is ResetOutcome.TEMPORARY and rule.alphabet is not None:
        ref, secret = _draw_temporary(state, rule.alphabet, history, rng)
    state = changed(
        state,
        history=history,
        secret=secret,
        draws=ref.draw if ref else state.draws,
        passcode_set_at=now if secret else state.passcode_set_at,
        passcode_expires_at=_expiry(state.policy, secret, now, now),
        resets=state.resets + 1,
        failed_attempts=0,
        retry_at=None,
        **(_LOCKED if rule.locks else _AS_IT_WAS),
        **(_NO_GRACE if rule.grace is None else _grace(now + rule.grace * 1000)),
        **_biometrics_after(state, rule.biometrics),
    )
    return _done(state, rule.message, native=NativeCase.DONE, screen=rule.screen, passcode=ref)


def _cleared_enters_history(rules: PasscodeRules, attributes: Attributes) -> bool:
    """True if a passcode that a reset clears enters the history, on the device's OS version."""
    kept_out_from = rules.cleared_kept_out_from
    newer = kept_out_from is not None and attributes.os_version >= kept_out_from
    return rules.cleared_enters_history and not newer


def _with_former(history: bytes, secret: Secret) -> bytes:
    """A history and, the last of it, a passcode that is no longer set.

    The history is searched as bytes: a false match across two digests is as unlikely as two
    passcodes with one digest.
    """
    return (history + secret.digest)[-_HISTORY_KEPT * DIGEST_BYTES :]


def _draw_temporary(
    state: DeviceState, alphabet: Alphabet, history: bytes, rng: RandomSource
) -> tuple[PasscodeRef, Secret]:
    """Draw passcodes until one obeys the policy in force and was not used before."""
    profile, policy = state.profile, state.policy
    spec = temporary_spec(alphabet, profile.reset.default_length, policy, profile.passcode)
    for draw in range(state.draws + 1, state.draws + 1 + _TEMPORARY_TRIES):
        ref = PasscodeRef(draw, spec)
        passcode = reveal(ref, rng)
        traits, digest = traits_of(passcode), rng.digest(passcode)
        if not violations(traits, policy, profile.passcode) and digest not in history:
            break
    return ref, Secret(PasscodeKind.TEMPORARY, digest, traits)


def _remote_lock(state: DeviceState, command: Command, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    rule = state.profile.lock
    if not rule.supported:
        return _not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)
    if rule.enrolling_user_only and state.current_user != state.enrollment.owner:
        return _failed(
            state,
            ErrorCode.WRONG_USER,
            "The current user is not the user who enrolled the device.",
            native=NativeCase.WRONG_USER,
        )
    case = NativeCase.DONE if state.secret else NativeCase.NO_PASSCODE
    if state.lost_mode:
        case = NativeCase.LOST_MODE
    if state.secret is None and rule.without_passcode is WithoutPasscode.REFUSED:
        return _failed(
            state,
            ErrorCode.PASSCODE_NOT_SET,
            "The device has no passcode to lock with.",
            native=case,
        )
    locked = changed(state, **_LOCKED, **_biometrics_after(state, rule.biometrics))
    # iOS shows no message on a device without a passcode (Apple MDM Protocol Reference).
    shows = rule.shows_message and state.secret is not None and not state.lost_mode
    return _done(locked, rule.message, native=case, screen=_lock_screen(command) if shows else None)


def _lock_screen(command: Command, title: str = "Device locked") -> ScreenMessage | None:
    """Lock screen with the message and telephone number of a command; None where it has none."""
    lines = [text for text in (command.message, command.phone_number) if text]
    return ScreenMessage(title, "\n".join(lines)) if lines else None


def _sync_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    del rng
    period = state.enrollment.setup.check_in
    state = changed(
        state, last_check_in=now, check_in_at=now + period if period else state.check_in_at
    )
    return _done(state, "Device checked in", native=_inventory(state, now), show_state=True)


def _inventory(state: DeviceState, now: int) -> NativeCase:
    """Case of the inventory that the platform's protocol reports on a check-in."""
    compliant = state.policy is None or _satisfies_policy(state, now)
    if state.secret is not None:
        return NativeCase.DONE if compliant else NativeCase.PASSCODE_INSUFFICIENT
    return NativeCase.PASSCODE_NOT_REQUIRED if compliant else NativeCase.NO_PASSCODE


def _apply_policy(state: DeviceState, command: Command, now: int, rng: RandomSource) -> _Outcome:
    del rng
    rules = state.profile.passcode
    policy = command.policy
    if policy is not None:
        for name, value, bound in out_of_bounds(policy, rules):
            return _failed(
                state,
                ErrorCode.POLICY_VIOLATION,
                f"{_camel(name)} {value} is not within {bound.low} to {bound.high}.",
                native=NativeCase.POLICY_VIOLATION,
            )
    in_force = policy if policy is not None and policy.asks_for_something else None
    expires = _expiry(in_force, state.secret, state.passcode_set_at, now)
    state = _stay_awake(changed(state, policy=in_force, passcode_expires_at=expires), now)
    message = "Passcode policy applied"
    if _satisfies_policy(state, now):
        return _done(changed(state, **_NO_GRACE), message, native=NativeCase.DONE)
    if state.prompt is not Prompt.NONE:
        return _done(state, message, native=NativeCase.DONE)
    if state.compliance is Compliance.COMPLIANT:
        state = _out_of_policy(state, now)
    return _done(state, message, native=NativeCase.DONE, screen=rules.requirement_screen)


def _wipe_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    rule = state.profile.wipe
    if not rule.supported:
        return _not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)
    return _done(_wipe(state), rule.message, native=NativeCase.DONE)


def _retire_device(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    rule = state.profile.retire
    if not rule.supported:
        return _not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)
    return _done(_unenrolled(state), rule.message, native=NativeCase.DONE)


def _reboot_now(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    rule = state.profile.restart
    if not rule.supported:
        return _not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)
    restart = Reboot(abrupt=False)
    return _done(_restarted(state), rule.message, native=NativeCase.DONE, reboot=restart)


def _lost_mode_refused(state: DeviceState) -> _Outcome | None:
    """Refusal of Lost Mode: another platform, or a device that is not supervised."""
    rule = state.profile.lost_mode
    attributes = state.enrollment.setup.attributes or state.profile.attributes
    if rule.supported and (attributes.supervised or not rule.supervised_only):
        return None
    return _not_supported(state, rule.refusal, native=NativeCase.NOT_SUPPORTED)


def _enable_lost_mode(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> _Outcome:
    del now, rng
    refused = _lost_mode_refused(state)
    if refused is not None:
        return refused
    return _done(
        changed(state, lost_mode=True, **_LOCKED),
        state.profile.lost_mode.message,
        native=NativeCase.DONE,
        screen=_lock_screen(command, "Lost Mode") or ScreenMessage("Lost Mode", ""),
    )


def _disable_lost_mode(state: DeviceState, _: Command, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    return _lost_mode_refused(state) or _done(
        changed(state, lost_mode=False), "Lost Mode is off.", native=NativeCase.DONE
    )


def _out_of_policy(state: DeviceState, now: int) -> DeviceState:
    """The present passcode is not enough: the platform gives time to change that, or none."""
    grace = state.profile.passcode.policy_grace
    if grace is not None:
        return changed(state, **_grace(now + grace * 1000))
    return changed(state, compliance=Compliance.NONCOMPLIANT)


def _camel(name: str) -> str:
    """Name of a policy setting in the contract: `minLength`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


# ---------------------------------------------------------------------------------------------
# Parts of a state


def _satisfies_policy(state: DeviceState, now: int) -> bool:
    """True if the present passcode satisfies the policy; without a policy, none is needed."""
    if state.policy is None:
        return state.secret is not None or state.resets == 0
    return (
        state.secret is not None
        and not violations(state.secret.traits, state.policy, state.profile.passcode)
        and not _is_too_old(state.policy, state.passcode_set_at, now)
    )


def _is_too_old(policy: PasscodePolicy | None, set_at: int, now: int) -> bool:
    days = policy.max_age_days if policy else None
    return bool(days) and now >= set_at + (days or 0) * _DAY


def _expiry(
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


_NO_GRACE: Final = _Grace(
    compliance=Compliance.COMPLIANT, passcode_deadline=None, prompt=Prompt.NONE
)


def _grace(deadline: int) -> _Grace:
    return _Grace(
        compliance=Compliance.IN_GRACE_PERIOD, passcode_deadline=deadline, prompt=Prompt.SHOWN
    )


class _Lock(TypedDict, total=False):
    """Fields of a state about its lock."""

    locked: bool
    auto_lock_at: int | None


_LOCKED: Final = _Lock(locked=True, auto_lock_at=None)
_AS_IT_WAS: Final = _Lock()


def _unlock(state: DeviceState, now: int) -> DeviceState:
    return _stay_awake(changed(state, locked=False), now)


def _stay_awake(state: DeviceState, now: int) -> DeviceState:
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
_TRUSTED: Final = {BiometricState.BLOCKED: BiometricState.ENROLLED}
"""Once the passcode was entered."""


def _biometrics_after(state: DeviceState, consequence: BiometricConsequence) -> _Biometrics:
    """The biometrics after an action; what was never enrolled stays as it is."""
    return _biometrics(state, _BIOMETRICS_AFTER[consequence])


def _biometrics(
    state: DeviceState, becomes: Mapping[BiometricState, BiometricState]
) -> _Biometrics:
    touch_id, face = state.touch_id, state.face
    return {"touch_id": becomes.get(touch_id, touch_id), "face": becomes.get(face, face)}


def _wrong_passcode(state: DeviceState, now: int) -> DeviceState:
    """Count a wrong passcode: the delay that follows, or the wipe."""
    rules = state.profile.passcode
    failed = state.failed_attempts + 1
    limit = state.policy.max_failed_attempts if state.policy else None
    if limit and failed >= limit + (rules.wipe is WipeRule.EXCEEDED):
        return _wipe(state)
    wait = max(
        (seconds for attempts, seconds in rules.attempt_delays if failed >= attempts), default=0
    )
    return changed(state, failed_attempts=failed, retry_at=now + wait * 1000 if wait else None)


def _wipe(state: DeviceState) -> DeviceState:
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
        passcode_expires_at=None,
        call=None,
    )


def _unenrolled(state: DeviceState) -> DeviceState:
    """Remove enrollment and policy; the passcode is kept."""
    return changed(
        state,
        enrolled=False,
        lost_mode=False,
        push_at=None,
        check_in_at=None,
        policy=None,
        auto_lock_at=None,
        passcode_expires_at=None,
        **_NO_GRACE,
    )


def _restarted(state: DeviceState) -> DeviceState:
    blocked = state.profile.biometrics_blocked_by_restart and state.secret is not None
    consequence = BiometricConsequence.BLOCKED if blocked else BiometricConsequence.KEPT
    return changed(state, call=None, **_LOCKED, **_biometrics_after(state, consequence))


# ---------------------------------------------------------------------------------------------
# Inputs


def _on_input(
    state: DeviceState, press: Input, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    known = state.answers.find(press.input_id)
    if known is not None:
        if known.action == press.action:
            return state, [PublishAnswer(known, duplicate=True)]
        reused = InputAnswer(
            press.input_id,
            press.action,
            ActionState.FAILED,
            f"The input id was used before, for {known.action}.",
            now,
            ErrorCode.INPUT_ID_REUSED,
        )
        return state, [PublishAnswer(reused)]
    if state.wiped:
        outcome = _failed(state, ErrorCode.NOT_ENROLLED, "The device was wiped; restore it first.")
    elif state.lost_mode and press.action not in _IN_LOST_MODE:
        outcome = _failed(state, ErrorCode.DEVICE_LOCKED, "The device is in Lost Mode.")
    else:
        outcome = _INPUTS[press.action](state, press, now, rng)
    answer = InputAnswer(
        press.input_id, press.action, outcome.said, outcome.message, now, outcome.error
    )
    new, effects = _leave(
        state,
        _stay_awake(outcome.state, now),
        outcome.screen,
        now,
        answers=state.answers.plus(answer),
    )
    effects.append(PublishAnswer(answer))
    if outcome.reboot is not None:
        effects.append(outcome.reboot)
    return new, effects


def _swipe_up(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del rng
    if state.locked and state.secret is not None:
        return _failed(state, ErrorCode.DEVICE_LOCKED, "The device asks for its passcode.")
    if state.prompt is Prompt.SHOWN and state.compliance is Compliance.NONCOMPLIANT:
        # The passcode screen takes the place of the lock screen; nothing else opens.
        return _failed(
            _unlock(state, now),
            ErrorCode.PASSCODE_REQUIRED,
            "The device opens nothing until a passcode is set.",
        )
    if not state.locked:
        return _done(state, "The device is open.")
    return _opened(state, now)


def _opened(state: DeviceState, now: int, message: str = "The device opened.") -> _Outcome:
    """Unlock the device; a prompt that Later hid returns, since this is the next unlock."""
    if not (state.locked and state.prompt is Prompt.HIDDEN):
        return _done(_unlock(state, now), message)
    state = changed(_unlock(state, now), prompt=Prompt.SHOWN)
    return _done(state, message, screen=state.profile.passcode.requirement_screen)


def _enter_passcode(state: DeviceState, press: Input, now: int, rng: RandomSource) -> _Outcome:
    if state.secret is None:
        return _failed(state, ErrorCode.PASSCODE_NOT_SET, "The device has no passcode to enter.")
    if state.retry_at is not None and now < state.retry_at:
        return _disabled(state, now)
    if not _is_own_session(state) or rng.digest(press.passcode or "") != state.secret.digest:
        state = _wrong_passcode(state, now)
        message = "Wrong passcode; the device wiped itself." if state.wiped else "Wrong passcode."
        return _failed(state, ErrorCode.WRONG_PASSCODE, message)
    state = changed(state, failed_attempts=0, retry_at=None, **_biometrics(state, _TRUSTED))
    return _opened(state, now)


def _is_own_session(state: DeviceState) -> bool:
    """Return whether the device's passcode is that of the current user.

    Users of a platform on which users sign in have passcodes of their own; the simulated one is
    that of the user who enrolled the device.
    """
    return not state.profile.sign_in or state.current_user == state.enrollment.owner


def _disabled(state: DeviceState, now: int) -> _Outcome:
    seconds = -(-((state.retry_at or now) - now) // 1000)
    return _failed(
        state, ErrorCode.TOO_MANY_ATTEMPTS, f"The device is disabled; try again in {seconds} s."
    )


def _change_now(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    if state.prompt is Prompt.NONE:
        return _failed(state, ErrorCode.NOT_ON_SCREEN, "No passcode requirement is on the screen.")
    if state.locked:
        return _failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if state.prompt is Prompt.HIDDEN:
        return _failed(state, ErrorCode.NOT_ON_SCREEN, "The passcode requirement was put off.")
    return _done(state, "The screen to set a passcode opened.")


def _later(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    if state.prompt is not Prompt.SHOWN or state.compliance is not Compliance.IN_GRACE_PERIOD:
        return _failed(state, ErrorCode.NOT_ON_SCREEN, "No prompt with a Later button is shown.")
    return _done(
        changed(state, prompt=Prompt.HIDDEN),
        "The prompt is hidden until the next unlock or the deadline.",
    )


def _set_passcode(state: DeviceState, press: Input, now: int, rng: RandomSource) -> _Outcome:
    profile = state.profile
    if state.locked:
        return _failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if not _is_own_session(state):
        return _failed(
            state,
            ErrorCode.WRONG_USER,
            "The current user is not the user who enrolled the device.",
        )
    passcode = press.passcode or ""
    traits, digest = traits_of(passcode), rng.digest(passcode)
    problems = [str(v) for v in violations(traits, state.policy, profile.passcode)]
    if _was_used(state, digest):
        problems.append("The passcode was used before.")
    if problems:
        why = " ".join(problems)
        screen = ScreenMessage("Passcode Requirement", why)
        return _failed(state, ErrorCode.POLICY_VIOLATION, why, screen=screen)
    secret = Secret(PasscodeKind.USER, digest, traits)
    state = changed(
        state,
        history=_with_former(state.history, state.secret) if state.secret else state.history,
        secret=secret,
        passcode_set_at=now,
        passcode_expires_at=_expiry(state.policy, secret, now, now),
        **_NO_GRACE,
    )
    return _done(state, "The passcode was set.")


def _was_used(state: DeviceState, digest: bytes) -> bool:
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
        return digest in (state.history + current)[last]
    return digest == current or digest in state.history[last]


def _use_biometric(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del rng
    if not state.profile.biometrics:
        return _not_supported(state, "The device has no biometric sensor.")
    states = {state.touch_id, state.face}
    if state.secret is None:
        return _failed(state, ErrorCode.PASSCODE_NOT_SET, "A biometric needs a passcode.")
    if state.retry_at is not None and now < state.retry_at:
        return _disabled(state, now)
    if BiometricState.ENROLLED in states:
        return _opened(state, now)
    if BiometricState.BLOCKED in states:
        return _failed(state, ErrorCode.BIOMETRIC_BLOCKED, "The passcode must be entered first.")
    return _failed(state, ErrorCode.BIOMETRIC_NOT_ENROLLED, "No biometric is set up.")


def _enroll_biometric(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    has = state.profile.biometrics
    if not has:
        return _not_supported(state, "The device has no biometric sensor.")
    if state.locked:
        return _failed(state, ErrorCode.DEVICE_LOCKED, "The device is locked.")
    if state.secret is None:
        return _failed(state, ErrorCode.PASSCODE_NOT_SET, "A biometric needs a passcode.")
    return _done(
        changed(
            state,
            touch_id=BiometricState.ENROLLED if Biometric.TOUCH_ID in has else state.touch_id,
            face=BiometricState.ENROLLED if Biometric.FACE in has else state.face,
        ),
        "The biometric was set up.",
    )


def _sign_in(state: DeviceState, press: Input, now: int, rng: RandomSource) -> _Outcome:
    del rng
    if not state.profile.sign_in:
        return _not_supported(state, "Nobody signs in to this device.")
    return _done(
        _unlock(changed(state, current_user=press.user or state.current_user), now),
        "The user signed in.",
    )


def _press_key(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    if state.call is None:
        return _failed(state, ErrorCode.NOT_ON_SCREEN, "No call is coming in.")
    return _done(changed(state, call=None), "The key was pressed on the call.")


def _press_restart(state: DeviceState, _: Input, now: int, rng: RandomSource) -> _Outcome:
    del now, rng
    return _done(_restarted(state), "The device restarts.", reboot=Reboot(abrupt=False))


# ---------------------------------------------------------------------------------------------
# The world


def _on_message(
    state: DeviceState, message: MessageArrived, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    del rng
    if message.message_id in state.messages:
        return state, []
    new = changed(state, messages=(*state.messages[1 - RESULTS_KEPT :], message.message_id))
    screen = ScreenMessage(message.sender, message.body)
    if message.kind is MessageKind.CALL:
        new = changed(new, call=message.message_id)
        screen = ScreenMessage("Incoming call", message.sender, ("pressKey",))
    return _leave(state, new, screen, now)


def _on_simulate(
    state: DeviceState, event: Simulate, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    del rng
    return _SIMULATIONS[event.action](state, now)


def _simulate_restart(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    new, effects = _leave(state, _restarted(state), None, now)
    return new, [*effects, Reboot(abrupt=False)]


def _simulate_crash(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """Crash without an MQTT DISCONNECT. Work goes on afterwards, so `active` is sent once.

    The broker has no acknowledgement of the command, sends it again and gets a duplicate result.
    """
    new, effects = _leave(state, _restarted(state), None, now)
    return new, [Reboot(abrupt=True), *effects]


def _simulate_restore(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """The first state again. Counters and what was answered go on: ids are used once, ever."""
    new = changed(
        first_state(state.enrollment, now),
        version=state.version,
        draws=state.draws,
        notifications=state.notifications,
        work=state.work,
        inbox=state.inbox,
        waiting=state.waiting,
        push_at=state.push_at,
        last_check_in=state.last_check_in,
        results=state.results,
        answers=state.answers,
        messages=state.messages,
    )
    return _leave(state, new, None, now, always=True)


def _simulate_enroll(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """Enroll the device again, with its group's policy; the passcode it has is kept."""
    if state.enrolled and not state.wiped:
        return state, []
    setup = state.enrollment.setup
    policy = setup.policy if setup.policy and setup.policy.asks_for_something else None
    new = changed(
        state,
        enrolled=True,
        wiped=False,
        current_user=state.enrollment.owner,
        policy=policy,
        resets=0,  # the console of a new enrollment knows of no reset before
        passcode_expires_at=_expiry(policy, state.secret, state.passcode_set_at, now),
        last_check_in=now,
        check_in_at=now + setup.check_in if setup.check_in else None,
        **_NO_GRACE,
    )
    new = _stay_awake(new, now)
    if _satisfies_policy(new, now):
        return _leave(state, new, None, now)
    screen = state.profile.passcode.requirement_screen
    return _leave(state, _out_of_policy(new, now), screen, now)


def _simulate_unenroll(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """End the enrollment without a command, as a user does in the settings."""
    if not state.enrolled or state.wiped:
        return state, []
    return _leave(state, _unenrolled(state), None, now)


# ---------------------------------------------------------------------------------------------
# Timers


def _on_timer(
    state: DeviceState, event: TimerFired, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    timer = Timer(event.timer)
    if timer is Timer.REACTION:
        return _on_reaction(state, now, rng)
    due = timers(state).get(timer)
    if due is None or now < due:
        return state, []
    if timer in (Timer.PUSH, Timer.CHECK_IN):
        return _check_in(state, now, rng)
    new, screen = _TIMERS[timer](state)
    return _leave(state, new, screen, now)


def _on_deadline(state: DeviceState) -> tuple[DeviceState, ScreenMessage | None]:
    return (
        changed(
            state,
            compliance=Compliance.NONCOMPLIANT,
            passcode_deadline=None,
            prompt=Prompt.SHOWN,
        ),
        state.profile.passcode.deadline_screen,
    )


def _on_inactivity(state: DeviceState) -> tuple[DeviceState, ScreenMessage | None]:
    return changed(state, **_LOCKED), None


def _on_passcode_expiry(state: DeviceState) -> tuple[DeviceState, ScreenMessage | None]:
    return (
        changed(
            state,
            compliance=Compliance.NONCOMPLIANT,
            passcode_deadline=None,
            prompt=Prompt.SHOWN,
            passcode_expires_at=None,
        ),
        state.profile.passcode.expired_screen,
    )


# ---------------------------------------------------------------------------------------------
# The tables

_Handler = Callable[[DeviceState, Any, int, RandomSource], tuple[DeviceState, list[Effect]]]

_EVENTS: Final[Mapping[type, _Handler]] = {
    Command: _on_command,
    Input: _on_input,
    MessageArrived: _on_message,
    Simulate: _on_simulate,
    TimerFired: _on_timer,
}

_ACTIONS: Final[Mapping[Action, Callable[[DeviceState, Command, int, RandomSource], _Outcome]]] = {
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

_INPUTS: Final[
    Mapping[InputAction, Callable[[DeviceState, Input, int, RandomSource], _Outcome]]
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

_SIMULATIONS: Final[
    Mapping[Simulation, Callable[[DeviceState, int], tuple[DeviceState, list[Effect]]]]
] = {
    Simulation.CRASH: _simulate_crash,
    Simulation.RESTART: _simulate_restart,
    Simulation.RESTORE: _simulate_restore,
    Simulation.ENROLL: _simulate_enroll,
    Simulation.UNENROLL: _simulate_unenroll,
}

_TIMERS: Final[
    Mapping[Timer, Callable[[DeviceState], tuple[DeviceState, ScreenMessage | None]]]
] = {
    Timer.GRACE: _on_deadline,
    Timer.AUTO_LOCK: _on_inactivity,
    Timer.PASSCODE_EXPIRY: _on_passcode_expiry,
}
