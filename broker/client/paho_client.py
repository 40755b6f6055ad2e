"""paho client with a fast path for PUBLISH at QoS 1 and PUBACK, in both directions.

paho asks the system for a packet's first byte, then for each byte of its length, then for the rest;
it makes a lock and a condition for each message out and reason codes and properties of MQTT 5 for
each acknowledgement of MQTT 3.1.1. Of a device that answers a command with three messages this was
half the CPU time. Here one read takes all that has come, one write sends all that is queued, and
the four packets of QoS 1 are made and read in place. Everything else (CONNECT, SUBSCRIBE, the Will,
keep-alive, TLS, WebSocket, DISCONNECT) is paho's.

It uses a few private names of paho; `tests/broker/client/test_paho_client.py` checks them against
the installed release.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import MalformedPacket  # type: ignore[attr-defined]

__all__ = ["ClientEvents", "PahoClient"]

_READ: Final = 8192
_KIND: Final = 0xF0
_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
_DUPLICATE: Final = 0x08
_QOS: Final = 0x06
_QOS_1: Final = 0x02
_RETAIN: Final = 0x01
_MORE: Final = 0x80
_LENGTH_BYTES: Final = 4
_LAST_ID: Final = 65_535


class ClientEvents(Protocol):
    """Callbacks of the client to its owner."""

    def message(self, topic: bytes, payload: bytes, retained: bool, mid: int) -> None:  # noqa: FBT001
        """Handle a message; `mid` is 0 at QoS 0, else the packet id to `acknowledge`."""

    def accepted(self, mid: int) -> None:
        """Handle the PUBACK of a message that was sent."""


class PahoClient(paho.Client):
    """A client of MQTT 3.1.1 that sends at QoS 1 and acknowledges explicitly.

    `events` must be set before it connects; `loop_write` sends what `send` and `acknowledge` queue.
    Do not use paho's `publish`, `ack`, `on_message` and `on_publish`.
    """

    events: ClientEvents

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = bytearray()
        self._whole = 0
        self._outbox: list[bytes] = []
        self._sent: dict[int, bytes] = {}
        self.prepare: Callable[[PahoClient], None] | None = None
        """Called on the dialling thread before each connection."""

    @property
    def has_tls_context(self) -> bool:
        """True if `tls_set_context` was called."""
        return self._ssl_context is not None

    # -- sending -------------------------------------------------------------------------------

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Queue a message; its packet id, or 0 where all 65,535 wait for the broker.

        What the broker has not accepted when the connection ends is sent by `send_again`.
        """
        if len(self._sent) >= _LAST_ID:
            return 0
        mid = self._mid_generate()
        name = topic.encode()
        first = _PUBLISH | _QOS_1 | (_RETAIN if retain else 0)
        head = _head(first, 4 + len(name) + len(payload))
        packet = b"".join((head, len(name).to_bytes(2), name, mid.to_bytes(2), payload))
        self._sent[mid] = packet
        self._outbox.append(packet)
        return mid

    def send_unacknowledged(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Queue a message at QoS 0."""
        name = topic.encode()
        head = _head(_PUBLISH | (_RETAIN if retain else 0), 2 + len(name) + len(payload))
        self._outbox.append(b"".join((head, len(name).to_bytes(2), name, payload)))

    def send_again(self) -> None:
        """Queue what the last connection left unaccepted, marked as a duplicate, in its order."""
        for mid, packet in self._sent.items():
            again = bytes((packet[0] | _DUPLICATE,)) + packet[1:]
            self._sent[mid] = again
            self._outbox.append(again)

    def acknowledge(self, mid: int) -> None:
        """Queue the PUBACK of a message that came."""
        self._outbox.append(b"\x40\x02" + mid.to_bytes(2))

    def want_write(self) -> bool:
        """Return True if anything is queued."""
        return bool(self._outbox) or super().want_write()

    def _mid_generate(self) -> int:
        """Number a packet of paho's (SUBSCRIBE) too as nothing is that waits for the broker."""
        mid = super()._mid_generate()
        while mid in self._sent and len(self._sent) < _LAST_ID:
            mid = super()._mid_generate()
        return mid

    def loop_write(self) -> MQTTErrorCode:
        """Send what is queued, all at once."""
        if self._out_packet or self._sock is None:
            self._hand_over()
            return super().loop_write()
        if not self._outbox:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        data = b"".join(self._outbox)
        self._outbox.clear()
        try:
            went = self._sock_send(data)
        except BlockingIOError:
            went = 0
        except OSError:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        self._last_msg_out = time.monotonic()
        if went < len(data):
            super()._packet_queue(_PUBLISH, data[went:], 0, 1)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_send(self, buf: bytes | bytearray) -> int:
        """Send what the socket takes; BlockingIOError where it takes none for now.

        paho returns 0 for a WebSocket frame that was sent in part, and then forgets its payload:
        the rest would be sent as the start of the next frame.
        """
        went = super()._sock_send(buf)
        if not went:
            self._call_socket_register_write()
            raise BlockingIOError
        return went

    def _packet_queue(self, *args: Any, **kwargs: Any) -> MQTTErrorCode:
        """Queue a packet of paho's behind ours: nothing may follow DISCONNECT."""
        self._hand_over()
        return super()._packet_queue(*args, **kwargs)

    def _hand_over(self) -> None:
        """Let paho send what is queued here; paho also handles a partial send."""
        if self._outbox:
            data = b"".join(self._outbox)
            self._outbox.clear()
            super()._packet_queue(_PUBLISH, data, 0, 1)

    # -- connecting ----------------------------------------------------------------------------

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and forget the half of a packet that the last connection left."""
        if self.prepare is not None:
            self.prepare(self)
        self._unread.clear()
        self._outbox.clear()
        return super().reconnect()

    def _create_socket_connection(self) -> socket.socket:
        """Connect from whatever port the system gives.

        paho binds a port of its own first. Such a port is taken for every destination and stays so
        for a minute after its end, and looking for a free one takes longer the fewer there are: at
        10,000 devices a second start within that minute took five times the CPU time, or failed.
        """
        return socket.create_connection((self.host, self.port), timeout=self.connect_timeout)

    # -- reading -------------------------------------------------------------------------------

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle every whole packet that has come; `max_packets` is paho's and means nothing."""
        if self.transport == "websockets":
            return super().loop_read(max_packets)  # its frames are read in paho's own way
        sock = self._sock
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(_READ)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        rc = self._take_all(sock, data) if data else MQTTErrorCode.MQTT_ERR_CONN_LOST
        return self._loop_rc_handle(rc)

    def _take_all(self, sock: Any, data: bytes) -> MQTTErrorCode:
        """Handle what has come, as far as it is whole."""
        self._last_bytes_received = time.monotonic()
        if self._unread:
            # Gathered in place: a packet of many megabytes comes in thousands of reads.
            self._unread += data
            if len(self._unread) < self._whole:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            data = bytes(self._unread)
        at = self._whole = 0
        try:
            # A callback may have closed the connection.
            while self._sock is sock and (span := _span(data, at)) is not None:
                body, end = span
                if end > len(data):
                    self._whole = end - at
                    break
                first, at = data[at], end
                rc = self._take(first, data[body:end])
                if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return rc
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self._unread = bytearray(data[at:])
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take(self, first: int, body: bytes) -> MQTTErrorCode:
        """Handle one packet."""
        kind = first & _KIND
        if kind == _PUBACK:
            self._take_accepted(body)
        elif kind == _PUBLISH:
            self._take_message(first, body)
        else:
            self._in_packet["command"] = first
            self._in_packet["remaining_length"] = len(body)
            self._in_packet["packet"] = bytearray(body)
            return super()._packet_handle()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_handle(self) -> MQTTErrorCode:
        """Handle a packet that paho has read."""
        try:
            return self._take(self._in_packet["command"], bytes(self._in_packet["packet"]))
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _take_accepted(self, body: bytes) -> None:
        if len(body) != 2:  # noqa: PLR2004  # a packet id
            raise MalformedPacket("a PUBACK is not two bytes long")
        mid = int.from_bytes(body)
        if self._sent.pop(mid, None) is not None:
            self.events.accepted(mid)

    def _take_message(self, first: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2])
        qos, start = first & _QOS, end
        if qos == _QOS_1:
            start += 2
        if len(body) < max(2, start) or qos > _QOS_1:
            # At QoS 2 too: nothing here subscribes to it, so no broker may send it.
            raise MalformedPacket("not a PUBLISH at QoS 0 or 1")
        mid = int.from_bytes(body[end:start])
        self.events.message(body[2:end], body[start:], bool(first & _RETAIN), mid)


def _head(first: int, length: int) -> bytes:
    """The fixed header of a packet."""
    head = [first]
    while length >= _MORE:
        head.append(length & 0x7F | _MORE)
        length >>= 7
    head.append(length)
    return bytes(head)


def _span(data: bytes, at: int) -> tuple[int, int] | None:
    """(start, end) of the body of the packet at `at`; None where its length has not come whole.

    Raises MalformedPacket where its length has more bytes than MQTT allows.
    """
    length = 0
    for place, byte in enumerate(data[at + 1 : at + 1 + _LENGTH_BYTES]):
        length |= (byte & ~_MORE) << 7 * place
        if byte < _MORE:
            body = at + 2 + place
            return body, body + length
    if len(data) > at + _LENGTH_BYTES:
        raise MalformedPacket("the length of a packet has more than four bytes")
    return None
