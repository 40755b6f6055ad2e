"""`PahoClient` sends and reads the same packets as paho, in any fragmentation."""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from broker.client.paho_client import PahoClient
from tests.support.raw_mqtt_client import packet

CONNACK = b"\x20\x02\x00\x00"
TOPIC = b"\x00\x03a/b"
LONG = b"x" * 300
SHORT_MESSAGE = b"\x32\x09" + TOPIC + b"\x00\x01hi"
LONG_MESSAGE = b"\x32\xb3\x02" + TOPIC + b"\x00\x02" + LONG
ACCEPTED = b"\x40\x02\x00\x01"
PINGRESP = b"\xd0\x00"
STREAM = CONNACK + SHORT_MESSAGE + ACCEPTED + PINGRESP + LONG_MESSAGE
EXPECTED = ["connected", "hi", "accepted 1", LONG.decode()]


class RecordedEvents:
    """Record of client callbacks."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.fails = False

    def message(self, topic: bytes, payload: bytes, retained: bool, mid: int) -> None:  # noqa: FBT001
        del topic, retained, mid
        if self.fails:
            raise LookupError
        self.events.append(payload.decode())

    def accepted(self, mid: int) -> None:
        self.events.append(f"accepted {mid}")


def new_client(kind: type[paho.Client], recorded: RecordedEvents, **more: Any) -> paho.Client:
    """Return a client of this class that calls `recorded`."""
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id="c",
        manual_ack=True,
        reconnect_on_failure=False,
        **more,
    )
    client.on_connect = lambda *_: recorded.events.append("connected")
    client.on_disconnect = lambda *args: recorded.events.append(f"lost {args[3]}")
    client.on_socket_register_write = lambda *_: None
    if isinstance(client, PahoClient):
        client.events = recorded
    else:
        client.on_message = lambda _c, _u, it: recorded.message(
            b"", bytes(it.payload), it.retain, it.mid
        )
        client.on_publish = lambda _c, _u, mid, _code, _p: recorded.accepted(mid)
    return client


def publish(client: paho.Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    if isinstance(client, PahoClient):
        assert client.send(topic, payload, retain=retain)
    else:
        client.publish(topic, payload, qos=1, retain=retain)


def acknowledge(client: paho.Client, mid: int) -> None:
    if isinstance(client, PahoClient):
        client.acknowledge(mid)
    else:
        client.ack(mid, 1)


@contextmanager
def connected(kind: type[paho.Client]) -> Iterator[tuple[Any, socket.socket, RecordedEvents]]:
    """Yield a connected client that has published, the broker's socket and the recorded events."""
    recorded = RecordedEvents()
    client = new_client(kind, recorded)
    with accepted(client) as broker:
        publish(client, "a", b"1")
        client.loop_write()
        yield client, broker, recorded
        if (sock := client.socket()) is not None:
            sock.close()


@contextmanager
def accepted(client: paho.Client) -> Iterator[socket.socket]:
    """Yield the broker's socket of the client's connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client.connect_async(*server.getsockname())
        client.reconnect()
        with closing(server.accept()[0]) as broker:
            broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            broker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            broker.settimeout(5)
            yield broker


def read(client: paho.Client, broker: socket.socket, pieces: list[bytes]) -> None:
    """Send the pieces one by one."""
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
def test_packets_are_read_in_any_fragmentation(size: int) -> None:
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    events = []
    for kind in (paho.Client, PahoClient):
        with connected(kind) as (client, broker, recorded):
            read(client, broker, pieces)
            events.append(list(recorded.events))
            assert client.is_connected()
    assert events == [EXPECTED, EXPECTED]


def test_cost_of_a_large_packet_is_linear_in_its_size() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK])
        size = 32_000_000
        message = packet(0x32, TOPIC + b"\x00\x01" + b"x" * size)
        sending = threading.Thread(target=broker.sendall, args=[message + PINGRESP])
        sending.start()
        before = time.thread_time()
        while len(recorded.events) < 2:  # connected, and the message
            select.select([client.socket()], [], [], 5)
            client.loop_read()
        sending.join()
        assert len(recorded.events[-1]) == size
        # Gathered anew at each read it took five seconds, and three times that twice as large.
        assert time.thread_time() - before < 1


def test_a_length_of_five_bytes_ends_the_connection() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK, b"\x32\xff\xff\xff\xff\x01"])
        assert client.socket() is None
        assert [line.split()[0] for line in recorded.events] == ["connected", "lost"]


def test_lost_connection_is_reported_once() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK])
        broker.close()
        sock = client.socket()
        assert sock is not None
        while client.socket() is not None:
            client.loop_read()
        client.loop_read()
        assert [line.split()[0] for line in recorded.events] == ["connected", "lost"]


def test_incomplete_packet_is_dropped_with_its_connection() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK + SHORT_MESSAGE[:5]])
        broker.close()
        while client.socket() is not None:
            client.loop_read()
        with accepted(client) as again:
            read(client, again, [CONNACK + SHORT_MESSAGE])
            assert recorded.events[-2:] == ["connected", "hi"]


def test_failing_callback_loses_no_later_packet() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK])
        recorded.fails = True
        with pytest.raises(LookupError):
            read(client, broker, [SHORT_MESSAGE + SHORT_MESSAGE[:4]])
        recorded.fails = False
        read(client, broker, [SHORT_MESSAGE[4:]])
        assert recorded.events[-1] == "hi"


def stream_of(client: paho.Client, broker: socket.socket) -> bytes:
    """Return all bytes that the client sends until it has disconnected."""
    client.disconnect()
    stream = b""
    while client.socket() is not None:
        client.loop_write()
        stream += broker.recv(1_000_000)
    while more := broker.recv(1_000_000):
        stream += more
    return stream


def test_queued_packets_are_sent_complete_and_in_order() -> None:
    sent = []
    for kind in (paho.Client, PahoClient):
        with connected(kind) as (client, broker, _):
            read(client, broker, [CONNACK])
            for number in range(5):
                publish(client, "a/b", bytes([number]) * 100_000, retain=number == 2)
                acknowledge(client, number + 1)
                if number == 3:
                    client.subscribe("x", 1)
            sent.append(stream_of(client, broker))
    assert sent[0].endswith(b"\xe0\x00")
    assert sent[0] == sent[1]


def test_partial_websocket_write_is_completed() -> None:
    """Packets inside WebSocket frames equal those sent without."""
    payloads = [bytes([number]) * 500_000 for number in range(12)]
    expected = b""
    with connected(PahoClient) as (client, broker, _):
        read(client, broker, [CONNACK])
        expected = written(client, broker, payloads)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        recorded = RecordedEvents()
        client = new_client(PahoClient, recorded, transport="websockets")
        client.connect_async(*server.getsockname())
        dialling = threading.Thread(target=client.reconnect)
        dialling.start()
        with closing(server.accept()[0]) as broker:
            broker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            broker.settimeout(5)
            upgrade(broker)
            dialling.join()
            publish(client, "a", b"1")
            client.loop_write()
            assert without_frames(written(client, broker, payloads)) == expected
        client.socket().close()  # type: ignore[union-attr]


def written(client: paho.Client, broker: socket.socket, payloads: list[bytes]) -> bytes:
    """Return all bytes of a client whose broker reads only after the client's writes block."""
    for payload in payloads:
        publish(client, "a/b", payload)
        client.loop_write()
    assert client.want_write()
    stream = b""
    while client.want_write():
        stream += broker.recv(1_000_000)
        client.loop_write()
    broker.settimeout(0.2)
    with suppress(TimeoutError):
        while True:
            stream += broker.recv(1_000_000)
    return stream


def upgrade(broker: socket.socket) -> None:
    """Accept a WebSocket handshake."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += broker.recv(4096)
    (key,) = re.findall(rb"Sec-WebSocket-Key: (\S+)", request)
    magic = key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(magic).digest())  # noqa: S324  # the protocol's own
    broker.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def without_frames(stream: bytes) -> bytes:
    """Return the payload of a client's masked frames."""
    at, payload = 0, b""
    while at < len(stream):
        assert stream[at] == 0x82  # a whole binary frame
        size, at = stream[at + 1] & 0x7F, at + 2
        if size >= 126:  # the length follows, in two bytes or eight
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(stream[at : at + more]), at + more
        mask, at = stream[at : at + 4], at + 4
        frame, at = stream[at : at + size], at + size
        key = int.from_bytes((mask * (size // 4 + 1))[:size])
        payload += (int.from_bytes(frame) ^ key).to_bytes(size)
    return payload


def test_subscription_uses_no_packet_id_of_a_waiting_message() -> None:
    with connected(PahoClient) as (client, broker, _):
        read(client, broker, [CONNACK])
        for _ in range(65_533):
            client.send("a", b"")
        read(client, broker, [b"\x40\x02\x12\x34"])
        client.send("a", b"")
        _, mid = client.subscribe("x", 1)
        assert mid == 0x1234  # the only one that is free


@pytest.mark.parametrize("size", [0, 1, 120, 121, 122, 16_376, 16_377, 2_097_143, 2_097_144])
def test_lengths_are_encoded_like_paho(size: int) -> None:
    sent = []
    for kind in (paho.Client, PahoClient):
        with connected(kind) as (client, broker, _):
            read(client, broker, [CONNACK])
            publish(client, "\u00e4/b", b"x" * size)
            sent.append(stream_of(client, broker))
    assert sent[0] == sent[1]


def test_unacknowledged_message_is_resent_as_a_duplicate() -> None:
    with connected(PahoClient) as (client, broker, _):
        read(client, broker, [CONNACK])
        publish(client, "a", b"2", retain=True)
        publish(client, "a", b"3")
        client.loop_write()
        read(client, broker, [b"\x40\x02\x00\x02"])
        broker.close()
        while client.socket() is not None:
            client.loop_read()
        with accepted(client) as again:
            read(client, again, [CONNACK])
            client.send_again()
            stream = stream_of(client, again)
            assert stream.endswith(
                b"\x3a\x06\x00\x01a\x00\x011" + b"\x3a\x06\x00\x01a\x00\x033" + b"\xe0\x00"
            )


def test_packet_ids_of_waiting_messages_are_not_reused() -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK])
        given = {client.send("a", b"") for _ in range(65_534)}
        assert given == set(range(2, 65_536))
        assert client.send("a", b"") == 0
        read(client, broker, [b"\x40\x02\x12\x34"])
        assert recorded.events[-1] == f"accepted {0x1234}"
        assert client.send("a", b"") == 0x1234


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x34\x09" + TOPIC + b"\x00\x01hi",
        b"\x32\x06" + TOPIC + b"\x00",
        b"\x30\x01\x00",
        b"\x40\x03\x00\x01\x00",
        b"\x40\x01\x00",
    ],
    ids=["QoS 2", "no packet id", "no topic", "long PUBACK", "short PUBACK"],
)
def test_packet_that_brokers_may_not_send_ends_the_connection(wrong: bytes) -> None:
    with connected(PahoClient) as (client, broker, recorded):
        read(client, broker, [CONNACK, wrong])
        assert client.socket() is None
        assert [line.split()[0] for line in recorded.events] == ["connected", "lost"]
