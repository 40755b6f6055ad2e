"""Minimal MQTT 3.1.1 client on a bare socket, used to load devices and brokers.

It needs a fraction of the CPU time of a full client, so that the other side is what is measured.
"""

from __future__ import annotations

import asyncio

__all__ = ["Client", "field", "packet", "publish"]


def field(data: bytes) -> bytes:
    """Return `data` with a length prefix."""
    return len(data).to_bytes(2) + data


def packet(first: int, body: bytes) -> bytes:
    """Return one MQTT packet."""
    length, encoded = len(body), bytearray()
    while True:
        length, byte = divmod(length, 128)
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            return bytes((first, *encoded)) + body


def publish(topic: str, data: bytes, packet_id: int, *, retain: bool = False) -> bytes:
    """Return a QoS 1 PUBLISH."""
    body = field(topic.encode()) + packet_id.to_bytes(2) + data
    return packet(0x32 | retain, body)


class Client(asyncio.Protocol):
    """A minimal MQTT 3.1.1 client: connects, subscribes, then calls `on_ready`."""

    def __init__(self, name: str, filters: list[str], will: str | None = None) -> None:
        self.name, self.filters, self.will = name, filters, will
        self.inbox = bytearray()
        self.packet_id = 0
        self.unacknowledged = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send CONNECT."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        flags = 0x2C if self.will else 0  # a persistent session; retained Last Will at QoS 1
        body = field(b"MQTT") + bytes((4, flags, 0, 60)) + field(self.name.encode())
        if self.will:
            body += field(self.will.encode()) + field(b'{"status":"offline"}')
        transport.write(packet(0x10, body))

    def data_received(self, data: bytes) -> None:
        """Handle every complete packet in the buffer."""
        inbox = self.inbox
        inbox += data
        while len(inbox) >= 2:
            length, shift, body = 0, 0, 1
            while True:
                byte = inbox[body]
                length |= (byte & 0x7F) << shift
                body, shift = body + 1, shift + 7
                if byte < 0x80 or body == len(inbox):
                    break
            if len(inbox) < body + length or byte >= 0x80:
                return
            first, content = inbox[0], bytes(inbox[body : body + length])
            del inbox[: body + length]
            self.take(first, content)

    def take(self, first: int, body: bytes) -> None:
        """Handle one packet: continue the handshake, or handle a message."""
        if first == 0x20:
            asked = b"".join(field(name.encode()) + b"\x01" for name in self.filters)
            self.transport.write(packet(0x82, b"\0\1" + asked))
        elif first == 0x90:
            self.born()
        elif first == 0x40:
            self.unacknowledged -= 1
            if not self.unacknowledged and not self.ready.done():
                self.ready.set_result(None)
        elif first & 0xF0 == 0x30:
            end = 2 + int.from_bytes(body[:2])
            answer = self.on_message(body[2:end].decode(), body[end + 2 :], bool(first & 1))
            self.transport.write(answer + b"\x40\x02" + body[end : end + 2])

    def born(self) -> None:
        """Set ready after the subscription."""
        self.ready.set_result(None)

    def on_message(self, topic: str, data: bytes, retained: bool) -> bytes:  # noqa: FBT001
        """Return what to send before the acknowledgement."""
        raise NotImplementedError

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> bytes:
        """Return the next PUBLISH of this client."""
        self.packet_id = self.packet_id % 65_535 + 1
        self.unacknowledged += 1
        return publish(topic, data, self.packet_id, retain=retain)
