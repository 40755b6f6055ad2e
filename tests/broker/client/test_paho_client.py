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
HEARD = ["connected", "hi", "accepted 1", LONG.decode()]


class Heard:
    """Record of client callbacks."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.fails = False

    def message(self, topic: bytes, payload: bytes, retained: bool, mid: int) -> None:  # noqa: FBT001
        del topic, retained, mid
        if self.fails:
            raise LookupError
        self.told.append(payload.decode())

    def accepted(self, mid: int) -> None:
        self.told.append(f"accepted {mid}")


def new_client(kind: type[paho.Client], heard: Heard, **more: Any) -> paho.Client:
    """Client that calls `events`, one per client class."""
    client = kind(
        CallbackAPIVersion.VERSION2,
        client_id="c",
        manual_ack=True,
        reconnect_on_failure=False,
        **more,
    )
    client.on_connect = lambda *_: heard.told.append("connected")
    client.on_disconnect = lambda *args: heard.told.append(f"lost {args[3]}")
    client.on_socket_register_write = lambda *_: None
    if isinstance(client, PahoClient):
        client.events = heard
    else:
        client.on_message = lambda _c, _u, it: heard.message(
            b"", bytes(it.payload), it.retain, it.mid
        )
        client.on_publish = lambda _c, _u, mid, _code, _p: heard.accepted(mid)
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
def connected(kind: type[paho.Client]) -> Iterator[tuple[Any, socket.socket, Heard]]:
    """A client that has connected to us and published, our end, and its callbacks."""
    heard = Heard()
    client = new_client(kind, heard)
    with accepted(client) as broker:
        publish(client, "a", b"1")
        client.loop_write()
        yield client, broker, heard
        if (sock := client.socket()) is not None:
            sock.close()


@contextmanager
def accepted(client: paho.Client) -> Iterator[socket.socket]:
    """Our end of a connection that the client makes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client.connect_async(*server.getsockname())
        client.reconnect()
        with closing(server.accept()[0]) as broker:
            broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            broker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            broker.settimeout(5)
            yield broker


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
    for kind in (paho.Client, PahoClient):
        with connected(kind) as (client, broker, heard):
            read(client, broker, pieces)
            told.append(list(heard.told))
            assert client.is_connected()
    assert told == [HEARD, HEARD]


def test_a_large_packet_costs_what_it_weighs() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK])
        size = 32_000_000
        message = packet(0x32, TOPIC + b"\x00\x01" + b"x" * size)
        sending = threading.Thread(target=broker.sendall, args=[message + PINGRESP])
        sending.start()
        before = time.thread_time()
        while len(heard.told) < 2:  # connected, and the message
            select.select([client.socket()], [], [], 5)
            client.loop_read()
        sending.join()
        assert len(heard.told[-1]) == size
        # Gathered anew at each read it took five seconds, and three times that twice as large.
        assert time.thread_time() - before < 1


def test_a_length_of_five_bytes_ends_the_connection() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK, b"\x32\xff\xff\xff\xff\x01"])
        assert client.socket() is None
        assert [line.split()[0] for line in heard.told] == ["connected", "lost"]


def test_a_lost_connection_is_told_once() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK])
        broker.close()
        sock = client.socket()
        assert sock is not None
        while client.socket() is not None:
            client.loop_read()
        client.loop_read()
        assert [line.split()[0] for line in heard.told] == ["connected", "lost"]


def test_half_a_packet_is_forgotten_with_its_connection() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK + SHORT_MESSAGE[:5]])
        broker.close()
        while client.socket() is not None:
            client.loop_read()
        with accepted(client) as again:
            read(client, again, [CONNACK + SHORT_MESSAGE])
            assert heard.told[-2:] == ["connected", "hi"]


def test_a_callback_that_raises_costs_no_later_packet() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK])
        heard.fails = True
        with pytest.raises(LookupError):
            read(client, broker, [SHORT_MESSAGE + SHORT_MESSAGE[:4]])
        heard.fails = False
        read(client, broker, [SHORT_MESSAGE[4:]])
        assert heard.told[-1] == "hi"


def stream_of(client: paho.Client, broker: socket.socket) -> bytes:
    """All that the client sends until it has disconnected."""
    client.disconnect()
    stream = b""
    while client.socket() is not None:
        client.loop_write()
        stream += broker.recv(1_000_000)
    while more := broker.recv(1_000_000):
        stream += more
    return stream


def test_what_is_queued_goes_in_its_order_and_whole() -> None:
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


def test_a_websocket_that_takes_a_part_gets_the_rest() -> None:
    """Packets inside WebSocket frames equal those sent without."""
    payloads = [bytes([number]) * 500_000 for number in range(12)]
    expected = b""
    with connected(PahoClient) as (client, broker, _):
        read(client, broker, [CONNACK])
        expected = written(client, broker, payloads)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        heard = Heard()
        client = new_client(PahoClient, heard, transport="websockets")
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
    """All that a client writes, to a broker that reads only once it has stood still."""
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
    at, said = 0, b""
    while at < len(stream):
        assert stream[at] == 0x82  # a whole binary frame
        size, at = stream[at + 1] & 0x7F, at + 2
        if size >= 126:  # the length follows, in two bytes or eight
            more = 2 if size == 126 else 8
            size, at = int.from_bytes(stream[at : at + more]), at + more
        mask, at = stream[at : at + 4], at + 4
        frame, at = stream[at : at + size], at + size
        key = int.from_bytes((mask * (size // 4 + 1))[:size])
        said += (int.from_bytes(frame) ^ key).to_bytes(size)
    return said


def test_a_subscription_takes_no_id_of_what_waits() -> None:
    with connected(PahoClient) as (client, broker, _):
        read(client, broker, [CONNACK])
        for _ in range(65_533):
            client.send("a", b"")
        read(client, broker, [b"\x40\x02\x12\x34"])
        client.send("a", b"")
        _, mid = client.subscribe("x", 1)
        assert mid == 0x1234  # the only one that is free


@pytest.mark.parametrize("size", [0, 1, 120, 121, 122, 16_376, 16_377, 2_097_143, 2_097_144])
def test_lengths_are_written_as_paho_writes_them(size: int) -> None:
    sent = []
    for kind in (paho.Client, PahoClient):
        with connected(kind) as (client, broker, _):
            read(client, broker, [CONNACK])
            publish(client, "\u00e4/b", b"x" * size)
            sent.append(stream_of(client, broker))
    assert sent[0] == sent[1]


def test_what_was_not_accepted_is_sent_again_as_a_duplicate() -> None:
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


def test_the_ids_of_what_waits_are_not_given_again() -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK])
        given = {client.send("a", b"") for _ in range(65_534)}
        assert given == set(range(2, 65_536))
        assert client.send("a", b"") == 0
        read(client, broker, [b"\x40\x02\x12\x34"])
        assert heard.told[-1] == f"accepted {0x1234}"
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
def test_what_no_broker_may_send_ends_the_connection(wrong: bytes) -> None:
    with connected(PahoClient) as (client, broker, heard):
        read(client, broker, [CONNACK, wrong])
        assert client.socket() is None
        assert [line.split()[0] for line in heard.told] == ["connected", "lost"]
