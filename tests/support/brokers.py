"""What the tests of brokers share besides their client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

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


async def until(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait for a condition, looked at often, within a limit in seconds."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def listens(port: int) -> bool:
    """Say whether something listens on a loopback port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])
