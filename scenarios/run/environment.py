"""The devices of one scenario on a broker, and all that is said on its topics.

Theory of operation. A scenario has a topic root of its own, and on it one connection that listens
to everything: the stage's. On it commands, inputs and messages are published, too. `settle` lets
what is in flight arrive without waiting for time to pass: a fence goes to every device that is
connected, over the broker, and each sends it back over its own connection. What was sent to a
device before the fence has reached it, and what it answered has reached the stage, before the fence
is back; that its broker has accepted all of it is known when it has accepted the fence.

Devices that are on their way back (a restart, a lost connection) are waited for, and so is the Last
Will of one that was lost, so that a scenario never sees half of it.
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
from agent.device_factory import DeviceFactory, DeviceSpec
from agent.effects import Effect, Reboot
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from broker.client.client_ids import host_client_id
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from broker.errors import BrokerError
from broker.operator.readers import read_json

__all__ = ["ScenarioEnvironment", "TopicMessage"]

_ANSWER_WITHIN: Final = 20.0
"""Real seconds for a broker to pass a fence on, or to let a device in again."""
_LOOK_AGAIN: Final = 0.25
"""Real seconds between two looks at whether the broker is still there, while one waits for it."""
_CUTS: Final = frozenset({"offline", "dropConnection", "crash"})
_COMES_BACK: Final = frozenset({"dropConnection", "crash"})
_ASKED_FIRST: Final = {"commands": 0, "inputs": 0, "messages": 0, "simulate": 0, "presence": 1}
_SAID: Final = 2


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """A message on the scenario's topics; `device` is the name of the device, if it is one's.

    `document` is the payload read as JSON, None where it is none.
    """

    topic: str
    device: str | None
    leaf: str
    payload: bytes = field(repr=False)
    document: Any = field(repr=False)
    retained: bool


class _DeviceListener(ConnectionListener):
    """What a device's connection belongs to: the device, and the fences that reach it."""

    def __init__(self, device: Device, environment: ScenarioEnvironment) -> None:
        self._device = device
        self._environment = environment
        self._fence = environment.fence_of(device.id)

    def presence(self, number: int) -> tuple[str, bytes, bytes]:
        """The device's own."""
        return self._device.presence(number)

    def on_connected(self) -> None:
        """Let the device say who it is."""
        self._device.on_connected()
        self._environment.changed.set()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Send a fence back, and hand the device what is its own."""
        if topic != self._fence:
            self._device.on_message(topic, payload, retained, delivery)
            return
        self._device.connection.acknowledge(delivery)
        echo = f"{self._device.id}/{payload.decode()}"
        accepted = partial(self._environment.passed, f"accepted/{echo}")
        self._device.connection.publish(
            OutgoingMessage(self._environment.echo, echo.encode(), accepted=accepted)
        )


class ScenarioEnvironment(ConnectionListener):
    """One scenario's devices. `clock` is the scenario's time, `timers` what happens in it."""

    def __init__(
        self,
        pool: ConnectionPool,
        topics: Topics,
        devices: Sequence[DeviceSpec],
        seed: int,
        clock: Clock,
    ) -> None:
        self.topics = topics
        self.clock = clock
        self.timers = Timers(clock)
        self.devices: dict[str, Device] = {}
        self.echo = f"{topics.root}/fences"
        self.changed = asyncio.Event()
        """Set when a connection came up or a message arrived."""
        self._pool = pool
        self._heard: list[TopicMessage] = []
        self._fences = 0
        self._awaited: set[str] = set()
        self._all_passed = asyncio.Event()
        self._back: dict[str, int] = {}
        self._wills: dict[str, int] = {}
        self._retained: set[str] = set()
        self._connections: list[Connection] = []
        self._control = Connection(
            pool, host_client_id(topics.root, 0), [f"{topics.root}/#"], self, clean_session=True
        )
        shared = DeviceContext(
            topics=topics, clock=clock, timers=self.timers, on_effect=self._on_effect
        )
        self._factory = DeviceFactory(shared, partial(DeviceRandomStream, seed))
        for spec in devices:
            self.devices[spec.device_id] = self._factory.make(spec)
        self._order = {name: number for number, name in enumerate(self.devices)}

    # -- opening and closing -------------------------------------------------------------

    async def open(self) -> None:
        """Connect everybody; raises BrokerError where the broker does not take the connections."""
        self._open(self._control)
        if not await self._control.until_up(_ANSWER_WITHIN):
            raise self._silent("let a scenario in")
        for device in self.devices.values():
            connection = self._factory.connect(
                device,
                self._pool,
                listener=_DeviceListener(device, self),
                extra_filters=[self.fence_of(device.id)],
            )
            self._connections.append(connection)
            device.start()
        await self.settle()

    def _open(self, connection: Connection) -> None:
        self._pool.add(connection)
        self._connections.append(connection)
        connection.open()

    async def close(self, *, tidy: bool) -> None:
        """Leave; `tidy` takes retained messages and sessions off a broker that stays."""
        self.timers.close()
        if tidy and self._control.up:
            for device in self.devices.values():
                if hasattr(device, "connection"):
                    await device.stop(forget=True)
                    await self._pool.end_session(device.connection.client_id)
            # The Will of a device that is offline is retained, and it cannot take it back itself.
            leaves = ("state", "presence")
            own = {self.topics.device(name, leaf) for name in self.devices for leaf in leaves}
            blank = [OutgoingMessage(topic, b"", retain=True) for topic in own | self._retained]
            await self._control.close(last=blank)
        for connection in self._connections:
            connection.drop(stay_away=True)
            self._pool.remove(connection)

    # -- what is sent --------------------------------------------------------------------

    def send(self, topic: str, document: Mapping[str, Any] | bytes, *, retained: bool) -> None:
        """Publish on the scenario's own connection, at QoS 1."""
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        if retained:
            self._retained.add(topic)
        self._control.publish(OutgoingMessage(topic, payload, retained))

    def fence_of(self, device_id: str) -> str:
        """Where a device is sent its fences."""
        return f"{self.topics.root}/fences/{device_id}"

    # -- incoming messages

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Keep what is said, take fences that are back, and do what the world does."""
        self._control.acknowledge(delivery)
        if topic == self.echo:
            self.passed(payload.decode())
            return
        if topic.startswith(self.echo):
            return
        name, leaf = self.topics.split(topic) or (None, topic.rpartition("/")[2])
        document = read_json(payload)
        self._heard.append(
            TopicMessage(
                topic[len(self.topics.root) + 1 :], name, leaf, payload, document, retained
            )
        )
        if name is not None and leaf == "simulate" and isinstance(document, Mapping):
            self._simulate(self.devices[name], document["action"])
        elif name is not None and leaf == "presence" and isinstance(document, Mapping):
            self._on_presence(name, document)
        self.changed.set()

    def take_messages(self) -> list[TopicMessage]:
        """What was heard since, in an order that hangs on the scenario alone.

        Device by device; of each, first what it was sent, then whether it is there, then what it
        said, in its own order.
        """
        heard, self._heard = self._heard, []
        last = len(self._order)
        heard.sort(key=lambda m: (self._order.get(m.device or "", last), *_rank(m)))
        return heard

    # -- the world -----------------------------------------------------------------------

    def _simulate(self, device: Device, action: str) -> None:
        number, was_up = device.connection.number, device.connection.up
        if action in _CUTS and was_up:
            self._wills[device.id] = number
        device.simulate(action)
        if action == "offline":
            self._forget_fences(device.id)
        elif (action in _COMES_BACK and device.online) or (action == "online" and not was_up):
            self._back[device.id] = number + 1

    def _on_effect(self, device: Device, effect: Effect) -> None:
        if isinstance(effect, Reboot) and not effect.abrupt and device.online:
            self._back[device.id] = device.connection.number + 1

    def _on_presence(self, name: str, document: Mapping[str, Any]) -> None:
        lost = self._wills.get(name)
        if lost is not None and document["status"] == "offline" and document["session"] >= lost:
            del self._wills[name]

    # -- letting things settle -----------------------------------------------------------

    async def settle(self) -> None:
        """Return once nothing is in flight. Time does not move.

        Raises BrokerError where the broker does not do its part.
        """
        while True:
            await self._rest()
            numbers = self._numbers()
            await self._pass_fences()
            if self._is_at_rest() and self._numbers() == numbers:
                return

    def _numbers(self) -> list[int]:
        return [device.connection.number for device in self.devices.values()]

    def _is_at_rest(self) -> bool:
        """Whether everybody who has a network is connected, and the Wills of the lost are out."""
        return not self._wills and all(
            device.connection.up and device.connection.number >= self._back.get(name, 0)
            for name, device in self.devices.items()
            if device.online
        )

    async def _rest(self) -> None:
        while not self._is_at_rest():
            self.changed.clear()
            await self._until(self.changed, "take a device back, or publish its Last Will")

    async def _until(self, event: asyncio.Event, what: str) -> None:
        """Wait for what the broker brings about; raises BrokerError where it does not, or is lost.

        What was said while the stage had no connection is lost to it: there is no going on.
        """
        limit = self._pool.loop.time() + _ANSWER_WITHIN
        while not event.is_set():
            with contextlib.suppress(TimeoutError):
                # Not wait_for, which up to Python 3.11 loses a Ctrl-C that comes with the event.
                async with asyncio.timeout(_LOOK_AGAIN):
                    await event.wait()
            if self._control.number > 1 or not self._control.up:
                raise BrokerError(
                    f"the connection to {self._pool.address.url} was lost",
                    hint="is the broker still running?",
                )
            if self._pool.loop.time() > limit:
                raise self._silent(what)

    async def _pass_fences(self) -> None:
        self._fences += 1
        number = str(self._fences)
        self._all_passed.clear()
        up = [device for device in self.devices.values() if device.online and device.connection.up]
        own = f"+/{number}"
        self._awaited = {own, f"accepted/{own}"}
        for device in up:
            echo = f"{device.id}/{number}"
            self._awaited |= {echo, f"accepted/{echo}"}
            self._control.publish(OutgoingMessage(self.fence_of(device.id), number.encode()))
        accepted = partial(self.passed, f"accepted/{own}")
        self._control.publish(OutgoingMessage(self.echo, own.encode(), accepted=accepted))
        await self._until(self._all_passed, "pass on what is published")

    def passed(self, fence: str) -> None:
        """A fence is back, or accepted."""
        self._awaited.discard(fence)
        if not self._awaited:
            self._all_passed.set()

    def _forget_fences(self, device_id: str) -> None:
        own = (f"{device_id}/{self._fences}", f"accepted/{device_id}/{self._fences}")
        for fence in own:
            self.passed(fence)

    def _silent(self, what: str) -> BrokerError:
        return BrokerError(
            f"{self._pool.address.url} did not {what} within {_ANSWER_WITHIN:g} s",
            hint="look at the broker's log and its limits",
        )


def _rank(message: TopicMessage) -> tuple[int, int, bool]:
    """Where a message stands among those of its device; presences by session, online first."""
    rank = _ASKED_FIRST.get(message.leaf, _SAID)
    if message.leaf != "presence" or not isinstance(message.document, Mapping):
        return rank, 0, False
    return rank, message.document["session"], message.document["status"] == "offline"
