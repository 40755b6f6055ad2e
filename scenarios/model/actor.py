"""Base class and messages of actors, which are state machines without I/O.

An actor performs steps (`perform`), handles device messages (`on_message`) and shows its screen
(`view`). It returns requests, which `scenarios.run` sends over MQTT. It uses no socket, clock or
file: the caller passes the current instant and generates the ids. This keeps runs reproducible and
makes the rules of an actor testable with property-based tests.

Instants are milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from platforms.profile import Management, PlatformProfile

__all__ = [
    "Account",
    "Actor",
    "ActorRequest",
    "DeliverMessage",
    "DeviceMessage",
    "ManagedDevice",
    "Organization",
    "PressButton",
    "SelfServiceReset",
    "SendCommand",
    "SharedState",
    "SimulateDevice",
    "StepRefusedError",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedDevice:
    """A device of the scenario. `name` is what steps call it, `device_id` what the wire does."""

    name: str
    device_id: str
    owner: str
    profile: PlatformProfile
    management: Management


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user. `has_personal_account`: the address belongs to a personal account as well."""

    user: str
    password: str
    has_personal_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServiceReset:
    """What the administrator configured for work-account self-service password reset."""

    enabled: bool = True
    methods: tuple[str, ...] = (
        "textMobile",
        "callMobile",
        "callOffice",
        "emailAlternate",
        "securityQuestions",
    )
    required: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """What the administrator configured. `reset_passcode`: the portal offers Reset Passcode."""

    reset_passcode: bool = True
    self_service_reset: SelfServiceReset = SelfServiceReset()


@dataclass(slots=True, kw_only=True)
class SharedState:
    """What the actors of one scenario share. `accounts` changes when a password is reset.

    `actors` are all of them by name, set by the engine: a user reads a passcode on the portal and
    types it into the device.
    """

    devices: Mapping[str, ManagedDevice]
    accounts: dict[str, Account]
    organization: Organization
    seed: int
    actors: dict[str, Actor] = field(default_factory=dict)

    def device(self, name: str | None) -> ManagedDevice:
        """The device of that name; unsaid, the only one. The parser has seen to it that it is."""
        return self.devices[name] if name is not None else next(iter(self.devices.values()))


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Command for a device; `DeviceMessage.correlation_id` returns `correlation_id` on results."""

    device: ManagedDevice
    action: str
    issued_by: Literal["user", "admin"]
    correlation_id: str
    policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PressButton:
    """Press a button on a device: an input.

    The step fails unless the device answers with `answer`: `done`, `notSupported`, or an errorCode;
    None takes any answer.
    """

    device: ManagedDevice
    action: str
    values: Mapping[str, str] = field(repr=False)
    answer: str | None = "done"


@dataclass(frozen=True, slots=True)
class DeliverMessage:
    """Let a text message or a call reach a device, over `messages`."""

    device: ManagedDevice
    kind: Literal["text", "call"]
    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class SimulateDevice:
    """Let the world do something to a device, over `simulate`."""

    device: ManagedDevice
    action: str


ActorRequest = SendCommand | PressButton | DeliverMessage | SimulateDevice


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """Message on a topic of a device: `leaf` is the last topic level, `payload` the JSON object.

    Actors also receive the text messages and calls sent to the device (`messages`). On a result,
    `correlation_id` is the one of the actor's own `SendCommand`, None on all other messages.
    """

    device: ManagedDevice
    leaf: str
    payload: Mapping[str, Any]
    correlation_id: str | None = None


class StepRefusedError(Exception):
    """The step cannot be taken now: what it would have needed, and what there is instead."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


class Actor(ABC):
    """One actor of one scenario.

    `steps` maps each step's name to the pydantic model of its arguments (extra="forbid");
    `expects` is the model of what `expect.<name>` may ask for, None where it cannot be asked. The
    docstrings of these models are the language's documentation.
    """

    name: ClassVar[str]
    steps: ClassVar[Mapping[str, type[BaseModel]]]
    expects: ClassVar[type[BaseModel] | None] = None
    selectors: ClassVar[frozenset[str]] = frozenset()
    """Keys of `expects` that say of what something is expected, and are not judged themselves."""

    def __init__(self, shared: SharedState) -> None:
        self.shared = shared

    @abstractmethod
    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Take a step at instant `now`; returns what to do in the world, in order.

        Raises StepRefusedError where the step is not possible now: no button, wrong screen.
        """

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Hear what a device published; may ask for more to be done."""
        del message, now
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """What can be seen of the actor now, by the keys of `expects`; absent keys are absent."""
        del now
        return {}

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """What `expect.<name>` is judged against.

        `query` holds the values expected, selectors among them, where they are plain values.
        """
        del query
        return self.view(now)

    def next_change(self, now: int) -> int | None:
        """The instant after `now` at which `view` changes by itself, if there is one."""
        del now
        return None
