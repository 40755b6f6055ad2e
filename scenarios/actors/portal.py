"""The `portal` actor: the Company Portal website, as the end user sees it.

It implements "How to reset your device passcode from the Company Portal website" (Intune
documentation, 2017-01), "Reset passcode via the Company Portal website" (2015-12) and the user
guide "Mobile Device Passcode Self-reset": sign in, choose a device, Reset Passcode, sign out, sign
in again within five minutes, read the explanation, Reset Passcode again, wait for the result.

Assumptions, because the sources do not specify it: exactly five minutes are still in time; a reset
is continued by the same user in the same browser, also if another user signed in there meanwhile;
a device without the button shows the text "contact your IT admin". More are in `portal_requests`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from scenarios.actors.portal_browser import SIGN_BACK_IN_LIMIT, Browser
from scenarios.actors.portal_requests import CONTACT_ADMIN, NO_ANSWER_LIMIT, PortalRequests
from scenarios.actors.portal_steps import (
    BrowserStep,
    ChooseAccount,
    ChooseMenu,
    EnterAddress,
    EnterPassword,
    OpenLink,
    PortalExpectation,
    Screen,
    SelectDevice,
    SignIn,
)
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeviceMessage,
    ManagedDevice,
    SharedState,
)

__all__ = ["CONTACT_ADMIN", "NO_ANSWER_LIMIT", "SIGN_BACK_IN_LIMIT", "PortalActor", "Screen"]

_BROWSER: Final = "browser"


class SignOut(BrowserStep):
    """Sign out, on any page."""


class Back(BrowserStep):
    """Press Back on the account chooser, the password page, or a linked page."""


class OpenMenu(BrowserStep):
    """Open the menu on the banner."""


class ResetPasscode(BrowserStep):
    """Press Reset Passcode: on a device's page, or on the page that explains the reset."""


class RemoteLock(BrowserStep):
    """Press Remote Lock on a device's page."""


class CheckStatus(BrowserStep):
    """Press Check status, which sends `syncDevice` to the device."""


class OpenNotifications(BrowserStep):
    """Open the notification flag at the top right."""


class PortalActor(Actor):
    """Browsers that show the portal, each used by one user at a time."""

    name: ClassVar[str] = "portal"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "sign_in": SignIn,
        "enter_address": EnterAddress,
        "choose_account": ChooseAccount,
        "enter_password": EnterPassword,
        "back": Back,
        "open_link": OpenLink,
        "sign_out": SignOut,
        "open_menu": OpenMenu,
        "choose_menu": ChooseMenu,
        "select_device": SelectDevice,
        "reset_passcode": ResetPasscode,
        "remote_lock": RemoteLock,
        "check_status": CheckStatus,
        "open_notifications": OpenNotifications,
    }
    expects: ClassVar[type[BaseModel] | None] = PortalExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({_BROWSER})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._requests = PortalRequests(shared.organization)
        self._browsers: dict[str | None, Browser] = {}
        self._last: str | None = None

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; raises StepRefusedError if the page does not offer it."""
        assert isinstance(arguments, BrowserStep)  # noqa: S101  # `steps` says so
        self._requests.expire(now)
        self._last = arguments.browser
        requests: Sequence[ActorRequest] = getattr(self._browser(arguments.browser), step)(
            arguments, now
        )
        return requests

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Update requests, new passcodes and device states."""
        self._requests.expire(now)
        self._requests.on_message(message)
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible values in the browser of the last step."""
        return self._view_of(self._last, now)

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return the visible values in the browser of `query`."""
        return self._view_of(query.get(_BROWSER), now)

    def new_passcode(self, device: ManagedDevice, now: int) -> str | None:
        """Return the new passcode of a device whose page is open in a browser, or None."""
        del now
        shown = any(browser.shows_device(device) for browser in self._browsers.values())
        return self._requests.new_passcode(device) if shown else None

    def next_change(self, now: int) -> int | None:
        """Return the next instant at which an unanswered request is shown as failed."""
        return self._requests.next_change(now)

    def _view_of(self, name: str | None, now: int) -> Mapping[str, object]:
        self._requests.expire(now)
        view = self._browser(name).view()
        return view if name is None else {_BROWSER: name, **view}

    def _browser(self, name: str | None) -> Browser:
        if name not in self._browsers:
            self._browsers[name] = Browser(self.shared, self._requests)
        return self._browsers[name]
