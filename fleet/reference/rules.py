"""All rules of a platform, found by exploring `agent.machine.step`.

The exploration of the state diagrams reaches every state of a device; it is repeated with another
user signed in, and on a supervised device where the platform asks for one. A few events more, each
taken on a device that was just enrolled, show what depends on more than the state: attributes of
the device (the limits of the platform), a policy out of bounds, a lock message, times and losses of
the group (reaction, push, check-in), a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from agent.coverage import Case, RuleKind, case_of_effect, case_of_event
from agent.effects import ArmTimer
from agent.events import Command, Event, Input, InputAction, MessageArrived, MessageKind, Refuse
from agent.machine import step
from agent.passcode import PasscodePolicy
from agent.state import DeviceState, GroupSetup
from fleet.reference.state_diagram import EXPLORED_AT, STREAM, explore, first_states
from platforms.profile import Action, Attributes, Limit, PlatformProfile

__all__ = ["reachable_cases"]

_OUT_OF_BOUNDS: Final = PasscodePolicy(min_length=10_000)
_TIMES: Final = {"reaction": (1, 1), "push_delay": (1, 1), "check_in": 1}
"""Settings of a group that arm a timer, each with a value in milliseconds; any value does."""


def reachable_cases(profile: PlatformProfile) -> frozenset[Case]:
    """Return every case of a platform that a device can show."""
    first = list(first_states(profile))
    starts = [*first, *_supervised(first, profile)]
    found = {*_explored_cases(starts), *_explored_cases(_with_another_user(first))}
    call = MessageArrived("m", MessageKind.CALL, "sender", "text")
    for state in first:
        for variant in _variants(state, profile):
            for event in _commands():
                found |= set(_cases_after(variant, [event]))
        for refusal in profile.refusals:
            for event in _commands():
                found |= set(_cases_after(state, [Refuse(refusal.case), event]))
        found |= set(_cases_after(state, [call, Input("i", InputAction.PRESS_KEY, key="#")]))
    return frozenset(found)


def _commands() -> Iterator[Command]:
    for action in Action:
        yield Command("c", action, message="text", phone_number="555 0100")
    yield Command("c", Action.APPLY_PASSCODE_POLICY, policy=_OUT_OF_BOUNDS)


def _supervised(states: Iterable[DeviceState], profile: PlatformProfile) -> Iterator[DeviceState]:
    """Yield the states of a supervised device, if supervision changes what the platform does."""
    if profile.lost_mode.supported and profile.lost_mode.supervised_only:
        attributes = replace(profile.attributes, supervised=True)
        for state in states:
            yield _with_setup(state, replace(state.enrollment.setup, attributes=attributes))


def _with_another_user(states: Iterable[DeviceState]) -> Iterator[DeviceState]:
    """Yield the states after another user has signed in, if the platform allows it."""
    for state in states:
        after, _ = step(
            state, Input("u", InputAction.SIGN_IN, user="another user"), EXPLORED_AT, STREAM
        )
        if after.current_user != state.current_user:
            yield after


def _explored_cases(states: Iterable[DeviceState]) -> Iterator[Case]:
    delayed = False
    for explored in explore(states):
        setup = explored.before.enrollment.setup
        if (timer := case_of_event(explored.event)) is not None:
            yield timer
        for effect in explored.effects:
            if (case := case_of_effect(setup, effect)) is not None:
                yield case
        if explored.after.retry_at is not None and not delayed:
            # The exploration waits until the lock screen takes a passcode again.
            delayed = True
            early = Input("i", InputAction.ENTER_PASSCODE, "0000")
            yield from _cases_after(explored.after, [early])


def _cases_after(state: DeviceState, events: list[Event]) -> Iterator[Case]:
    setup = state.enrollment.setup
    for event in events:
        state, effects = step(state, event, EXPLORED_AT, STREAM)
        for effect in effects:
            if isinstance(effect, ArmTimer):
                yield Case(RuleKind.TIMER, str(effect.timer), "fired")
            elif (case := case_of_effect(setup, effect)) is not None:
                yield case


def _variants(state: DeviceState, profile: PlatformProfile) -> Iterator[DeviceState]:
    """Devices on which each limit of the platform applies, and one for each time of its group."""
    setup = state.enrollment.setup
    for setting, value in _TIMES.items():
        changed = replace(setup, **{setting: value})  # type: ignore[arg-type]
        yield _with_setup(state, changed)
    for limit in profile.reset.limits:
        attributes = _attributes_within(limit, profile.attributes)
        yield _with_setup(state, replace(setup, attributes=attributes))


def _with_setup(state: DeviceState, setup: GroupSetup) -> DeviceState:
    return replace(state, enrollment=replace(state.enrollment, setup=setup))


def _attributes_within(limit: Limit, attributes: Attributes) -> Attributes:
    """Return attributes to which a limit applies, otherwise those of the platform."""
    changes: dict[str, object] = {}
    if limit.from_api_level is not None:
        changes["api_level"] = limit.from_api_level
    if limit.below_os is not None:
        changes["os_version"] = (0,)
    if limit.azure_ad_joined is not None:
        changes["azure_ad_joined"] = limit.azure_ad_joined
    return replace(attributes, **changes)  # type: ignore[arg-type]
