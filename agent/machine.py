"""State machine of one device: `step(state, event, now, rng) -> (state, effects)`.

Theory of operation. `step` is a pure function and the only place where the state of a device
changes. An event comes in (a command, an input, a message, a simulation or a timer that fired); the
new state and a tuple of effects (publish, arm a timer, reboot) come out, and the runner carries out
the effects in their order. The module does no I/O and reads no clock and no source of randomness:
the instant and the random stream are arguments, and the platform is data (`platforms.profile`). The
same events therefore give the same states in a test, in virtual time and after a restart.

Dispatch. `_EVENTS` maps the type of an event to its handler; `_SIMULATIONS` and `_TIMERS` map each
simulation and timer to its transition. `agent.command_queue` accepts commands and keeps their
results, `agent.command_transitions` and `agent.input_transitions` map each action and input to its
transition, and `agent.state_changes` holds the changes that transitions share. A transition of a
command or an input returns an `Outcome`, which becomes the remembered result and the effects, in
the order of the contract: state, notification, escrow, result.

Timers are fields of the state, and `timers` reads them. No list of timers exists beside the state,
so a state loaded from a file is complete. `step` compares the fields before and after the event and
returns an effect for each difference (`agent.event_effects`).

A command id or an input id that was used before is answered from `results` or `answers` and changes
nothing.

Performance. Half of the cost of a step is the construction of states. A transition therefore
collects its changes for one call of `changed`, and `finish_event` adds the version, the counters
and the remembered results in a second one.

The state diagrams in docs/state-machine.md are made from this module by exploring `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.command_queue import check_in, finish_work, take_command
from agent.effects import Effect, PublishAnswer, Reboot
from agent.event_effects import finish_event, timer_effects, timers
from agent.events import (
    Command,
    Event,
    Input,
    InputAction,
    MessageArrived,
    MessageKind,
    Refuse,
    Simulate,
    Simulation,
    TimerFired,
)
from agent.input_transitions import INPUT_TRANSITIONS
from agent.passcode import RandomSource, traits_of
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
    Prompt,
    Secret,
    Timer,
    changed,
)
from agent.state_changes import (
    NO_GRACE,
    expiry,
    failed,
    lock_by_itself,
    out_of_policy,
    restart,
    satisfies_policy,
    stay_awake,
    unenroll,
)
from platforms.profile import Biometric, ScreenMessage

__all__ = ["enroll", "first_state", "step", "timers"]

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
        passcode_expires_at=expiry(policy, enrollment.first, now, now),
        check_in_at=now + setup.check_in if setup.check_in else None,
    )
    return state if satisfies_policy(state, now) else out_of_policy(state, now)


def step(
    state: DeviceState, event: Event, now: int, rng: RandomSource
) -> tuple[DeviceState, tuple[Effect, ...]]:
    """Let `event` happen to a device at instant `now`.

    Returns the new state and what to do about it, in order. Nothing that can be put into an event
    raises: what is wrong with one comes back as a `failed` result.
    """
    new, effects = _EVENTS[type(event)](state, event, now, rng)
    return new, (*effects, *timer_effects(state, new))


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
        outcome = failed(state, ErrorCode.NOT_ENROLLED, "The device was wiped; restore it first.")
    elif state.lost_mode and press.action not in _IN_LOST_MODE:
        outcome = failed(state, ErrorCode.DEVICE_LOCKED, "The device is in Lost Mode.")
    else:
        outcome = INPUT_TRANSITIONS[press.action](state, press, now, rng)
    answer = InputAnswer(
        press.input_id, press.action, outcome.said, outcome.message, now, outcome.error
    )
    new, effects = finish_event(
        state,
        stay_awake(outcome.state, now),
        outcome.screen,
        now,
        answers=state.answers.plus(answer),
    )
    effects.append(PublishAnswer(answer))
    if outcome.reboot is not None:
        effects.append(outcome.reboot)
    return new, effects


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
    return finish_event(state, new, screen, now)


def _on_simulate(
    state: DeviceState, event: Simulate, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    del rng
    return _SIMULATIONS[event.action](state, now)


def _simulate_restart(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    new, effects = finish_event(state, restart(state), None, now)
    return new, [*effects, Reboot(abrupt=False)]


def _simulate_crash(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """Crash without an MQTT DISCONNECT. Work goes on afterwards, so `active` is sent once.

    The broker has no acknowledgement of the command, sends it again and gets a duplicate result.
    """
    new, effects = finish_event(state, restart(state), None, now)
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
    return finish_event(state, new, None, now, always=True)


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
        passcode_expires_at=expiry(policy, state.secret, state.passcode_set_at, now),
        last_check_in=now,
        check_in_at=now + setup.check_in if setup.check_in else None,
        **NO_GRACE,
    )
    new = stay_awake(new, now)
    if satisfies_policy(new, now):
        return finish_event(state, new, None, now)
    screen = state.profile.passcode.requirement_screen
    return finish_event(state, out_of_policy(new, now), screen, now)


def _simulate_unenroll(state: DeviceState, now: int) -> tuple[DeviceState, list[Effect]]:
    """End the enrollment without a command, as a user does in the settings."""
    if not state.enrolled or state.wiped:
        return state, []
    return finish_event(state, unenroll(state), None, now)


def _on_refuse(
    state: DeviceState, event: Refuse, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Script refusals; a case that the platform does not have never concerns a command."""
    del now, rng
    return changed(state, refusals=(*state.refusals, *[event.case] * event.count)), []


# ---------------------------------------------------------------------------------------------
# Timers


def _on_timer(
    state: DeviceState, event: TimerFired, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    timer = Timer(event.timer)
    if timer is Timer.REACTION:
        return finish_work(state, now, rng)
    due = timers(state).get(timer)
    if due is None or now < due:
        return state, []
    if timer in (Timer.PUSH, Timer.CHECK_IN):
        return check_in(state, now, rng)
    new, screen = _TIMERS[timer](state, now)
    return finish_event(state, new, screen, now)


def _on_deadline(state: DeviceState, now: int) -> tuple[DeviceState, ScreenMessage | None]:
    del now
    return (
        changed(
            state,
            compliance=Compliance.NONCOMPLIANT,
            passcode_deadline=None,
            prompt=Prompt.SHOWN,
        ),
        state.profile.passcode.deadline_screen,
    )


def _on_inactivity(state: DeviceState, now: int) -> tuple[DeviceState, ScreenMessage | None]:
    return lock_by_itself(state, now), None


def _on_passcode_expiry(state: DeviceState, now: int) -> tuple[DeviceState, ScreenMessage | None]:
    del now
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
    Command: take_command,
    Input: _on_input,
    MessageArrived: _on_message,
    Simulate: _on_simulate,
    Refuse: _on_refuse,
    TimerFired: _on_timer,
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
    Mapping[Timer, Callable[[DeviceState, int], tuple[DeviceState, ScreenMessage | None]]]
] = {
    Timer.GRACE: _on_deadline,
    Timer.AUTO_LOCK: _on_inactivity,
    Timer.PASSCODE_EXPIRY: _on_passcode_expiry,
}
