"""MQTT message types and the listener of a connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ConnectionListener", "Delivery", "OutgoingMessage"]


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish, at QoS 0 or 1.

    `accepted` is called once the broker has it; at QoS 0, once it is queued for the socket.
    """

    topic: str
    payload: bytes
    retain: bool = False
    accepted: Callable[[], None] | None = None
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """One arrival, to acknowledge: packet ids mean nothing beyond the connection they came on.

    `mid` is 0 for a message at QoS 0, which has no packet id and takes no acknowledgement.
    """

    connection_number: int
    mid: int
    shared: object = None
    """Gateway's record of a delivery that several devices share."""


class ConnectionListener:
    """Callbacks of one connection, with defaults that do nothing.

    The connection calls them on the event loop.
    """

    __slots__ = ()

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage] | None:
        """Return the online and the offline message of connection `number`.

        The latter is also the Last Will. None, the default, means that there are none.
        """
        del number
        return None

    def on_connected(self) -> None:
        """Handle a connection that is up and subscribed; publications are sent at once now."""

    def on_disconnected(self) -> None:
        """Handle the end of a connection that was up, whatever ended it."""

    def on_message(
        self,
        topic: str,
        payload: bytes,
        retained: bool,  # noqa: FBT001  # MQTT's flag
        delivery: Delivery,
    ) -> None:
        """Handle a message; the listener acknowledges `delivery` when it has dealt with it."""
