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

from platforms.profile import Attributes, Management, PlatformProfile

__all__ = [
    "Account",
    "Actor",
    "ActorRequest",
    "DeliverTextMessage",
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
    """Device as actors see it: `name` is used in steps, `device_id` in MQTT topics.

    `attributes` (versions and the like) are None where the device has those of its platform.
    """

    name: str
    device_id: str
    owner: str
    profile: PlatformProfile
    management: Management
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Work account of a user.

    `has_personal_account` is True if a personal account has the same e-mail address.
    """

    user: str
    password: str
    has_personal_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfServiceReset:
    """Configuration of self-service password reset for work accounts.

    `methods` are the allowed methods; `required` (1 or 2) is the number of methods to pass.
    """

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
    """Configuration made by the administrator.

    `reset_passcode` is True if the portal offers Reset Passcode. `contact` is the contact data of
    the IT administrator: a text, or values by name. `delivery` is the time that a text message
    takes: the shortest and the longest, in milliseconds.
    """

    reset_passcode: bool = True
    self_service_reset: SelfServiceReset = SelfServiceReset()
    contact: str | Mapping[str, str] | None = None
    delivery: tuple[int, int] = (0, 0)


@dataclass(slots=True, kw_only=True)
class SharedState:
    """State that all actors of one scenario share.

    `accounts` changes when a password is reset. `actors` maps names to actors and is filled by
    `scenarios.run`; the user actor uses it to read a passcode from the screen of the portal.
    `unlocked` holds the users whose account the administrator enabled for password reset.
    """

    devices: Mapping[str, ManagedDevice]
    accounts: dict[str, Account]
    organization: Organization
    seed: int
    actors: dict[str, Actor] = field(default_factory=dict)
    unlocked: set[str] = field(default_factory=set)

    def account_name(self, address: str) -> str | None:
        """Return the user with this user name or e-mail address, or None.

        The user name is the part of an address before the @ (assumption).
        """
        name = address.strip()
        local = name.partition("@")[0]
        return name if name in self.accounts else local if local in self.accounts else None

    def device(self, name: str | None) -> ManagedDevice:
        """Return the device of that name; with None, the only device.

        The parser guarantees that the name exists and that None is used with one device only.
        """
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
    """Input on a device: a button that the user presses.

    `answer` is the required answer: `done`, `notSupported` or an errorCode. The step fails on any
    other answer. None accepts every answer.
    """

    device: ManagedDevice
    action: str
    values: Mapping[str, str] = field(repr=False)
    answer: str | None = "done"


@dataclass(frozen=True, slots=True)
class DeliverTextMessage:
    """Text message or call for a device, published on its `messages` topic."""

    device: ManagedDevice
    kind: Literal["text", "call"]
    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class SimulateDevice:
    """Event such as a restart or a lost network, published on the `simulate` topic of a device.

    `values` are the other keys of the payload.
    """

    device: ManagedDevice
    action: str
    values: Mapping[str, Any] = field(default_factory=dict)


ActorRequest = SendCommand | PressButton | DeliverTextMessage | SimulateDevice


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
    """Step that is not possible at this moment, for example on the wrong page.

    `expected` is the required condition, `seen` the actual one.
    """

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


class Actor(ABC):
    """Base class of actors. One instance serves one scenario.

    `steps` maps the name of each step to the pydantic model of its arguments (extra="forbid").
    `expects` is the model of the keys of `expect.<name>`, None if the actor has no such step. The
    docstrings of these models appear in the documentation of the scenario language.
    """

    name: ClassVar[str]
    steps: ClassVar[Mapping[str, type[BaseModel]]]
    expects: ClassVar[type[BaseModel] | None] = None
    selectors: ClassVar[frozenset[str]] = frozenset()
    """Keys of `expects` that select an object, such as a device, and are not compared."""
    names_devices: ClassVar[bool] = True
    """True if `device` and `user` among the arguments, at any depth, are names of the scenario."""

    def __init__(self, shared: SharedState) -> None:
        self.shared = shared

    @abstractmethod
    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step at instant `now`; return the requests to send, in order.

        Raises StepRefusedError if the step is not possible now: no button, wrong page.
        """

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Handle a message on a topic of a device; return further requests."""
        del message, now
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible values at `now`, by the keys of `expects`; omit absent values."""
        del now
        return {}

    def new_passcode(self, device: ManagedDevice, now: int) -> str | None:
        """Return the new passcode of a device that the screen shows at `now`, or None."""
        del device, now
        return None

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return the values that `expect.<name>` compares.

        `query` holds the plain values of the step, including its selectors.
        """
        del query
        return self.view(now)

    def next_change(self, now: int) -> int | None:
        """Return the next instant after `now` at which `view` changes by itself, or None."""
        del now
        return None

    def on_time(self, now: int) -> Sequence[ActorRequest]:
        """Return the requests that are due at `now`; called whenever time has passed."""
        del now
        return ()
