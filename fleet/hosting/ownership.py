"""Check of a broker before a fleet connects: existing sessions and devices hosted elsewhere.

Session numbers continue after those of a crashed fleet. A device that is already online is hosted
by another process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from typing import Final

from broker.client.barrier import Barrier, Marker
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import Presence, Topics
from broker.errors import BrokerError, UsageError
from broker.operator.readers import is_outdated, read_presence
from broker.reference.catalog import InspectionRequest

__all__ = ["find_sessions"]

_WILLS_WITHIN: Final = 3.0
"""Seconds to wait for the broker to publish the Wills of a fleet that was just killed."""
_ANSWER_WITHIN: Final = 2.0
"""Seconds to wait for a host's answer about a device on a shared connection (no Will)."""

_LAST_SESSION: Final = 2**53
"""Ignore retained session numbers outside 0..2**53: JSON parsers and SQLite lose precision."""


class _PresenceListener(ConnectionListener):
    """Listens to every retained presence, and to a barrier of its own."""

    def __init__(self, topics: Topics, barrier: Barrier, marker: Marker) -> None:
        self.topics = topics
        self.barrier = barrier
        self.marker = marker
        self.found: dict[str, Presence] = {}
        self.hosted = asyncio.Event()
        self._asked: set[str] = set()
        self.connection: Connection

    def on_connected(self) -> None:
        """Publish the marker, which arrives behind the retained messages."""
        self.connection.publish(OutgoingMessage(self.barrier.topic, self.marker.payload))

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Handle a presence, an inspection or the marker."""
        del retained
        self.connection.acknowledge(delivery)
        if self.barrier.on_message(topic, payload):
            return
        device_id, leaf = self.topics.split(topic) or ("", "")
        if leaf == "inspection":
            # Answers to the requests of other clients, such as a load test, arrive here too.
            if device_id in self._asked:
                self.hosted.set()
            return
        presence = read_presence(payload)
        if presence is None or not 0 <= presence.session <= _LAST_SESSION:
            self.found.pop(device_id, None)
        elif not is_outdated(presence, self.found.get(device_id)):
            self.found[device_id] = presence

    def online(self, device_ids: Iterable[str]) -> list[str]:
        """Devices whose retained presence is online."""
        found = ((device_id, self.found.get(device_id)) for device_id in device_ids)
        return [
            device_id for device_id, presence in found if presence and presence.status == "online"
        ]

    def request_inspection(self, device_id: str) -> None:
        """Send an inspection request for a device; the first answer sets `hosted`."""
        self._asked.add(device_id)
        question = InspectionRequest(request_id="find_sessions").to_bytes()
        self.connection.publish(OutgoingMessage(self.topics.device(device_id, "inspect"), question))


async def find_sessions(
    pool: ConnectionPool,
    topics: Topics,
    name: str,
    own: Collection[str],
    shared: Collection[str],
    *,
    ours: bool = False,
) -> dict[str, int]:
    """Latest session number of each device, from the retained presences.

    Raises BrokerError if the broker does not deliver messages, UsageError if another process hosts
    one of the devices, unless they are `ours`. A device with its `own` connection is hosted if it
    is still online after the seconds that a broker needs to notice a killed fleet. A `shared`
    connection has no Will for each device: its devices are hosted if a host answers for them.
    """
    barrier = Barrier(f"{topics.root}/hosts/{name}/barrier")
    with barrier.marker() as marker:
        listener = _PresenceListener(topics, barrier, marker)
        taken = await _survey(pool, listener, f"{name}-survey", own, shared)
    if taken and not ours:
        raise UsageError(
            f"{taken[0]} is online on {pool.address.url} already"
            + (f", and {len(taken) - 1} more" if len(taken) > 1 else ""),
            hint="stop the fleet that runs there (passfleet down), or set another `root`",
        )
    return {device_id: presence.session for device_id, presence in listener.found.items()}


async def _survey(
    pool: ConnectionPool,
    listener: _PresenceListener,
    client_id: str,
    own: Collection[str],
    shared: Collection[str],
) -> list[str]:
    """Listen to the broker on a connection of its own; return the devices hosted elsewhere."""
    topics = listener.topics
    leaves = ("presence", "inspection")
    filters = [listener.barrier.topic, *(topics.device("+", leaf) for leaf in leaves)]
    connection = Connection(pool, client_id, filters, listener, clean_session=True)
    listener.connection = connection
    pool.add(connection)
    connection.open()
    try:
        await pool.ready([connection])
        await _wait_for_retained(pool, listener)
        return await _find_hosted_elsewhere(pool, listener, own, shared)
    finally:
        await connection.close()
        pool.remove(connection)


async def _wait_for_retained(pool: ConnectionPool, listener: _PresenceListener) -> None:
    """Wait until all retained messages have arrived."""
    try:
        async with asyncio.timeout(pool.pace.answer_within):
            await listener.marker.passed.wait()
    except TimeoutError:
        raise BrokerError(
            f"{pool.address.url} does not deliver what is published below {listener.topics.root}",
            hint="may this user read and write there? Look at the broker's access rules",
        ) from None


async def _find_hosted_elsewhere(
    pool: ConnectionPool, listener: _PresenceListener, own: Collection[str], shared: Collection[str]
) -> list[str]:
    """Devices that another process hosts."""
    until = pool.loop.time() + _WILLS_WITHIN
    while online := listener.online(own):
        if pool.loop.time() > until:
            return online
        await asyncio.sleep(0.05)
    asked = listener.online(shared)
    for device_id in asked:
        listener.request_inspection(device_id)
    if asked:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN):
                await listener.hosted.wait()
                return asked
    return []
