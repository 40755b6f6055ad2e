"""A scenario that was found right: what the engine plays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from agent.definition.platforms import Platforms
from agent.state import GroupSetup
from scenarios.model.actor import Account, Organization
from scenarios.model.file import RawCommand

__all__ = ["Act", "Cast", "Expect", "Scenario", "Step", "Wait"]


@dataclass(frozen=True, slots=True)
class Act:
    """An actor does something."""

    actor: str
    verb: str
    arguments: BaseModel = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expect:
    """Something is expected of what can be seen.

    `wanted` maps the keys that are judged to plain values and `scenarios.model.matchers.Matcher`s;
    `asked` holds the plain values, selectors among them. `within` is in milliseconds, None for now.
    """

    actor: str
    wanted: Mapping[str, object] = field(repr=False)
    asked: Mapping[str, object] = field(repr=False)
    within: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
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
    does: Act | Expect | Wait | RawCommand
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
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
    devices: tuple[Cast, ...]
    accounts: tuple[Account, ...]
    organization: Organization
    steps: tuple[Step, ...]
    known: Platforms = field(default_factory=Platforms)
