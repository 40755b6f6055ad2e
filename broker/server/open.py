"""Start of, or address of, the broker given by `broker.url`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broker.access import Login
from broker.address import BrokerAddress
from broker.errors import BrokerError, UsageError
from broker.file_validation import suggest
from broker.server.child_process import BrokerHandle
from broker.server.embedded import EmbeddedSettings, embedded_broker
from broker.server.listen import ListenAddress
from broker.server.mosquitto import mosquitto_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

__all__ = ["EMBEDDED", "MOSQUITTO", "open_broker"]

EMBEDDED = "embedded"
MOSQUITTO = "mosquitto"


@asynccontextmanager
async def open_broker(
    url: str,
    *,
    username: str | None = None,
    password: str | None = None,
    ca: Path | str | None = None,
    cert: Path | str | None = None,
    key: Path | str | None = None,
    logins: Sequence[Login] = (),
    listen: str | None = None,
    deny_subscribe: Sequence[str] = (),
) -> AsyncIterator[BrokerHandle]:
    """Yield a handle of the broker `url`: "embedded", "mosquitto", or a URL.

    The first two are started here and stopped at the end. With `username` and `password` they
    demand a login: that one, or one of `logins`. `listen` and `deny_subscribe` are settings of the
    embedded broker (`EmbeddedSettings`). A URL is only parsed: `probe` tests the connection.
    Raises UsageError for a malformed URL or address, or for certificates that the broker does not
    use, and BrokerError for a broker that does not start.
    """
    if url in (EMBEDDED, MOSQUITTO) and (ca or cert or key):
        # Ignoring them would send passcodes unencrypted against the user's intention.
        raise UsageError(
            f"the broker '{url}' is not encrypted and uses no certificates",
            hint="remove ca, cert and key, or name a broker with mqtts://",
        )
    if url == EMBEDDED:
        settings = EmbeddedSettings(
            listen=ListenAddress.parse(listen) if listen else None,
            logins=_all_logins(username, password, logins),
            deny_subscribe=tuple(deny_subscribe),
        )
        async with embedded_broker(settings) as handle:
            yield handle
    elif url == MOSQUITTO:
        async with mosquitto_broker(_all_logins(username, password, logins)) as handle:
            yield handle
    else:
        if (meant := suggest(url, (EMBEDDED, MOSQUITTO))) is not None:
            raise UsageError(f"'{url}' is neither a broker's name nor a URL", hint=meant)
        address = BrokerAddress.parse(
            url, username=username, password=password, ca=ca, cert=cert, key=key
        )
        died: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        try:
            yield BrokerHandle(address=address, pid=None, died=died)
        finally:
            died.cancel()


def _all_logins(
    username: str | None, password: str | None, others: Sequence[Login]
) -> tuple[Login, ...]:
    """Return the logins of a broker that is started here, the fleet's own first; none if unset."""
    if username is None and password is None and not others:
        return ()
    if not username or not password:
        raise UsageError(
            "a broker that passfleet starts needs both a user name and a password for its login",
            hint="set `username` and `password` under [broker], or remove both",
        )
    return (Login(username=username, password=password), *others)
