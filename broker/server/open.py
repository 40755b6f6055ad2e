"""Start of, or address of, the broker given by `broker.url`."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broker.address import BrokerAddress
from broker.errors import BrokerError, UsageError
from broker.file_validation import suggest
from broker.server.child_process import BrokerHandle
from broker.server.embedded import embedded_broker
from broker.server.mosquitto import mosquitto_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
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
) -> AsyncIterator[BrokerHandle]:
    """Yield a handle of the broker `url`: "embedded", "mosquitto", or a URL.

    The first two are started here and stopped at the end; they ignore the keywords, since they have
    no login. A URL is only parsed: `probe` tests the connection.
    Raises UsageError for a malformed URL and BrokerError for a broker that does not start.
    """
    if url == EMBEDDED:
        async with embedded_broker() as handle:
            yield handle
    elif url == MOSQUITTO:
        async with mosquitto_broker() as handle:
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
