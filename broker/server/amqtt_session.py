"""Session of a client of the embedded broker: its unacknowledged messages, in order.

amqtt sends each message in a separate task that waits five seconds for the acknowledgement, and
loses the message with the connection. Here a QoS 1 message is in `waiting` until it is sent, and
then in `inflight_out` until its PUBACK, also while the client is disconnected.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Protocol

from amqtt.session import OutgoingApplicationMessage, Session

from broker.access import Permissions
from broker.server.gate import EVERYTHING

__all__ = ["ClientConnection", "FleetSession"]

# Maximum number of QoS 1 messages sent and not yet acknowledged, per client: enough for full
# throughput, and far below the 65,535 packet ids.
_MAX_IN_FLIGHT = 1_000


class ClientConnection(Protocol):
    """Connection methods that a session calls."""

    @property
    def full(self) -> bool:
        """True while the client does not read."""

    def send(self, packet: bytes) -> None:
        """Queue one packet."""

    def end(self, *, will: bool) -> None:
        """End the connection. `will` publishes the Last Will."""


class FleetSession(Session):  # type: ignore[misc]  # amqtt ships no type marker
    """amqtt session with topic filters and ordered delivery.

    amqtt's state machine (150 us and 18 KiB per session) is left out: `connection` is None while
    the client is disconnected.
    """

    transitions = SimpleNamespace(state="n/a")  # read by amqtt's __repr__ alone

    # Equality by identity: amqtt's __eq__ compares client ids, which makes sessions unhashable.
    __hash__ = object.__hash__

    def __init__(self, client_id: str) -> None:
        super().__init__()
        self.client_id = client_id
        self.filters: set[str] = set()
        self.permissions: Permissions = EVERYTHING
        self.connection: ClientConnection | None = None
        self.waiting: deque[OutgoingApplicationMessage] = deque()

    def _init_states(self) -> None:
        """Do nothing: there is no state machine."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def deliver(self, topic: str, data: bytes, qos: int, *, retain: bool = False) -> None:
        """Send a message. If the client is away or slow, QoS 1 waits and QoS 0 is dropped."""
        if qos:
            message = OutgoingApplicationMessage(None, topic, 1, data, retain)
            connection = self._free_connection()
            if connection is None or self.waiting:
                self.waiting.append(message)
            else:
                self._send(message, connection)
        elif self.connection is not None and not self.connection.full:
            message = OutgoingApplicationMessage(None, topic, 0, data, retain)
            self.connection.send(message.build_publish_packet().to_bytes())

    def acknowledge(self, packet_id: int) -> None:
        """Handle a PUBACK; ignore an unexpected one (a late duplicate)."""
        self.inflight_out.pop(packet_id, None)
        self.send_waiting()

    def attach(self, connection: ClientConnection) -> None:
        """Use a new connection: first resend unacknowledged messages, marked as duplicates."""
        self.connection = connection
        for message in self.inflight_out.values():
            connection.send(message.build_publish_packet(dup=True).to_bytes())
        self.send_waiting()

    def send_waiting(self) -> None:
        """Send waiting messages until the client is slow or the in-flight limit is reached."""
        while self.waiting and (connection := self._free_connection()) is not None:
            self._send(self.waiting.popleft(), connection)

    def _free_connection(self) -> ClientConnection | None:
        connection = self.connection
        if connection is None or connection.full or len(self.inflight_out) >= _MAX_IN_FLIGHT:
            return None
        return connection

    def _send(self, message: OutgoingApplicationMessage, connection: ClientConnection) -> None:
        message.packet_id = self.next_packet_id
        self.inflight_out[message.packet_id] = message
        connection.send(message.build_publish_packet().to_bytes())
