"""Relay between MQTT clients with TLS and a broker that decodes what the clients send."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Connect", "Publish", "Recorder", "recording"]


@dataclass(frozen=True)
class Connect:
    """CONNECT packet; `level` is 4 for MQTT 3.1.1."""

    level: int
    client_id: str
    username: str
    password: str = field(repr=False)
    keep_alive: int
    clean_session: bool
    will: str | None


@dataclass(frozen=True)
class Publish:
    """PUBLISH packet of a client."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass
class Recorder:
    """Packets of all clients, in the order of arrival."""

    port: int = 0
    connects: list[Connect] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)
    publishes: list[Publish] = field(default_factory=list)

    def take(self, first: int, body: bytes) -> None:
        """Record a packet."""
        reader = _Body(body)
        match first >> 4:
            case 1:
                self.connects.append(_connect(reader))
            case 3:
                qos = first >> 1 & 3
                topic = reader.text()
                reader.skip(2 if qos else 0)
                self.publishes.append(Publish(topic, reader.rest(), qos, bool(first & 1)))
            case 8:
                reader.skip(2)
                while reader.left:
                    self.filters.append(reader.text())
                    reader.skip(1)


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def skip(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int.from_bytes(self.skip(2))

    def text(self) -> str:
        return self.skip(self.number()).decode()

    def rest(self) -> bytes:
        return self.skip(self.left)


def _connect(body: _Body) -> Connect:
    body.text()
    level, flags = body.skip(2)
    keep_alive, client_id = body.number(), body.text()
    will = None
    if flags & 0x04:
        will = body.text()
        body.skip(body.number())
    username = body.text() if flags & 0x80 else ""
    password = body.text() if flags & 0x40 else ""
    return Connect(
        level=level,
        client_id=client_id,
        username=username,
        password=password,
        keep_alive=keep_alive,
        clean_session=bool(flags & 0x02),
        will=will,
    )


async def _packets(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, int, bytes]]:
    """Yield (all bytes, first byte, body) of each packet until the stream ends."""
    while head := await reader.read(1):
        length, shift = 0, 0
        while True:
            byte = await reader.readexactly(1)
            head += byte
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                break
        body = await reader.readexactly(length)
        yield head + body, head[0], body


@contextlib.asynccontextmanager
async def recording(folder: Path, broker_port: int) -> AsyncIterator[Recorder]:
    """Listen with the certificate `server` of a folder; forward to a broker with the same CA."""
    recorder = Recorder()
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(folder / "server.pem", folder / "server.key")
    theirs = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    tasks: set[asyncio.Task[None] | None] = set()
    writers: list[asyncio.StreamWriter] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        answers, broker = await asyncio.open_connection("localhost", broker_port, ssl=theirs)
        writers.extend((writer, broker))

        async def up() -> None:
            async for data, first, body in _packets(reader):
                recorder.take(first, body)
                broker.write(data)
            broker.close()

        async def down() -> None:
            while data := await answers.read(65_536):
                writer.write(data)
            writer.close()

        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await asyncio.gather(up(), down())

    server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=ours)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        # A cancelled task would be logged as an error; a closed stream ends it.
        for writer in writers:
            writer.close()
        forwarding = [task for task in tasks if task is not None]
        if forwarding:
            await asyncio.wait(forwarding, timeout=5)
