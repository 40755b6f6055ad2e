"""Devices of one scenario on a broker, and the messages on its topics.

Each scenario has its own topic root and one control connection, which subscribes to all topics
below the root and publishes commands, inputs and text messages. `settle` waits until all messages
in flight have arrived, without letting time pass: it publishes a marker to every connected device,
and each device returns it over its own connection. MQTT keeps the order of messages, so all earlier
messages to a device have reached it, and all its answers have reached the control connection, when
the marker returns. The broker has accepted all messages of a device when it accepts the marker.

`settle` also waits for devices that reconnect and for the Last Will of a lost device, so that a
scenario never observes an intermediate state.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from agent.clock import Clock, Timers
from agent.coverage import Rule, RuleRecorder
from agent.device_factory import DeviceFactory, DeviceSpec
from agent.effects import Effect, Reboot
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from broker.client.barrier import Barrier, Marker
from broker.client.client_ids import host_client_id
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from broker.dialects.dialect import Dialect
from broker.errors import BrokerError
from broker.operator.readers import read_json

__all__ = ["ScenarioEnvironment", "TopicMessage"]

_TIME_LIMIT: Final = 20.0
"""Time limit in real seconds for the broker to deliver a marker or to accept a connection."""
_CHECK_INTERVAL: Final = 0.25
"""Interval in real seconds between two checks of the control connection during a wait."""
_DISCONNECTING: Final = frozenset({"offline", "dropConnection", "crash"})
_RECONNECTING: Final = frozenset({"dropConnection", "crash"})
_RANKS: Final = {"commands": 0, "inputs": 0, "messages": 0, "simulate": 0, "presence": 1}
_LAST_RANK: Final = 2


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """Message on a topic of the scenario; `device` is the device name, None for other topics.

    `topic` is relative to the topic root. `document` is the parsed JSON payload, None if the
    payload is not JSON.
    """

    topic: str
    device: str | None
    leaf: str
    payload: bytes = field(repr=False)
    document: Any = field(repr=False)
    retained: bool


class _DeviceListener(ConnectionListener):
    """Listener on the connection of a device: returns markers, passes all else to the device."""

    def __init__(
        self, device: Device, environment: ScenarioEnvironment, listener: ConnectionListener
    ) -> None:
        self._device = device
        self._environment = environment
        self._listener = listener
        self._marker_topic = environment.marker_topic(device.id)

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage] | None:
        """Return the presence messages of the device."""
        return self._listener.presence(number)

    def on_connected(self) -> None:
        """Let the device publish its presence and state."""
        self._listener.on_connected()
        self._environment.changed.set()

    def on_disconnected(self) -> None:
        """Pass the end of the connection on."""
        self._listener.on_disconnected()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Return a marker; pass any other message to the device."""
        if topic != self._marker_topic:
            self._listener.on_message(topic, payload, retained, delivery)
            return
        connection = self._device.operator_connection
        connection.acknowledge(delivery)
        barrier = self._environment.barrier
        accepted = partial(barrier.on_accepted, payload)
        connection.publish(OutgoingMessage(barrier.topic, payload, accepted=accepted))


class ScenarioEnvironment(ConnectionListener):
    """Devices and connections of one scenario; `timers` are the timers of its devices."""

    def __init__(
        self,
        pool: ConnectionPool,
        topics: Topics,
        devices: Sequence[DeviceSpec],
        seed: int,
        clock: Clock,
        *,
        coverage: bool = False,
    ) -> None:
        """Create the devices; with `coverage`, count the rules that they exercise."""
        self.topics = topics
        self.clock = clock
        self.timers = Timers(clock)
        self.devices: dict[str, Device] = {}
        self.barrier = Barrier(f"{topics.root}/barrier")
        self.changed = asyncio.Event()
        """Set when a connection came up or a message arrived."""
        self._pool = pool
        self._messages: list[TopicMessage] = []
        self._markers: dict[str, Marker] = {}
        self._expected_sessions: dict[str, int] = {}
        self._pending_wills: dict[str, int] = {}
        self._retained: set[str] = set()
        self._connections: list[Connection] = []
        self._control = Connection(
            pool, host_client_id(topics.root, 0), [f"{topics.root}/#"], self, clean_session=True
        )
        self._recorder = RuleRecorder() if coverage else None
        shared = DeviceContext(
            topics=topics,
            clock=clock,
            timers=self.timers,
            on_effect=self._on_effect,
            on_event=self._recorder.on_event if self._recorder else None,
        )
        self._factory = DeviceFactory(shared, partial(DeviceRandomStream, seed))
        self._specs = devices
        for spec in devices:
            self.devices[spec.device_id] = self._factory.make(spec)
        self._order = {name: number for number, name in enumerate(self.devices)}

    # -- opening and closing -------------------------------------------------------------

    async def open(self) -> None:
        """Connect all devices; raises BrokerError if the broker does not accept a connection."""
        self._open(self._control)
        if not await self._control.until_up(_TIME_LIMIT):
            raise self._timeout_error("accept the connection of a scenario")
        for spec in self._specs:
            device = self.devices[spec.device_id]
            self._connections += self._connect(device, spec.dialect)
            device.start()
        await self.settle()

    def _connect(self, device: Device, dialect: Dialect | None) -> list[Connection]:
        """Connect a device; markers are returned on the connection that operators see."""
        wrap = partial(_DeviceListener, device, self)
        markers = [self.marker_topic(device.id)]
        if dialect is None:
            return [self._factory.connect(device, self._pool, wrap=wrap, extra_filters=markers)]
        if dialect.is_contract:
            connect = partial(self._factory.connect_dialect, device, dialect, self._pool)
            return [connect(wrap=wrap, extra_filters=markers)]
        own = self._factory.connect_dialect(device, dialect, self._pool)
        client_id = f"{own.client_id}.control"
        control = self._factory.connect(
            device, self._pool, wrap=wrap, extra_filters=markers, client_id=client_id
        )
        assert device.dialect is not None  # noqa: S101  # set by connect_dialect
        device.dialect.control = control
        return [own, control]

    def _open(self, connection: Connection) -> None:
        self._pool.add(connection)
        self._connections.append(connection)
        connection.open()

    async def close(self, *, tidy: bool) -> None:
        """Disconnect; with `tidy`, also remove retained messages and sessions from the broker."""
        self.timers.close()
        if tidy and self._control.up:
            for device in self.devices.values():
                if hasattr(device, "connection"):
                    await device.stop(forget=True)
            # An offline device cannot remove its own retained Last Will.
            leaves = ("state", "presence")
            own = {self.topics.device(name, leaf) for name in self.devices for leaf in leaves}
            blank = [OutgoingMessage(topic, b"", retain=True) for topic in own | self._retained]
            await self._control.close(last=blank)
            for connection in self._connections[1:]:
                await self._pool.end_session(connection.client_id)
        for connection in self._connections:
            connection.drop(stay_away=True)
            self._pool.remove(connection)

    # -- outgoing messages --------------------------------------------------------------------

    def send(self, topic: str, document: Mapping[str, Any] | bytes, *, retained: bool) -> None:
        """Publish a message on the control connection, with QoS 1."""
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        if retained:
            self._retained.add(topic)
        self._control.publish(OutgoingMessage(topic, payload, retained))

    def marker_topic(self, device_id: str) -> str:
        """Return the topic of the markers for a device."""
        return f"{self.barrier.topic}/{device_id}"

    # -- incoming messages

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Store a message, count returned markers and perform simulated events."""
        self._control.acknowledge(delivery)
        if self.barrier.on_message(topic, payload) or topic.startswith(f"{self.barrier.topic}/"):
            return
        name, leaf = self.topics.split(topic) or (None, topic.rpartition("/")[2])
        document = read_json(payload)
        self._messages.append(
            TopicMessage(
                topic[len(self.topics.root) + 1 :], name, leaf, payload, document, retained
            )
        )
        if name is not None and leaf == "simulate" and isinstance(document, Mapping):
            if document["action"] == "refuse":
                self.devices[name].script_refusal(document["case"], document.get("count", 1))
            else:
                self._simulate(self.devices[name], document["action"])
        elif name is not None and leaf == "presence" and isinstance(document, Mapping):
            self._on_presence(name, document)
        self.changed.set()

    def take_messages(self) -> list[TopicMessage]:
        """Return and clear the received messages, in an order that timing does not influence.

        The order is by device. For each device, messages to it come first, then its presence, then
        its other messages in the order of arrival.
        """
        messages, self._messages = self._messages, []
        last = len(self._order)
        messages.sort(key=lambda m: (self._order.get(m.device or "", last), *_rank(m)))
        return messages

    # -- simulated events -----------------------------------------------------------------------

    def _simulate(self, device: Device, action: str) -> None:
        number, was_up = device.connection.number, device.connection.up
        if action in _DISCONNECTING and was_up:
            self._pending_wills[device.id] = number
        device.simulate(action)
        if action == "offline":
            self._skip_marker(device.id)
        elif (action in _RECONNECTING and device.online) or (action == "online" and not was_up):
            self._expected_sessions[device.id] = number + 1

    @property
    def exercised(self) -> Mapping[Rule, int]:
        """Counts of the exercised rules; empty without `coverage`."""
        return self._recorder.counts if self._recorder else {}

    def _on_effect(self, device: Device, effect: Effect) -> None:
        if self._recorder is not None:
            self._recorder.on_effect(device, effect)
        if isinstance(effect, Reboot) and not effect.abrupt and device.online:
            self._expected_sessions[device.id] = device.connection.number + 1

    def _on_presence(self, name: str, document: Mapping[str, Any]) -> None:
        lost = self._pending_wills.get(name)
        if lost is not None and document["status"] == "offline" and document["session"] >= lost:
            del self._pending_wills[name]

    # -- settling -----------------------------------------------------------

    async def settle(self) -> None:
        """Wait until no message is in flight. The clock does not move.

        Raises BrokerError if the broker is lost or exceeds the time limit.
        """
        while True:
            await self._wait_until_stable()
            numbers = self._connection_numbers()
            await self._pass_barrier()
            if self._is_stable() and self._connection_numbers() == numbers:
                return

    def _connection_numbers(self) -> list[int]:
        return [device.connection.number for device in self.devices.values()]

    def _is_stable(self) -> bool:
        """Return True if all devices with a network are connected and no Last Will is pending."""
        return not self._pending_wills and all(
            device.connection.up
            and device.connection.number >= self._expected_sessions.get(name, 0)
            for name, device in self.devices.items()
            if device.online
        )

    async def _wait_until_stable(self) -> None:
        while not self._is_stable():
            self.changed.clear()
            await self._until(self.changed, "reconnect a device or publish its Last Will")

    async def _until(self, event: asyncio.Event, action: str) -> None:
        """Wait for an event that the broker causes; raises BrokerError on a timeout or loss.

        Messages published while the control connection is down are lost: the run cannot go on.
        """
        limit = self._pool.loop.time() + _TIME_LIMIT
        while not event.is_set():
            with contextlib.suppress(TimeoutError):
                # Not wait_for: up to Python 3.11 it loses a Ctrl-C that arrives with the event.
                async with asyncio.timeout(_CHECK_INTERVAL):
                    await event.wait()
            if self._control.number > 1 or not self._control.up:
                raise BrokerError(
                    f"the connection to {self._pool.address.url} was lost",
                    hint="is the broker still running?",
                )
            if self._pool.loop.time() > limit:
                raise self._timeout_error(action)

    async def _pass_barrier(self) -> None:
        """Wait for the environment's own marker and one that each connected device returns."""
        topic = self.barrier.topic
        up = [name for name, each in self.devices.items() if each.online and each.connection.up]
        with contextlib.ExitStack() as stack:
            self._markers = {
                name: stack.enter_context(self.barrier.marker(acknowledged=True)) for name in up
            }
            own = stack.enter_context(self.barrier.marker(acknowledged=True))
            for name, marker in self._markers.items():
                self._control.publish(OutgoingMessage(self.marker_topic(name), marker.payload))
            accepted = partial(self.barrier.on_accepted, own.payload)
            self._control.publish(OutgoingMessage(topic, own.payload, accepted=accepted))
            for marker in (own, *self._markers.values()):
                await self._until(marker.passed, "deliver published messages")

    def _skip_marker(self, device_id: str) -> None:
        """Do not wait for a device that went offline."""
        if (marker := self._markers.get(device_id)) is not None:
            marker.passed.set()

    def _timeout_error(self, action: str) -> BrokerError:
        return BrokerError(
            f"{self._pool.address.url} did not {action} within {_TIME_LIMIT:g} s",
            hint="look at the broker's log and its limits",
        )


def _rank(message: TopicMessage) -> tuple[int, int, bool]:
    """Return the sort key of a message within its device; presence by session, online first."""
    rank = _RANKS.get(message.leaf, _LAST_RANK)
    if message.leaf != "presence" or not isinstance(message.document, Mapping):
        return rank, 0, False
    return rank, message.document["session"], message.document["status"] == "offline"
