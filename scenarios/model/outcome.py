"""Outcomes of scenarios, for the terminal, `--json` and the reports.

Passcodes occur in two fields only: `ScenarioOutcome.wire` (the traffic) and
`ScenarioOutcome.initial_devices`. Only the trace writer reads them, and it redacts both. Instants
are milliseconds since the Unix epoch, UTC, on the clock of the scenario. `seconds` are real time
and differ from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.coverage import Rule
from agent.definition.platforms import Platforms
from agent.state import DeviceState

__all__ = [
    "Failure",
    "InitialDevice",
    "Lane",
    "ScenarioOutcome",
    "Status",
    "StepOutcome",
    "TimelineEvent",
    "WireMessage",
]


class Status(StrEnum):
    """Result of a step or a scenario. Steps after a failed step are `skipped`."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Lane(StrEnum):
    """Lane of the timeline in the report."""

    PORTAL = "portal"
    """Steps and screens of portal, console and account; `TimelineEvent.actor` names the actor."""
    DEVICE = "device"
    """States and notifications of a device, and the steps of its user."""
    WIRE = "wire"
    """All other MQTT messages: commands, inputs, results, escrow, presence."""
    BACKEND = "backend"
    """Requests to the back-end under test, and its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """Event on the timeline, with passcodes masked.

    `actor` is set for steps and screens of actors; `device` is the name of the device in the
    scenario, or None. `kind` is the name of the step, `screen`, or the last topic level of a
    message. `text` is a summary in one line; `document` is the payload or the changed screen.
    `step` is the number of the current step, 0 before the first.
    """

    at: int
    lane: Lane
    kind: str
    text: str
    step: int = 0
    actor: str | None = None
    device: str | None = None
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Reason of a failed step, with its position in the file.

    `messages` are the last messages of the addressed device, or of all devices if the step
    addresses none. `expected` and `seen` are sentences or `key: value` lists, without passcodes.
    """

    path: str
    line: int
    column: int
    expected: str
    seen: str
    messages: tuple[TimelineEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """Outcome of one step. `text` is the step on one line, with passcodes masked.

    `number` counts from 1; `began` and `ended` are instants on the clock of the scenario.
    """

    number: int
    name: str
    text: str
    line: int
    status: Status
    began: int
    ended: int
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WireMessage:
    """MQTT message including passcodes, for the trace writer only.

    `topic` is relative to the topic root of the scenario: `devices/phone/commands`.
    """

    at: int
    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialDevice:
    """Device at the start of the scenario including its passcode, for the trace writer only."""

    name: str
    passcode: str | None = field(repr=False)
    state: DeviceState = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioOutcome:
    """Outcome of one scenario.

    `path` and `line` are its position; `source` is its `source` key. `problem` is set if the
    scenario ended for another reason than a failed step. `devices` are (name, platform title,
    management) in the order of the file. `clock` is `virtual`, `real`, or a speed such as `60x`.
    `platforms` are the platforms that its devices may use. `proves` are the numbers of the
    statements that it proves if it passes. `exercised` counts the rules that its devices exercised;
    it is empty unless the run asked for coverage.
    """

    name: str
    path: str
    line: int
    source: str
    status: Status
    steps: tuple[StepOutcome, ...]
    began: int
    ended: int
    seconds: float = 0.0
    problem: str | None = None
    devices: tuple[tuple[str, str, str], ...] = ()
    events: tuple[TimelineEvent, ...] = ()
    wire: tuple[WireMessage, ...] = field(default=(), repr=False)
    initial_devices: tuple[InitialDevice, ...] = field(default=(), repr=False)
    clock: str = "virtual"
    platforms: Platforms = field(default_factory=Platforms, repr=False)
    proves: tuple[str, ...] = ()
    exercised: Mapping[Rule, int] = field(default_factory=dict, repr=False)

    @property
    def passed(self) -> bool:
        """True if every step passed."""
        return self.status is Status.PASSED

    @property
    def failure(self) -> Failure | None:
        """Failure of the first failed step, or None."""
        return next((step.failure for step in self.steps if step.failure is not None), None)
