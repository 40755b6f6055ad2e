"""`passfleet record`: what goes over a broker, into a trace.

The recorder is an operator that only listens. What the broker has retained tells which devices
there are; their policies are asked of the process that hosts them, and left out where none answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.address import BrokerAddress
from broker.answers import Heard, Roster, Seen, read_clock_now, read_state
from broker.contract import ClockNow, Policy, Topics
from broker.errors import PeerError
from broker.operator import Operator
from broker.operator_link import OperatorLink
from scenarios.trace import (
    OPERATOR_LEAVES,
    PUBLISHED_LEAVES,
    TraceDevice,
    TraceHeader,
    TraceWriter,
)

__all__ = ["Recorded", "record"]

_ASKING: Final = 2.0
"""Seconds that a host has to tell a device's policy."""
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded. `interrupted`: Ctrl-C ended it, in good order."""

    path: Path
    devices: int
    messages: int
    interrupted: bool = False


async def record(
    address: BrokerAddress,
    topics: Topics,
    path: Path,
    *,
    seconds: float | None,
    started: Callable[[int], None],
) -> Recorded:
    """Record until `seconds` have passed, Ctrl-C or SIGTERM.

    `started` hears of how many devices, once everything that happens from now on is recorded.
    Raises BrokerError where the broker cannot be reached or goes away; the trace then breaks off.
    """
    async with OperatorLink(address, topics) as link:
        recorder = _Recorder(link)
        await recorder.listen()
        policies = await _policies(address, topics, list(recorder.roster.devices))
        interrupted = False
        with recorder.writing(path, policies) as writer, _stopped() as stop:
            started(len(recorder.devices))
            with contextlib.suppress(TimeoutError):
                interrupted = await link.wait(stop, seconds) == signal.SIGINT
            # What the broker had by now is on its way to us.
            await link.settle()
        return Recorded(path, len(recorder.devices), writer.messages, interrupted)


async def _policies(address: BrokerAddress, topics: Topics, ids: list[str]) -> dict[str, Policy]:
    """The policies in force; none where the devices' host does not tell."""
    found: dict[str, Policy] = {}
    places = asyncio.Semaphore(_AT_ONCE)

    async def ask(operator: Operator, device_id: str) -> None:
        async with places:
            inspection = await operator.inspect(device_id, limit=_ASKING)
            if inspection.policy is not None:
                found[device_id] = inspection.policy

    async with Operator(address, topics) as operator:
        # Who does not answer for the first does not answer for the others.
        with contextlib.suppress(PeerError):
            for device_id in ids[:1]:
                await ask(operator, device_id)
            async with asyncio.TaskGroup() as group:
                for device_id in ids[1:]:
                    group.create_task(_leniently(ask(operator, device_id)))
    return found


async def _leniently(asking: Awaitable[None]) -> None:
    with contextlib.suppress(PeerError):
        await asking


@contextlib.contextmanager
def _stopped() -> Iterator[asyncio.Future[int]]:
    """A future of Ctrl-C or SIGTERM, whose number is its result."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()

    def ask(number: int) -> None:
        if not stop.done():
            stop.set_result(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    # Windows' loop takes no signals: there only its time ends a recording in good order.
    with contextlib.suppress(NotImplementedError):
        for number in numbers:
            loop.add_signal_handler(number, ask, number)
    try:
        yield stop
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)


class _Recorder:
    """Hears everything; keeps it until there is a file to write it to."""

    def __init__(self, link: OperatorLink) -> None:
        self.roster = Roster()
        self.devices: set[str] = set()
        self._link = link
        self._clock: ClockNow | None = None
        self._waiting: list[tuple[int, Heard]] = []
        self._writer: TraceWriter | None = None

    async def listen(self) -> None:
        """Subscribe; returns once everything that was retained has been heard."""
        topics = self._link.topics
        leaves = (*PUBLISHED_LEAVES, *OPERATOR_LEAVES)
        filters = [(topics.device("+", leaf), 1) for leaf in leaves]
        filters += [(topics.group("+"), 1), (topics.clock, 1), (topics.clock_now, 1)]
        self._link.listeners.append(self._hear)
        await self._link.subscribe(filters)
        await self._link.settle()
        self._start = self._now()

    @contextlib.contextmanager
    def writing(self, path: Path, policies: dict[str, Policy]) -> Iterator[TraceWriter]:
        """Write the header, what was heard meanwhile, and from then on as it comes.

        The trace has an end unless something went wrong: the broker was lost.
        """
        devices = tuple(
            device
            for seen in self._first
            if (device := _facts(seen, policies.get(seen.device_id))) is not None
        )
        self.devices |= {device.device_id for device in devices}
        header = TraceHeader(
            root=self._link.topics.root,
            clock=self._clock.clock if self._clock else "real",
            start=self._start,
            devices=devices,
        )
        writer = TraceWriter(path, header)
        try:
            with writer:
                for instant, heard in self._waiting:
                    self._write(writer, instant, heard)
                self._writer = writer
                yield writer
                writer.close(self._now())
        finally:
            self._writer = None

    @property
    def _first(self) -> list[Seen]:
        return [self.roster.devices[device_id] for device_id in sorted(self.roster.devices)]

    def _hear(self, heard: Heard) -> None:
        if heard.topic == self._link.topics.clock_now:
            self._clock = read_clock_now(heard.payload)
            return
        if heard.retained:
            self.roster.hear(heard)
            return
        instant = self._now()
        if self._writer is not None:
            self._write(self._writer, instant, heard)
        else:
            self._waiting.append((instant, heard))

    def _write(self, writer: TraceWriter, instant: int, heard: Heard) -> None:
        root = f"{self._link.topics.root}/"
        topic = heard.topic.removeprefix(root)
        ours = heard.leaf in (*PUBLISHED_LEAVES, *OPERATOR_LEAVES) and heard.device_id is not None
        if not ours and topic != "clock" and not topic.startswith("groups/"):
            return
        if heard.leaf == "state" and heard.device_id not in self.devices:
            state = read_state(heard.payload)
            if state is not None:
                self.devices.add(state.device_id)
                writer.device(TraceDevice(state=state))
        if heard.leaf in ("state", "presence") and not heard.payload:
            return  # a fleet that leaves clears what was retained
        writer.message(instant, topic, heard.payload, heard.retained)

    def _now(self) -> int:
        """The fleet's time: its own where it tells it, else the time of day."""
        wall = time.time_ns() // 1_000_000
        clock = self._clock
        if clock is None:
            return wall
        speed = clock.clock.removesuffix("x")
        factor = float(speed) if speed.replace(".", "", 1).isdigit() else 0.0
        return clock.now + round(max(0, wall - clock.real_date_time) * factor)


def _facts(seen: Seen, policy: Policy | None) -> TraceDevice | None:
    if seen.state is None:
        return None
    return TraceDevice(state=seen.state, policy=policy, online=seen.online)
