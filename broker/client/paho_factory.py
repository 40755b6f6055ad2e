"""Creation of paho clients: protocol version, transport, TLS and login of a broker address."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from broker.address import BrokerAddress

__all__ = ["ClosablePahoClient", "new_paho_client"]

ClientT = TypeVar("ClientT", bound=Client)


class ClosablePahoClient(Client):
    """paho client that can be closed at any stage of its connection.

    paho drops a socket on which TLS or the websocket handshake failed, without closing it.
    """

    opened: socket.socket | None = None

    def _create_socket_connection(self) -> socket.socket:
        self.opened = super()._create_socket_connection()
        return self.opened

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        assert self._ssl_context is not None  # noqa: S101 - paho calls this for TLS alone
        wrapped = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.opened = wrapped
        wrapped.settimeout(self.connect_timeout)
        wrapped.do_handshake()
        return wrapped

    def close(self) -> None:
        """Send DISCONNECT if possible, and close the socket."""
        self.disconnect()
        self._sock_close()  # still open if DISCONNECT could not be written at once
        if self.opened is not None:
            self.opened.close()


def new_paho_client(
    client_class: type[ClientT],
    address: BrokerAddress,
    client_id: str,
    tls_context: ssl.SSLContext | None,
    **options: Any,
) -> ClientT:
    """Create a client for a broker, not connected yet. It does not reconnect by itself.

    `tls_context` is None where the address is not encrypted; `options` are paho's own.
    """
    client = client_class(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        transport="websockets" if address.websocket else "tcp",
        reconnect_on_failure=False,
        **options,
    )
    if address.websocket:
        client.ws_set_options(path=address.path)
    if tls_context is not None:
        client.tls_set_context(tls_context)
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    return client
