"""The `portal` actor: the Company Portal website, as the end user sees it.

It implements "How to reset your device passcode from the Company Portal website" (Intune
documentation, 2017-01), "Reset passcode via the Company Portal website" (2015-12) and the user
guide "Mobile Device Passcode Self-reset": sign in, choose a device, Reset Passcode, sign out, sign
in again within five minutes, read the explanation, Reset Passcode again, wait for the result.

Assumptions, because the sources do not specify it: exactly five minutes are still in time; a reset
can be continued by the same user only, and any other sign-in cancels it; a device without the
button shows the text "contact your IT admin".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from platforms.profile import Action, Management, ResetOutcome
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeviceMessage,
    ManagedDevice,
    SendCommand,
    SharedState,
    StepRefusedError,
)
from scenarios.model.file import Arguments
from scenarios.model.matchers import TextVariants

__all__ = ["CONTACT_ADMIN", "SIGN_BACK_IN_LIMIT", "PortalActor", "Screen"]

SIGN_BACK_IN_LIMIT: Final = 5 * 60 * 1000
"""Time limit in milliseconds between signing out and signing in again."""
CONTACT_ADMIN: Final = "Contact your IT admin to reset the passcode of this device."
_SIGN_IN_AGAIN: Final = "Sign out, then sign back in within five minutes to reset your passcode."
_WRONG_PASSWORD: Final = "Your account or password is incorrect."  # noqa: S105  # a message
_WRONG_ACCOUNT: Final = "You can't sign in here with a personal account. Use your work account."
_WHICH_ACCOUNT: Final = (
    "It looks like this email is used with more than one account from Microsoft. Which one do you"
    " want to use?"
)
_PENDING: Final = {
    Action.RESET_PASSCODE: "Passcode reset is pending",
    Action.REMOTE_LOCK: "Remote lock is pending",
}
_FAILED: Final = {
    Action.RESET_PASSCODE: "The passcode could not be reset.",
    Action.REMOTE_LOCK: "The device could not be locked.",
}
_ENDED: Final = ("done", "failed", "notSupported", "canceled")


class Screen(StrEnum):
    """Pages of the portal."""

    SIGN_IN = "signIn"
    ACCOUNT_CHOOSER = "accountChooser"
    HOME = "home"
    DEVICE = "device"
    SIGN_IN_AGAIN = "signInAgain"
    CONFIRM_RESET = "confirmReset"
    CONTACT_ADMIN = "contactAdmin"


class SignIn(Arguments):
    """Sign in.

    `user` may be left out in answer to the account chooser. Without `password` the user types the
    correct one. `account` chooses between a work and a personal account of the same address.
    """

    user: str | None = Field(default=None, description="the name of a user")
    password: str | None = Field(default=None, repr=False, description="a string")
    account: Literal["work", "personal"] | None = None


class SignOut(Arguments):
    """Sign out, on any page."""


class SelectDevice(Arguments):
    """Choose one of the user's devices from the list."""

    device: str = Field(description="the name of a device")


class ResetPasscode(Arguments):
    """Press Reset Passcode: on a device's page, or on the page that explains the reset."""


class RemoteLock(Arguments):
    """Press Remote Lock on a device's page."""


class CheckStatus(Arguments):
    """Press Check status, which sends `syncDevice` to the device."""


class OpenNotifications(Arguments):
    """Open the notification flag at the top right."""


class PortalExpectation(Arguments):
    """Visible state of the website.

    `message` is what the page says: on `confirmReset` what a reset does on this device, afterwards
    how it went. `newPasscode` is shown where the platform and its management let the user see it.
    `notifications` are those behind the flag, once it was opened. `devices` are the user's own.
    """

    screen: (
        Literal[
            "signIn",
            "accountChooser",
            "home",
            "device",
            "signInAgain",
            "confirmReset",
            "contactAdmin",
        ]
        | None
    ) = None
    reset_button: bool | None = Field(default=None, description="present or absent")
    status: Literal["pending", "done", "failed", "notSupported", "canceled"] | None = None
    message: str | None = Field(default=None, description="a string")
    new_passcode: str | None = Field(default=None, repr=False, description="present or absent")
    notifications: list[str] | str | None = Field(default=None, description="a list of texts")
    devices: list[str] | None = Field(default=None, description="a list of device names")


@dataclass(frozen=True, slots=True)
class _InterruptedReset:
    """Reset to continue after sign-in: user, device, and the instant of signing out."""

    user: str
    device: ManagedDevice
    left: int


@dataclass(slots=True)
class _Progress:
    """Progress of the last action on a device."""

    action: Action
    correlation_id: str
    status: str = "pending"
    message: str = ""
    new_passcode: str | None = None


class PortalActor(Actor):
    """Browser session, used by one user at a time."""

    name: ClassVar[str] = "portal"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "sign_in": SignIn,
        "sign_out": SignOut,
        "select_device": SelectDevice,
        "reset_passcode": ResetPasscode,
        "remote_lock": RemoteLock,
        "check_status": CheckStatus,
        "open_notifications": OpenNotifications,
    }
    expects: ClassVar[type[BaseModel] | None] = PortalExpectation

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._screen = Screen.SIGN_IN
        self._user: str | None = None
        self._device: ManagedDevice | None = None
        self._interrupted_reset: _InterruptedReset | None = None
        self._message = ""
        self._choosing: SignIn | None = None
        self._flag_open = False
        self._command_count = 0
        self._progress: dict[str, _Progress] = {}
        self._notifications: dict[str, list[str]] = {}
        self._handlers: Mapping[str, Callable[[Any, int], Sequence[ActorRequest]]] = {
            "sign_in": self._sign_in,
            "sign_out": self._sign_out,
            "select_device": self._select_device,
            "reset_passcode": self._reset_passcode,
            "remote_lock": self._remote_lock,
            "check_status": self._check_status,
            "open_notifications": self._open_notifications,
        }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; raises StepRefusedError if the page does not offer it."""
        return self._handlers[step](arguments, now)

    # -- signing in and out --------------------------------------------------------------------

    def _sign_in(self, arguments: SignIn, now: int) -> Sequence[ActorRequest]:
        if self._screen not in (Screen.SIGN_IN, Screen.ACCOUNT_CHOOSER):
            raise self._refused("the page signIn")
        chosen = self._choosing
        user = arguments.user or (chosen.user if chosen else None)
        if user is None:
            raise StepRefusedError("a user to sign in", "none")
        self._choosing = None
        account = self.shared.accounts[user]
        if account.has_personal_account and arguments.account is None:
            self._choosing = arguments
            self._show(Screen.ACCOUNT_CHOOSER, _WHICH_ACCOUNT)
            return ()
        password = arguments.password or (chosen.password if chosen else None)
        if arguments.account == "personal":
            self._show(Screen.SIGN_IN, _WRONG_ACCOUNT)
        elif password not in (None, account.password):
            self._show(Screen.SIGN_IN, _WRONG_PASSWORD)
        else:
            self._enter(user, now)
        return ()

    def _enter(self, user: str, now: int) -> None:
        """Sign the user in: continue the interrupted reset if in time, otherwise show home."""
        reset, self._interrupted_reset = self._interrupted_reset, None
        self._user, self._device, self._flag_open = user, None, False
        in_time = (
            reset is not None and reset.user == user and now - reset.left <= SIGN_BACK_IN_LIMIT
        )
        if reset is None or not in_time:
            self._show(Screen.HOME)
            return
        self._device = reset.device
        self._show(Screen.CONFIRM_RESET, reset.device.profile.reset.portal_explains)

    def _sign_out(self, _: SignOut, now: int) -> Sequence[ActorRequest]:
        if self._user is None:
            raise self._refused("a signed-in user")
        if self._screen is Screen.SIGN_IN_AGAIN and self._device is not None:
            self._interrupted_reset = _InterruptedReset(self._user, self._device, now)
        else:
            self._interrupted_reset = None
        self._user = self._device = None
        self._flag_open = False
        self._show(Screen.SIGN_IN)
        return ()

    # -- devices -------------------------------------------------------------------------------

    def _select_device(self, arguments: SelectDevice, now: int) -> Sequence[ActorRequest]:
        del now
        if self._user is None:
            raise self._refused("a signed-in user")
        device = self.shared.devices[arguments.device]
        if device.owner != self._user:
            own = ", ".join(self._own()) or "none"
            raise StepRefusedError(f"{device.name} among the devices of {self._user}", own)
        self._device = device
        self._show(Screen.DEVICE, "" if self._has_button(device) else CONTACT_ADMIN)
        return ()

    def _own(self) -> list[str]:
        return [d.name for d in self.shared.devices.values() if d.owner == self._user]

    def _has_button(self, device: ManagedDevice) -> bool:
        """Return True if the page of the device shows Reset Passcode."""
        return (
            self.shared.organization.reset_passcode
            and device.management is not Management.EXCHANGE_ACTIVESYNC
            and device.profile.reset.outcome is not ResetOutcome.NOT_SUPPORTED
        )

    def _reset_passcode(self, _: ResetPasscode, now: int) -> Sequence[ActorRequest]:
        del now
        device = self._device
        if device is None or self._screen not in (
            Screen.DEVICE,
            Screen.CONFIRM_RESET,
            Screen.CONTACT_ADMIN,
        ):
            raise self._refused("the page of a device, or confirmReset")
        if not self._has_button(device):
            self._show(Screen.CONTACT_ADMIN, CONTACT_ADMIN)
            return ()
        if self._screen is not Screen.CONFIRM_RESET:
            self._show(Screen.SIGN_IN_AGAIN, _SIGN_IN_AGAIN)
            return ()
        self._show(Screen.DEVICE)
        return [self._ask(device, Action.RESET_PASSCODE)]

    def _remote_lock(self, _: RemoteLock, now: int) -> Sequence[ActorRequest]:
        del now
        return [self._ask(self._on_device_page(), Action.REMOTE_LOCK)]

    def _check_status(self, _: CheckStatus, now: int) -> Sequence[ActorRequest]:
        del now
        device = self._on_device_page()
        return [SendCommand(device, Action.SYNC_DEVICE.value, "user", "check")]

    def _on_device_page(self) -> ManagedDevice:
        if self._device is None or self._screen not in (Screen.DEVICE, Screen.CONTACT_ADMIN):
            raise self._refused("the page of a device")
        return self._device

    def _open_notifications(self, _: OpenNotifications, now: int) -> Sequence[ActorRequest]:
        del now
        if self._user is None:
            raise self._refused("a signed-in user")
        self._flag_open = True
        return ()

    # -- results --------------------------------------------------------------------

    def _ask(self, device: ManagedDevice, action: Action) -> SendCommand:
        self._command_count += 1
        progress = _Progress(
            action, f"{action.value}-{self._command_count}", message=_PENDING[action]
        )
        self._progress[device.name] = progress
        return SendCommand(device, action.value, "user", progress.correlation_id)

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Update the progress of the last action on a device from its result."""
        del now
        progress = self._progress.get(message.device.name)
        ended = message.payload.get("actionState") in _ENDED
        if progress is None or message.correlation_id != progress.correlation_id or not ended:
            return ()
        text = str(message.payload.get("message", ""))
        progress.status = str(message.payload["actionState"])
        done = progress.status == "done"
        progress.message = text if done else f"{_FAILED[progress.action]} {text}".strip()
        if done and message.device.management in message.device.profile.reset.shown_to_user:
            progress.new_passcode = message.payload.get("newPasscode")
        if not message.payload.get("duplicate"):
            self._notifications.setdefault(message.device.owner, []).append(progress.message)
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible values of the page."""
        del now
        seen: dict[str, object] = {"screen": self._screen.value}
        if self._message:
            seen["message"] = self._message
        if self._user is None:
            return seen
        seen["devices"] = tuple(self._own())
        if self._flag_open:
            seen["notifications"] = tuple(self._notifications.get(self._user, ()))
        if self._device is None or self._screen not in (Screen.DEVICE, Screen.CONTACT_ADMIN):
            return seen
        seen["resetButton"] = self._has_button(self._device)
        if not seen["resetButton"]:
            # Such a page is both the page of the device and the page contactAdmin.
            seen["screen"] = TextVariants((Screen.CONTACT_ADMIN.value, Screen.DEVICE.value))
        progress = self._progress.get(self._device.name)
        if progress is not None:
            seen["status"], seen["message"] = progress.status, progress.message
            if progress.new_passcode is not None:
                seen["newPasscode"] = progress.new_passcode
        return seen

    def _show(self, screen: Screen, message: str = "") -> None:
        self._screen, self._message = screen, message

    def _refused(self, expected: str) -> StepRefusedError:
        return StepRefusedError(expected, f"the page {self._screen.value}")
