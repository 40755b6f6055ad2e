"""Pages of the Company Portal website and the models of the steps of the `portal` actor."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from scenarios.model.file import Arguments

__all__ = [
    "BrowserStep",
    "ChooseAccount",
    "ChooseMenu",
    "EnterAddress",
    "EnterPassword",
    "OpenLink",
    "PortalExpectation",
    "Screen",
    "SelectDevice",
    "SignIn",
]


class Screen(StrEnum):
    """Pages of the portal, and the pages that its sign-in pages link to."""

    SIGN_IN = "signIn"
    ACCOUNT_CHOOSER = "accountChooser"
    ENTER_PASSWORD = "enterPassword"  # noqa: S105  # the name of a page
    HOME = "home"
    DEVICES = "devices"
    DEVICE = "device"
    SIGN_IN_AGAIN = "signInAgain"
    CONFIRM_RESET = "confirmReset"
    CONTACT_ADMIN = "contactAdmin"
    PASSWORD_RESET = "passwordReset"  # noqa: S105  # the name of a page
    CREATE_ACCOUNT = "createAccount"
    RENAME_ACCOUNT = "renameAccount"


class BrowserStep(Arguments):
    """Step in one browser; without `browser` it is the one browser of the scenario.

    Each browser has its own page and its own user. Requests, results and notifications belong to
    the user's account and show in all browsers in which that user is signed in.
    """

    browser: str | None = Field(
        default=None, min_length=1, max_length=64, description="a name such as home"
    )


class SignIn(BrowserStep):
    """Sign in with one step: address, kind of account, and password.

    `user` is a user name or the address of one; it may be left out in answer to the account
    chooser. Without `password` the user types the correct one. `account` chooses between a work and
    a personal account of the same address.
    """

    user: str | None = Field(default=None, min_length=1, description="the name of a user")
    password: str | None = Field(default=None, repr=False, description="a string")
    account: Literal["work", "personal"] | None = None


class EnterAddress(BrowserStep):
    """Type an address on the sign-in page and press Next."""

    address: str = Field(
        min_length=1, max_length=256, description="the name of a user, or an e-mail address"
    )


class ChooseAccount(BrowserStep):
    """Choose an entry of the account chooser."""

    account: Literal["work", "personal"]


class EnterPassword(BrowserStep):
    """Type the password and press Sign in; without `password` the correct one."""

    password: str | None = Field(default=None, repr=False, description="a string")


class OpenLink(BrowserStep):
    """Open a link of the page by its text."""

    link: str = Field(min_length=1, description='a link, such as "Forgot your password?"')


class ChooseMenu(BrowserStep):
    """Choose an item of the open menu."""

    item: Literal["Devices", "Contact IT admin"]


class SelectDevice(BrowserStep):
    """Choose one of the user's devices from the list."""

    device: str = Field(description="the name of a device")


class PortalExpectation(BrowserStep):
    """Visible state of the website in one browser.

    `message` is what the page says: on `confirmReset` what a reset does on this device, afterwards
    how it went. `newPasscode` is shown where the platform and its management let the user see it,
    until the device no longer has it; `newPasscodeLine` is the line of the page with it.
    `checkStatus` and `checkMessage` are the progress of Check status. `notifications` are those
    behind the flag, once it was opened. `devices` are the user's own. `accounts` are the entries of
    the account chooser (`account`, `title`, `caption`, `address`), `links` the links of the page,
    `menu` the items of the open menu. `contact` is the contact data of the IT admin.
    """

    screen: (
        Literal[
            "signIn",
            "accountChooser",
            "enterPassword",
            "home",
            "devices",
            "device",
            "signInAgain",
            "confirmReset",
            "contactAdmin",
            "passwordReset",
            "createAccount",
            "renameAccount",
        ]
        | None
    ) = None
    reset_button: bool | None = Field(default=None, description="present or absent")
    remote_lock_button: bool | None = Field(default=None, description="present or absent")
    status: Literal["pending", "done", "failed", "notSupported", "canceled"] | None = None
    message: str | None = Field(default=None, description="a string")
    new_passcode: str | None = Field(default=None, repr=False, description="present or absent")
    new_passcode_line: str | None = Field(default=None, repr=False, description="a string")
    check_status: Literal["pending", "done", "failed", "notSupported", "canceled"] | None = None
    check_message: str | None = Field(default=None, description="a string")
    notifications: list[str] | str | None = Field(default=None, description="a list of texts")
    devices: list[str] | None = Field(default=None, description="a list of device names")
    accounts: list[dict[str, Any]] | None = Field(default=None, description="a list of entries")
    links: list[str] | None = Field(default=None, description="a list of links")
    menu: list[str] | None = Field(default=None, description="a list of items")
    contact: str | dict[str, Any] | None = Field(
        default=None, description="a string, or a table such as {phone: ...}"
    )
