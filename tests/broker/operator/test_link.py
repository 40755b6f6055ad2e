"""Operator connection: failures to connect, and loss of the connection."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import BrokerError
from broker.operator.connect import open_client
from broker.operator.link import OperatorLink
from tests.support.brokers import until
from tests.support.fleet_processes import Server, both

LOOKUP_TAKES_A_MINUTE = """
import socket, sys, time
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
from fleet.cli import main
sys.argv[1:] = ["devices", "--broker", "mqtt://broker.example"]
main()
"""


@pytest.mark.parametrize(
    ("scheme", "answer", "message"),
    [
        ("mqtt", b"", "closed the connection without an MQTT answer: it wants TLS"),
        ("mqtt", b"\x20\x02\x00\x05", "refused the connection without a user name"),
        ("mqtt", b"HTTP/1.1 400 Bad Request\r\n\r\n", "closed the connection"),
        ("mqtts", b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS handshake with .* failed"),
        ("ws", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer as a websocket"),
    ],
)
async def test_a_refused_connection_reports_the_reason(
    scheme: str, answer: bytes, message: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        address = BrokerAddress.parse(f"{scheme}://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(BrokerError, match=message) as caught:
            async with OperatorLink(address, Topics()):
                pytest.fail("connected")
        assert time.monotonic() - started < 4  # not only at the time limit
        assert caught.value.hint
    gc.collect()  # pytest reports an unclosed socket as an error


async def test_a_slow_tls_handshake_is_not_waited_for_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = BrokerAddress.parse(f"mqtts://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), OperatorLink(address, Topics()):
                pytest.fail("connected")
        threads = [t for t in threading.enumerate() if t.name == "operator connection"]
        assert all(thread.daemon for thread in threads)
    # The server is closed: the handshake fails, and the thread closes its socket.
    await until(lambda: not any(thread.is_alive() for thread in threads))
    gc.collect()


async def test_a_slow_name_lookup_does_not_delay_the_end_of_a_command() -> None:
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LOOKUP_TAKES_A_MINUTE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 3
    assert "mqtt://broker.example:1883 did not answer within 5 s" in ran.stderr


@both
async def test_connection_lost_before_it_is_closed_leaves_no_unhandled_error(
    server: Server,
) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with open_client(server.address, "test-link") as client:
        server.kill()
        await until(client._disconnected.done)
    del client
    gc.collect()
    assert unhandled == []
