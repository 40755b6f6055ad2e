"""Bare MQTT 3.1.1 client for tests that sends and acknowledges only on request."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Self

LIMIT = 40.0  # seconds that any expected packet may take


def field(data: bytes) -> bytes:
    """Return `data` with its length before it."""
    return len(data).to_bytes(2) + data


def packet(first: int, body: bytes = b"") -> bytes:
    """Return one MQTT packet."""
    length, encoded = len(body), bytearray()
    while True:
        length, byte = divmod(length, 128)
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            return bytes((first, *encoded)) + body


@dataclass(frozen=True)
class Message:
    """A PUBLISH as it came."""

    topic: str
    data: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


class RawClient:
    """One connection. Reads only when asked to, so that doing nothing is being stuck."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.session_present = False
        self.messages: deque[Message] = deque()
        self._packet_id = 0

    @classmethod
    async def open(cls, port: int) -> Self:
        """Open the socket alone."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def connect(
        cls,
        port: int,
        name: str,
        *,
        clean: bool = True,
        will: tuple[str, bytes] | None = None,
        keep_alive: int = 60,
        login: tuple[str, str] | None = None,
    ) -> Self:
        """Connect and take the CONNACK; `will` is retained, at QoS 1."""
        client, code = await cls.ask(
            port, name, clean=clean, will=will, keep_alive=keep_alive, login=login
        )
        assert code == 0, f"refused: {code}"
        return client

    @classmethod
    async def ask(
        cls,
        port: int,
        name: str,
        *,
        clean: bool = True,
        will: tuple[str, bytes] | None = None,
        keep_alive: int = 60,
        login: tuple[str, str] | None = None,
    ) -> tuple[Self, int]:
        """Send CONNECT; return the client and the code of the CONNACK."""
        client = await cls.open(port)
        flags = (0x02 if clean else 0) | (0x2C if will else 0) | (0xC0 if login else 0)
        body = field(b"MQTT") + bytes((4, flags)) + keep_alive.to_bytes(2) + field(name.encode())
        if will:
            body += field(will[0].encode()) + field(will[1])
        for text in login or ():
            body += field(text.encode())
        client.send(packet(0x10, body))
        connack = await client.expect(0x20)
        client.session_present = bool(connack[0])
        return client, connack[1]

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def read(self) -> tuple[int, bytes]:
        """Return the next packet, of whatever kind."""
        first = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, await self.reader.readexactly(length)

    async def expect(self, kind: int) -> bytes:
        """Return the body of the next packet of a kind; messages before it are kept."""
        async with asyncio.timeout(LIMIT):
            while True:
                first, body = await self.read()
                if first & 0xF0 == kind:
                    return body
                self._keep(first, body)

    def _keep(self, first: int, body: bytes) -> None:
        if first == 0xD0:  # the answer to a ping says nothing new
            return
        assert first & 0xF0 == 0x30, f"unexpected packet {first:#x}"
        end = 2 + int.from_bytes(body[:2])
        qos = (first >> 1) & 3
        packet_id = int.from_bytes(body[end : end + 2]) if qos else 0
        self.messages.append(
            Message(
                topic=body[2:end].decode(),
                data=body[end + 2 :] if qos else body[end:],
                qos=qos,
                retain=bool(first & 1),
                dup=bool(first & 8),
                packet_id=packet_id,
            )
        )

    async def message(self, *, ack: bool = True) -> Message:
        """Return the next message, acknowledged unless told not to."""
        async with asyncio.timeout(LIMIT):
            while not self.messages:
                self._keep(*await self.read())
        message = self.messages.popleft()
        if ack and message.qos:
            self.acknowledge(message)
        return message

    def acknowledge(self, message: Message) -> None:
        """Send the PUBACK."""
        self.send(b"\x40\x02" + message.packet_id.to_bytes(2))

    async def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """Subscribe to all in one packet; return the codes granted."""
        asked = b"".join(field(name.encode()) + bytes((qos,)) for name in filters)
        self.send(packet(0x82, self.next_id() + asked))
        return list((await self.expect(0x90))[2:])

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe from all in one packet."""
        names = b"".join(field(name.encode()) for name in filters)
        self.send(packet(0xA2, self.next_id() + names))
        await self.expect(0xB0)

    def publish_soon(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish without waiting for anything."""
        packet_id = self.next_id() if qos else b""
        self.send(packet(0x30 | qos << 1 | retain, field(topic.encode()) + packet_id + data))

    async def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and take the PUBACK."""
        self.publish_soon(topic, data, retain=retain)
        await self.expect(0x40)

    async def ping(self) -> None:
        """Wait until the broker has taken all that was sent."""
        self.send(b"\xc0\x00")
        await self.expect(0xD0)

    def next_id(self) -> bytes:
        """Return the next packet id as it is written."""
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id.to_bytes(2)

    async def closed(self) -> None:
        """Wait until the broker has closed the connection."""
        async with asyncio.timeout(LIMIT):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        await self.drop()

    async def leave(self) -> None:
        """Say DISCONNECT and close."""
        self.send(b"\xe0\x00")
        self.writer.close()
        await self._gone()

    async def drop(self) -> None:
        """Close abruptly, as a network that fails."""
        self.writer.transport.abort()
        await self._gone()

    async def _gone(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
