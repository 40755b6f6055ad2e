"""A client's session at the embedded broker: what it is owed, in order, until acknowledged.

amqtt keeps the messages of a session in two queues, sends each in a task of its own that waits five
seconds for the acknowledgement, and forgets the message when the connection goes. Here a QoS 1
message stands in `inflight_out` from the moment it is sent until its PUBACK, whatever happens to
the connection in between, and in `waiting` before that.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Protocol

from amqtt.session import OutgoingApplicationMessage, Session

__all__ = ["FleetSession", "Outlet"]

# QoS 1 messages sent and not yet acknowledged, per client. Enough to keep a pipe full, few enough
# that a client which never acknowledges holds little memory in socket buffers and leaves packet
# ids (65,535) free.
_WINDOW = 1_000


class Outlet(Protocol):
    """Services that a session needs of its connection."""

    @property
    def full(self) -> bool:
        """Return True if the peer has stopped reading."""

    def send(self, packet: bytes) -> None:
        """Queue one whole packet for the peer; never waits."""

    def end(self, *, will: bool) -> None:
        """Close, publishing the Last Will if asked; once only."""


class FleetSession(Session):  # type: ignore[misc]  # amqtt ships no type marker
    """amqtt's record of a session with the filters it holds and an order of delivery.

    The state machine that amqtt builds for every session (150 us and 18 KiB each) is left out:
    `outlet` is None while the client is not connected.
    """

    transitions = SimpleNamespace(state="n/a")  # read by amqtt's __repr__ alone

    # Two sessions are equal if they are the same: amqtt's __eq__ compares client ids and thereby
    # makes sessions unhashable.
    __hash__ = object.__hash__

    def __init__(self, client_id: str) -> None:
        super().__init__()
        self.client_id = client_id
        self.filters: set[str] = set()
        self.outlet: Outlet | None = None
        self.waiting: deque[OutgoingApplicationMessage] = deque()

    def _init_states(self) -> None:
        """Build no state machine."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def deliver(self, topic: str, data: bytes, qos: int, *, retain: bool = False) -> None:
        """Send a message, or keep it (QoS 1) or drop it (QoS 0) while the client cannot take it."""
        if qos:
            message = OutgoingApplicationMessage(None, topic, 1, data, retain)
            outlet = self._free_outlet()
            if outlet is None or self.waiting:
                self.waiting.append(message)
            else:
                self._send(message, outlet)
        elif self.outlet is not None and not self.outlet.full:
            message = OutgoingApplicationMessage(None, topic, 0, data, retain)
            self.outlet.send(message.build_publish_packet().to_bytes())

    def acknowledge(self, packet_id: int) -> None:
        """Handle a PUBACK; ignore an unexpected one (a late duplicate)."""
        self.inflight_out.pop(packet_id, None)
        self.send_waiting()

    def attach(self, outlet: Outlet) -> None:
        """Go on over a new connection: unacknowledged messages first, marked as duplicates."""
        self.outlet = outlet
        for message in self.inflight_out.values():
            outlet.send(message.build_publish_packet(dup=True).to_bytes())
        self.send_waiting()

    def send_waiting(self) -> None:
        """Send what waited, as far as the client can take it now."""
        while self.waiting and (outlet := self._free_outlet()) is not None:
            self._send(self.waiting.popleft(), outlet)

    def _free_outlet(self) -> Outlet | None:
        outlet = self.outlet
        if outlet is None or outlet.full or len(self.inflight_out) >= _WINDOW:
            return None
        return outlet

    def _send(self, message: OutgoingApplicationMessage, outlet: Outlet) -> None:
        message.packet_id = self.next_packet_id
        self.inflight_out[message.packet_id] = message
        outlet.send(message.build_publish_packet().to_bytes())
