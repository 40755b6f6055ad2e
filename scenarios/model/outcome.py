"""What became of scenarios: plain frozen records, for the terminal, `--json` and the reports.

Nothing here holds a passcode, but for what is named so: `ScenarioOutcome.wire` is the traffic as it
was, `initial_devices` what devices started with, for the recorder, which redacts both. Instants are
milliseconds since the Unix epoch, UTC, in the scenario's own time; `seconds` are real ones and
differ from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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
    """How a step or a scenario ended. `skipped` stands behind a failed step."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Lane(StrEnum):
    """Where something happened: a lane of the report's timeline."""

    PORTAL = "portal"
    """What an actor did or showed: portal, console, account; `TimelineEvent.actor` tells which."""
    DEVICE = "device"
    """What a device did: its state, and what appeared on its screen."""
    WIRE = "wire"
    """What went over MQTT beside that: commands, inputs, results, escrow, presence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """Something that happened, redacted.

    `actor` is set in the portal lane, `device` (its name in the scenario) where one is concerned.
    `kind` is the step's name in the portal lane and the topic's last level in the others; `text` is
    one line for a reader; `document` the payload or the step's arguments, passcodes taken out.
    `step` is the number of the step during which it happened, 0 before the first.
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
    """Why a step failed. `messages` are the last ones of the device, or of all where none is meant.

    `expected` and `seen` are sentences or `key: value` lists, without passcodes.
    """

    path: str
    line: int
    column: int
    expected: str
    seen: str
    messages: tuple[TimelineEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """One step. `text` is the step as the file has it, on one line, passcodes taken out.

    `number` counts from 1; `began` and `ended` are the scenario's time.
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
    """One message as it went over the broker, passcodes included: for the recorder alone.

    `topic` is relative to the scenario's root: `devices/phone/commands`.
    """

    at: int
    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialDevice:
    """What a device of the scenario started with; for the recorder alone, like the wire."""

    name: str
    passcode: str | None = field(repr=False)
    state: DeviceState = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioOutcome:
    """One scenario.

    `path` and `line` are where it stands; `source` is what it names as its source. `problem` is set
    where it ended for another reason than a failed step: the broker was lost, time ran out.
    `devices` are (name, platform title, management) in the order of the file. `clock` is `virtual`,
    or a speed such as `60x`. `known` are the platforms that the scenario could name.
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

    @property
    def passed(self) -> bool:
        """Whether every step passed."""
        return self.status is Status.PASSED

    @property
    def failure(self) -> Failure | None:
        """Why it failed, where a step did."""
        return next((step.failure for step in self.steps if step.failure is not None), None)
