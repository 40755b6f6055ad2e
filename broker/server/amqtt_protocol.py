"""MQTT connection of one client to the embedded broker, as an asyncio protocol without tasks.

amqtt runs seven tasks per connection and one more per packet. That is slow, and packets can
overtake each other. Here `data_received` handles the packets in the order of their arrival. amqtt's
decoders are used for all packets but PUBLISH and PUBACK, which are nearly all of the traffic.

Payloads are never logged, since they contain passcodes.
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

__all__ = ["MAX_PACKET", "ClientProtocol", "RoutingService"]

# Bytes. Packets above 64 KiB must be forwarded, since a device answers them with an error. The
# limit keeps one client from using all memory.
MAX_PACKET = 16 * 1024 * 1024
# Bytes in the write buffer above which QoS 0 messages are dropped and QoS 1 messages wait.
_WRITE_LIMIT = 1024 * 1024
# Seconds within which CONNECT must arrive.
_CONNECT_LIMIT = 10.0
# A client is disconnected after one and a half times its keep-alive [MQTT-3.1.2-24].
_KEEP_ALIVE_FACTOR = 1.5

_PROTOCOL_LEVEL = 4  # MQTT 3.1.1
_CONNECT_BYTE = CONNECT << 4
_PUBLISH, _PUBACK, _PUBREL, _PINGREQ, _DISCONNECT = 0x30, 0x40, 0x62, 0xC0, 0xE0
_PINGRESP_PACKET = b"\xd0\x00"
_REFUSED_VERSION = b"\x20\x02\x00\x01"
_REFUSED_VERSION_5 = b"\x20\x03\x00\x84\x00"  # the same in MQTT 5
_REFUSED_IDENTIFIER = b"\x20\x02\x00\x02"
_REFUSED_LOGIN = b"\x20\x02\x00\x05"  # not authorized
_LENGTH_BYTES = 4  # maximum size of the remaining-length field
_EXACTLY_ONCE = 2

# Exceptions of the decoders for bytes that are not MQTT.
_MALFORMED = (AMQTTError, CodecError, MQTTError, NoDataError, ValueError, IndexError, struct.error)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class RoutingService(Protocol):
    """Broker methods that a connection calls."""

    def admit(self, session: FleetSession, password: str | None) -> bool:
        """Set the permissions of a new connection. Return False if its login is refused."""

    def open_session(self, session: FleetSession) -> tuple[FleetSession, bool]:
        """Return the session of a new connection, and True if it is an earlier session resumed."""

    def end_connection(self, session: FleetSession, *, will: bool) -> None:
        """Handle the end of a session's connection. `will` publishes the Last Will."""

    def route(self, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        """Deliver a message to its subscribers."""

    def subscribe(self, session: FleetSession, filters: list[tuple[str, int]]) -> list[int]:
        """Add (filter, QoS) pairs. Return the SUBACK code of each."""

    def send_retained(self, session: FleetSession, filters: list[tuple[str, int]]) -> None:
        """Send the retained messages that match new subscriptions."""

    def unsubscribe(self, session: FleetSession, filters: list[str]) -> None:
        """Remove subscriptions. Filters without a subscription are ignored."""


class ClientProtocol(asyncio.Protocol):
    """Connection of one client."""

    def __init__(self, broker: RoutingService, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._loop = loop
        self._inbox = bytearray()
        self._outbox: list[bytes] = []
        self._session: FleetSession | None = None
        self._ended = False
        self._logged_refusal = False
        self._idle_limit = _CONNECT_LIMIT  # seconds without a byte until the connection ends
        self._last_received = loop.time()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self.full = False

    # -- methods called by asyncio-----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for CONNECT."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_LIMIT)
        self._check_idle()

    def data_received(self, data: bytes) -> None:
        """Handle all complete packets. Bytes that are not MQTT end the connection."""
        if self._session is not None:  # the limit for CONNECT does not start again
            self._last_received = self._loop.time()
        self._inbox += data
        try:
            self._handle_packets()
        except _MALFORMED as error:
            # The error's text may quote the bytes: only its name is logged.
            _log.info("connection closed: not MQTT 3.1.1 (%s)", type(error).__name__)
            self.end(will=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Publish the Last Will, since no DISCONNECT came first."""
        del exc
        self.end(will=True)

    def pause_writing(self) -> None:
        """Stop sending: the client does not read."""
        self.full = True

    def resume_writing(self) -> None:
        """Send the messages that waited."""
        self.full = False
        if self._session is not None:
            self._session.send_waiting()

    # -- methods called by sessions---------------------------------------------------------------

    def send(self, packet: bytes) -> None:
        """Queue a packet. All packets of one loop iteration are written together."""
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(packet)

    def end(self, *, will: bool) -> None:
        """End the connection; later calls do nothing.

        `will` publishes the client's Last Will, if it has one, and drops unsent packets. Otherwise
        (DISCONNECT or a refusal) unsent packets are sent first.
        """
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._session is not None:
            self._session.connection = None
            self._broker.end_connection(self._session, will=will)
        self._inbox.clear()
        if will:
            self._outbox.clear()
            self._transport.abort()  # close() would wait for a client that may never read again
        else:
            self._flush()
            self._transport.close()

    # -- internals ------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._outbox and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    def _check_idle(self) -> None:
        """End the connection after `_idle_limit` seconds without a byte, else check again later.

        The timer is restarted when it fires, and not at every packet.
        """
        left = self._last_received + self._idle_limit - self._loop.time()
        if left <= 0:
            _log.info("connection closed: no packet for %.0f s", self._idle_limit)
            self.end(will=True)
        else:
            self._timer = self._loop.call_later(left, self._check_idle)

    def _handle_packets(self) -> None:
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
            self._handle_packet(inbox[start], bytes(inbox[body : body + length]))
            start = body + length
        if start:
            del inbox[:start]

    def _handle_packet(self, first: int, body: bytes) -> None:
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
            # The version is checked first, since MQTT 5 has another layout.
            later = level > _PROTOCOL_LEVEL
            _log.warning("a client was refused: set it to MQTT 3.1.1, or use --broker mosquitto")
            self._refuse(_REFUSED_VERSION_5 if later else _REFUSED_VERSION)
            return
        packet = _decode(ConnectPacket.from_stream(*_source(_CONNECT_BYTE, body)))
        if packet.client_id_is_random and not packet.clean_session_flag:
            self._refuse(_REFUSED_IDENTIFIER)  # [MQTT-3.1.3-8]
            return
        asked = _session_of(packet)
        if not self._broker.admit(asked, packet.password):
            _log.warning("a client was refused: its login is wrong, or may not use its client id")
            self._refuse(_REFUSED_LOGIN)
            return
        self._last_received = self._loop.time()
        session, present = self._broker.open_session(asked)
        self._session = session
        self._idle_limit = packet.keep_alive * _KEEP_ALIVE_FACTOR
        if self._timer is not None:
            self._timer.cancel()
        if self._idle_limit:
            self._check_idle()
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
        permitted = session.permissions.may_publish(topic)
        if not permitted:
            self._log_refused_topic()
        if not qos:
            if permitted:
                self._broker.route(topic, body[end:], 0, retain=retain)
            return
        packet_id = _packet_id(body[end : end + 2])
        data = body[end + 2 :]
        if qos == 1:
            # MQTT 3.1.1 has no refusal: what is not permitted is acknowledged and dropped.
            if permitted:
                self._broker.route(topic, data, 1, retain=retain)
            self.send(b"\x40\x02" + packet_id.to_bytes(2))
        elif qos == _EXACTLY_ONCE:
            # Delivered at PUBREL, so that a repeated packet is delivered once.
            if permitted:
                session.inflight_in[packet_id] = (topic, data, retain)
            self.send(b"\x50\x02" + packet_id.to_bytes(2))
        else:
            raise MQTTError

    def _log_refused_topic(self) -> None:
        """Log once that the client published what it may not; its topic is not repeated."""
        if not self._logged_refusal:
            self._logged_refusal = True
            _log.warning("a client published on a topic that its login may not write: dropped")

    def _on_pubrel(self, session: FleetSession, packet_id: int) -> None:
        if (message := session.inflight_in.pop(packet_id, None)) is not None:
            topic, data, retain = message
            self._broker.route(topic, data, _EXACTLY_ONCE, retain=retain)
        self.send(b"\x70\x02" + packet_id.to_bytes(2))

    def _on_subscribe(self, session: FleetSession, first: int, body: bytes) -> None:
        packet = _decode(SubscribePacket.from_stream(*_source(first, body)))
        filters = packet.payload.topics
        if not filters:
            raise MQTTError
        codes = self._broker.subscribe(session, filters)
        self.send(SubackPacket.build(packet.variable_header.packet_id, codes).to_bytes())
        granted = [
            (topic_filter, code)
            for (topic_filter, _), code in zip(filters, codes, strict=True)
            if code <= 1
        ]
        self._broker.send_retained(session, granted)

    def _on_unsubscribe(self, session: FleetSession, first: int, body: bytes) -> None:
        packet = _decode(UnsubscribePacket.from_stream(*_source(first, body)))
        self._broker.unsubscribe(session, packet.payload.topics)
        self.send(b"\xb0\x02" + packet.variable_header.packet_id.to_bytes(2))


def _long_length(inbox: bytearray, start: int) -> tuple[int, int]:
    """Return a packet's length and the index of its body, which may not have arrived yet."""
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
    """Run a decoder of amqtt. It is a coroutine, but never waits for a buffer."""
    try:
        decoding.send(None)
    except StopIteration as done:
        return cast("_T", done.value)
    raise AssertionError("a decoder waited for a buffer")


def _session_of(packet: ConnectPacket) -> FleetSession:
    session = FleetSession(packet.client_id)
    session.clean_session = packet.clean_session_flag
    session.keep_alive = packet.keep_alive
    session.username = packet.username
    session.will_flag = packet.will_flag
    if packet.will_flag:
        topic, data = packet.will_topic, packet.will_message
        if not topic or data is None or "+" in topic or "#" in topic or "\0" in topic:
            raise MQTTError
        session.will_topic, session.will_message = topic, bytes(data)
        session.will_qos, session.will_retain = packet.will_qos, packet.will_retain_flag
    return session
