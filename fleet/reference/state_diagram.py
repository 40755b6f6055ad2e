"""docs/state-machine.md: state diagrams, found by exploring `agent.machine.step`.

Every action, input, simulation and timer is applied to every state that they lead to. States that
differ only in counters, times and history count as one. The page is made, never edited:
`python -m fleet.reference.build`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from agent.device_factory import DeviceSpec
from agent.effects import Effect
from agent.events import Command, Event, Input, InputAction, Simulate, Simulation, TimerFired
from agent.machine import first_state, step, timers
from agent.passcode import DIGEST_BYTES, PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, GroupSetup, PasscodeKind, PastAnswers, PastResults, Timer
from platforms import PLATFORMS
from platforms.profile import Action, PlatformProfile

__all__ = [
    "EXPLORED_AT",
    "STREAM",
    "ExploredStep",
    "explore",
    "first_states",
    "state_machine_page",
    "transitions",
]

_WEAK: Final = "2580"
_STRONG: Final = "aK7#aK7#"
EXPLORED_AT: Final = 1_700_000_000_000
_POLICIES: Final = (
    PasscodePolicy(),
    PasscodePolicy(min_length=8, max_failed_attempts=4),
    PasscodePolicy(min_length=4, max_inactivity_minutes=5, max_age_days=30),
)
_TIMERS: Final = {
    Timer.GRACE: "passcodeDeadline passes",
    Timer.AUTO_LOCK: "maxInactivityMinutes pass",
    Timer.PASSCODE_EXPIRY: "maxAgeDays pass",
}
_MADE: Final = "<!-- Made by `python -m fleet.reference.build`. Do not edit. -->"
_INTRO: Final = """\
# The state machine of a device

These diagrams are made from `agent/machine.py`: its `step` is applied to every state that a device
can reach, with every command, input, simulation and timer. The device has the default attributes
of its platform, and starts with or without a passcode. An arrow means that the event can lead from
one state to the other; the rest of the state decides, such as the policy in force. Events that do
not change the state of a diagram are left out. [Platforms](platforms.md) has
the rules and their sources, [the wire contract](contract.md) the words.
"""

Transitions = frozenset[tuple[str, str, str]]
"""Transitions of a diagram: (state before, label of the event, state after)."""


class ExploredStep(NamedTuple):
    """Step of the exploration. `label` is the name of the event in the diagrams."""

    before: DeviceState
    label: str
    event: Event
    effects: tuple[Effect, ...]
    after: DeviceState


class _Stream(DeviceRandomStream):
    """Random stream whose digest of a passcode is the passcode, so that it can be entered."""

    __slots__ = ()

    def digest(self, passcode: str, *, temporary: bool = False) -> bytes:
        """The passcode, padded to the length of a digest."""
        del temporary
        return passcode.encode().ljust(DIGEST_BYTES, b"\0")[:DIGEST_BYTES]


STREAM: Final = _Stream(7, "phone-001")


def _lock(state: DeviceState) -> str:
    return "wiped" if state.wiped else "locked" if state.locked else "unlocked"


def _passcode(state: DeviceState) -> str:
    return "wiped" if state.wiped else state.passcode.value


def _compliance(state: DeviceState) -> str:
    return "wiped" if state.wiped else state.compliance.value


_DIAGRAMS: Final[Mapping[str, tuple[str, Callable[[DeviceState], str]]]] = {
    "Lock": ("`locked` of the state snapshot", _lock),
    "Passcode": ("`passcode` of the state snapshot", _passcode),
    "Compliance and grace": ("`compliance` of the state snapshot", _compliance),
}


def transitions(profile: PlatformProfile) -> dict[str, Transitions]:
    """Transitions of each diagram that a device of a platform can make, by the diagram's title."""
    found: dict[str, set[tuple[str, str, str]]] = {title: set() for title in _DIAGRAMS}
    for before, label, _, _, after in explore(first_states(profile)):
        for title, (_, view) in _DIAGRAMS.items():
            if view(before) != view(after):
                found[title].add((view(before), label, view(after)))
    return {title: frozenset(edges) for title, edges in found.items()}


def explore(states: Iterable[DeviceState]) -> Iterator[ExploredStep]:
    """Every step between states that a device in one of `states` can reach."""
    queue = [(state, EXPLORED_AT) for state in states]
    known = {_key(state) for state, now in queue}
    while queue:
        state, now = queue.pop()
        for label, event, at in _events(state, now):
            after, effects = step(state, event, at, STREAM)
            after = replace(after, results=PastResults(), answers=PastAnswers())
            yield ExploredStep(state, label, event, effects, after)
            key = _key(after)
            if key not in known:
                known.add(key)
                queue.append((after, at))


def first_states(profile: PlatformProfile) -> Iterator[DeviceState]:
    """States of a device of a platform at its enrollment, without and with a passcode."""
    setup = GroupSetup(name="phones", profile=profile, biometrics=profile.biometrics)
    for passcode in (None, _WEAK):
        spec = DeviceSpec("phone-001", "alex", setup, passcode)
        yield first_state(spec.enrollment(STREAM), EXPLORED_AT)


def _key(state: DeviceState) -> tuple[object, ...]:
    """The part of a state that decides which transitions are possible."""
    limit = state.policy.max_failed_attempts if state.policy else None
    return (
        state.enrollment.first is None,
        state.locked,
        state.secret if state.passcode is PasscodeKind.USER else state.passcode,
        state.compliance,
        state.prompt,
        (state.touch_id, state.face),
        min(state.failed_attempts, limit + 1) if limit else 0,
        (state.wiped, state.enrolled, state.lost_mode),
        state.policy,
        state.resets > 0,
        frozenset(timers(state)),
    )


def _events(state: DeviceState, now: int) -> Iterator[tuple[str, Event, int]]:
    """Events that may come next, each with its label and its instant."""
    for action in Action:
        for policy in _POLICIES if action is Action.APPLY_PASSCODE_POLICY else (None,):
            yield action.value, Command("c", action, policy=policy), now
    able = max(now, state.retry_at or 0)
    for press in InputAction:
        if press is InputAction.ENTER_PASSCODE:
            right = state.secret.digest.rstrip(b"\0").decode() if state.secret else ""
            yield "enterPasscode", Input("i", press, right), able
            yield "enterPasscode (wrong)", Input("i", press, "?"), able
        elif press is InputAction.SET_PASSCODE:
            for passcode in (_WEAK, _STRONG):
                yield press.value, Input("i", press, passcode), able
        else:
            yield press.value, Input("i", press, user="alex"), able
    for simulation in Simulation:
        yield f"simulate {simulation}", Simulate(simulation), now
    for timer, at in timers(state).items():
        yield _TIMERS[timer], TimerFired(timer), at


def state_machine_page() -> str:
    """The whole page, in Markdown."""
    found = [(profile.title, transitions(profile)) for profile in PLATFORMS]
    lines = [_MADE, "", *_INTRO.splitlines()]
    for title, (key, _) in _DIAGRAMS.items():
        lines += ["", f"## {title}", "", f"The states are values of {key}, and `wiped`."]
        by_edges: dict[Transitions, list[str]] = defaultdict(list)
        for platform, diagrams in found:
            by_edges[diagrams[title]].append(platform)
        for edges, titles in by_edges.items():
            lines += ["", f"### {title}: {', '.join(titles)}", "", *_diagram(edges)]
    return "\n".join(lines) + "\n"


def _diagram(edges: Transitions) -> Iterator[str]:
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for before, label, after in sorted(edges):
        labels[before, after].append(label)
    yield "```mermaid"
    yield "stateDiagram-v2"
    for (before, after), found in labels.items():
        yield f"    {before} --> {after}: {', '.join(found)}"
    yield "```"
