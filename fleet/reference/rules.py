"""All rules of a platform, found by exploring `agent.machine.step`.

The exploration of the state diagrams reaches every state of a device; it is repeated with another
user signed in. A few events more, each taken on a device that was just enrolled, show what depends
on more than the state: attributes of the device (the limits of the platform), a policy out of
bounds, a reaction time, a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from agent.coverage import Case, RuleKind, case_of_effect, case_of_event
from agent.effects import ArmTimer
from agent.events import Command, Event, Input, InputAction, MessageArrived, MessageKind
from agent.machine import step
from agent.passcode import PasscodePolicy
from agent.state import DeviceState, GroupSetup
from fleet.reference.state_diagram import EXPLORED_AT, STREAM, explore, first_states
from platforms.profile import Action, Attributes, Limit, PlatformProfile

__all__ = ["cases_of"]

_OUT_OF_BOUNDS: Final = PasscodePolicy(min_length=10_000)
_REACTION: Final = (1, 1)
"""Milliseconds; any reaction time arms the timer."""


def cases_of(profile: PlatformProfile) -> frozenset[Case]:
    """Return every case of a platform that a device can show."""
    first = list(first_states(profile))
    found = {*_explored_cases(first), *_explored_cases(_with_another_user(first))}
    for state in first:
        for variant in _variants(state, profile):
            for action in Action:
                found |= set(_cases_after(variant, [Command("c", action)]))
        policy = Command("c", Action.APPLY_PASSCODE_POLICY, policy=_OUT_OF_BOUNDS)
        call = MessageArrived("m", MessageKind.CALL, "sender", "text")
        found |= set(_cases_after(state, [policy]))
        found |= set(_cases_after(state, [call, Input("i", InputAction.PRESS_KEY, key="#")]))
    return frozenset(found)


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
    """Devices on which each limit of the platform applies, and one with a reaction time."""
    setup = state.enrollment.setup
    yield _with_setup(state, replace(setup, reaction=_REACTION))
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
