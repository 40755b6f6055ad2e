"""Connection of an operator's aiomqtt client, and the reason why it fails.

A working broker gets one connection. A probe, which is a second connection, is made only if the
first one fails or takes long: it finds the reason.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from types import TracebackType
from typing import Any, Final, Self, cast

import aiomqtt
from paho.mqtt.client import WebsocketConnectionError

from broker.address import BrokerAddress
from broker.client.daemon_thread import run_on_daemon_thread
from broker.client.paho_factory import ClosablePahoClient
from broker.errors import BrokerError
from broker.server.probe import no_answer_error, probe

__all__ = ["CONNECT_LIMIT", "MAX_IN_FLIGHT", "connect", "open_client"]

CONNECT_LIMIT: Final = 5.0
"""Seconds within which a broker must have accepted the connection."""
MAX_IN_FLIGHT: Final = 64
"""Number of publishes that wait for their acknowledgement at once."""
_PROBE_DELAY: Final = 0.3
"""Seconds without an answer after which a probe starts beside the connection."""


class _Client(aiomqtt.Client):
    """aiomqtt client that connects on a daemon thread and closes its socket after a failure."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # aiomqtt has no parameter for the class of the paho client that it creates.
        self._client.__class__ = ClosablePahoClient

    @property
    def _paho(self) -> ClosablePahoClient:
        return cast("ClosablePahoClient", self._client)

    async def __aenter__(self) -> Self:
        """Connect. Raises MqttError."""
        opening = run_on_daemon_thread(self._open_socket, "operator connection")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread still uses the socket: close it after the thread has ended.
            opening.add_done_callback(lambda _: self._paho.close())
            raise
        except (OSError, ValueError, WebsocketConnectionError) as error:
            raise aiomqtt.MqttError(str(error)) from None
        try:
            return await super().__aenter__()
        except BaseException:
            self._paho.close()
            raise

    def _open_socket(self) -> None:
        """Resolve the host name, open the socket and send CONNECT. Blocks."""
        try:
            super()._client_connect()
        except BaseException:
            self._paho.close()
            raise

    def _client_connect(self) -> None:
        """Do nothing: aiomqtt calls this on a thread of the executor, and the socket is open."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Disconnect."""
        try:
            await super().__aexit__(exc_type, exc, tb)
        finally:
            # A connection that was lost just before the end leaves its error in this future. An
            # error that is never read makes asyncio log "Future exception was never retrieved".
            if self._disconnected.done() and not self._disconnected.cancelled():
                self._disconnected.exception()


def open_client(address: BrokerAddress, identifier: str) -> aiomqtt.Client:
    """Return an aiomqtt client for this broker, with a clean session, not connected yet."""
    # A separate logger, since aiomqtt's is shared by all its users. What it would log of
    # lost connections is raised as a BrokerError.
    logger = logging.getLogger("passfleet.operator")
    logger.setLevel(logging.CRITICAL)
    client = _Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        identifier=identifier,
        logger=logger,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        transport="websockets" if address.websocket else "tcp",
        timeout=CONNECT_LIMIT,
        max_inflight_messages=MAX_IN_FLIGHT,
        tls_context=address.ssl_context() if address.tls else None,
        websocket_path=address.path if address.websocket else None,
        # Without TCP_NODELAY a small message waits until TCP has acknowledged the one before.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    # Above this number of calls at once aiomqtt logs a warning. Here they are intended.
    client.pending_calls_threshold = 2 * MAX_IN_FLIGHT
    return client


async def connect(client: aiomqtt.Client, address: BrokerAddress) -> None:
    """Connect a client within CONNECT_LIMIT seconds. Raises BrokerError with the reason."""
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        async with asyncio.timeout(CONNECT_LIMIT):
            await asyncio.wait((connecting,), timeout=_PROBE_DELAY)
            if not _succeeded(connecting):
                await _probe_until_connected(connecting, address)
            await connecting
    except TimeoutError:
        raise no_answer_error(address, CONNECT_LIMIT) from None
    except aiomqtt.MqttError as error:
        # The probe was accepted: the broker may just have started.
        raise BrokerError(f"{address.url} refused the connection: {error}") from error
    except asyncio.CancelledError:
        if _succeeded(connecting):
            await client.__aexit__(None, None, None)
        raise
    finally:
        connecting.cancel()
        await asyncio.wait((connecting,))


async def _probe_until_connected(
    connecting: asyncio.Future[aiomqtt.Client], address: BrokerAddress
) -> None:
    """Probe the broker. Raises the probe's BrokerError unless the connection succeeds first."""
    probing = asyncio.ensure_future(probe(address, CONNECT_LIMIT))
    try:
        await asyncio.wait((connecting, probing), return_when=asyncio.FIRST_COMPLETED)
        if not _succeeded(connecting):
            await probing
    finally:
        probing.cancel()
        await asyncio.wait((probing,))


def _succeeded(connecting: asyncio.Future[Any]) -> bool:
    return connecting.done() and not connecting.cancelled() and connecting.exception() is None
