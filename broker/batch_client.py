"""paho's client, reading what has come at once, and sending so.

paho asks the system for a packet's first byte, then for each byte of its length, then for the rest,
and makes reason codes and properties of MQTT 5 for every acknowledgement of MQTT 3.1.1. A device
that answers a command with three messages reads four packets for it: this was a quarter of the
command's CPU time. Here one read takes all that has come, and paho gets whole packets; one write
sends all that is queued.

It stands on a few names inside paho, which `tests/test_batch_client.py` holds against the installed
release; all that is said on the wire is still said by paho.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MalformedPacket, Properties  # type: ignore[attr-defined]
from paho.mqtt.reasoncodes import ReasonCode

__all__ = ["BatchClient"]

_READ: Final = 8192
_KIND: Final = 0xF0
_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
_MID_BYTES: Final = 2
_MORE: Final = 0x80
_LENGTH_BYTES: Final = 4
_ACCEPTED: Final = ReasonCode(PacketTypes.PUBACK)
_NO_PROPERTIES: Final = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]


class BatchClient(paho.Client):
    """A client of MQTT 3.1.1 for plain TCP and TLS; paho's WebSocket layer reads in its own way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = b""

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and forget the half of a packet that the last connection left."""
        self._unread = b""
        return super().reconnect()

    def _create_socket_connection(self) -> socket.socket:
        """Connect from whatever port the system gives.

        paho binds a port of its own first. Such a port is taken for every destination and stays so
        for a minute after its end, and looking for a free one takes longer the fewer there are: at
        10,000 devices a second start within that minute took five times the CPU time, or failed.
        """
        return socket.create_connection((self.host, self.port), timeout=self.connect_timeout)

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle every whole packet that has come; `max_packets` is paho's and means nothing."""
        del max_packets
        sock = self._sock
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(_READ)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        self._last_bytes_received = time.monotonic()
        data, at = self._unread + data, 0
        try:
            # A callback may have closed the connection.
            while self._sock is sock and (span := _span(data, at)) is not None:
                first, (body, at) = data[at], span
                rc = self._take(first, data[body:at])
                if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return self._loop_rc_handle(rc)
        except MalformedPacket:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        finally:
            self._unread = data[at:]
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def loop_write(self) -> MQTTErrorCode:
        """Send what is queued, all at once where paho has nothing to do between two packets."""
        queued = self._out_packet
        if len(queued) > 1 and queued[0]["pos"] == 0 and all(map(_nothing_follows, queued)):
            data = b"".join([each["packet"] for each in queued])
            joined = queued[0]
            joined["packet"], joined["to_process"] = data, len(data)
            queued.clear()
            queued.append(joined)
        return super().loop_write()

    def _take(self, first: int, body: bytes) -> MQTTErrorCode:
        """Handle one packet."""
        if first == _PUBACK and len(body) == _MID_BYTES:
            mid = int.from_bytes(body)
            with self._out_message_mutex:
                if mid in self._out_messages:
                    return self._do_on_publish(mid, _ACCEPTED, _NO_PROPERTIES)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        self._in_packet["command"] = first
        self._in_packet["remaining_length"] = len(body)
        self._in_packet["packet"] = bytearray(body)
        return self._packet_handle()


def _nothing_follows(queued: Mapping[str, Any]) -> bool:
    """Whether a queued packet is only to be sent: a PUBACK, or a PUBLISH that will be answered."""
    kind = queued["command"] & _KIND
    return bool(kind == _PUBACK or (kind == _PUBLISH and queued["qos"] > 0))


def _span(data: bytes, at: int) -> tuple[int, int] | None:
    """(start, end) of the body of the packet at `at`; None where it has not come whole.

    Raises MalformedPacket where its length has more bytes than MQTT allows.
    """
    length = 0
    for place, byte in enumerate(data[at + 1 : at + 1 + _LENGTH_BYTES]):
        length |= (byte & ~_MORE) << 7 * place
        if byte < _MORE:
            body = at + 2 + place
            return (body, body + length) if body + length <= len(data) else None
    if len(data) > at + _LENGTH_BYTES:
        raise MalformedPacket("the length of a packet has more than four bytes")
    return None
