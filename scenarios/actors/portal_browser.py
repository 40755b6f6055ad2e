"""Browser that shows the Company Portal website: its pages and its signed-in user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from platforms.profile import Action
from scenarios.actors.portal_requests import PortalRequests
from scenarios.actors.portal_steps import (
    BrowserStep,
    ChooseAccount,
    ChooseMenu,
    EnterAddress,
    EnterPassword,
    OpenLink,
    Screen,
    SelectDevice,
    SignIn,
)
from scenarios.model.actor import (
    ActorRequest,
    ManagedDevice,
    SharedState,
    StepRefusedError,
)
from scenarios.model.matchers import TextVariants

__all__ = ["SIGN_BACK_IN_LIMIT", "Browser"]

SIGN_BACK_IN_LIMIT: Final = 5 * 60 * 1000
"""Time limit in milliseconds between signing out and signing in again."""
_SIGN_IN_AGAIN: Final = "Sign out, then sign back in within five minutes to reset your passcode."
_WRONG_PASSWORD: Final = "Your account or password is incorrect."  # noqa: S105  # a message
_UNKNOWN_ADDRESS: Final = "We couldn't find an account with that username."
_WRONG_ACCOUNT: Final = "You can't sign in here with a personal account. Use your work account."
_WHICH_ACCOUNT: Final = (
    "It looks like this email is used with more than one account from Microsoft. Which one do you"
    " want to use?"
)
_ENTRIES: Final = (
    ("work", "Work or school account", "Created by your IT department"),
    ("personal", "Personal account", "Created by you"),
)
"""(account, title, caption) of the entries of the account chooser."""
_NO_ACCESS: Final = "Can't access your account?"
_FORGOT: Final = "Forgot your password?"
_CREATE: Final = "No account? Create one!"
_RENAME: Final = "Tired of seeing this? Rename your personal Microsoft account."
_CONTACT: Final = "Contact IT admin"
_DEVICES: Final = "Devices"
_MENU: Final = (_DEVICES, _CONTACT)
_LINKS: Final[Mapping[Screen, tuple[str, ...]]] = {
    Screen.SIGN_IN: (_CREATE, _NO_ACCESS),
    Screen.ACCOUNT_CHOOSER: (_RENAME,),
    Screen.ENTER_PASSWORD: (_NO_ACCESS, _FORGOT),
    Screen.PASSWORD_RESET: (),
    Screen.CREATE_ACCOUNT: (),
    Screen.RENAME_ACCOUNT: (),
}
"""Links of the pages before sign-in; all other pages link to the IT admin."""
_WHO_ARE_YOU: Final = "Get back into your account. Who are you?"
_TARGETS: Final[Mapping[str, tuple[Screen, str]]] = {
    _NO_ACCESS: (Screen.PASSWORD_RESET, _WHO_ARE_YOU),
    _FORGOT: (Screen.PASSWORD_RESET, _WHO_ARE_YOU),
    _CREATE: (Screen.CREATE_ACCOUNT, "Create a personal Microsoft account."),
    _RENAME: (Screen.RENAME_ACCOUNT, "Rename your personal Microsoft account."),
}
_CONTACT_PAGE: Final = "Contact your IT admin for support."
_NO_ACTIONS: Final = "Contact your IT admin: this website offers no action on this device."
_PASSCODE_LINE: Final = "New Passcode: "
_SIGN_IN_PAGES: Final = (Screen.SIGN_IN, Screen.ACCOUNT_CHOOSER, Screen.ENTER_PASSWORD)
_DEVICE_PAGES: Final = (Screen.DEVICE, Screen.CONTACT_ADMIN)


@dataclass(frozen=True, slots=True)
class _InterruptedReset:
    """Reset to continue after sign-in: the device, and the instant of signing out."""

    device: ManagedDevice
    left: int


class Browser:
    """One browser; its page, its user, and resets that users interrupted to sign in again."""

    def __init__(self, shared: SharedState, requests: PortalRequests) -> None:
        self._shared = shared
        self._requests = requests
        self._screen = Screen.SIGN_IN
        self._message = ""
        self._user: str | None = None
        self._device: ManagedDevice | None = None
        self._address = ""
        self._typed: SignIn | None = None
        self._interrupted: dict[str, _InterruptedReset] = {}
        self._flag_open = False
        self._menu_open = False

    # -- signing in and out --------------------------------------------------------------------

    def enter_address(self, arguments: EnterAddress, now: int) -> Sequence[ActorRequest]:
        """Type an address and press Next."""
        del now
        self._need(Screen.SIGN_IN)
        self._typed = SignIn(user=arguments.address)
        name = self._account_named(arguments.address)
        if name is None:
            self._show(Screen.SIGN_IN, _UNKNOWN_ADDRESS)
        elif self._shared.accounts[name].has_personal_account:
            self._show(Screen.ACCOUNT_CHOOSER, _WHICH_ACCOUNT)
        else:
            self._show(Screen.ENTER_PASSWORD)
        return ()

    def choose_account(self, arguments: ChooseAccount, now: int) -> Sequence[ActorRequest]:
        """Choose an entry of the account chooser."""
        del now
        self._need(Screen.ACCOUNT_CHOOSER)
        if arguments.account == "personal":
            self._show(Screen.SIGN_IN, _WRONG_ACCOUNT)
        else:
            self._show(Screen.ENTER_PASSWORD)
        return ()

    def enter_password(self, arguments: EnterPassword, now: int) -> Sequence[ActorRequest]:
        """Type the password and press Sign in."""
        self._need(Screen.ENTER_PASSWORD)
        name = self._account_named(self._address) or ""
        if arguments.password not in (None, self._shared.accounts[name].password):
            self._show(Screen.ENTER_PASSWORD, _WRONG_PASSWORD)
        else:
            self._enter(name, now)
        return ()

    def sign_in(self, arguments: SignIn, now: int) -> Sequence[ActorRequest]:
        """Sign in with one step."""
        if self._screen not in _SIGN_IN_PAGES:
            raise self._refused("the page signIn")
        typed, self._typed = self._typed, None
        address = arguments.user or (typed.user if typed is not None else None)
        if address is None:
            raise StepRefusedError("a user to sign in", "none")
        name = self._account_named(address)
        if name is None:
            self._show(Screen.SIGN_IN, _UNKNOWN_ADDRESS)
            return ()
        account = self._shared.accounts[name]
        asks = self._screen is not Screen.ENTER_PASSWORD or arguments.user is not None
        if asks and account.has_personal_account and arguments.account is None:
            self._typed = arguments
            self._show(Screen.ACCOUNT_CHOOSER, _WHICH_ACCOUNT)
            return ()
        password = arguments.password or (typed.password if typed is not None else None)
        if arguments.account == "personal":
            self._show(Screen.SIGN_IN, _WRONG_ACCOUNT)
        elif password not in (None, account.password):
            self._show(Screen.SIGN_IN, _WRONG_PASSWORD)
        else:
            self._enter(name, now)
        return ()

    def _account_named(self, address: str) -> str | None:
        self._address = address
        return self._shared.account_name(address)

    def _enter(self, user: str, now: int) -> None:
        """Sign the user in: continue the interrupted reset if in time, otherwise show home."""
        reset = self._interrupted.pop(user, None)
        self._user, self._device, self._flag_open = user, None, False
        if reset is None or now - reset.left > SIGN_BACK_IN_LIMIT:
            self._show(Screen.HOME)
            return
        self._device = reset.device
        self._show(Screen.CONFIRM_RESET, reset.device.profile.reset.portal_explains)

    def sign_out(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Sign out, on any page."""
        user = self._signed_in()
        if self._screen is Screen.SIGN_IN_AGAIN and self._device is not None:
            self._interrupted[user] = _InterruptedReset(self._device, now)
        else:
            self._interrupted.pop(user, None)
        self._user = self._device = self._typed = None
        self._flag_open = False
        self._show(Screen.SIGN_IN)
        return ()

    def back(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Press Back on a page before sign-in, which leads to the sign-in page."""
        del now
        if self._user is not None or self._screen is Screen.SIGN_IN:
            raise self._refused("a page with the button Back")
        self._typed = None
        self._show(Screen.SIGN_IN)
        return ()

    # -- links and menu ------------------------------------------------------------------------

    def open_link(self, arguments: OpenLink, now: int) -> Sequence[ActorRequest]:
        """Open a link of the page."""
        del now
        links = self._links()
        if arguments.link not in links:
            raise StepRefusedError(f"one of the links {', '.join(links) or 'none'}", arguments.link)
        if arguments.link == _CONTACT:
            self._open_contact()
        else:
            self._show(*_TARGETS[arguments.link])
        return ()

    def _links(self) -> tuple[str, ...]:
        return _LINKS.get(self._screen, (_CONTACT,))

    def open_menu(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Open the menu."""
        del now
        self._signed_in()
        self._menu_open = True
        return ()

    def choose_menu(self, arguments: ChooseMenu, now: int) -> Sequence[ActorRequest]:
        """Choose an item of the open menu."""
        del now
        if not self._menu_open:
            raise self._refused("the open menu")
        if arguments.item == _CONTACT:
            self._open_contact()
        else:
            self._device = None
            self._show(Screen.DEVICES)
        return ()

    def _open_contact(self) -> None:
        self._device = None
        self._show(Screen.CONTACT_ADMIN, _CONTACT_PAGE)

    def open_notifications(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Open the notification flag."""
        del now
        self._signed_in()
        self._flag_open = True
        return ()

    # -- devices -------------------------------------------------------------------------------

    def select_device(self, arguments: SelectDevice, now: int) -> Sequence[ActorRequest]:
        """Open the page of one of the user's devices."""
        del now
        user, device = self._signed_in(), self._shared.devices[arguments.device]
        if device.owner != user:
            own = ", ".join(self._own()) or "none"
            raise StepRefusedError(f"{device.name} among the devices of {user}", own)
        self._device = device
        self._show(Screen.DEVICE)
        return ()

    def _own(self) -> list[str]:
        return [each.name for each in self._shared.devices.values() if each.owner == self._user]

    def reset_passcode(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Press Reset Passcode."""
        device = self._on_device_page()
        if not self._requests.offers_reset(device):
            self._show(Screen.CONTACT_ADMIN, self._requests.advice(device))
            return ()
        if self._screen is not Screen.CONFIRM_RESET:
            self._show(Screen.SIGN_IN_AGAIN, _SIGN_IN_AGAIN)
            return ()
        self._show(Screen.DEVICE)
        return [self._requests.ask(device, Action.RESET_PASSCODE, now)]

    def remote_lock(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Press Remote Lock."""
        if self._screen is Screen.CONFIRM_RESET:
            raise self._refused("the page of a device")
        return self._ask(Action.REMOTE_LOCK, now)

    def check_status(self, _: BrowserStep, now: int) -> Sequence[ActorRequest]:
        """Press Check status, on the page of a device or on the Reset Passcode page."""
        return self._ask(Action.SYNC_DEVICE, now)

    def _ask(self, action: Action, now: int) -> Sequence[ActorRequest]:
        device = self._on_device_page()
        if self._requests.offers_actions(device):
            return [self._requests.ask(device, action, now)]
        self._show(Screen.CONTACT_ADMIN, self._requests.advice(device) or _NO_ACTIONS)
        return ()

    def _on_device_page(self) -> ManagedDevice:
        if self._device is None or self._screen not in (*_DEVICE_PAGES, Screen.CONFIRM_RESET):
            raise self._refused("the page of a device, or confirmReset")
        return self._device

    # -- visible values ------------------------------------------------------------------------

    def view(self) -> Mapping[str, object]:
        """Return the visible values of the page."""
        seen: dict[str, object] = {"screen": self._screen.value}
        if self._message:
            seen["message"] = self._message
        if links := self._links():
            seen["links"] = links
        if self._screen is Screen.ACCOUNT_CHOOSER:
            keys = ("account", "title", "caption")
            entries = [dict(zip(keys, entry, strict=True)) for entry in _ENTRIES]
            seen["accounts"] = tuple({**entry, "address": self._address} for entry in entries)
        if self._user is None:
            return seen
        seen["devices"] = tuple(self._own())
        if self._menu_open:
            seen["menu"] = _MENU
        if self._flag_open:
            seen["notifications"] = self._requests.notifications(self._user)
        if self._device is not None:
            seen |= self._device_view(self._device)
        if self._screen is Screen.CONTACT_ADMIN or seen.get("resetButton") is False:
            contact = self._shared.organization.contact
            seen |= {} if contact is None else {"contact": contact}
        return seen

    def _device_view(self, device: ManagedDevice) -> Mapping[str, object]:
        seen: dict[str, object] = {}
        check = self._requests.last_check(device)
        if check is not None and self._screen in (*_DEVICE_PAGES, Screen.CONFIRM_RESET):
            seen["checkStatus"], seen["checkMessage"] = check.status, check.message
        if self._screen not in _DEVICE_PAGES:
            return seen
        seen["resetButton"] = self._requests.offers_reset(device)
        seen["remoteLockButton"] = self._requests.offers_actions(device)
        if not seen["resetButton"]:
            # Such a page is both the page of the device and the page contactAdmin.
            seen["screen"] = TextVariants((Screen.CONTACT_ADMIN.value, Screen.DEVICE.value))
        last = self._requests.last(device)
        if last is not None:
            seen["status"] = last.status
        message = self._message or (last.message if last else self._requests.advice(device))
        if message:
            seen["message"] = message
        passcode = self._requests.new_passcode(device)
        if passcode is not None:
            seen["newPasscode"] = passcode
            seen["newPasscodeLine"] = _PASSCODE_LINE + passcode
        return seen

    def shows_device(self, device: ManagedDevice) -> bool:
        """Return True if the open page is that of this device."""
        return self._device is device and self._screen in _DEVICE_PAGES

    # -- helpers -------------------------------------------------------------------------------

    def _show(self, screen: Screen, message: str = "") -> None:
        self._screen, self._message, self._menu_open = screen, message, False

    def _need(self, screen: Screen) -> None:
        if self._screen is not screen:
            raise self._refused(f"the page {screen.value}")

    def _signed_in(self) -> str:
        if self._user is None:
            raise self._refused("a signed-in user")
        return self._user

    def _refused(self, expected: str) -> StepRefusedError:
        return StepRefusedError(expected, f"the page {self._screen.value}")
