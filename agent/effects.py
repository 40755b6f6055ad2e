"""What a step makes a device do: values that the runner carries out, in their order.

State, notifications, escrow, then the result: who sees a result can read the state it left.
"""

from __future__ import annotations

from agent.fast_dataclass import fast_dataclass
from agent.passcode import PasscodeRef
from agent.state import DeviceState, InputAnswer, Result, Timer

__all__ = [
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
    "Settled",
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
    """What became of a command. `duplicate`: this result was given before."""

    result: Result
    duplicate: bool = False


@fast_dataclass
class PublishAnswer:
    """What became of an input. `duplicate`: this answer was given before."""

    answer: InputAnswer
    duplicate: bool = False


@fast_dataclass
class ArmTimer:
    """Fire `timer` at `at`; one that was armed before under this name is forgotten."""

    timer: Timer
    at: int


@fast_dataclass
class CancelTimer:
    """Forget `timer`."""

    timer: Timer


@fast_dataclass
class Reboot:
    """The device goes down and comes up again; `abrupt` means without a word to the broker."""

    abrupt: bool


@fast_dataclass
class Settled:
    """The command that came with this mark has been answered and may be acknowledged."""

    delivery: object


Publication = PublishState | PublishNotification | PublishEscrow | PublishResult | PublishAnswer
Effect = Publication | ArmTimer | CancelTimer | Reboot | Settled
