"""A look at a broker before a fleet moves in: which of its devices the broker already knows.

Sessions go on from where a fleet that crashed left them, and a device that is online belongs to
somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from pydantic import ValidationError

from broker.connection import Connection, Delivery, Outgoing
from broker.connections import Connections
from broker.contract import Presence, Topics
from broker.errors import UsageError

__all__ = ["survey"]

_WILLS_WITHIN: Final = 3.0
"""Seconds a broker is given to publish the Wills of a fleet that was just killed."""


class _Survey:
    """Listens to every retained presence, and to a fence of its own."""

    def __init__(self, topics: Topics, name: str) -> None:
        self.topics = topics
        self.fence = f"{topics.root}/hosts/{name}/fence"
        self.fenced = asyncio.Event()
        self.found: dict[str, Presence] = {}
        self.connection: Connection

    def presence(self, number: int) -> None:
        """Announce nobody."""
        del number

    def connected(self) -> None:
        """Ask for what is retained to be followed by the fence."""
        self.connection.publish(Outgoing(self.fence, b"{}"))

    def arrived(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Take a presence, or the fence behind them."""
        del retained
        self.connection.acknowledge(delivery)
        if topic == self.fence:
            self.fenced.set()
            return
        device = self.topics.split(topic)
        if device is None:
            return
        try:
            self.found[device[0]] = Presence.model_validate_json(payload)
        except ValidationError:
            self.found.pop(device[0], None)


async def survey(
    pool: Connections, topics: Topics, name: str, device_ids: Collection[str], *, ours: bool = False
) -> dict[str, int]:
    """The last session of each device that the broker knows.

    A fleet that was killed has a few seconds to be noticed by the broker. Raises UsageError where
    one of `device_ids` is online after that: another process hosts it; unless they are `ours`.
    """
    listener = _Survey(topics, name)
    filters = [listener.fence, topics.device("+", "presence")]
    connection = Connection(pool, f"{name}-survey", filters, listener, clean_session=True)
    listener.connection = connection
    pool.add(connection)
    connection.open()
    await pool.ready([connection])
    await asyncio.wait_for(listener.fenced.wait(), pool.pace.answer_within)
    until = pool.loop.time() + _WILLS_WITHIN
    while online := [d for d in device_ids if _is_online(listener.found.get(d))]:
        if pool.loop.time() > until:
            if ours:
                break
            raise UsageError(
                f"{online[0]} is online on {pool.address.url} already"
                + (f", and {len(online) - 1} more" if len(online) > 1 else ""),
                hint="stop the fleet that runs there (passfleet down), or set another `root`",
            )
        await asyncio.sleep(0.05)
    await connection.close()
    pool.remove(connection)
    return {device_id: presence.session for device_id, presence in listener.found.items()}


def _is_online(presence: Presence | None) -> bool:
    return presence is not None and presence.status == "online"
