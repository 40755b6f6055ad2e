"""`passfleet record`: the messages of a broker, written to a trace.

The recorder is an operator that only subscribes. The broker's retained messages give the devices.
Their setup and their memory are requested from the processes that host them
(`fleet.hosting.device_facts`), and left out if no host answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.address import BrokerAddress
from broker.contract import ClockNow, DeviceState, Topics
from broker.errors import UsageError
from broker.operator.link import OperatorLink
from broker.operator.operator import EVERYONE
from broker.operator.readers import PresenceTracker, ReceivedMessage, read_clock_now, read_state
from broker.timestamps import parse_clock_speed
from fleet.hosting.device_facts import DeviceDescription, request_descriptions
from platforms.conformance import DEFAULT_CONFORMANCE
from scenarios.traces.format import (
    OPERATOR_LEAVES,
    PUBLISHED_LEAVES,
    TraceDevice,
    TraceHeader,
    TraceWriter,
    is_trace_topic,
    trace_exists_error,
)

__all__ = ["RecordingResult", "check_output_path", "record"]

_GATHERING: Final = 0.2
"""Seconds in which devices that join are collected, to be requested together."""
_LAST_ASKING: Final = 3.0
"""Seconds that hosts have, at the end, to describe devices that have just joined."""


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """Counts of a recording. `interrupted` is True if Ctrl-C ended it in good order."""

    path: Path
    devices: int
    messages: int
    interrupted: bool = False


def check_output_path(path: Path, *, overwrite: bool) -> None:
    """Raise UsageError if no trace can be written to `path`; called before the recording."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="name a file in it")
    if path.exists() and not overwrite:
        raise trace_exists_error(path)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} into")


async def record(
    address: BrokerAddress,
    topics: Topics,
    path: Path,
    *,
    seconds: float | None,
    started: Callable[[int], None],
    overwrite: bool = False,
) -> RecordingResult:
    """Record until `seconds` have passed, Ctrl-C or SIGTERM.

    `started` is called with the number of devices once the recording has begun. Raises UsageError
    if the file exists and `overwrite` is False, FileError if it cannot be written, BrokerError if
    the broker cannot be reached or goes away; the trace then has no end line.
    """
    async with OperatorLink(address, topics) as link:
        recorder = _Recorder(link)
        await recorder.listen()
        interrupted = False
        with recorder.writing(path, overwrite=overwrite) as writer, _stop_signal() as stop:
            async with recorder.describing_new_devices(writer):
                started(len(recorder.devices))
                with contextlib.suppress(TimeoutError):
                    interrupted = await link.wait(stop, seconds) == signal.SIGINT
                # What the broker had by now is on its way to us.
                await link.wait_for_retained()
        return RecordingResult(path, len(recorder.devices), writer.messages, interrupted)


@contextlib.contextmanager
def _stop_signal() -> Iterator[asyncio.Future[int]]:
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
    """Subscriber to all messages of a fleet; buffers them until the file is open."""

    def __init__(self, link: OperatorLink) -> None:
        self.devices: dict[str, TraceDevice] = {}
        self._link = link
        self._presences = PresenceTracker()
        self._clock: ClockNow | None = None
        self._buffered: list[tuple[int, ReceivedMessage]] = []
        self._writer: TraceWriter | None = None
        self._busy: set[str] = set()
        self._undescribed: set[str] = set()
        self._joined = asyncio.Event()
        self._definitions = _Definitions([])

    async def listen(self) -> None:
        """Subscribe; returns once the retained messages and the hosts' answers have arrived."""
        topics = self._link.topics
        leaves = (*PUBLISHED_LEAVES, *OPERATOR_LEAVES)
        filters = [(topics.device("+", leaf), 1) for leaf in leaves]
        filters += [(topics.group("+"), 1), (topics.clock, 1), (topics.clock_now, 1)]
        self._link.listeners.append(self._on_message)
        await self._link.subscribe(filters)
        await self._link.wait_for_retained()
        self._start = self._now()
        for device_id, seen in sorted(self._presences.devices.items()):
            if seen.state is not None and _is_own_state(seen.state, device_id):
                self.devices[device_id] = TraceDevice(state=seen.state, online=seen.online)
        await self._request_descriptions(self.devices)
        self._busy.clear()
        self._definitions = _Definitions(self.devices.values())

    @contextlib.contextmanager
    def writing(self, path: Path, *, overwrite: bool) -> Iterator[TraceWriter]:
        """Write the header, the messages buffered meanwhile, then messages as they arrive.

        The trace has an end unless something went wrong: the broker was lost.
        """
        header = TraceHeader(
            root=self._link.topics.root,
            clock=self._clock.clock if self._clock else "real",
            start=self._start,
            conformance=self._definitions.conformance,
            platforms=self._definitions.platforms,
            devices=tuple(map(self._definitions.without_shared, self.devices.values())),
        )
        writer = TraceWriter(path, header, overwrite=overwrite)
        try:
            with writer:
                for instant, message in self._buffered:
                    self._write(writer, instant, message)
                self._writer = writer
                yield writer
                writer.close(self._now())
        finally:
            self._writer = None

    # -- descriptions by hosts -----------------------------------------------------------------

    async def _request_descriptions(self, devices: Iterable[str]) -> None:
        platforms = {name: self.devices[name].state.platform for name in devices}
        if platforms:
            await request_descriptions(self._link, platforms, self._on_description)

    def _on_description(self, device_id: str, description: DeviceDescription) -> None:
        # A busy device may remember more now than it did when the trace began.
        calm = not self._busy & {device_id, EVERYONE}
        facts = description.facts
        self.devices[device_id] = self.devices[device_id].model_copy(
            update={
                "policy": facts.policy if calm else facts.setup.policy,
                "setup": facts.setup,
                "memory": facts.memory if calm else None,
                "conformance": description.conformance,
                "platforms": dict(description.platforms),
            }
        )

    @contextlib.asynccontextmanager
    async def describing_new_devices(self, writer: TraceWriter) -> AsyncIterator[None]:
        """Request descriptions of devices that join, many at a time, and write them down."""
        asking = asyncio.create_task(
            self._describe_new_devices(writer), name="passfleet.record.new_devices"
        )
        try:
            yield
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_ASKING):
                    while self._undescribed and not asking.done():
                        await self._link.pause(_GATHERING)
            if asking.done():
                asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _describe_new_devices(self, writer: TraceWriter) -> None:
        while True:
            await self._joined.wait()
            await self._link.pause(_GATHERING)
            self._joined.clear()
            new = sorted(self._undescribed)
            await self._request_descriptions(new)
            for device_id in new:
                device = self.devices[device_id]
                if device.setup is not None:
                    writer.device(self._definitions.without_shared(device))
            self._undescribed.difference_update(new)

    # -- messages --------------------------------------------------------------------------------

    def _on_message(self, message: ReceivedMessage) -> None:
        if message.topic == self._link.topics.clock_now:
            self._on_clock(message.payload)
            return
        if message.retained:
            self._presences.on_message(message)
            return
        instant = self._now()
        if self._writer is not None:
            self._write(self._writer, instant, message)
        else:
            self._mark_busy(message)
            self._buffered.append((instant, message))

    def _on_clock(self, payload: bytes) -> None:
        published = read_clock_now(payload)
        if published is not None and self._clock is None and self._writer is not None:
            self._writer.clock(published.clock, published.now)
        # A fleet that stops clears this topic; the last time that it published is kept.
        self._clock = published or self._clock

    def _mark_busy(self, message: ReceivedMessage) -> None:
        """Note devices that receive messages while hosts are asked for their earlier memory."""
        topics = self._link.topics
        if message.device_id is not None and message.leaf != "presence":
            self._busy.add(message.device_id)
        elif message.topic == topics.clock or message.topic.startswith(f"{topics.root}/groups/"):
            self._busy.add(EVERYONE)

    def _write(self, writer: TraceWriter, instant: int, message: ReceivedMessage) -> None:
        topic = message.topic.removeprefix(f"{self._link.topics.root}/")
        if not is_trace_topic(topic):
            return
        device_id = message.device_id
        if message.leaf == "state" and device_id is not None and device_id not in self.devices:
            state = read_state(message.payload)
            if state is not None and _is_own_state(state, device_id):
                self.devices[device_id] = TraceDevice(state=state)
                writer.device(self.devices[device_id])
                self._undescribed.add(device_id)
                self._joined.set()
        elif device_id is None:
            self._busy |= self._undescribed
        elif device_id in self._undescribed:
            self._mark_busy(message)
        if message.leaf in ("state", "presence") and not message.payload:
            return  # a fleet that leaves clears what was retained
        writer.message(instant, topic, message.payload, message.retained)

    def _now(self) -> int:
        """The fleet's time in milliseconds since the epoch: as published, else the wall clock's."""
        wall = time.time_ns() // 1_000_000
        clock = self._clock
        if clock is None:
            return wall
        return clock.now + round(
            max(0, wall - clock.real_date_time) * parse_clock_speed(clock.clock)
        )


def _is_own_state(state: DeviceState, device_id: str) -> bool:
    """Return True if a state has a valid device id and came on that device's topic."""
    return state.device_id == device_id and is_trace_topic(f"devices/{device_id}/state")


class _Definitions:
    """Dated table and own platforms that most devices of a trace share, for its header."""

    def __init__(self, devices: Iterable[TraceDevice]) -> None:
        known = [device for device in devices if device.conformance is not None]
        tables = (device.conformance for device in known if device.conformance)
        self.conformance = next(tables, DEFAULT_CONFORMANCE)
        self.platforms: dict[str, Any] = {}
        for device in known:
            if device.conformance == self.conformance:
                self.platforms = {**(device.platforms or {}), **self.platforms}

    def without_shared(self, device: TraceDevice) -> TraceDevice:
        """The device without its table and platforms if they equal the header's."""
        own = device.platforms or {}
        shared = all(self.platforms.get(name) == table for name, table in own.items())
        if not shared or device.conformance not in (None, self.conformance):
            return device
        return device.model_copy(update={"conformance": None, "platforms": None})
