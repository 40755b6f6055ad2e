"""Events of a device that `agent.machine.step` takes.

Plain frozen records, made by the runner from messages, timers and simulations.
Instants are milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.passcode import PasscodePolicy
from platforms.profile import Action, NativeCase

__all__ = [
    "Command",
    "Event",
    "Input",
    "InputAction",
    "MessageArrived",
    "MessageKind",
    "Refuse",
    "Simulate",
    "Simulation",
    "TimerFired",
]


class InputAction(StrEnum):
    """Action of a user on the device."""

    SWIPE_UP = "swipeUp"
    ENTER_PASSCODE = "enterPasscode"
    CHANGE_NOW = "changeNow"
    LATER = "later"
    SET_PASSCODE = "setPasscode"
    USE_BIOMETRIC = "useBiometric"
    ENROLL_BIOMETRIC = "enrollBiometric"
    SIGN_IN = "signIn"
    PRESS_KEY = "pressKey"
    RESTART = "restart"


class Simulation(StrEnum):
    """Simulated event that changes the state of a device."""

    CRASH = "crash"
    RESTART = "restart"
    RESTORE = "restore"
    ENROLL = "enroll"
    UNENROLL = "unenroll"


class MessageKind(StrEnum):
    """Kind of a message to a device."""

    TEXT = "text"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Command:
    """A command taken from the wire.

    `expires` is the instant after which it is not done any more. `delivery` is the runner's own
    mark, handed back in `effects.AcknowledgeDelivery` once the command has been answered.
    """

    command_id: str
    action: Action
    expires: int | None = None
    policy: PasscodePolicy | None = None
    delivery: object = None
    message: str | None = None
    phone_number: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A press on the device. `passcode`, `user` and `key` come with the actions that need them."""

    input_id: str
    action: InputAction
    passcode: str | None = None
    user: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        """Without the passcode: a repr ends in logs and tracebacks."""
        return f"Input(input_id={self.input_id!r}, action={self.action!r})"


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A text message or a call reaching the device."""

    message_id: str
    kind: MessageKind
    sender: str
    body: str


@dataclass(frozen=True, slots=True)
class Simulate:
    """The world does something to the device."""

    action: Simulation


@dataclass(frozen=True, slots=True)
class Refuse:
    """Script a refusal: the next `count` commands that `case` concerns fail with its answer."""

    case: NativeCase
    count: int = 1


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer has fired. `timer` is an `agent.state.Timer`."""

    timer: str


Event = Command | Input | MessageArrived | Simulate | Refuse | TimerFired
