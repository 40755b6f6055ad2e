"""Effects of a step: values that the runner carries out, in their order.

The order is state, notifications, escrow, result: the state that a result left is published before
the result.
"""

from __future__ import annotations

from agent.fast_dataclass import fast_dataclass
from agent.passcode import PasscodeRef
from agent.state import DeviceState, InputAnswer, Result, Timer

__all__ = [
    "AcknowledgeDelivery",
    "ArmTimer",
    "CancelTimer",
    "Effect",
    "Publication",
    "PublishAnswer",
    "PublishEscrow",
    "PublishNotification",
    "PublishResult",
    "PublishState",
    "Reboot",
]


@fast_dataclass
class PublishState:
    """The snapshot of the state that the step left."""

    state: DeviceState


@fast_dataclass
class PublishNotification:
    """Something appears on the device's own screen; `number` counts them from 1."""

    number: int
    title: str
    body: str
    buttons: tuple[str, ...]
    at: int


@fast_dataclass
class PublishEscrow:
    """The new passcode, for the administrator alone; `reset_number` counts resets from 1."""

    command_id: str
    passcode: PasscodeRef
    reset_number: int


@fast_dataclass
class PublishResult:
    """Result of a command. `duplicate`: it was published before."""

    result: Result
    duplicate: bool = False


@fast_dataclass
class PublishAnswer:
    """Answer to an input. `duplicate`: it was published before."""

    answer: InputAnswer
    duplicate: bool = False


@fast_dataclass
class ArmTimer:
    """Fire `timer` at `at`; it replaces an earlier one of the same name."""

    timer: Timer
    at: int


@fast_dataclass
class CancelTimer:
    """Cancel `timer`."""

    timer: Timer


@fast_dataclass
class Reboot:
    """The device goes down and comes up again; `abrupt` means without an MQTT DISCONNECT."""

    abrupt: bool


@fast_dataclass
class AcknowledgeDelivery:
    """The command of this delivery has been answered and may be acknowledged."""

    delivery: object


Publication = PublishState | PublishNotification | PublishEscrow | PublishResult | PublishAnswer
Effect = Publication | ArmTimer | CancelTimer | Reboot | AcknowledgeDelivery
