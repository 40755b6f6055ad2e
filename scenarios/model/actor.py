"""What an actor of the play is: a state machine without I/O, like the device it deals with.

An actor takes steps (`do`), hears what devices publish (`hear`), and can be looked at (`view`).
What it wants done in the world comes back as requests, which the engine carries out over real MQTT.
It knows no wire, no clock and no file: the instant is handed in, ids are drawn by the engine. So an
actor's rules can be tested by properties, and a run is the same every time.

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
    "DeliverMessage",
    "Organization",
    "Press",
    "ReceivedMessage",
    "Request",
    "SelfServiceReset",
    "SendCommand",
    "SimulateDevice",
    "StepRefusedError",
    "Subject",
    "World",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A device of the scenario. `name` is what steps call it, `device_id` what the wire does."""

    name: str
    device_id: str
    owner: str
    profile: PlatformProfile
    management: Management


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user. `also_personal`: the address belongs to a personal account as well."""

    user: str
    password: str
    also_personal: bool = False


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
class World:
    """What the actors of one scenario share. `accounts` changes when a password is reset.

    `actors` are all of them by name, set by the engine: a user reads a passcode on the portal and
    types it into the device.
    """

    devices: Mapping[str, Subject]
    accounts: dict[str, Account]
    organization: Organization
    seed: int
    actors: dict[str, Actor] = field(default_factory=dict)

    def device(self, name: str | None) -> Subject:
        """The device of that name; unsaid, the only one. The parser has seen to it that it is."""
        return self.devices[name] if name is not None else next(iter(self.devices.values()))


@dataclass(frozen=True, slots=True)
class SendCommand:
    """Send a command to a device. `mark` comes back in `ReceivedMessage.mark` with its results."""

    device: Subject
    action: str
    issued_by: Literal["user", "admin"]
    mark: str
    policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Press:
    """Press a button on a device: an input.

    The step fails unless the device answers with `answer`: `done`, `notSupported`, or an errorCode;
    None takes any answer.
    """

    device: Subject
    action: str
    values: Mapping[str, str] = field(repr=False)
    answer: str | None = "done"


@dataclass(frozen=True, slots=True)
class DeliverMessage:
    """Let a text message or a call reach a device, over `messages`."""

    device: Subject
    kind: Literal["text", "call"]
    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class SimulateDevice:
    """Let the world do something to a device, over `simulate`."""

    device: Subject
    action: str


Request = SendCommand | Press | DeliverMessage | SimulateDevice


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """Something a device published: `leaf` is the topic's last level, `payload` the JSON object.

    A text message or call that was sent to it is heard, too, as `messages`. `mark` is set on a
    result whose command an actor sent: that actor's own mark.
    """

    device: Subject
    leaf: str
    payload: Mapping[str, Any]
    mark: str | None = None


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

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def do(self, step: str, arguments: BaseModel, now: int) -> Sequence[Request]:
        """Take a step at instant `now`; returns what to do in the world, in order.

        Raises StepRefusedError where the step is not possible now: no button, wrong screen.
        """

    def hear(self, heard: ReceivedMessage, now: int) -> Sequence[Request]:
        """Hear what a device published; may ask for more to be done."""
        del heard, now
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """What can be seen of the actor now, by the keys of `expects`; absent keys are absent."""
        del now
        return {}

    def look(self, asked: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """What `expect.<name>` is judged against.

        `asked` are the values expected, selectors among them, where they are plain values.
        """
        del asked
        return self.view(now)

    def next_change(self, now: int) -> int | None:
        """The instant after `now` at which `view` changes by itself, if there is one."""
        del now
        return None
