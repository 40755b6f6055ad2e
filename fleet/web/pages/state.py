"""State shared by the pages: devices, phones, viewers, and the users of open browsers."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from contextlib import ExitStack
from functools import partial
from typing import Final

from broker.operator.readers import ReceivedMessage
from fleet.web.fleet_view import FleetView
from fleet.web.pages.activity import Activity
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.devices import PageDevices
from fleet.web.pages.fleet_time import FleetTime
from fleet.web.pages.phone_view import PhoneViews
from fleet.web.pages.viewers import Viewers
from fleet.web.settings import WebSettings

__all__ = ["Pages"]

_USERS_KEPT: Final = 256
"""Browser sessions remembered; the one unused for longest is forgotten first."""
_FOR_ACTORS: Final = frozenset({"state", "results", "notifications", "escrow", "messages"})


class Pages:
    """State of the pages of one server."""

    def __init__(self, view: FleetView, settings: WebSettings) -> None:
        self.view = view
        self.settings = settings
        self.config = settings.config
        self.devices = PageDevices(view, self.config)
        self.phones = PhoneViews(view, self.devices)
        self.activity = Activity(view)
        self.time = FleetTime(view, self.config.speed)
        self.viewers = Viewers(view, self.devices, self.phones, self.activity, self.time)
        self._users: OrderedDict[str, BrowserUser] = OrderedDict()
        self._listening = ExitStack()
        self._listening.enter_context(view.listening(self._on_message))

    @property
    def moves_time(self) -> bool:
        """True if pages show the control that moves time."""
        return self.time.can_move

    @property
    def contact(self) -> str:
        """Text of the page that says how to reach the administrator."""
        return self.config.organization.contact

    def user(self, session_id: str) -> BrowserUser:
        """The user of a browser session, made when it is first seen."""
        user = self._users.pop(session_id, None) or self._new_user(session_id)
        self._users[session_id] = user
        open_sessions = self.viewers.sessions()
        while len(self._users) > _USERS_KEPT:
            unused = next((each for each in self._users if each not in open_sessions), None)
            del self._users[unused or next(iter(self._users))]
        return user

    def _new_user(self, session_id: str) -> BrowserUser:
        passwords = self.settings.passwords
        accounts = self.devices.accounts(passwords, secrets.token_urlsafe(16))
        return BrowserUser(
            view=self.view,
            config=self.config,
            devices=self.devices,
            accounts=accounts,
            open_accounts=set(accounts) - set(passwords),
            on_change=partial(self.viewers.session_changed, session_id),
        )

    def _on_message(self, received: ReceivedMessage) -> None:
        self.phones.on_message(received)
        self.activity.on_message(received)
        if not self._users or received.leaf not in _FOR_ACTORS or received.retained:
            return
        device_id = received.device_id or ""
        users = [user for user in self._users.values() if user.involves(device_id)]
        document = received.document() if users else None
        if isinstance(document, dict):
            for user in users:
                user.on_message(received, document)
