"""A scenario that was found right: what the engine plays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from agent.definition.platforms import Platforms
from agent.state import GroupSetup
from scenarios.model.actor import Account, Organization
from scenarios.model.file import RawCommand

__all__ = ["ActorStep", "ExpectStep", "Scenario", "ScenarioDevice", "Step", "WaitStep"]


@dataclass(frozen=True, slots=True)
class ActorStep:
    """An actor does something."""

    actor: str
    verb: str
    arguments: BaseModel = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExpectStep:
    """Step that compares what an actor shows with expected values.

    `expected` maps each compared key to a plain value or a `scenarios.model.matchers.Matcher`.
    `plain_values` holds all plain values of the step, including selectors such as `device`.
    `within` is the time limit in milliseconds; None compares once, at the current instant.
    """

    actor: str
    expected: Mapping[str, object] = field(repr=False)
    plain_values: Mapping[str, object] = field(repr=False)
    within: int | None = None


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Time passes: milliseconds."""

    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `text` is how it stands in the file, on one line and without secrets.

    `device` is the device that it is about, where it is about one.
    """

    number: int
    name: str
    text: str
    line: int
    column: int
    operation: ActorStep | ExpectStep | WaitStep | RawCommand
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioDevice:
    """A device of a scenario. `passcode` is in clear: hand it to `agent.machine.enroll` only."""

    name: str
    owner: str
    setup: GroupSetup
    passcode: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario. `path` is the file as it was named, `known` the platforms that it may name."""

    name: str
    path: str
    line: int
    source: str
    seed: int
    devices: tuple[ScenarioDevice, ...]
    accounts: tuple[Account, ...]
    organization: Organization
    steps: tuple[Step, ...]
    platforms: Platforms = field(default_factory=Platforms)
