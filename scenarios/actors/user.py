"""The `user` actor: inputs on a device, and passcodes read from portal and console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, Field, field_validator

from broker.file_validation import shorten_value, value_error
from scenarios.actors.device_records import DeviceRecords
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeviceMessage,
    ManagedDevice,
    PressButton,
    SharedState,
    StepRefusedError,
)
from scenarios.model.file import Arguments, DeviceStep

__all__ = ["UserActor"]

_ACTIONS: Final = {
    "swipe_up": "swipeUp",
    "enter_passcode": "enterPasscode",
    "change_now": "changeNow",
    "later": "later",
    "set_passcode": "setPasscode",
    "use_biometric": "useBiometric",
    "enroll_biometric": "enrollBiometric",
    "sign_in": "signIn",
    "purchase": "useBiometric",
}
_LOCKED: Final = "deviceLocked"


class PressStep(DeviceStep):
    """Input on the device.

    `answer` is the required answer: `done`, `notSupported`, or an errorCode such as `deviceLocked`.
    Without `answer`, the step passes even if the device refuses the input.
    """

    answer: str | None = Field(default=None, description="done, notSupported, or an errorCode")


class DisplayedPasscode(Arguments):
    """New passcode as shown by the portal or the console."""

    source: Literal["portal", "console"] = Field(alias="from")


class PasscodeStep(PressStep):
    """Typed passcode: a text, or `{from: portal}` for the passcode that the portal shows."""

    passcode: str | DisplayedPasscode = Field(
        repr=False, description='a string such as "2580", or {from: portal} or {from: console}'
    )

    @field_validator("passcode", mode="before")
    @classmethod
    def _in_quotes(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise value_error(
                "got a number", hint="write it in quotes: a passcode may begin with 0"
            )
        if not isinstance(value, str | dict) or not value:
            raise value_error(f"got {shorten_value(value)}")
        return value


class PurchaseStep(PressStep):
    """Confirm a purchase with the biometric, on the open device.

    The device checks the biometric as it does to unlock: after a reset of an iPhone, Touch ID must
    be set up again for purchases, too. On a locked device the answer is `deviceLocked`.
    """


class SignInStep(PressStep):
    """Sign in on the device, as any user, even one without an account in the organization."""

    user: str = Field(min_length=1, max_length=256, description="the name of a user")


class UserActor(Actor):
    """Person who uses the device."""

    name: ClassVar[str] = "user"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "swipe_up": PressStep,
        "enter_passcode": PasscodeStep,
        "change_now": PressStep,
        "later": PressStep,
        "set_passcode": PasscodeStep,
        "use_biometric": PressStep,
        "enroll_biometric": PressStep,
        "sign_in": SignInStep,
        "purchase": PurchaseStep,
    }

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._records = DeviceRecords()

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Return the request for the input."""
        assert isinstance(arguments, PressStep)  # noqa: S101  # `steps` says so
        device = self.shared.device(arguments.device)
        values: dict[str, str] = {}
        if isinstance(arguments, PasscodeStep):
            values["passcode"] = self._typed(arguments.passcode, device, now)
        elif isinstance(arguments, SignInStep):
            values["user"] = arguments.user
        elif isinstance(arguments, PurchaseStep) and self._records.is_locked(device):
            if arguments.answer not in (None, _LOCKED):
                raise StepRefusedError(f"the answer {arguments.answer} to purchase", _LOCKED)
            return []
        return [PressButton(device, _ACTIONS[step], values, arguments.answer)]

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store the state of a device."""
        del now
        self._records.on_message(message)
        return ()

    def _typed(self, passcode: str | DisplayedPasscode, device: ManagedDevice, now: int) -> str:
        """Return the passcode to type; a displayed one must be that of `device`."""
        if isinstance(passcode, str):
            return passcode
        found = self.shared.actors[passcode.source].new_passcode(device, now)
        if found is None:
            shown = f"a new passcode shown by the {passcode.source} for {device.name}"
            raise StepRefusedError(shown, "none")
        return found
