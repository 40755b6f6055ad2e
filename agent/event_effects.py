"""Timers of a state, and the effects that follow from a change of the state."""

from __future__ import annotations

from typing import Final, TypedDict, Unpack

from agent.effects import ArmTimer, CancelTimer, Effect, PublishNotification, PublishState
from agent.state import DeviceState, PastAnswers, PastResults, Timer, changed
from platforms.profile import ScreenMessage

__all__ = ["finish_event", "timer_effects", "timers"]


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


def finish_event(
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


def timer_effects(old: DeviceState, new: DeviceState) -> list[Effect]:
    """Effects that arm and cancel the timers that differ between two states."""
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
