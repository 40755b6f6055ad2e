"""`BatchClient` reads as paho does, however the bytes arrive."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broker.batch_client import BatchClient

CONNACK = b"\x20\x02\x00\x00"
TOPIC = b"\x00\x03a/b"
LONG = b"x" * 300
SHORT_MESSAGE = b"\x32\x09" + TOPIC + b"\x00\x01hi"
LONG_MESSAGE = b"\x32\xb3\x02" + TOPIC + b"\x00\x02" + LONG
ACCEPTED = b"\x40\x02\x00\x01"
PINGRESP = b"\xd0\x00"
STREAM = CONNACK + SHORT_MESSAGE + ACCEPTED + PINGRESP + LONG_MESSAGE
HEARD = ["connected", "hi", "accepted 1", LONG.decode()]


@contextmanager
def connected(kind: type[paho.Client]) -> Iterator[tuple[paho.Client, socket.socket, list[str]]]:
    """A client that has connected to us and published, our end, and what it tells."""
    heard: list[str] = []

    def disconnected(*args: Any) -> None:
        heard.append(f"lost {args[3]}")

    client = kind(
        CallbackAPIVersion.VERSION2, client_id="c", manual_ack=True, reconnect_on_failure=False
    )
    client.on_connect = lambda *_: heard.append("connected")
    client.on_message = lambda _c, _u, message: heard.append(message.payload.decode())
    client.on_publish = lambda _c, _u, mid, _code, _p: heard.append(f"accepted {mid}")
    client.on_disconnect = disconnected
    client.on_socket_register_write = lambda *_: None
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client.connect_async(*server.getsockname())
        client.reconnect()
        with closing(server.accept()[0]) as broker:
            broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.publish("a", b"1", qos=1)
            client.loop_write()
            yield client, broker, heard
            if (sock := client.socket()) is not None:
                sock.close()


def read(client: paho.Client, broker: socket.socket, pieces: list[bytes]) -> None:
    """Let the pieces arrive one after the other."""
    for piece in pieces:
        broker.sendall(piece)
        sock: Any = client.socket()
        if sock is None:
            return
        sock.setblocking(True)
        sock.settimeout(5)
        assert sock.recv(1, socket.MSG_PEEK)
        sock.setblocking(False)
        while client.socket() is not None and waiting(sock):
            client.loop_read()


def waiting(sock: Any) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, len(STREAM)])
def test_packets_are_heard_however_they_are_cut(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    told = []
    for kind in (paho.Client, BatchClient):
        with connected(kind) as (client, broker, heard):
            read(client, broker, pieces)
            told.append(list(heard))
            assert client.is_connected()
    assert told == [HEARD, HEARD]


def test_a_length_of_five_bytes_ends_the_connection() -> None:
    with connected(BatchClient) as (client, broker, heard):
        read(client, broker, [CONNACK, b"\x32\xff\xff\xff\xff\x01"])
        assert client.socket() is None
        assert [line.split()[0] for line in heard] == ["connected", "lost"]


def test_a_lost_connection_is_told_once() -> None:
    with connected(BatchClient) as (client, broker, heard):
        read(client, broker, [CONNACK])
        broker.close()
        sock = client.socket()
        assert sock is not None
        while client.socket() is not None:
            client.loop_read()
        client.loop_read()
        assert [line.split()[0] for line in heard] == ["connected", "lost"]


def test_half_a_packet_is_forgotten_with_its_connection() -> None:
    with connected(BatchClient) as (client, broker, heard):
        read(client, broker, [CONNACK + SHORT_MESSAGE[:5]])
        broker.close()
        while client.socket() is not None:
            client.loop_read()
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            client.connect_async(*server.getsockname())
            client.reconnect()
            with closing(server.accept()[0]) as again:
                read(client, again, [CONNACK + SHORT_MESSAGE])
                assert heard[-2:] == ["connected", "hi"]


def test_a_callback_that_raises_costs_no_later_packet() -> None:
    with connected(BatchClient) as (client, broker, heard):
        read(client, broker, [CONNACK])

        def fail(*_: Any) -> None:
            raise LookupError

        kept, client.on_message = client.on_message, fail
        with pytest.raises(LookupError):
            read(client, broker, [SHORT_MESSAGE + SHORT_MESSAGE[:4]])
        client.on_message = kept
        read(client, broker, [SHORT_MESSAGE[4:]])
        assert heard[-1] == "hi"


def test_what_is_queued_goes_in_its_order_and_whole() -> None:
    sent = []
    for kind in (paho.Client, BatchClient):
        with connected(kind) as (client, broker, _):
            read(client, broker, [CONNACK])
            for number in range(5):
                client.publish("a/b", bytes([number]) * 100_000, qos=1, retain=number == 2)
                client.ack(number + 1, 1)
            client.disconnect()
            stream = b""
            broker.settimeout(5)
            while client.socket() is not None:
                client.loop_write()
                stream += broker.recv(1_000_000)
            while more := broker.recv(1_000_000):
                stream += more
            assert stream.endswith(b"\xe0\x00")
            sent.append(stream)
    assert sent[0] == sent[1]
