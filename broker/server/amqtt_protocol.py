"""One client's connection to the embedded broker: packets in, packets out, no task of its own.

amqtt spends one reader task, one loop task, four waiter tasks and one timer task a connection and
one more task for every packet, which is where its time goes and how packets overtake each other.
Here packets are handled in the order they arrive, where they arrive: in `data_received`. Decoding
stays amqtt's, but for PUBLISH and PUBACK, which are nearly all of the traffic.

Payloads are never logged, at no level: they hold passcodes.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar, cast

from amqtt.adapters import BufferReader
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import CONNECT, SUBSCRIBE, UNSUBSCRIBE, MQTTFixedHeader
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from broker.server.amqtt_session import FleetSession

__all__ = ["MAX_PACKET", "Hub", "Link"]

# Bytes. A device refuses payloads over 64 KiB, with an answer; so larger ones must get through, yet
# not so large that one client takes the memory of the machine.
MAX_PACKET = 16 * 1024 * 1024
# Bytes waiting for a peer that does not read; beyond it QoS 0 is dropped and QoS 1 kept back.
_WRITE_LIMIT = 1024 * 1024
# Seconds between opening a connection and the end of its CONNECT.
_CONNECT_LIMIT = 10.0
# A client is gone after one and a half times its keep-alive [MQTT-3.1.2-24].
_KEEP_ALIVE_FACTOR = 1.5

_PROTOCOL_LEVEL = 4  # MQTT 3.1.1
_CONNECT_BYTE = CONNECT << 4
_PUBLISH, _PUBACK, _PUBREL, _PINGREQ, _DISCONNECT = 0x30, 0x40, 0x62, 0xC0, 0xE0
_PINGRESP_PACKET = b"\xd0\x00"
_REFUSED_VERSION = b"\x20\x02\x00\x01"
_REFUSED_VERSION_5 = b"\x20\x03\x00\x84\x00"  # the same to a client that speaks MQTT 5
_REFUSED_IDENTIFIER = b"\x20\x02\x00\x02"
_LENGTH_BYTES = 4  # the longest form of a packet's length
_EXACTLY_ONCE = 2

# What the decoders raise on bytes that are not MQTT.
_MALFORMED = (AMQTTError, CodecError, MQTTError, NoDataError, ValueError, IndexError, struct.error)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Hub(Protocol):
    """Services that a connection needs of the broker."""

    def open_session(self, session: FleetSession) -> tuple[FleetSession, bool]:
        """Return the session to go on with, and whether it was already there."""

    def end_connection(self, session: FleetSession, *, will: bool) -> None:
        """Take note that a session has lost its connection."""

    def route(self, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        """Pass a message to every subscriber."""

    def subscribe(self, session: FleetSession, filters: list[tuple[str, int]]) -> list[int]:
        """Add subscriptions; return a SUBACK code for each."""

    def send_retained(self, session: FleetSession, filters: list[tuple[str, int]]) -> None:
        """Send the retained messages that new subscriptions match."""

    def unsubscribe(self, session: FleetSession, filters: list[str]) -> None:
        """Remove subscriptions; unknown ones are no error."""


class Link(asyncio.Protocol):
    """A connection from its first byte to its end."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._inbox = bytearray()
        self._outbox: list[bytes] = []
        self._session: FleetSession | None = None
        self._ended = False
        self._silence = _CONNECT_LIMIT  # seconds without a byte after which the peer is gone
        self._heard = loop.time()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self.full = False

    # -- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time in which a CONNECT has to come."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_LIMIT)
        self._watch_silence()

    def data_received(self, data: bytes) -> None:
        """Handle every whole packet; bytes that are not MQTT end this connection alone."""
        self._heard = self._loop.time()
        self._inbox += data
        try:
            self._take_packets()
        except _MALFORMED as error:
            # The error's text may quote the bytes, hence its name alone.
            _log.info("connection closed: not MQTT 3.1.1 (%s)", type(error).__name__)
            self.end(will=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Publish the Last Will: a client that leaves in peace sends DISCONNECT first."""
        del exc  # why it went makes no difference
        self.end(will=True)

    def pause_writing(self) -> None:
        """Hold messages back: the peer does not read."""
        self.full = True

    def resume_writing(self) -> None:
        """Go on with what was held back."""
        self.full = False
        if self._session is not None:
            self._session.send_waiting()

    # -- what a session calls -------------------------------------------------------------------

    def send(self, packet: bytes) -> None:
        """Queue a packet; all of one turn of the loop leave in one write."""
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(packet)

    def end(self, *, will: bool) -> None:
        """Close at once, or after DISCONNECT with what is left to send; only the first call counts.

        `will` asks for the Last Will to be published, if the client left one.
        """
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._session.outlet = None
            self._hub.end_connection(self._session, will=will)
        self._inbox.clear()
        if will:
            self._outbox.clear()
            self._transport.abort()  # close() would wait for a peer that may never read again
        else:
            self._flush()
            self._transport.close()

    # -- inside ---------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._outbox and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _watch_silence(self) -> None:
        """End the connection after `_silence` seconds without a byte, else look again then.

        One timer a connection that is moved when it fires, not at every packet.
        """
        left = self._heard + self._silence - self._loop.time()
        if left <= 0:
            _log.info("connection closed: silent for %.0f s", self._silence)
            self.end(will=True)
        else:
            self._timer = self._loop.call_later(left, self._watch_silence)

    def _take_packets(self) -> None:
        inbox = self._inbox
        start = 0
        while len(inbox) - start >= 2 and not self._ended:  # noqa: PLR2004 - no packet is shorter
            if self._session is None and inbox[0] != _CONNECT_BYTE:
                raise MQTTError
            length, body = inbox[start + 1], start + 2
            if length & 0x80:
                length, body = _long_length(inbox, start + 1)
            if length > MAX_PACKET:
                raise MQTTError
            if body + length > len(inbox) or body > len(inbox):
                break
            self._take(inbox[start], bytes(inbox[body : body + length]))
            start = body + length
        if start:
            del inbox[:start]

    def _take(self, first: int, body: bytes) -> None:
        session = self._session
        if session is None:
            self._on_connect(body)
        elif first & 0xF0 == _PUBLISH:
            self._on_publish(session, first, body)
        elif first == _PUBACK:
            session.acknowledge(_packet_id(body))
        elif first == _PINGREQ:
            self.send(_PINGRESP_PACKET)
        elif first == _PUBREL:
            self._on_pubrel(session, _packet_id(body))
        elif first == _DISCONNECT:
            self.end(will=False)
        elif first >> 4 == SUBSCRIBE:
            self._on_subscribe(session, first, body)
        elif first >> 4 == UNSUBSCRIBE:
            self._on_unsubscribe(session, first, body)
        else:
            raise MQTTError

    def _on_connect(self, body: bytes) -> None:
        name_length = int.from_bytes(body[:2])
        level = body[2 + name_length]
        if body[2 : 2 + name_length] != b"MQTT" or level != _PROTOCOL_LEVEL:
            # Said before anything else is decoded: MQTT 5 lays the rest out differently.
            later = level > _PROTOCOL_LEVEL
            self._refuse(_REFUSED_VERSION_5 if later else _REFUSED_VERSION)
            return
        packet = _decode(ConnectPacket.from_stream(*_source(_CONNECT_BYTE, body)))
        if packet.client_id_is_random and not packet.clean_session_flag:
            self._refuse(_REFUSED_IDENTIFIER)  # [MQTT-3.1.3-8]
            return
        session, present = self._hub.open_session(_session_of(packet))
        self._session = session
        self._silence = packet.keep_alive * _KEEP_ALIVE_FACTOR
        if self._timer is not None:
            self._timer.cancel()
        if self._silence:
            self._watch_silence()
        self.send(b"\x20\x02\x01\x00" if present else b"\x20\x02\x00\x00")
        session.attach(self)

    def _refuse(self, connack: bytes) -> None:
        self.send(connack)
        self.end(will=False)

    def _on_publish(self, session: FleetSession, first: int, body: bytes) -> None:
        qos = (first >> 1) & 0x03
        end = 2 + int.from_bytes(body[:2])
        topic = str(body[2:end], "utf-8")
        if not topic or "+" in topic or "#" in topic or "\0" in topic or end > len(body):
            raise MQTTError
        retain = bool(first & 0x01)
        if not qos:
            self._hub.route(topic, body[end:], 0, retain=retain)
            return
        packet_id = _packet_id(body[end : end + 2])
        data = body[end + 2 :]
        if qos == 1:
            self._hub.route(topic, data, 1, retain=retain)
            self.send(b"\x40\x02" + packet_id.to_bytes(2))
        elif qos == _EXACTLY_ONCE:
            # Routed at PUBREL, so the same packet sent twice is one message.
            session.inflight_in[packet_id] = (topic, data, retain)
            self.send(b"\x50\x02" + packet_id.to_bytes(2))
        else:
            raise MQTTError

    def _on_pubrel(self, session: FleetSession, packet_id: int) -> None:
        if (message := session.inflight_in.pop(packet_id, None)) is not None:
            topic, data, retain = message
            self._hub.route(topic, data, _EXACTLY_ONCE, retain=retain)
        self.send(b"\x70\x02" + packet_id.to_bytes(2))

    def _on_subscribe(self, session: FleetSession, first: int, body: bytes) -> None:
        packet = _decode(SubscribePacket.from_stream(*_source(first, body)))
        filters = packet.payload.topics
        if not filters:
            raise MQTTError
        codes = self._hub.subscribe(session, filters)
        self.send(SubackPacket.build(packet.variable_header.packet_id, codes).to_bytes())
        granted = [
            (topic_filter, code)
            for (topic_filter, _), code in zip(filters, codes, strict=True)
            if code <= 1
        ]
        self._hub.send_retained(session, granted)

    def _on_unsubscribe(self, session: FleetSession, first: int, body: bytes) -> None:
        packet = _decode(UnsubscribePacket.from_stream(*_source(first, body)))
        self._hub.unsubscribe(session, packet.payload.topics)
        self.send(b"\xb0\x02" + packet.variable_header.packet_id.to_bytes(2))


def _long_length(inbox: bytearray, start: int) -> tuple[int, int]:
    """Return the length of a packet and where its body starts, which may be yet to come."""
    length = 0
    for index in range(_LENGTH_BYTES):
        if start + index >= len(inbox):
            return 0, len(inbox) + 1
        byte = inbox[start + index]
        length |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return length, start + index + 1
    raise MQTTError


def _packet_id(body: bytes) -> int:
    (packet_id,) = struct.unpack("!H", body)
    if not packet_id:
        raise MQTTError
    return cast("int", packet_id)


def _source(first: int, body: bytes) -> tuple[BufferReader, MQTTFixedHeader]:
    return BufferReader(body), MQTTFixedHeader(first >> 4, first & 0x0F, len(body))


def _decode(decoding: Coroutine[Any, Any, _T]) -> _T:
    """Run one of amqtt's decoders, a coroutine only because a stream may make it wait."""
    try:
        decoding.send(None)
    except StopIteration as done:
        return cast("_T", done.value)
    raise AssertionError("a decoder waited for a buffer")


def _session_of(packet: ConnectPacket) -> FleetSession:
    session = FleetSession(packet.client_id)
    session.clean_session = packet.clean_session_flag
    session.keep_alive = packet.keep_alive
    session.will_flag = packet.will_flag
    if packet.will_flag:
        topic, data = packet.will_topic, packet.will_message
        if not topic or data is None or "+" in topic or "#" in topic or "\0" in topic:
            raise MQTTError
        session.will_topic, session.will_message = topic, bytes(data)
        session.will_qos, session.will_retain = packet.will_qos, packet.will_retain_flag
    return session
