"""Validated scenarios, ready for `scenarios.run`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel

from agent.definition.platforms import Platforms
from agent.device_factory import DeviceSpec
from scenarios.model.actor import Account, Organization
from scenarios.model.file import RawCommand

__all__ = ["ActorStep", "DeferredStep", "ExpectStep", "Operation", "Scenario", "Step", "WaitStep"]


HTTP_REQUEST: Final = "http.request"
"""Name of the step that sends a request to the back-end under test."""


@dataclass(frozen=True, slots=True)
class ActorStep:
    """Step of an actor: its verb and the validated arguments."""

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
    """Step that lets `duration` milliseconds pass."""

    duration: int


Operation = ActorStep | ExpectStep | WaitStep | RawCommand
"""Validated operation of a step."""


@dataclass(frozen=True, slots=True)
class DeferredStep:
    """Step with saved values, which is validated when it runs.

    `resolve` fills in the saved values and returns the operation. It raises StepRefusedError if the
    step is invalid with these values.
    """

    resolve: Callable[[Mapping[str, object]], Operation] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Step of a scenario, with its position in the file.

    `text` is the step on one line with secrets masked. `device` is the name of the device that the
    step addresses, or None. `number` counts from 1.
    """

    number: int
    name: str
    text: str
    line: int
    column: int
    operation: Operation | DeferredStep
    device: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Validated scenario.

    `path` is the file path as given by the user. `proves` are the numbers of the statements of the
    source documents that it proves (see `scenarios.model.statements`). `platforms` are the
    platforms that its devices may use. `secrets` maps the values of the environment variables in
    the file to their placeholders.
    """

    name: str
    path: str
    line: int
    source: str
    seed: int
    devices: tuple[DeviceSpec, ...]
    accounts: tuple[Account, ...]
    organization: Organization
    steps: tuple[Step, ...]
    proves: tuple[str, ...] = ()
    platforms: Platforms = field(default_factory=Platforms)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def http_step(self) -> Step | None:
        """First `http` step, or None; a scenario with one never runs on virtual time."""
        return next((step for step in self.steps if step.name == HTTP_REQUEST), None)
