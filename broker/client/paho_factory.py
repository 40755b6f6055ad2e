"""Creation of paho clients: protocol version, transport, TLS and login of a broker address."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from broker.address import BrokerAddress

__all__ = ["new_paho_client"]

ClientT = TypeVar("ClientT", bound=Client)


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
