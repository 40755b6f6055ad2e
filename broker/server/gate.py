"""Logins and refused subscriptions of the embedded broker."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from broker.access import Login, Permissions, covers

__all__ = ["EVERYTHING", "Gate"]

EVERYTHING: Final = Permissions(None)
"""Permissions of every client of a broker without logins."""


class Gate:
    """Decision on connections: the login of a client, and its permissions.

    Without logins, every client is accepted and may do everything. `denied` are filters whose
    subscriptions are refused to every client, so that a client's handling of a refusal can be
    tested.
    """

    def __init__(self, logins: Iterable[Login] = (), denied: Sequence[str] = ()) -> None:
        self._logins = {login.username: login for login in logins}
        self._permissions = {name: Permissions(each.rules) for name, each in self._logins.items()}
        self._owners = {name: login for login in self._logins.values() for name in login.client_ids}
        self._denied = denied

    def admit(self, username: str | None, password: str | None) -> Permissions | None:
        """Return the permissions of a login, None if user name or password are wrong."""
        if not self._logins:
            return EVERYTHING
        login = self._logins.get(username or "")
        expected = b"" if login is None else login.password.encode()
        # The time that a refusal takes must not show which user names exist.
        same = hmac.compare_digest(expected, (password or "").encode())
        return self._permissions[login.username] if login is not None and same else None

    def may_use(self, client_id: str, username: str | None) -> bool:
        """Return True if a login that was admitted may use a client id.

        A device must not take over the session of another device, with its messages.
        """
        owner = self._owners.get(client_id)
        if owner is None or owner.username == username:
            return True
        login = self._logins.get(username or "")
        return login is not None and login.rules is None

    def denies(self, topic_filter: str) -> bool:
        """Return True if subscriptions of a filter are refused to every client."""
        return any(covers(each, topic_filter) for each in self._denied)
