"""Acceptance of commands: push delay, reaction time, order, and results that are remembered.

Commands run one at a time, in the order of arrival. A command with a reaction time is the state's
`work` until the reaction timer fires; later commands wait in `inbox`. A command whose push has not
arrived waits in `waiting`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from agent.command_transitions import ACTION_TRANSITIONS
from agent.effects import AcknowledgeDelivery, Effect, PublishEscrow, PublishResult
from agent.event_effects import finish_event
from agent.events import Command
from agent.passcode import RandomSource
from agent.state import ActionState, DeviceState, ErrorCode, Result, Work, changed
from agent.state_changes import Outcome, failed
from platforms.profile import Action

__all__ = ["check_in", "finish_work", "take_command"]

_ACTIVE_AFTER: Final = 1_000
"""A reaction longer than this many milliseconds is announced with `active`."""
_PARTS: Final = 1_000_000
"""Resolution of a share such as `push_loss`: parts per million."""


def take_command(
    state: DeviceState, command: Command, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Take up a command that arrived, or queue it until its push or the work before it is over."""
    if _waits_for_push(state, command):
        return _wait_for_push(state, command, now, rng), []
    if state.waiting:  # a check-in takes up what waits first
        state, effects = check_in(state, now, rng)
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


def check_in(state: DeviceState, now: int, rng: RandomSource) -> tuple[DeviceState, list[Effect]]:
    """Connect to the management service: take up every command that waits, in order.

    A device that checks in asks for all its commands, not only for the pushed one.
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
    new, effects = finish_event(state, checked_in, None, now)
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
        return state, [answered, AcknowledgeDelivery(command.delivery)]
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
    outcome = _scripted_refusal(state, command.action)
    if outcome is None:
        outcome = ACTION_TRANSITIONS[command.action](state, command, now, rng)
    drawn, shown, escrow = outcome.passcode, None, False
    if drawn is not None:
        rule, management = state.profile.reset, state.enrollment.setup.management
        shown = drawn if management in rule.shown_to_user else None
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
        shown,
    )
    new, effects = finish_event(
        state,
        outcome.state,
        outcome.screen,
        now,
        always=outcome.show_state,
        results=state.results.plus(result) if outcome.stored else state.results,
    )
    if drawn is not None and escrow:
        effects.append(PublishEscrow(command.command_id, drawn, new.resets))
    effects += (PublishResult(result), AcknowledgeDelivery(command.delivery))
    if outcome.reboot is not None:
        effects.append(outcome.reboot)
    return new, effects


def _scripted_refusal(state: DeviceState, action: Action) -> Outcome | None:
    """Outcome of the first scripted refusal that concerns an action, which it uses up."""
    for index, case in enumerate(state.refusals):
        rule = state.profile.refusal(action, case)
        if rule is not None:
            left = (*state.refusals[:index], *state.refusals[index + 1 :])
            outcome = failed(
                changed(state, refusals=left), ErrorCode(rule.error), rule.message, native=case
            )
            return replace(outcome, stored=rule.stored)
    return None


def finish_work(
    state: DeviceState, now: int, rng: RandomSource
) -> tuple[DeviceState, list[Effect]]:
    """Finish the command at work, then go on with those that waited."""
    work = state.work
    if work is None or now < work.due:
        return state, []
    state = changed(state, work=None)
    answered = _answer_at_once(state, work.command, now, work.started)
    if answered is not None:
        effects: list[Effect] = [answered, AcknowledgeDelivery(work.command.delivery)]
    else:
        state, effects = _do(state, work.command, work.started, now, rng)
    while state.inbox and state.work is None:
        command, rest = state.inbox[0], state.inbox[1:]
        state, more = _take_up(changed(state, inbox=rest), command, now, rng)
        effects += more
    return state, effects
