"""Rules that devices exercise: actions, inputs, timers and screens, by platform and management.

A rule is one case of the behaviour of a platform: an action with the answer of its protocol, an
input with its answer, a timer that fires, a message on the screen. `RuleRecorder` reads the rules
off the events and effects of devices. Answers that only the wire contract decides, and that are the
same on every platform, are no rules: an expired command, an id used twice, a duplicate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from agent.effects import Effect, PublishAnswer, PublishNotification, PublishResult
from agent.events import Event, TimerFired
from agent.past_results import ActionState, ErrorCode
from agent.runner import Device
from agent.state import GroupSetup
from platforms.profile import ScreenMessage

__all__ = ["Case", "Rule", "RuleKind", "RuleRecorder", "case_of_effect", "case_of_event"]

_BY_CONTRACT: Final = frozenset(
    {ErrorCode.EXPIRED, ErrorCode.COMMAND_ID_REUSED, ErrorCode.INPUT_ID_REUSED}
)

_VARYING: Final = "text varies"


class RuleKind(StrEnum):
    """Kind of a rule."""

    ACTION = "action"
    INPUT = "input"
    TIMER = "timer"
    SCREEN = "screen"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One case of the behaviour of a platform.

    `name` is an action, an input, a timer, or the title of a screen message. `answer` is the native
    case or error code of an action, `done` or the error code of an input, `fired` for a timer, and
    the text of a screen message: the one that the platform defines, otherwise `text varies`.
    """

    kind: RuleKind
    name: str
    answer: str


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Case on a platform under a management."""

    platform: str
    management: str
    case: Case


def case_of_event(event: Event) -> Case | None:
    """Return the case that an event exercises by itself: a timer that fires."""
    if isinstance(event, TimerFired):
        return Case(RuleKind.TIMER, str(event.timer), "fired")
    return None


def case_of_effect(setup: GroupSetup, effect: Effect) -> Case | None:
    """Return the case that an effect shows, or None if it shows no rule of a platform."""
    if isinstance(effect, PublishResult):
        result = effect.result
        if result.state is ActionState.ACTIVE or effect.duplicate or result.error in _BY_CONTRACT:
            return None
        return Case(RuleKind.ACTION, str(result.action), str(result.native or result.error))
    if isinstance(effect, PublishAnswer):
        answer = effect.answer
        if effect.duplicate or answer.error in _BY_CONTRACT:
            return None
        return Case(RuleKind.INPUT, str(answer.action), str(answer.error or answer.state))
    if isinstance(effect, PublishNotification):
        text = (effect.title, effect.body)
        body = effect.body if text in _own_screens(_ById(setup.profile)) else _VARYING
        return Case(RuleKind.SCREEN, effect.title, body)
    return None


class _ById:
    """Profile as a key of the cache: profiles hold mappings, so they have no hash."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.value is other.value


@lru_cache(maxsize=256)
def _own_screens(profile: _ById) -> frozenset[tuple[str, str]]:
    """Title and text of every screen message that a profile defines."""
    return frozenset((screen.title, screen.body) for screen in _screens(profile.value))


def _screens(value: Any) -> Iterator[ScreenMessage]:
    if isinstance(value, ScreenMessage):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _screens(getattr(value, field.name))


class RuleRecorder:
    """Counts of the rules that devices exercise: hooks for `DeviceContext`."""

    def __init__(self) -> None:
        self.counts: Counter[Rule] = Counter()

    def on_event(self, device: Device, event: Event) -> None:
        """Count the timer that fired."""
        self._count(device, case_of_event(event))

    def on_effect(self, device: Device, effect: Effect) -> None:
        """Count the rule that an effect shows."""
        self._count(device, case_of_effect(device.state.enrollment.setup, effect))

    def _count(self, device: Device, case: Case | None) -> None:
        if case is not None:
            setup = device.state.enrollment.setup
            self.counts[Rule(setup.profile.id, setup.management.value, case)] += 1

    def snapshot(self) -> list[list[Any]]:
        """Counts as JSON, in the form that `add` reads."""
        return [
            [rule.platform, rule.management, rule.case.kind, rule.case.name, rule.case.answer, n]
            for rule, n in sorted(self.counts.items())
        ]

    def add(self, snapshot: Iterable[Sequence[Any]]) -> None:
        """Add the counts of a snapshot."""
        for platform, management, kind, name, answer, count in snapshot:
            self.counts[Rule(platform, management, Case(RuleKind(kind), name, answer))] += count
