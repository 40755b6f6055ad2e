"""One MQTT connection for many devices, as a gateway has: `connection = "shared"` in a group.

The gateway subscribes with wildcards and passes each message to its device. Devices publish over
the one connection, a limited number of messages at a time. `GatewayMember` has the interface of
`Connection`. Devices behind a gateway have no Last Will of their own: when the gateway is lost,
their retained presence stays online.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from broker.client.connection import Connection, log_error_location, run_guarded
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from broker.dialects.dialect import Dialect

__all__ = ["DialectGateway", "Gateway", "GatewayMember"]

_WINDOW: Final = 1_000
"""Messages on their way to the broker at once; paho numbers no more than 65,535."""
_TURN: Final = 200
"""So many devices take a group's command before others get a turn of the event loop."""
_LEAVES: Final = ("commands", "inputs", "messages")


class _Counted:
    """Delivery that several devices must acknowledge before the gateway does."""

    __slots__ = ("delivery", "left")

    def __init__(self, delivery: Delivery, left: int) -> None:
        self.delivery = delivery
        self.left = left


class Gateway(ConnectionListener):
    """The shared connection of one process."""

    def __init__(self, pool: ConnectionPool, client_id: str, topics: Topics) -> None:
        self.client_id = client_id
        self._pool = pool
        self._topics = topics
        self._members: dict[str, GatewayMember] = {}
        self._groups: dict[str, list[GatewayMember]] = {}
        self._waiting: deque[OutgoingMessage] = deque()
        self._on_the_way = 0
        self._work: deque[Callable[[], None]] = deque()
        self.connection: Connection
        self._opened = False

    def member(
        self, device_id: str, group: str, listener: ConnectionListener, number: int
    ) -> GatewayMember:
        """Make the connection of a device behind this gateway; `number` is its last session."""
        member = GatewayMember(self, device_id, listener, number)
        self._members[device_id] = member
        self._groups.setdefault(group, []).append(member)
        return member

    def open(self) -> None:
        """Connect. Its members connect after it, and again whenever it does."""
        qos = dict(self._filters())
        self.connection = Connection(self._pool, self.client_id, qos, self, qos=qos)
        self._pool.add(self.connection)
        self._opened = True
        self.connection.open()

    def _filters(self) -> Iterator[tuple[str, int]]:
        """Yield (topic filter, QoS) of the subscriptions."""
        for leaf in _LEAVES:
            yield self._topics.device("+", leaf), 1
        for group in (*self._groups, "all"):
            yield self._topics.group(group), 1

    def _device_of(self, topic: str, payload: bytes) -> str | None:
        """Return the id of the device that a message is for, None for a group's command."""
        del payload
        parts = self._topics.split(topic)
        return None if parts is None else parts[0]

    async def settled(self, limit: float) -> bool:
        """Wait until all that was published has been accepted; False after `limit` seconds."""
        until = self._pool.loop.time() + limit
        while self._waiting or self._on_the_way or self._work:
            if self._pool.loop.time() > until:
                return False
            await asyncio.sleep(0.005)
        return True

    async def end_session(self) -> None:
        """End the broker's session of the gateway, whose connection is closed."""
        await self._pool.end_session(self.client_id)

    @property
    def has_members(self) -> bool:
        """True if a device uses the connection."""
        return bool(self._members)

    @property
    def up(self) -> bool:
        """Return True if the gateway is connected."""
        return self._opened and self.connection.up

    # -- ConnectionListener

    def on_connected(self) -> None:
        """Connect every member that has a network, some per turn of the event loop."""
        for member in self._members.values():
            self.later(member.come_up)

    def on_disconnected(self) -> None:
        """Disconnect every member, as the devices behind a gateway lose the network together."""
        for member in self._members.values():
            member.go_down()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Hand a message to the device, or the devices, it is for."""
        device_id = self._device_of(topic, payload)
        if device_id is None:
            self._fan_out(topic, payload, retained, delivery)
            return
        member = self._members.get(device_id)
        if member is None:
            self.connection.acknowledge(delivery)
        else:
            member.take(topic, payload, retained, delivery)

    def _fan_out(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        group = topic.split("/")[-2]
        members = list(self._members.values()) if group == "all" else self._groups.get(group, [])
        if not members:
            self.connection.acknowledge(delivery)
            return
        shared = replace(delivery, shared=_Counted(delivery, len(members)))
        for member in members:
            self.later(partial(member.take, topic, payload, retained, shared))

    def done(self, delivery: Delivery) -> None:
        """Acknowledge a message once all its devices have done so."""
        counted = delivery.shared
        if isinstance(counted, _Counted):
            counted.left -= 1
            if counted.left:
                return
            delivery = counted.delivery
        self.connection.acknowledge(delivery)

    # -- fair scheduling ------------------------------------------------------------

    def later(self, work: Callable[[], None]) -> None:
        """Queue work for a later turn of the event loop."""
        if not self._work:
            self._pool.loop.call_soon(self._turn)
        self._work.append(work)

    def _turn(self) -> None:
        for _ in range(min(_TURN, len(self._work))):
            run_guarded(self.client_id, self._work[0])
            self._work.popleft()
        if self._work:
            self._pool.loop.call_soon(self._turn)

    # -- publishing, a window at a time --------------------------------------------------

    def publish(self, message: OutgoingMessage) -> None:
        """Publish in order, as the broker accepts."""
        if self._waiting or self._on_the_way >= _WINDOW:
            self._waiting.append(message)
        else:
            self._publish(message)

    def _publish(self, message: OutgoingMessage) -> None:
        self._on_the_way += 1
        callback = message.accepted
        accepted = self._count_accepted if callback is None else partial(self._accepted, callback)
        self.connection.publish(
            OutgoingMessage(message.topic, message.payload, message.retain, accepted, message.qos)
        )

    def _accepted(self, callback: Callable[[], None]) -> None:
        callback()
        self._count_accepted()

    def _count_accepted(self) -> None:
        self._on_the_way -= 1
        while self._waiting and self._on_the_way < _WINDOW:
            self._publish(self._waiting.popleft())


class DialectGateway(Gateway):
    """The shared connection of devices that speak a dialect, in one process."""

    def __init__(
        self,
        pool: ConnectionPool,
        client_id: str,
        topics: Topics,
        dialect: Dialect,
        on_event: Callable[[str, str], None],
    ) -> None:
        super().__init__(pool, client_id, topics)
        self._dialect = dialect
        self._on_event = on_event

    def _filters(self) -> Iterator[tuple[str, int]]:
        yield from self._dialect.filters({})

    def _device_of(self, topic: str, payload: bytes) -> str:
        device_id = self._dialect.device_of(topic, payload)
        if device_id != "" and device_id not in self._members:
            self._on_event(self._dialect.name, "unmatched")
        return device_id or ""


class GatewayMember:
    """Connection of one device behind a gateway, with the interface of `Connection`."""

    __slots__ = (
        "_gateway",
        "_listener",
        "_queued",
        "_undone",
        "_wanted",
        "client_id",
        "number",
        "up",
    )

    def __init__(
        self, gateway: Gateway, device_id: str, listener: ConnectionListener, number: int
    ) -> None:
        self.client_id = device_id
        self.number = number
        self.up = False
        self._gateway = gateway
        self._listener = listener
        self._wanted = False
        self._queued: list[OutgoingMessage] | None = None
        self._undone: dict[Delivery, tuple[str, bytes, bool, Delivery]] | None = None

    def open(self) -> None:
        """Come up as soon as the gateway is, and stay."""
        self._wanted = True
        if self._gateway.up:
            self.come_up()

    def come_up(self) -> None:
        """Publish the presence and deliver held messages once the gateway is connected."""
        if not self._wanted or self.up or not self._gateway.up:
            return
        self.number += 1
        self.up = True
        self._say(online=True)
        self._listener.on_connected()
        queued, self._queued = self._queued, None
        for message in queued or ():
            self._gateway.publish(message)
        # As a broker would: what was not acknowledged comes again.
        for arrival in list((self._undone or {}).values()):
            self._hand_over(*arrival)

    def go_down(self) -> None:
        """End the connection, if it is up; nothing is published."""
        if self.up:
            self.up = False
            self._listener.on_disconnected()

    def _say(self, *, online: bool) -> None:
        presence = self._listener.presence(self.number)
        if presence is not None:
            self._gateway.publish(presence[0 if online else 1])

    def take(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Deliver a message to this device and keep it until the device acknowledges it."""
        arrival = (topic, payload, retained, delivery)
        if delivery.mid:
            if self._undone is None:
                self._undone = {}
            self._undone[delivery] = arrival
        if self.up:
            self._hand_over(*arrival)

    def _hand_over(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Pass a message to the device; acknowledge it if the device raises an exception."""
        try:
            self._listener.on_message(topic, payload, retained, delivery)
        except Exception as error:  # noqa: BLE001  # nothing that arrives may stop a device
            log_error_location(self.client_id, error)
            self.acknowledge(delivery)

    def publish(self, message: OutgoingMessage) -> None:
        """Publish now, or once it comes up."""
        if self.up:
            self._gateway.publish(message)
        else:
            queued = self._queued or []
            queued.append(message)
            self._queued = queued

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a message for this device."""
        if self._undone is not None and self._undone.pop(delivery, None) is not None:
            self._gateway.done(delivery)
            if not self._undone:
                self._undone = None

    def drop(self, *, stay_away: bool = False) -> None:
        """Go offline; the gateway publishes it. The device reconnects unless `stay_away` is set."""
        if stay_away:
            self._wanted = False
        if self.up:
            self.go_down()
            self._say(online=False)
        self._gateway.later(self.come_up)

    def reconnect(self, *, last: Iterable[OutgoingMessage] = ()) -> None:
        """Go offline and come back: a restart."""
        if not self.up:
            return
        for message in last:
            self._gateway.publish(message)
        self.go_down()
        self._gateway.later(self.come_up)

    async def close(self, *, last: Iterable[OutgoingMessage] = ()) -> None:
        """Publish the messages in `last` and do not reconnect."""
        self._wanted = False
        for message in last:
            self._gateway.publish(message)
        self.go_down()

    async def until_up(self, limit: float) -> bool:
        """Return True if the device is connected, without a wait."""
        del limit
        return self.up
