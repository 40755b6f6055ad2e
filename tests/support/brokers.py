"""Helpers for tests with brokers: ports, conditions and a proxy that counts connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from broker.errors import BrokerError
from broker.server.mosquitto import find_mosquitto
from broker.server.open import MOSQUITTO


def need(name: str) -> None:
    """Skip unless the broker can be started here."""
    if name == MOSQUITTO:
        try:
            find_mosquitto()
        except BrokerError as error:
            pytest.skip(f"missing server: mosquitto ({error})")


async def until(
    condition: Callable[[], bool], limit: float = 60.0, seen: Callable[[], str] = str
) -> None:
    """Wait for a condition, checked often, within a limit in seconds.

    The limit is that of a busy machine: starting a fleet with workers takes 1 s alone, and was
    seen to take more than 10 s beside two other test processes. `seen` returns what the message of
    the TimeoutError shows.
    """
    try:
        async with asyncio.timeout(limit):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise TimeoutError(f"not within {limit} s; {seen()[-3000:]!r}") from None


def listens(port: int) -> bool:
    """Say whether something listens on a loopback port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


@contextlib.asynccontextmanager
async def counting_proxy(port: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Forward TCP connections to a local port. Yield the URL and the first byte of each one."""
    first_bytes: list[int] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", port)
        first = await reader.read(1)
        first_bytes.extend(first)
        to_broker.write(first)
        await asyncio.gather(copy(reader, to_broker), copy(from_broker, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with server:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", first_bytes
