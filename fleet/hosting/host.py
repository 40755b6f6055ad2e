"""Host of the devices of one process: their connections, clock and simulated events.

The host has its own control connection for messages that no device connection handles: `simulate`
works while a device is offline, `clock` moves virtual time of the whole fleet, `inspect` returns
the internal state of a device, and recorders request device descriptions
(`fleet.hosting.device_facts`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from agent.clock import Clock, RealClock, Timers, VirtualClock
from agent.definition.platforms import Platforms
from agent.device_factory import DeviceFactory, DeviceSpec
from agent.effects import Effect
from agent.events import Event
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from agent.state import DeviceState
from agent.storage.file import StateFile
from broker import contract
from broker.address import BrokerAddress
from broker.client.barrier import Barrier
from broker.client.client_ids import host_client_id
from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pace import ConnectionPace
from broker.client.pool import ConnectionPool
from broker.contract import Refusal, Topics
from broker.operator.requests import running_clock_topic
from fleet.hosting.connections import DeviceConnections
from fleet.hosting.counters import DeviceCounts
from fleet.hosting.device_facts import describe_devices, describe_topic, parse_describe_request
from fleet.hosting.ownership import find_sessions

__all__ = ["Host"]

_log = logging.getLogger("passfleet.host")

_OFFLINE_PERIOD: Final = 60_000
"""Average milliseconds between two outages of a device with an `offline` share."""
_SETTLE_WITHIN: Final = 10.0
_BACK_WITHIN: Final = 1.0
"""Seconds to wait for a lost broker before a stopping fleet drops its connections."""
_LARGE: Final = 200
"""Number of devices from which on garbage collection takes noticeable time."""
_YOUNG: Final = 10_000
"""Garbage collection threshold of generation 0 for a large fleet; Python's default is 700."""


class Host(ConnectionListener):
    """Device host: all devices of one process, on a broker that accepts connections."""

    def __init__(
        self,
        specs: Sequence[DeviceSpec],
        topics: Topics,
        *,
        seed: int,
        clock: Clock,
        store: StateFile | None = None,
        on_effect: Callable[[Device, Effect], None] | None = None,
        on_event: Callable[[Device, Event], None] | None = None,
        on_dialect_event: Callable[[str, str], None] = lambda _dialect, _event: None,
        pace: ConnectionPace | None = None,
        on_clock_moved: Callable[[int], None] | None = None,
        counts: DeviceCounts | None = None,
        index: int = 0,
        known: Platforms | None = None,
        restored: Mapping[str, tuple[DeviceState, DeviceRandomStream]] | None = None,
    ) -> None:
        """Create the devices, in their initial state or the state stored in `store`.

        `on_effect` is called with every effect, `on_event` with every event, `on_dialect_event`
        with every event of a dialect. `counts` counts the devices by state. Set `on_clock_moved` if
        the fleet has several hosts: it is called with the new time after virtual time moved, and
        the supervisor decides which host publishes it (`publish_now`). `index` is this host's
        number among them, from 0. `known` are the fleet's platforms, None for the built-in ones.
        `restored` gives the initial state and random stream by device id; other devices start
        without it.
        """
        self.clock = clock
        self._on_clock_moved = on_clock_moved
        self.timers = Timers(clock)
        self.devices: dict[str, Device] = {}
        self.pool: ConnectionPool
        self._control_pool: ConnectionPool
        self._connections: DeviceConnections
        self._pace = pace
        self._specs = specs
        self._store = store
        if store is not None:
            store.clock = clock
        self._topics = topics
        self._known = known or Platforms()
        self._index = index
        self._on_dialect_event = on_dialect_event
        self._name = host_client_id(topics.root, secrets.randbelow(10**9))
        self._barrier = Barrier(f"{topics.root}/hosts/{self._name}/barrier")
        self._control: Connection
        self._moves: asyncio.Queue[int] = asyncio.Queue()
        self._clock_task: asyncio.Task[None] | None = None
        self._joined: dict[str, Device] = {}
        self._threshold = gc.get_threshold()
        shared = DeviceContext(
            topics=topics,
            clock=clock,
            timers=self.timers,
            store=store,
            on_effect=on_effect,
            on_event=on_event,
            on_changed=counts.on_changed if counts is not None else None,
            on_dialect_event=on_dialect_event,
        )
        stream = partial(DeviceRandomStream, seed, kept=store.key if store else None)
        self._factory = DeviceFactory(shared, stream, store.load if store else None, restored)
        for spec in specs:
            self.devices[spec.device_id] = self._factory.make(spec)
        if counts is not None:
            counts.add(self.devices.values())

    # -- starting and stopping -----------------------------------------------------------

    async def start(
        self,
        address: BrokerAddress,
        *,
        fresh: bool,
        control: BrokerAddress | None = None,
        again: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Connect every device; return once all are subscribed and have published their state.

        `control` is the broker that operators use, None for `address`.
        `fresh`: that broker was started for this fleet and has no sessions yet. `again`: this
        process replaces a dead worker that hosted the same devices, so devices that are still
        online are its own. Raises BrokerError if the broker refuses the connections, UsageError if
        another process hosts one of the devices.
        """
        self.pool = ConnectionPool(address, self._pace)
        self._control_pool = ConnectionPool(control) if control is not None else self.pool
        self._connections = DeviceConnections(
            self.pool,
            self._control_pool,
            self._topics,
            self._factory,
            self._index,
            self._on_dialect_event,
        )
        if self._store is not None:
            self._store.watch()
        await self._open_control()
        sessions = {} if fresh else await self._find_sessions(again=again)
        for spec in self._specs:
            device = self.devices[spec.device_id]
            kept = self._store.session(device.id) if self._store else 0
            number = max(kept, sessions.get(device.id, 0))
            self._connections.connect(device, spec, number)
            self._joined[device.id] = device
        self._connections.open_gateways()
        for device in self._joined.values():
            device.start(self._store.unsent(device.id) if self._store else ())
        await self._connections.ready(progress)
        if len(self.devices) >= _LARGE:
            # The fleet's objects live as long as the process: exclude them from garbage collection.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_YOUNG)
        self._start_clock()
        for spec in self._specs:
            if spec.offline:
                self._next_outage(spec, 0)

    async def _find_sessions(self, *, again: bool) -> dict[str, int]:
        """Return the last session of each device, from the broker that operators use."""
        own = [s.device_id for s in self._specs if not s.shared and s.dialect is None]
        # After a worker's death, no host answers for devices on its shared connection.
        shared = [
            s.device_id for s in self._specs if (s.shared or s.dialect is not None) and not again
        ]
        return await find_sessions(
            self._control_pool, self._topics, self._name, own, shared, ours=again
        )

    async def _open_control(self) -> None:
        topics = self._topics
        filters = [
            topics.device("+", "simulate"),
            topics.device("+", "inspect"),
            topics.clock,
            running_clock_topic(topics),
            describe_topic(topics),
            self._barrier.topic,
        ]
        self._control = Connection(
            self._control_pool, self._name, filters, self, clean_session=True
        )
        self._control_pool.add(self._control)
        self._control.open()
        await self._control_pool.ready([self._control])

    @property
    def _publishes_clock(self) -> bool:
        return not isinstance(self.clock, RealClock) or self.clock.speed != 1

    def _start_clock(self) -> None:
        if self._publishes_clock and self._on_clock_moved is None:
            self.publish_now()
        if isinstance(self.clock, VirtualClock):
            self._clock_task = asyncio.create_task(
                self._run_clock(self.clock), name="passfleet.clock"
            )

    async def stop(self, *, forget: bool, progress: Callable[[int], None] = lambda _: None) -> None:
        """Disconnect every device cleanly, then the host.

        `forget` removes all retained messages and sessions. Works however far `start` came. If the
        broker is not reachable any more, drop the connections as `abandon` does.
        """
        if self._clock_task is not None:
            self._clock_task.cancel()
        self.timers.close()
        if not await self._control.until_up(_BACK_WITHIN):
            await self.abandon()
            return

        def absent(device: Device) -> None:
            for message in device.clearing_messages():
                self._control.publish(message)

        await self._connections.stop(forget=forget, progress=progress, absent=absent)
        last = (
            [OutgoingMessage(self._topics.clock_now, b"", retain=True)]
            if self._publishes_clock
            else []
        )
        await self._control.close(last=last if forget else [])
        await self._release()

    async def abandon(self) -> None:
        """Drop all connections without DISCONNECT, so that the broker publishes the Wills."""
        if self._clock_task is not None:
            self._clock_task.cancel()
        self.timers.close()
        await self._release()

    async def _release(self) -> None:
        for pool in {self.pool, self._control_pool}:
            await pool.close()
        if self._store:
            self._store.close()
        gc.unfreeze()
        gc.set_threshold(*self._threshold)

    # -- the host's own connection (ConnectionListener)

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Take what is done to devices, to the clock, and the host's own barrier."""
        self._control.acknowledge(delivery)
        if self._barrier.on_message(topic, payload):
            return
        if topic == self._topics.clock:
            self._handle_clock(payload, retained=retained)
        elif topic == running_clock_topic(self._topics):
            self._handle_jump(payload, retained=retained)
        elif topic == describe_topic(self._topics):
            request = parse_describe_request(payload)
            if request is not None and not retained:
                payloads = describe_devices(request, self._joined, self._known)
                self._publish_in_turn(request.topic(self._topics), payloads)
        elif (parts := self._topics.split(topic)) is not None:
            # Another process may host a device that has not joined yet.
            device = self._joined.get(parts[0])
            if device is not None:
                self._handle_device_message(device, parts[1], payload, retained=retained)

    def _handle_device_message(
        self, device: Device, leaf: str, payload: bytes, *, retained: bool
    ) -> None:
        if leaf == "inspect":
            answer = self._topics.device(device.id, "inspection")
            self._control.publish(OutgoingMessage(answer, device.inspection().to_bytes()))
            return
        parsed = contract.parse_simulate(payload, retained=retained)
        if isinstance(parsed, Refusal):
            # Published on the host's connection: the device may be offline.
            self._control.publish(device.refusal_message(parsed))
        elif isinstance(parsed, contract.RefuseSimulation):
            device.script_refusal(parsed.case, parsed.count)
        else:
            device.simulate(parsed.action)

    def _publish_in_turn(self, topic: str, payloads: Iterator[bytes]) -> None:
        """Publish payloads one per turn of the event loop, so that devices can run in between."""
        payload = next(payloads, None)
        if payload is not None:
            self._control.publish(OutgoingMessage(topic, payload))
            asyncio.get_running_loop().call_soon(self._publish_in_turn, topic, payloads)

    # -- time ----------------------------------------------------------------------------

    def _handle_clock(self, payload: bytes, *, retained: bool) -> None:
        parsed = contract.parse_clock(payload, retained=retained)
        if isinstance(parsed, Refusal):
            _log.warning("clock: %s", parsed.message)
        elif isinstance(self.clock, VirtualClock):
            self._moves.put_nowait(parsed.to)
        else:
            _log.warning("clock: this fleet's time is not virtual; nothing moved")

    def _handle_jump(self, payload: bytes, *, retained: bool) -> None:
        """Move time that runs at a speed; what is due is published as after any wait."""
        parsed = contract.parse_clock(payload, retained=retained)
        if isinstance(parsed, Refusal) or not isinstance(self.clock, RealClock):
            return  # from another version of passfleet: the topic is not part of the contract
        if not self._publishes_clock:
            return  # the time of day is not moved
        self.clock.jump(parsed.to)
        self.timers.clock_moved()
        if self._on_clock_moved is None:
            self.publish_now()
        else:
            self._on_clock_moved(self.clock.now())

    async def _run_clock(self, clock: VirtualClock) -> None:
        while True:
            to = await self._moves.get()
            await self.settle()
            while (at := self.timers.next_at()) is not None and at <= to:
                clock.move(at)
                self.timers.fire_due()
                await self.settle()
            clock.move(to)
            if self._store is not None:
                self._store.tick()
            if self._on_clock_moved is None:
                self.publish_now()
            else:
                self._on_clock_moved(clock.now())

    async def settle(self) -> None:
        """Let what is in flight arrive and be answered: through the broker and back, twice.

        Once for what was sent before to reach the devices, once for what they said to be accepted.
        """
        for _ in range(2):
            with self._barrier.marker() as marker:
                self._control.publish(OutgoingMessage(self._barrier.topic, marker.payload))
                try:
                    async with asyncio.timeout(_SETTLE_WITHIN):
                        await marker.passed.wait()
                except TimeoutError:
                    _log.warning("the broker took more than %s s to settle", _SETTLE_WITHIN)
            await self._connections.drained()

    def publish_now(self) -> None:
        """Publish the fleet's time, unless it is real time."""
        if not self._publishes_clock:
            return
        speed = "virtual" if isinstance(self.clock, VirtualClock) else f"{self._speed():g}x"
        now = contract.ClockNow(
            now=self.clock.now(), clock=speed, real_date_time=int(time.time() * 1000)
        )
        self._control.publish(OutgoingMessage(self._topics.clock_now, now.to_bytes(), retain=True))

    def _speed(self) -> float:
        return self.clock.speed if isinstance(self.clock, RealClock) else 1.0

    # -- outages of devices with an `offline` share ---------------------------------------

    def _next_outage(self, spec: DeviceSpec, number: int) -> None:
        """Schedule the next switch between online and offline, after a random length."""
        device = self.devices[spec.device_id]
        online = number % 2 == 0
        share = 1 - spec.offline if online else spec.offline
        drawn = device.draws.bits("network", number + 1) / 2**512
        length = int(_OFFLINE_PERIOD * share * (0.5 + drawn))
        at = self.clock.now() + length
        change = partial(self._change_network, spec, number, "offline" if online else "online")
        self.timers.arm(device.id, "network", at, change)

    def _change_network(self, spec: DeviceSpec, number: int, action: str) -> None:
        self.devices[spec.device_id].simulate(action)
        self._next_outage(spec, number + 1)
