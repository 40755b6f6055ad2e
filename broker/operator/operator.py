"""Operator API of the contract: commands, inputs, simulations, virtual time and device states.

It is used by the command line, by scenario actors and by tests. An `Operator` is one connection. It
subscribes before it publishes, so that no answer is missed. The cost per message does not grow with
the fleet, since answers and devices are found by their ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from broker.address import BrokerAddress
from broker.contract import (
    AnyCommand,
    ClockNow,
    ClockTo,
    Inspection,
    Policy,
    Topics,
)
from broker.errors import PeerError, UsageError
from broker.operator.cleanup import CleanupReport, clean
from broker.operator.link import OperatorLink
from broker.operator.pending import PendingRequests, PendingSimulation, RequestBatch
from broker.operator.readers import (
    KnownDevice,
    PresenceTracker,
    ReceivedMessage,
    RequestOutcome,
    SimulationOutcome,
    read_clock_now,
    read_inspection,
)
from broker.operator.requests import (
    build_command,
    build_input,
    build_message,
    build_simulation,
    fresh_id,
    running_clock_topic,
)
from broker.timestamps import LAST_INSTANT, parse_clock_speed

__all__ = ["EVERYONE", "Group", "Operator"]

EVERYONE: Final = "all"
"""Group of all devices."""
_MAX_SINGLE_FILTERS: Final = 20
"""Number of devices above which one wildcard filter replaces a filter per device."""
_WATCHED: Final = ("state", "presence", "notifications", "escrow", "results")


@dataclass(frozen=True, slots=True)
class Group:
    """Group as a target: one message for all its devices.

    `members` are the ids whose answers are awaited; None looks them up.
    """

    name: str
    members: tuple[str, ...] | None = None


Target = str | Sequence[str] | Group


class Operator:
    """Connection of an operator to one fleet, as an async context manager.

    Every method raises BrokerError if the connection fails or is lost. Instants are milliseconds
    since the epoch; limits and durations are real seconds.
    """

    def __init__(self, address: BrokerAddress, topics: Topics) -> None:
        self.topics = topics
        self._link = OperatorLink(address, topics)
        self._clock: ClockNow | None = None
        self._clock_known = False
        self._pending = PendingRequests()
        self._result_subscriptions: set[str] = set()

    async def __aenter__(self) -> Self:
        """Connect within 5 seconds. Raises BrokerError with the reason of a failure."""
        self._link.listeners += [self._pending.on_message, self._on_clock]
        await self._link.__aenter__()
        try:
            await self._link.subscribe([(self.topics.clock_now, 1)])
        except BaseException:
            await self._link.__aexit__()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self._link.__aexit__(kind, error, trace)

    # -- the fleet's time ---------------------------------------------------------------------

    async def clock(self) -> ClockNow | None:
        """Return the fleet's clock; None if the fleet uses the time of day."""
        if self._clock is None and not self._clock_known:
            await self._link.wait_for_retained()
            self._clock_known = True
        return self._clock

    async def now(self) -> int:
        """Return the fleet's time in milliseconds since the epoch."""
        await self.clock()
        return self.last_now()

    def last_now(self) -> int:
        """Return the fleet's time by the last clock message, in milliseconds since the epoch."""
        clock, wall = self._clock, time.time_ns() // 1_000_000
        if clock is None:
            return wall
        passed = wall - clock.real_date_time
        return clock.now + round(max(0, passed) * parse_clock_speed(clock.clock))

    async def advance(self, *, by: int | None = None, to: int | None = None, limit: float) -> int:
        """Move virtual time `by` milliseconds or `to` an instant; return the fleet's time then.

        Returns once the fleet has published all messages due by then. Raises UsageError if the
        fleet's time is not virtual or would go back, PeerError if the fleet does not answer within
        `limit` seconds.
        """
        clock = await self.clock()
        if clock is None or clock.clock != "virtual":
            mode = "the time of day" if clock is None else f"time at {clock.clock}"
            raise UsageError(
                f"the fleet uses {mode}, which cannot be moved",
                hint='set clock = "virtual" under [fleet] in fleet.toml and start it again',
            )
        target = clock.now + (by or 0) if to is None else to
        if target < clock.now:
            raise UsageError("time never goes back", hint="`passfleet clock now` shows the time")
        return await self._move_clock(self.topics.clock, target, limit)

    async def advance_running_clock(self, *, by: int, limit: float) -> int:
        """Move time that runs at a speed `by` milliseconds; returns the fleet's time then.

        The wire contract moves virtual time only: this is for the control of the browser pages.
        Raises UsageError for the time of day, PeerError where the fleet does not move it.
        """
        if await self.clock() is None:
            raise UsageError("the fleet keeps the time of day, which cannot be moved")
        return await self._move_clock(running_clock_topic(self.topics), self.last_now() + by, limit)

    async def _move_clock(self, topic: str, target: int, limit: float) -> int:
        if target > LAST_INSTANT:
            raise UsageError("time ends with the year 9999", hint="choose an earlier time")

        def accept(message: ReceivedMessage) -> int | None:
            if message.topic != self.topics.clock_now:
                return None
            clock_now = read_clock_now(message.payload)
            return clock_now.now if clock_now is not None and clock_now.now >= target else None

        with self._link.expecting(accept) as moved:
            await self._link.publish(topic, ClockTo(to=target).to_bytes())
            try:
                return await self._link.wait(moved, limit)
            except TimeoutError:
                raise PeerError(
                    f"the fleet did not move its time within {limit:g} s",
                    hint="is the fleet still running?",
                ) from None

    # -- reading ------------------------------------------------------------------------------

    async def devices(self, only: Collection[str] | None = None) -> dict[str, KnownDevice]:
        """Return the known devices, sorted by id; `only` selects some of them."""
        tracker = PresenceTracker()
        async with self._link.subscribed(
            self._filters(only, "state", "presence"), tracker.on_message
        ):
            await self._wait_for_retained()
        wanted = None if only is None else frozenset(only)
        return {
            device_id: tracker.devices[device_id]
            for device_id in sorted(tracker.devices)
            if wanted is None or device_id in wanted
        }

    async def inspect(self, device_id: str, *, limit: float = 5.0) -> Inspection:
        """Return the inspection of a device by its host, also while it is offline.

        Raises PeerError if no host answers within `limit` seconds.
        """
        topic = self.topics.device(device_id, "inspection")

        def accept(message: ReceivedMessage) -> Inspection | None:
            return read_inspection(message.payload) if message.topic == topic else None

        request = json.dumps({"requestId": fresh_id()}).encode()
        with self._link.expecting(accept) as answered:
            async with self._link.subscribed([(topic, 1)], lambda _: None):
                await self._link.publish(self.topics.device(device_id, "inspect"), request)
                try:
                    return await self._link.wait(answered, limit)
                except TimeoutError:
                    raise PeerError(
                        f"no host of {device_id} answered within {limit:g} s",
                        hint="is the fleet still running?",
                    ) from None

    async def watch(self, only: Collection[str] | None = None) -> AsyncGenerator[ReceivedMessage]:
        """Yield the messages that devices publish, and the fleet's clock messages.

        Retained messages come first, marked as retained. Use `contextlib.aclosing` if the loop may
        end early.
        """
        queue: asyncio.Queue[ReceivedMessage] = asyncio.Queue()
        wanted = None if only is None else frozenset(only)

        def listen(message: ReceivedMessage) -> None:
            watched = message.leaf in _WATCHED and (wanted is None or message.device_id in wanted)
            if watched or message.topic == self.topics.clock_now:
                queue.put_nowait(message)

        filters = [*self._filters(only, *_WATCHED), (self.topics.clock_now, 1)]
        async with self._link.subscribed(filters, listen):
            while True:
                yield await self._link.guard(queue.get(), None)

    @contextlib.asynccontextmanager
    async def observed(
        self, listener: Callable[[ReceivedMessage], None], *leaves: str, also: Sequence[str] = ()
    ) -> AsyncIterator[None]:
        """Call `listener` with the messages on these topic leaves of all devices and on `also`.

        Entering waits for the retained messages. The listener must not block. It is also called
        with the other messages of this connection.
        """
        filters = [*self._filters(None, *leaves), *((topic, 0) for topic in also)]
        async with self._link.subscribed(filters, listener):
            await self._wait_for_retained()
            yield

    async def lost(self) -> None:
        """Wait until the connection is lost, and raise a BrokerError then."""
        await self._link.lost()

    # -- publishing without waiting for an answer ----------------------------------------------

    async def post_command(
        self,
        device_id: str,
        action: str,
        *,
        issued_by: str = "admin",
        policy: Policy | None = None,
        before: Callable[[AnyCommand], None] | None = None,
    ) -> str:
        """Publish a command that never expires. Return its id once the broker has accepted it.

        `before` is called with the command just before it is published. Raises UsageError for an
        invalid command.
        """
        command = build_command(action, policy, issued_by, None)
        if before is not None:
            before(command)
        await self._link.publish(self.topics.device(device_id, "commands"), command.to_bytes())
        return command.command_id

    async def post_input(self, device_id: str, action: str, **values: str) -> str:
        """Publish an input. Return its id once the broker has accepted it.

        Raises UsageError for an unknown input and for a missing or superfluous value.
        """
        press = {**values, "inputId": fresh_id(), "action": action}
        await self._link.publish(self.topics.device(device_id, "inputs"), build_input(press))
        return press["inputId"]

    async def post_simulation(self, device_id: str, action: str) -> None:
        """Publish one of SIMULATIONS. Returns once the broker has accepted it."""
        payload = build_simulation(action)
        await self._link.publish(self.topics.device(device_id, "simulate"), payload)

    async def post_message(self, device_id: str, kind: str, sender: str, body: str) -> None:
        """Send a text message or call to a device. Returns once the broker has accepted it."""
        payload = build_message(kind, sender, body)
        await self._link.publish(self.topics.device(device_id, "messages"), payload)

    # -- commands and inputs ------------------------------------------------------------------

    async def send(
        self,
        target: Target,
        action: str,
        *,
        policy: Policy | None = None,
        issued_by: str = "admin",
        timeout: float = 30.0,  # noqa: ASYNC109  # also sets the command's expiry
        now: int | None = None,
        on_outcome: Callable[[RequestOutcome], None] | None = None,
    ) -> list[RequestOutcome]:
        """Send a command and wait up to `timeout` seconds for every device's final result.

        `target` is a device id, several ids, or a Group, which takes one message for all its
        devices. `action` is one of `broker.contract.ACTIONS`; `policy` is for
        `applyPasscodePolicy`; `issued_by` is `user` or `admin`. The command expires, by the fleet's
        time, when the wait ends; with `now`, the fleet's time in milliseconds, it expires `timeout`
        seconds after that. `on_outcome` is called with each outcome as it arrives.

        Returns the outcomes in the target's order, including devices without an answer. Raises
        UsageError for an invalid command or an empty target.
        """
        device_ids = await self._members(target)
        command = build_command(action, policy, issued_by, await self._expiry(timeout, now))
        payload = command.to_bytes()
        deadline = asyncio.get_running_loop().time() + timeout
        await self._listen_for_results(device_ids)
        with self._pending.batch(command.command_id, device_ids, on_outcome) as batch:
            if isinstance(target, Group):
                await self._link.publish(self.topics.group(target.name), payload)
            else:
                messages = batch.messages(self.topics, "commands", payload)
                with contextlib.suppress(TimeoutError):
                    await self._link.publish_all(messages, timeout)
            await self._collect(batch, deadline)
            return batch.result()

    async def tap(
        self,
        device_id: str,
        action: str,
        *,
        passcode: str | None = None,
        user: str | None = None,
        key: str | None = None,
        limit: float = 10.0,
    ) -> RequestOutcome:
        """Press a button on a device and wait up to `limit` seconds for its answer.

        Raises UsageError for an unknown input and for a missing or superfluous value.
        """
        input_id = fresh_id()
        given = {"passcode": passcode, "user": user, "key": key}
        press = {"inputId": input_id, "action": action}
        press |= {name: value for name, value in given.items() if value is not None}
        payload = build_input(press)
        deadline = asyncio.get_running_loop().time() + limit
        await self._listen_for_results([device_id])
        with self._pending.batch(input_id, [device_id], None) as batch:
            await self._link.publish(self.topics.device(device_id, "inputs"), payload)
            await self._collect(batch, deadline)
            return batch.result()[0]

    async def simulate(
        self,
        target: str | Sequence[str],
        action: str,
        *,
        limit: float = 15.0,
        on_effect: Callable[[SimulationOutcome], None] | None = None,
    ) -> list[SimulationOutcome]:
        """Send a simulation and wait up to `limit` seconds until its effect is observed.

        `action` is one of `broker.contract.SIMULATIONS`. The effect is a presence (offline, online,
        or online in a later session), or for `restore` a state. An offline device shows no effect
        of a crash, a restart or a restore: the message is only sent.
        """
        device_ids = _ids(target)
        payload = build_simulation(action)
        tracker = PresenceTracker()
        filters = self._filters(device_ids, "state", "presence")
        async with self._link.subscribed(filters, tracker.on_message):
            await self._wait_for_retained()
            simulation = PendingSimulation(action, device_ids, tracker, on_effect)
            self._link.listeners.append(simulation.on_message)
            try:
                messages = simulation.messages(self.topics, payload)
                with contextlib.suppress(TimeoutError):
                    await self._link.publish_all(messages, limit)
                    await self._link.wait(simulation.complete, max(0.0, simulation.left(limit)))
            finally:
                self._link.listeners.remove(simulation.on_message)
            return simulation.result()

    async def clean(
        self,
        device_ids: Collection[str] | None = None,
        *,
        force: bool = False,
        client_ids: Collection[str] = (),
    ) -> CleanupReport:
        """Clean the broker up after a crashed fleet: see `broker.operator.cleanup`."""
        return await clean(
            self._link, frozenset(device_ids or ()), force=force, client_ids=client_ids
        )

    # -- internals --------------------------------------------------------------------------------

    async def _wait_for_retained(self) -> None:
        await self._link.wait_for_retained()
        self._clock_known = True

    def _filters(self, only: Collection[str] | None, *leaves: str) -> list[tuple[str, int]]:
        names = ["+"] if only is None or len(only) > _MAX_SINGLE_FILTERS else list(only)
        # QoS 0 suffices for states and presences, since they are retained.
        qos = {"state": 0, "presence": 0}
        return [
            (self.topics.device(name, leaf), qos.get(leaf, 1)) for name in names for leaf in leaves
        ]

    async def _listen_for_results(self, device_ids: Sequence[str]) -> None:
        """Subscribe to the devices' results. Stay subscribed: the next command is faster then."""
        if "+" in self._result_subscriptions:
            return
        new = [device_id for device_id in device_ids if device_id not in self._result_subscriptions]
        if len(self._result_subscriptions) + len(new) > _MAX_SINGLE_FILTERS:
            new = ["+"]
        if new:
            await self._link.subscribe([(self.topics.device(name, "results"), 1) for name in new])
            self._result_subscriptions.update(new)

    async def _members(self, target: Target) -> list[str]:
        if not isinstance(target, Group):
            return _ids(target)
        if target.members is not None:
            members = list(target.members)
        else:
            known = await self.devices()
            members = [i for i, s in known.items() if target.name in (EVERYONE, s.group)]
        if not members:
            raise UsageError(f"no device is known in group {target.name!r}")
        return members

    async def _expiry(self, seconds: float, now: int | None) -> int:
        if now is not None:
            return min(now + round(seconds * 1000), LAST_INSTANT)
        clock = await self.clock()
        # The command expires by the fleet's time, which may be faster than real time.
        speed = (parse_clock_speed(clock.clock) or 1.0) if clock else 1.0
        return min(self.last_now() + round(seconds * speed * 1000), LAST_INSTANT)

    async def _collect(self, batch: RequestBatch, deadline: float) -> None:
        left = deadline - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            await self._link.wait(batch.complete, max(0.0, left))

    def _on_clock(self, message: ReceivedMessage) -> None:
        if message.topic == self.topics.clock_now:
            if not message.payload:
                self._clock = None
            elif (clock_now := read_clock_now(message.payload)) is not None:
                self._clock = clock_now


def _ids(target: str | Sequence[str]) -> list[str]:
    device_ids = [target] if isinstance(target, str) else list(dict.fromkeys(target))
    if not device_ids:
        raise UsageError("no device is named", hint="name one or more device ids")
    return device_ids
