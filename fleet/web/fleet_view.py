"""The whole fleet as an operator sees it over MQTT, kept up to date by events.

Works whatever hosts the devices. One connection observes, another one sends. They are opened again
when they are lost; what was known stays known meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Final, Literal, Self

from broker.address import BrokerAddress
from broker.contract import AnyCommand, ClockNow, Policy, Topics
from broker.errors import BrokerError
from broker.operator.observer import Observer
from broker.operator.operator import Operator
from broker.operator.readers import ReceivedMessage
from fleet.web.device_view import DeviceAction, DeviceView

__all__ = ["ChangeFeed", "FleetView"]

_LEAVES: Final = ("state", "presence", "results", "notifications", "escrow", "messages")
_RECONNECT: Final = (0.2, 5.0)
"""Seconds between two attempts to connect: (first, longest)."""
_CLOCK_LIMIT: Final = 30.0
"""Seconds within which a fleet must have moved its virtual clock."""
_log: Final = logging.getLogger("passfleet.web")


class ChangeFeed:
    """Device ids that changed since the last look of one viewer, coalesced per device.

    An async iterator of sets of ids. It holds at most one entry for each device, however slow the
    viewer is. It ends when the view closes.
    """

    def __init__(self, watched: Collection[str] | None) -> None:
        self._watched = None if watched is None else frozenset(watched)
        self._changed: set[str] = set()
        self._closed = False
        self._wake = asyncio.Event()

    def watch(self, device_ids: Collection[str] | None) -> None:
        """Follow these devices from now on, all where None.

        A device that was not watched before counts as changed.
        """
        before, self._watched = self._watched, None if device_ids is None else frozenset(device_ids)
        if self._watched is not None:
            self._changed &= self._watched
            if before is not None and (new := self._watched - before):
                self._changed |= new
                self._wake.set()

    def mark(self, device_id: str) -> None:
        """Note that a device changed."""
        if self._watched is None or device_id in self._watched:
            self._changed.add(device_id)
            self._wake.set()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> frozenset[str]:
        """The ids that changed since the last call; waits until there is one."""
        while not self._changed and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        if self._closed:
            raise StopAsyncIteration
        changed, self._changed = self._changed, set()
        return frozenset(changed)


class FleetView:
    """Every device of a fleet, as an async context manager around its MQTT connections.

    Entering raises BrokerError where the broker cannot be reached. `devices` maps ids to views, in
    no particular order; `revision` grows with every message, `membership` whenever a device
    appears or disappears.
    """

    def __init__(self, address: BrokerAddress, topics: Topics) -> None:
        self.topics = topics
        self.devices: dict[str, DeviceView] = {}
        self.revision = 0
        self.membership = 0
        self._address = address
        self._clock: Operator | None = None
        self._operator: Operator | None = None
        self._observer: Observer | None = None
        self._heard = 0
        self._feeds: set[ChangeFeed] = set()
        self._listeners: list[Callable[[ReceivedMessage], None]] = []
        self._connected = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Connect and wait until everything that is retained has arrived."""
        self._keeping = asyncio.create_task(self._keep_connected(), name="passfleet.web.view")
        connected = asyncio.create_task(self._connected.wait())
        await asyncio.wait((connected, self._keeping), return_when=asyncio.FIRST_COMPLETED)
        connected.cancel()
        if self._keeping.done():
            self._keeping.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect, and end every feed."""
        self.close_feeds()
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)

    def close_feeds(self) -> None:
        """End every feed, so that event streams end before the server does."""
        for feed in tuple(self._feeds):
            feed.close()

    # -- reading --------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """True while the view is connected to the broker."""
        return self._operator is not None

    def now(self) -> int:
        """The fleet's time: milliseconds since the epoch."""
        return self._require_operator().last_now()

    async def clock(self) -> ClockNow | None:
        """The fleet's own time; None where it keeps the time of day. `clock` says at what pace."""
        return await self._require_operator().clock()

    @contextlib.contextmanager
    def changes(self, watched: Collection[str] | None = None) -> Iterator[ChangeFeed]:
        """A feed of changed device ids for one viewer; all devices where `watched` is None."""
        feed = ChangeFeed(watched)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)

    @contextlib.contextmanager
    def listening(self, listener: Callable[[ReceivedMessage], None]) -> Iterator[None]:
        """Call `listener` with every device message and a load's figures, in order.

        It must not block.

        For actors, which need each result and not only the latest.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    # -- acting ---------------------------------------------------------------------------------

    async def send_command(
        self,
        device_id: str,
        action: str,
        *,
        issued_by: Literal["user", "admin"],
        policy: Policy | None = None,
    ) -> str:
        """Publish a command that never expires; returns its id once the broker has it.

        Its state is read from `DeviceView.actions`. Raises BrokerError without a connection,
        UsageError for what is no command.
        """
        operator = self._require_operator()

        def remember(command: AnyCommand) -> None:
            action_sent = DeviceAction(
                command.command_id, command.action_name, issued_by, operator.last_now()
            )
            self._device(device_id).sent(action_sent)
            self._mark(device_id)

        return await operator.post_command(
            device_id, action, issued_by=issued_by, policy=policy, before=remember
        )

    async def send_input(self, device_id: str, action: str, **values: str) -> str:
        """Publish an input of the device's user; returns its id once the broker has it."""
        return await self._require_operator().post_input(device_id, action, **values)

    async def send_simulation(self, device_id: str, action: str) -> None:
        """Publish a simulated event such as `restart` or `offline`."""
        await self._require_operator().post_simulation(device_id, action)

    async def send_message(
        self, device_id: str, kind: Literal["text", "call"], sender: str, body: str
    ) -> None:
        """Let a text message or a call reach a device."""
        await self._require_operator().post_message(device_id, kind, sender, body)

    async def advance_clock(self, milliseconds: int) -> int:
        """Move virtual time, or time at a speed; returns the fleet's time then.

        Raises UsageError for the time of day.
        """
        operator = self._require_operator()
        clock = await operator.clock()
        move = (
            operator.advance
            if clock is None or clock.clock == "virtual"
            else operator.advance_running_clock
        )
        now = await move(by=milliseconds, limit=_CLOCK_LIMIT)
        if self._observer is not None:
            # What the fleet published until then comes over the other connection.
            await self._observer.pass_barrier(_CLOCK_LIMIT)
        return now

    # -- parts ----------------------------------------------------------------------------------

    def _require_operator(self) -> Operator:
        if self._operator is None:
            raise BrokerError(
                f"the connection to {self._address.url} is lost at the moment",
                hint="it is opened again as soon as the broker answers",
            )
        return self._operator

    async def _keep_connected(self) -> None:
        """Hold a connection. The first failure is raised; later ones are tried again."""
        delay = _RECONNECT[0]
        while True:
            try:
                async with self._connection():
                    delay = _RECONNECT[0]
                    await self._require_operator().lost()
            except BrokerError as error:
                if not self._connected.is_set():
                    raise
                _log.warning("web view: %s", error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _RECONNECT[1])

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        async with Operator(self._address, self.topics) as operator:
            await operator.clock()  # before devices are heard: their instants are by this clock
            self._clock = operator
            filters = [self.topics.device("+", leaf) for leaf in _LEAVES]
            filters.append(f"{self.topics.root}/loads/+/figures")
            try:
                async with Observer(self._address, self.topics, filters, self._receive) as observer:
                    # Commands are sent from now on: their results cannot be missed.
                    self._operator, self._observer = operator, observer
                    self._connected.set()
                    yield
            finally:
                self._clock = self._operator = self._observer = None

    def _device(self, device_id: str) -> DeviceView:
        device = self.devices.get(device_id)
        if device is None:
            device = DeviceView(device_id, self._heard)
            self.devices[device_id] = device
            self.membership += 1
        return device

    def _receive(self, received: ReceivedMessage) -> None:
        device_id = received.device_id
        if device_id is None:
            self._pass_on(received)
            return
        if self._clock is not None:
            self._heard = self._clock.last_now()
        device = self._device(device_id)
        device.take(received, self._heard)
        if device.gone and received.leaf in ("state", "presence"):
            del self.devices[device_id]
            self.membership += 1
        self._mark(device_id)
        self._pass_on(received)

    def _pass_on(self, received: ReceivedMessage) -> None:
        for listener in tuple(self._listeners):
            listener(received)

    def _mark(self, device_id: str) -> None:
        self.revision += 1
        for feed in self._feeds:
            feed.mark(device_id)
