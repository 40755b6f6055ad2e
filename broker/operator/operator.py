"""The operator's side of the contract: commands, inputs, simulations, virtual time, and reading.

Used by the command line, by scenario actors and by tests. An `Operator` is one connection; whatever
it does subscribes before it publishes, so that no answer is missed. Work for a message does not
grow with the fleet: answers are found by their id, devices by theirs.
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
    ClockNow,
    ClockTo,
    DeviceCommand,
    Inspection,
    Policy,
    PolicyCommand,
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
)
from broker.timestamps import LAST_INSTANT, parse_clock_speed

__all__ = ["EVERYONE", "Group", "Operator"]

EVERYONE: Final = "all"
"""The group that every device is in."""
_ONE_BY_ONE: Final = 20
"""Up to so many devices are listened to one by one, more by one filter for all."""
_WATCHED: Final = ("state", "presence", "notifications", "escrow", "results")


@dataclass(frozen=True, slots=True)
class Group:
    """A group as a target: one message for all its devices.

    `members` are the ids to wait for; None looks them up.
    """

    name: str
    members: tuple[str, ...] | None = None


Target = str | Sequence[str] | Group


class Operator:
    """A connection of an operator to one fleet, as an async context manager.

    Every method raises BrokerError where the broker cannot be reached or the connection is lost.
    Instants are milliseconds since the epoch; limits and times taken are real seconds.
    """

    def __init__(self, address: BrokerAddress, topics: Topics) -> None:
        self.topics = topics
        self._link = OperatorLink(address, topics)
        self._clock: ClockNow | None = None
        self._clock_known = False
        self._pending = PendingRequests()
        self._results_held: set[str] = set()

    async def __aenter__(self) -> Self:
        """Connect, within 5 seconds. Raises BrokerError where there is no way in."""
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
        """Return the fleet's clock; None if the fleet runs at the time of day."""
        if self._clock is None and not self._clock_known:
            await self._link.settle()
            self._clock_known = True
        return self._clock

    async def now(self) -> int:
        """The fleet's time: milliseconds since the epoch."""
        await self.clock()
        return self.last_now()

    def last_now(self) -> int:
        """Return the fleet's time by the last clock message: milliseconds since the epoch."""
        clock, wall = self._clock, time.time_ns() // 1_000_000
        if clock is None:
            return wall
        passed = wall - clock.real_date_time
        return clock.now + round(max(0, passed) * parse_clock_speed(clock.clock))

    async def advance(self, *, by: int | None = None, to: int | None = None, limit: float) -> int:
        """Move virtual time `by` milliseconds or `to` an instant; returns the fleet's time then.

        Returns once the fleet has published all that was due. Raises UsageError where the fleet's
        time is not virtual or would go back, PeerError where the fleet does not move it within
        `limit` seconds.
        """
        clock = await self.clock()
        if clock is None or clock.clock != "virtual":
            kept = "the time of day" if clock is None else f"time at {clock.clock}"
            raise UsageError(
                f"the fleet keeps {kept}, which cannot be moved",
                hint='set clock = "virtual" under [fleet] in fleet.toml and start it again',
            )
        target = clock.now + (by or 0) if to is None else to
        if target < clock.now:
            raise UsageError("time never goes back", hint="`passfleet clock now` tells the time")
        if target > LAST_INSTANT:
            raise UsageError("time ends with the year 9999", hint="move it less far")

        def accept(heard: ReceivedMessage) -> int | None:
            if heard.topic != self.topics.clock_now:
                return None
            told = read_clock_now(heard.payload)
            return told.now if told is not None and told.now >= target else None

        with self._link.expecting(accept) as moved:
            await self._link.publish(self.topics.clock, ClockTo(to=target).to_bytes())
            try:
                return await self._link.wait(moved, limit)
            except TimeoutError:
                raise PeerError(
                    f"the fleet did not move its time within {limit:g} s",
                    hint="is it still running?",
                ) from None

    # -- reading ------------------------------------------------------------------------------

    async def devices(self, only: Collection[str] | None = None) -> dict[str, KnownDevice]:
        """Return the known devices, sorted by id; `only` selects some of them."""
        tracker = PresenceTracker()
        async with self._link.subscribed(
            self._filters(only, "state", "presence"), tracker.on_message
        ):
            await self._settle()
        wanted = None if only is None else frozenset(only)
        return {
            device_id: tracker.devices[device_id]
            for device_id in sorted(tracker.devices)
            if wanted is None or device_id in wanted
        }

    async def inspect(self, device_id: str, *, limit: float = 5.0) -> Inspection:
        """Return the inspection of a device by its host, also while it is offline.

        Raises PeerError where no host answers within `limit` seconds.
        """
        topic = self.topics.device(device_id, "inspection")

        def accept(heard: ReceivedMessage) -> Inspection | None:
            return read_inspection(heard.payload) if heard.topic == topic else None

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

        Retained messages come first, marked as retained. Wrap it in `contextlib.aclosing` where
        the loop may be left early.
        """
        queue: asyncio.Queue[ReceivedMessage] = asyncio.Queue()
        wanted = None if only is None else frozenset(only)

        def listen(heard: ReceivedMessage) -> None:
            ours = heard.leaf in _WATCHED and (wanted is None or heard.device_id in wanted)
            if ours or heard.topic == self.topics.clock_now:
                queue.put_nowait(heard)

        filters = [*self._filters(only, *_WATCHED), (self.topics.clock_now, 1)]
        async with self._link.subscribed(filters, listen):
            while True:
                yield await self._link.guard(queue.get(), None)

    @contextlib.asynccontextmanager
    async def observed(
        self, listener: Callable[[ReceivedMessage], None], *leaves: str, also: Sequence[str] = ()
    ) -> AsyncIterator[None]:
        """Call `listener` with every message of these leaves of every device, and of topics `also`.

        Entering returns once what is retained has arrived. The listener must not block; it is
        called with other messages of this connection, too.
        """
        filters = [*self._filters(None, *leaves), *((topic, 0) for topic in also)]
        async with self._link.subscribed(filters, listener):
            await self._settle()
            yield

    async def lost(self) -> None:
        """Wait until the connection is lost, which is raised as a BrokerError."""
        await self._link.lost()

    # -- publishing without waiting for an answer ----------------------------------------------

    async def post_command(
        self,
        device_id: str,
        action: str,
        *,
        issued_by: str = "admin",
        policy: Policy | None = None,
        before: Callable[[DeviceCommand | PolicyCommand], None] | None = None,
    ) -> str:
        """Publish a command that never expires, and return its id once the broker has it.

        `before` is called with the command just before it is published. Raises UsageError for what
        is no command.
        """
        command = build_command(action, policy, issued_by, None)
        if before is not None:
            before(command)
        await self._link.publish(self.topics.device(device_id, "commands"), command.to_bytes())
        return command.command_id

    async def post_input(self, device_id: str, action: str, **values: str) -> str:
        """Publish an input, and return its id once the broker has it.

        Raises UsageError where `action` is no input, or comes without what it needs, or with more.
        """
        press = {**values, "inputId": fresh_id(), "action": action}
        await self._link.publish(self.topics.device(device_id, "inputs"), build_input(press))
        return press["inputId"]

    async def post_simulation(self, device_id: str, action: str) -> None:
        """Publish one of SIMULATIONS, and return once the broker has it."""
        payload = build_simulation(action)
        await self._link.publish(self.topics.device(device_id, "simulate"), payload)

    async def post_message(self, device_id: str, kind: str, sender: str, body: str) -> None:
        """Let a text message or call reach a device; returns once the broker has it."""
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
        timeout: float = 30.0,  # noqa: ASYNC109  # the command's own, which it carries
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

        Raises UsageError where `action` is no input, or comes without what it needs, or with more.
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
            await self._settle()
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
        """Remove what a crashed fleet left at the broker: see `broker.operator.cleanup`."""
        return await clean(
            self._link, frozenset(device_ids or ()), force=force, client_ids=client_ids
        )

    # -- parts --------------------------------------------------------------------------------

    async def _settle(self) -> None:
        await self._link.settle()
        self._clock_known = True

    def _filters(self, only: Collection[str] | None, *leaves: str) -> list[tuple[str, int]]:
        names = ["+"] if only is None or len(only) > _ONE_BY_ONE else list(only)
        # States and presences are retained: what gets lost at QoS 0 is said again.
        quality = {"state": 0, "presence": 0}
        return [
            (self.topics.device(name, leaf), quality.get(leaf, 1))
            for name in names
            for leaf in leaves
        ]

    async def _listen_for_results(self, device_ids: Sequence[str]) -> None:
        """Subscribe to the devices' results, and stay so: the next command is quicker for it."""
        if "+" in self._results_held:
            return
        new = [device_id for device_id in device_ids if device_id not in self._results_held]
        if len(self._results_held) + len(new) > _ONE_BY_ONE:
            new = ["+"]
        if new:
            await self._link.subscribe([(self.topics.device(name, "results"), 1) for name in new])
            self._results_held.update(new)

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
        # Where time runs faster, it is there that the command must last as long as the waiting.
        speed = (parse_clock_speed(clock.clock) or 1.0) if clock else 1.0
        return min(self.last_now() + round(seconds * speed * 1000), LAST_INSTANT)

    async def _collect(self, batch: RequestBatch, deadline: float) -> None:
        left = deadline - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            await self._link.wait(batch.complete, max(0.0, left))

    def _on_clock(self, heard: ReceivedMessage) -> None:
        if heard.topic == self.topics.clock_now:
            if not heard.payload:
                self._clock = None
            elif (told := read_clock_now(heard.payload)) is not None:
                self._clock = told


def _ids(target: str | Sequence[str]) -> list[str]:
    device_ids = [target] if isinstance(target, str) else list(dict.fromkeys(target))
    if not device_ids:
        raise UsageError("no device is named", hint="name one or more device ids")
    return device_ids
