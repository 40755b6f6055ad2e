"""Observer of a whole fleet: a connection that receives every message at low CPU cost.

It uses the devices' connection pool, which reads and acknowledges many messages at once: a third of
the CPU time of an `Operator`. It publishes nothing but the markers of its barrier.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Final, Self

from broker.address import BrokerAddress
from broker.client.barrier import Barrier
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pace import ConnectionPace
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from broker.errors import BrokerError
from broker.operator.connect import CONNECT_LIMIT
from broker.operator.link import QUIET_TIME, RETAINED_LIMIT
from broker.operator.readers import ReceivedMessage

__all__ = ["Observer"]

_BACKOFF: Final = (0.1, 5.0)


class Observer(ConnectionListener):
    """One connection that subscribes to topic filters, as an async context manager.

    `receive` is called with each message, in the order of arrival; it must not block. A lost
    connection is opened again; the broker then sends what is retained once more.
    """

    def __init__(
        self,
        address: BrokerAddress,
        topics: Topics,
        filters: Iterable[str],
        receive: Callable[[ReceivedMessage], None],
    ) -> None:
        self._address = address
        self._topics = topics
        self._filters = tuple(filters)
        self._receive = receive
        self._barrier = Barrier(f"{topics.root}/operators/{secrets.token_hex(8)}/barrier")
        self._last_retained = 0.0

    async def __aenter__(self) -> Self:
        """Connect, and wait until the retained messages have arrived.

        Raises BrokerError if the broker cannot be reached, or does not deliver.
        """
        pace = ConnectionPace(answer_within=CONNECT_LIMIT, backoff=_BACKOFF)
        self._pool = ConnectionPool(self._address, pace)
        self._connection = Connection(
            self._pool,
            f"pf-view-{secrets.token_hex(6)}",
            (self._barrier.topic, *self._filters),
            self,
            clean_session=True,
        )
        self._pool.add(self._connection)
        try:
            self._connection.open()
            await self._pool.ready([self._connection], stalled_after=CONNECT_LIMIT)
            await self._wait_for_retained()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._connection.close()
        await self._pool.close()

    async def pass_barrier(self, limit: float) -> None:
        """Wait until all messages that were sent to this connection before have arrived.

        Raises BrokerError after `limit` seconds.
        """
        with self._barrier.marker() as marker:
            self._connection.publish(OutgoingMessage(self._barrier.topic, marker.payload))
            try:
                async with asyncio.timeout(limit):
                    await marker.passed.wait()
            except TimeoutError:
                raise BrokerError(
                    f"{self._address.url} does not deliver messages on {self._barrier.topic}",
                    hint="allow this login to read and write below the fleet's topic root",
                ) from None

    async def _wait_for_retained(self) -> None:
        """Pass a barrier, then wait for a short time without a retained message."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        await self.pass_barrier(RETAINED_LIMIT)
        since = loop.time()
        quiet = min(max(QUIET_TIME[0], since - started), QUIET_TIME[1])
        while (left := max(since, self._last_retained) + quiet - loop.time()) > 0:
            if loop.time() - started > RETAINED_LIMIT:
                return
            await asyncio.sleep(left)

    def on_message(
        self,
        topic: str,
        payload: bytes,
        retained: bool,  # noqa: FBT001  # MQTT's flag
        delivery: Delivery,
    ) -> None:
        """Pass a message on, and acknowledge it (`ConnectionListener`)."""
        self._connection.acknowledge(delivery)
        device_id, leaf = self._topics.split(topic) or (None, None)
        if device_id is None and self._barrier.on_message(topic, payload):
            return
        if retained:
            self._last_retained = self._pool.loop.time()
        self._receive(ReceivedMessage(topic, device_id, leaf, payload, retained))
