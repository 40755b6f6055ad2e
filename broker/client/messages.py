"""What goes over a connection, and whom it tells: known to connections, gateways and devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Delivery", "Listener", "Outgoing"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish at QoS 1. `accepted` is called once the broker has it."""

    topic: str
    payload: bytes
    retain: bool = False
    accepted: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One arrival, to acknowledge: packet ids mean nothing beyond the connection they came on.

    `mid` is 0 for a message at QoS 0, which has no packet id and takes no acknowledgement.
    """

    connection_number: int
    mid: int
    shared: object = None
    """What a gateway knows of an arrival that several devices share."""


class Listener(Protocol):
    """What a connection tells the one it belongs to. All calls come from the event loop."""

    def presence(self, number: int) -> tuple[str, bytes, bytes] | None:
        """(topic, online payload, offline payload) of the connection that is `number`-th."""

    def connected(self) -> None:
        """Connected and subscribed; what is published from here on is sent at once."""

    def arrived(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """A message came; `acknowledge(delivery)` when it is done with."""
