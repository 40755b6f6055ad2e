"""Connections to brokers that disconnect at any point, scripted packet by packet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from broker.address import BrokerAddress
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery
from broker.client.pace import ConnectionPace
from broker.client.pool import ConnectionPool
from tests.support.brokers import until
from tests.support.raw_mqtt_client import RawClient

CONNECT, SUBSCRIBE, DISCONNECT = 0x10, 0x80, 0xE0
KNOWN, UNKNOWN = b"\x20\x02\x01\x00", b"\x20\x02\x00\x00"


class Quiet(ConnectionListener):
    """Listener of a device that publishes no presence and expects no message."""

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        raise NotImplementedError


class Script:
    """Scripted broker: the test sends every packet."""

    def __init__(self) -> None:
        self.port = 0
        self.made: asyncio.Queue[RawClient] = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls) -> AsyncIterator[Script]:
        script = cls()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            script.made.put_nowait(RawClient(reader, writer))

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        script.port = server.sockets[0].getsockname()[1]
        try:
            yield script
        finally:
            server.close()

    async def let_in(self, answer: bytes) -> tuple[RawClient, bytes]:
        """Accept the next connection and return its SUBSCRIBE packet."""
        async with asyncio.timeout(10):
            client = await self.made.get()
        await client.expect(CONNECT)
        client.send(answer)
        return client, await client.expect(SUBSCRIBE)


def granted(asked: bytes, count: int) -> bytes:
    """Return the SUBACK of a SUBSCRIBE for `count` topics."""
    return bytes((0x90, 2 + count)) + asked[:2] + b"\x01" * count


async def test_next_connection_subscribes_a_session_without_subscriptions() -> None:
    async with Script.listening() as broker:
        pool = ConnectionPool(
            BrokerAddress.parse(f"mqtt://127.0.0.1:{broker.port}"),
            ConnectionPace(backoff=(0.01, 0.02)),
        )
        connection = Connection(pool, "c", ["own"], Quiet(), lasting=["group"])
        pool.add(connection)
        connection.open()
        client, asked = await broker.let_in(UNKNOWN)
        assert b"own" in asked
        assert b"group" in asked
        client.send(granted(asked, 2))
        await until(lambda: connection.up)
        await client.drop()
        # The broker has lost the session, makes another, and ends before SUBSCRIBE arrives.
        client, _ = await broker.let_in(UNKNOWN)
        await client.drop()
        client, asked = await broker.let_in(KNOWN)
        assert b"group" in asked
        client.send(granted(asked, 2))
        await until(lambda: connection.up)
        await client.drop()
        # Once the session has it, it is not asked for again.
        client, asked = await broker.let_in(KNOWN)
        assert b"own" in asked
        assert b"group" not in asked
        await client.drop()
        await pool.close()
