"""Probe of a broker: one connection that finds the reason of a failure."""

from __future__ import annotations

import asyncio
import secrets
import selectors
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS, Client, WebsocketConnectionError
from paho.mqtt.enums import MQTTErrorCode

from broker.address import BrokerAddress
from broker.client.daemon_thread import run_on_daemon_thread
from broker.client.paho_factory import ClosablePahoClient, new_paho_client
from broker.errors import BrokerError

__all__ = ["no_answer_error", "probe"]

_POLL = 0.1
"""Seconds to wait for the broker's answer before the deadline is checked again."""
# MQTT 5 numbers, to which paho translates the CONNACK codes of 3.1.1.
_BAD_LOGIN = 134
_NOT_AUTHORIZED = 135


async def probe(address: BrokerAddress, timeout: float = 5.0) -> None:  # noqa: ASYNC109
    """Connect and disconnect once, within `timeout` seconds.

    Raises BrokerError with the reason in one sentence, and UsageError for a certificate file that
    cannot be read.
    """
    context = address.ssl_context() if address.tls else None
    attempt = _Attempt(address, context, time.monotonic() + timeout)
    try:
        async with asyncio.timeout(timeout):
            error = await run_on_daemon_thread(attempt.run, "broker probe")
    except TimeoutError:
        raise no_answer_error(address, timeout) from None
    if error is not None:
        raise error


class _ProbeClient(ClosablePahoClient):
    """paho client that reads and writes in its own thread, one packet at a time."""

    def wait_and_read(self, limit: float) -> MQTTErrorCode:
        """Write and read once, and wait up to `limit` seconds. Return paho's result code.

        paho's `loop` waits with select(), which fails for file descriptors above 1,023. A process
        with many devices has such descriptors.
        """
        if self.want_write():
            self.loop_write()
        sock: Any = self.socket()
        if sock is None:
            return MQTT_ERR_NO_CONN
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            # TLS may have decrypted data that the selector does not see.
            if not getattr(sock, "pending", int)() and not selector.select(limit):
                return MQTT_ERR_SUCCESS
        return self.loop_read()


@dataclass(slots=True)
class _Attempt:
    """One connection attempt on a thread: paho's connect blocks, also in its handshakes."""

    address: BrokerAddress
    context: ssl.SSLContext | None
    deadline: float  # on time.monotonic()
    _answer: int | None = None  # reason code of CONNACK, 0 for success
    _reason: str = ""
    _tls_log: list[str] = field(default_factory=list)  # paho's log lines about TLS

    def run(self) -> BrokerError | None:
        """Return None if the broker accepted the connection, else the error."""
        client = self._client()
        try:
            client.connect(self.address.host, self.address.port, keepalive=60)
            code = MQTT_ERR_SUCCESS
            while self._answer is None and code == MQTT_ERR_SUCCESS:
                if time.monotonic() > self.deadline:
                    return None  # probe() has already raised its error
                code = client.wait_and_read(_POLL)
        except (OSError, ValueError, WebsocketConnectionError) as error:
            return _connection_error(self.address, error)
        finally:
            client.close()
        return self._result()

    def _client(self) -> _ProbeClient:
        client_id = f"passfleet-probe-{secrets.token_hex(4)}"
        client = new_paho_client(_ProbeClient, self.address, client_id, self.context)
        client.connect_timeout = max(self.deadline - time.monotonic(), 0.001)
        client.on_connect = self._on_connect
        client.on_log = self._on_log
        return client

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _: Any) -> None:
        self._answer = reason.value
        self._reason = str(reason)

    def _on_log(self, _client: Client, _data: Any, _level: int, text: str) -> None:
        if "SSL" in text or "ALERT" in text.upper():
            self._tls_log.append(text)

    def _result(self) -> BrokerError | None:
        url = self.address.url
        if self._answer == 0:
            return None
        if self._answer in (_BAD_LOGIN, _NOT_AUTHORIZED):
            who = "without a user name" if self.address.username is None else "with this login"
            return BrokerError(
                f"{url} refused the connection {who}: {self._reason}",
                hint="set `username` and `password` of the broker",
            )
        if self._answer is not None:
            return BrokerError(f"{url} refused the connection: {self._reason}")
        if self._tls_log:
            return BrokerError(
                f"{url} refused our certificate: {_alert(self._tls_log[-1])}",
                hint="set `cert` and `key` of the broker",
            )
        if self.address.tls:
            # Without a client certificate Mosquitto closes the connection without an alert.
            fault = "wants another" if self.address.cert else "wants a"
            return BrokerError(
                f"{url} closed the connection without an MQTT answer: it {fault} client "
                "certificate, or is not an MQTT broker",
                hint="set `cert` and `key` of the broker, or check the port",
            )
        return BrokerError(
            f"{url} closed the connection without an MQTT answer: it wants TLS, or is not an MQTT "
            "broker",
            hint="check the port, or use mqtts:// or wss://",
        )


def no_answer_error(address: BrokerAddress, timeout: float) -> BrokerError:
    """Return the error for a broker that did not answer within `timeout` seconds."""
    return BrokerError(
        f"{address.url} did not answer within {timeout:g} s",
        hint="check host and port, and whether it is an MQTT broker",
    )


# Message and hint by exception class; the first match is used. Most are subclasses of OSError.
_EXPLANATIONS: tuple[tuple[type[Exception], str, str], ...] = (
    (socket.gaierror, "the host name of {url} cannot be resolved", "check the name"),
    (ConnectionRefusedError, "nothing listens at {url}", "start the broker, or check the port"),
    (TimeoutError, "{url} did not answer in time", "check host, port and network"),
    (
        WebsocketConnectionError,
        "{url} does not answer as a websocket for MQTT",
        "check the port and the path",
    ),
)


def _connection_error(address: BrokerAddress, error: Exception) -> BrokerError:
    """Return the error for a connection that could not be opened."""
    url = address.url
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            f"the certificate of {url} is refused: {error.verify_message}",
            hint="set `ca` to the authority that signed it, and use a host name of the certificate",
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "handshake failed").replace("_", " ").lower()
        return BrokerError(
            f"the TLS handshake with {url} failed: {reason}", hint="check port and scheme"
        )
    for kind, text, hint in _EXPLANATIONS:
        if isinstance(error, kind):
            return BrokerError(text.format(url=url), hint=hint)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return BrokerError(f"{url} cannot be reached: {reason}", hint="check host, port and network")


def _alert(text: str) -> str:
    """Return the readable part of OpenSSL's "[SSL: ...] tlsv13 alert certificate required"."""
    _, _, rest = text.rpartition("] ")
    return rest.partition(" (_ssl")[0] or "no reason given"
