"""Run of a load test: find or start the fleet, load it, and build the result."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.address import BrokerAddress
from broker.client.pool import ConnectionPool
from broker.contract import ClockNow, Topics
from broker.errors import UsageError
from broker.operator.operator import Operator
from broker.operator.readers import KnownDevice
from broker.server.open import EMBEDDED, MOSQUITTO
from broker.timestamps import parse_clock_speed
from fleet.config.loader import FleetConfig
from fleet.load.generator import Generator, LoadPlan
from fleet.load.latency_probes import LatencyProbes
from fleet.load.live_figures import publish_figures
from fleet.load.loaded_devices import LoadedDevices
from fleet.load.measurements import Measurements
from fleet.load.options import LoadOptions
from fleet.load.own_fleet import fleet_file, fleet_for, own_fleet
from fleet.load.reconnect_storm import ReconnectStorm
from fleet.load.result import DroppedDevices, LoadResult, RunEnding
from fleet.load.schedule import Schedule
from fleet.load.worker_stats import WorkerStats
from fleet.plural import count_noun
from fleet.service import run_file

__all__ = ["ShowProgress", "run_load"]

ShowProgress = Callable[[Generator, Measurements, Schedule], Awaitable[None]]
"""Function that displays the progress until it is cancelled."""

_POLL_INTERVAL: Final = 0.2
_REFUSED_AFTER: Final = 5.0
"""Seconds without a new connection after which the broker counts as full."""


@dataclass(frozen=True)
class _Target:
    """Fleet to load. `died` completes when its process has ended, with the reason if known.

    `worker_stats` exists only for a fleet that the load started.
    """

    address: BrokerAddress
    root: str
    died: asyncio.Future[str | None]
    worker_stats: WorkerStats | None


@dataclass(frozen=True)
class _Load:
    """State of a load before the first command: options, target, devices and schedule."""

    options: LoadOptions
    target: _Target
    devices: Mapping[str, KnownDevice]
    schedule: Schedule
    plan: LoadPlan


async def run_load(
    options: LoadOptions, log: Callable[[str], None], show: ShowProgress
) -> LoadResult:
    """Load a running fleet, or a fleet started for the load.

    Raises UsageError for invalid options before anything runs; BrokerError if the broker cannot be
    reached or refuses connections; OwnFleetError if the started fleet does not become ready.
    """
    stop_signals = _StopSignals()
    with stop_signals.installed():
        return await _run_load(options, log, show, stop_signals)


async def _run_load(
    options: LoadOptions, log: Callable[[str], None], show: ShowProgress, stop_signals: _StopSignals
) -> LoadResult:
    own = _own_broker(options)
    config = fleet_for(options) if own else None
    options.check({g.platform for g in config.groups} if config else None)
    async with _target(options, own, config, log) as target:
        topics = Topics(target.root)
        async with Operator(target.address, topics) as operator:
            known = await operator.devices()
            clock = await operator.clock()
        if not known:
            raise UsageError(
                f"there are no devices below {target.root}",
                hint="is the fleet on another broker (--broker) or another root (--root)?",
            )
        devices = options.select_devices(known)
        platforms = {seen.platform for seen in devices.values()}
        thresholds = options.parse_thresholds(platforms, own_fleet=own is not None)
        load = _prepare(options, target, devices, clock)
        log(
            f"loading {count_noun(len(devices), 'device')} on {target.address.url}:"
            f" {count_noun(load.schedule.count, 'command')} in {options.duration:g} s"
        )
        runner = _LoadRun(load, topics)
        stop_signals.on_first = runner.interrupt
        await runner.run(show)
        return runner.result(thresholds)


def _own_broker(options: LoadOptions) -> str | None:
    """Return the broker for a fleet to start, or None to load a running fleet."""
    if options.broker in (EMBEDDED, MOSQUITTO):
        return options.broker
    if options.broker is not None:
        return None
    found = run_file.find_running(Path.cwd())
    return None if found is not None and found[1].alive else EMBEDDED


@asynccontextmanager
async def _target(
    options: LoadOptions, own: str | None, config: FleetConfig | None, log: Callable[[str], None]
) -> AsyncIterator[_Target]:
    if own is None or config is None:
        address, root = run_file.locate(options.broker, options.root)
        watching = asyncio.ensure_future(_until_dead(address))
        try:
            yield _Target(address, root, watching, None)
        finally:
            watching.cancel()
        return
    what = count_noun(config.device_count, "device")
    path = fleet_file(options)
    source = f" of {path}" if path else ""
    log(f"starting {what}{source} on the {own} broker")
    async with own_fleet(config, own, log) as fleet:
        yield _Target(fleet.address, fleet.root, fleet.died, fleet.worker_stats)


async def _until_dead(address: BrokerAddress) -> str | None:
    """Wait until the fleet's process has ended; forever if it is unknown or on another broker."""
    found = run_file.find_running(Path.cwd())
    if found is None or found[1].broker != address.url:
        await asyncio.get_running_loop().create_future()
        return None
    while found[1].alive:  # noqa: ASYNC110  # another process sets no event of ours
        await asyncio.sleep(_POLL_INTERVAL)
    return None


def _prepare(
    options: LoadOptions,
    target: _Target,
    devices: Mapping[str, KnownDevice],
    clock: ClockNow | None,
) -> _Load:
    schedule = Schedule(
        rate=options.rate,
        duration=options.duration,
        ramp=options.ramp,
        mix=options.mix,
        seed=options.seed,
        device_ids=sorted(devices),
    )
    plan = LoadPlan(
        schedule=schedule,
        timeout=options.timeout,
        platforms={device_id: seen.platform for device_id, seen in devices.items()},
        expiry=_expiry(clock, options.timeout),
    )
    return _Load(options, target, devices, schedule, plan)


def _expiry(clock: ClockNow | None, timeout: float) -> Callable[[float], int]:
    """Return a function that computes the expiry in fleet time of a command sent at a time."""
    wall = time.time_ns() // 1_000_000
    speed = 1.0
    now = wall
    if clock is not None:
        # Virtual time does not move while a load runs.
        speed = parse_clock_speed(clock.clock)
        now = clock.now + round((wall - clock.real_date_time) * speed)
    # In virtual time (speed 0) a command must not expire at once.
    lasting = round(timeout * 1000 * max(speed, 1.0))
    return lambda seconds: now + round(seconds * 1000 * speed) + lasting


class _LoadRun:
    """One load: connections, generator, probes and storm, from start to result."""

    def __init__(self, load: _Load, topics: Topics) -> None:
        options = load.options
        self._load = load
        self._topics = topics
        self._pool = ConnectionPool(load.target.address)
        self._loaded_devices = LoadedDevices(load.devices)
        self._measurements = Measurements(options.duration, options.timeout)
        self._offline = len(load.devices) - len(self._loaded_devices.present())
        self._generator = Generator(
            self._pool, topics, load.plan, self._measurements, self._loaded_devices
        )
        self._probes = LatencyProbes(
            self._pool, topics, self._generator.token, self._measurements, self._loaded_devices
        )
        self._storm = (
            ReconnectStorm(self._generator, options.ramp, options.duration)
            if options.storm
            else None
        )
        self._ending = RunEnding.COMPLETE
        self._reason: str | None = None
        self._reconnects = 0
        self._cut_off = False

    def interrupt(self) -> None:
        """Stop early, after Ctrl-C."""
        self._end(RunEnding.INTERRUPTED)

    async def run(self, show: ShowProgress) -> None:
        """Send every command and wait for the outcomes."""
        connections = [*self._generator.connections, *self._probes.connections]
        try:
            for connection in connections:
                connection.open()
            await self._pool.ready(connections, stalled_after=_REFUSED_AFTER)
            await self._run_beside(show)
            self._reconnects = self._pool.reconnects
            self._cut_off = not all(connection.up for connection in connections)
        finally:
            if self._ending is not RunEnding.FLEET_GONE:
                await self._probes.close()
                await self._generator.close()
            await self._pool.close()

    async def _run_beside(self, show: ShowProgress) -> None:
        """Run the generator beside the probes, the progress display and the process watch."""
        target = self._load.target
        target.died.add_done_callback(self._on_death)
        if target.worker_stats is not None:
            target.worker_stats.begin()
        beside: list[asyncio.Future[None]] = [
            asyncio.ensure_future(self._probes.run()),
            asyncio.ensure_future(show(self._generator, self._measurements, self._load.schedule)),
            asyncio.ensure_future(
                publish_figures(
                    self._probes.connections[-1], self._topics, self._generator, self._measurements
                )
            ),
        ]
        try:
            await self._run_with_storm()
        finally:
            target.died.remove_done_callback(self._on_death)
            if target.worker_stats is not None:
                target.worker_stats.end()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _run_with_storm(self) -> None:
        generator, storm = self._generator, self._storm
        if storm is None:
            await generator.run()
            return
        storming = asyncio.ensure_future(self._storming(storm))
        try:
            await generator.run()
            if not generator.halt.is_set():
                await asyncio.wait([storming], timeout=self._load.options.timeout)
        finally:
            storming.cancel()
            await asyncio.gather(storming, return_exceptions=True)

    async def _storming(self, storm: ReconnectStorm) -> None:
        # The generator sets its start time in this turn of the loop; the storm uses it.
        await asyncio.sleep(0)
        await storm.run()

    def _on_death(self, died: asyncio.Future[str | None]) -> None:
        if not died.cancelled():
            self._reason = died.result()
            self._end(RunEnding.FLEET_GONE)

    def _end(self, ending: RunEnding) -> None:
        if self._ending is RunEnding.COMPLETE:
            self._ending = ending
            self._generator.halt.set()

    def result(self, thresholds: list[Any]) -> LoadResult:
        """Build the result."""
        generator, dropped = self._generator, self._loaded_devices.dropped
        return LoadResult(
            options=self._load.options,
            schedule=self._load.schedule,
            ledger=generator.ledger,
            measurements=self._measurements,
            storm=self._storm,
            ending=self._ending,
            broker=self._load.target.address.url,
            platforms=Counter(seen.platform for seen in self._load.devices.values()),
            offline=self._offline,
            unsent=generator.unsent,
            sending_took=generator.sending_took,
            took=max(generator.sending_took, generator.last_answer),
            reconnects=self._reconnects,
            cut_off=self._cut_off,
            dropped=DroppedDevices(
                devices=len(dropped), back=sum(map(self._loaded_devices.online, dropped))
            ),
            worker_stats=self._load.target.worker_stats,
            reason=self._reason,
            probes_unanswered=self._probes.unanswered,
            thresholds=thresholds,
        )


class _StopSignals:
    """Handler of Ctrl-C and SIGTERM.

    The first signal calls `on_first`, which stops the run with a result; the second cancels the
    task. Before `on_first` is set, the first signal cancels it.
    """

    def __init__(self) -> None:
        self.on_first: Callable[[], None] | None = None
        self._main = asyncio.current_task()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Install the signal handlers for the duration of a block."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            # Windows' loops support no handlers: there Ctrl-C ends the run without a result.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in numbers:
                with contextlib.suppress(NotImplementedError):
                    loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        on_first, self.on_first = self.on_first, None
        if on_first is not None:
            on_first()
        elif self._main is not None:
            self._main.cancel()
