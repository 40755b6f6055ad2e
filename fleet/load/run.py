"""A load from its options to its result: find or start the fleet, look at it, load it, judge."""

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
from broker.answers import Seen
from broker.connections import Connections
from broker.contract import ClockNow, Topics
from broker.errors import UsageError
from broker.operator import Operator
from broker.server import EMBEDDED, MOSQUITTO
from fleet import runfile
from fleet.load.generator import Generator, Plan
from fleet.load.measures import Measures
from fleet.load.options import DEVICES, LoadOptions
from fleet.load.own_fleet import own_fleet
from fleet.load.probes import Probes
from fleet.load.result import Ending, Result
from fleet.load.rollcall import RollCall
from fleet.load.schedule import Schedule
from fleet.load.storm import Storm

__all__ = ["Show", "run_load"]

Show = Callable[[Generator, Measures, Schedule], Awaitable[None]]
"""Shows how it goes, until it is cancelled."""

_LOOK: Final = 0.2
_CLOSE_WITHIN: Final = 1.0
_SPARE: Final = 120.0
"""Seconds that a fleet of our own runs longer than the load should take."""


@dataclass(frozen=True)
class _Target:
    """The fleet to load. `died` is done once its process is known to have ended."""

    address: BrokerAddress
    root: str
    died: asyncio.Future[Any]


@dataclass(frozen=True)
class _Load:
    """What was found out and settled before the first command."""

    options: LoadOptions
    target: _Target
    devices: Mapping[str, Seen]
    schedule: Schedule
    plan: Plan


async def run_load(options: LoadOptions, say: Callable[[str], None], show: Show) -> Result:
    """Load a running fleet, or one of its own.

    Raises UsageError for what cannot be, before anything runs; BrokerError where the broker is not
    there or does not take our connections; OwnFleetError where our own fleet does not come up.
    """
    own = _own_broker(options)
    options.check(own_fleet=own is not None)
    async with _target(options, own, say) as target:
        topics = Topics(target.root)
        async with Operator(target.address, topics) as operator:
            known = await operator.devices()
            clock = await operator.clock()
        if not known:
            raise UsageError(
                f"no device is there below {target.root}",
                hint="is the fleet on another broker (--broker) or another root (--root)?",
            )
        devices = options.choose(known)
        thresholds = options.judges({seen.platform for seen in devices.values()})
        load = _settled(options, target, devices, clock)
        say(
            f"loading {len(devices)} devices on {target.address.url}: {load.schedule.count}"
            f" commands in {options.duration:g} s"
        )
        runner = _Runner(load, topics)
        with _interrupts(runner.interrupt):
            await runner.run(show)
        return runner.result(thresholds)


def _own_broker(options: LoadOptions) -> str | None:
    """The broker of a fleet of our own; None where a running one is to be loaded."""
    if options.broker in (EMBEDDED, MOSQUITTO):
        return options.broker
    if options.broker is not None:
        return None
    found = runfile.find_running(Path.cwd())
    return None if found is not None and found[1].alive else EMBEDDED


@asynccontextmanager
async def _target(
    options: LoadOptions, own: str | None, say: Callable[[str], None]
) -> AsyncIterator[_Target]:
    if own is None:
        address, root = runfile.locate(options.broker, options.root)
        watching = asyncio.ensure_future(_until_dead(address))
        try:
            yield _Target(address, root, watching)
        finally:
            watching.cancel()
        return
    count = DEVICES if options.devices is None else options.devices
    say(f"starting {count} devices on the {own} broker")
    limit = options.duration + options.timeout + _SPARE
    async with own_fleet(own, count, options.platform, limit) as fleet:
        yield _Target(fleet.address, fleet.root, fleet.died)


async def _until_dead(address: BrokerAddress) -> None:
    """Return once the fleet's process, where it is known and on this broker, has ended."""
    found = runfile.find_running(Path.cwd())
    if found is None or found[1].broker != address.url:
        await asyncio.get_running_loop().create_future()
        return
    while found[1].alive:  # noqa: ASYNC110  # another process sets no event of ours
        await asyncio.sleep(_LOOK)


def _settled(
    options: LoadOptions, target: _Target, devices: Mapping[str, Seen], clock: ClockNow | None
) -> _Load:
    schedule = Schedule(
        rate=options.rate,
        duration=options.duration,
        ramp=options.ramp,
        mix=options.mix,
        seed=options.seed,
        device_ids=sorted(devices),
    )
    plan = Plan(
        schedule=schedule,
        timeout=options.timeout,
        platforms={device_id: seen.platform for device_id, seen in devices.items()},
        expiry=_expiry(clock, options.timeout),
    )
    return _Load(options, target, devices, schedule, plan)


def _expiry(clock: ClockNow | None, timeout: float) -> Callable[[float], int]:
    """When a command expires by the fleet's own time, so that nothing fires after the run."""
    wall = time.time_ns() // 1_000_000
    speed = 1.0
    now = wall
    if clock is not None:
        # Virtual time stands still while a load runs.
        speed = float(clock.clock[:-1]) if clock.clock.endswith("x") else 0.0
        now = clock.now + round((wall - clock.real_date_time) * speed)
    # Virtual commands must last, too.
    lasting = round(timeout * 1000 * max(speed, 1.0))
    return lambda seconds: now + round(seconds * 1000 * speed) + lasting


class _Runner:
    """One load, from its connections to its result."""

    def __init__(self, load: _Load, topics: Topics) -> None:
        options = load.options
        self._load = load
        self._pool = Connections(load.target.address)
        self._roll = RollCall(load.devices)
        self._measures = Measures(options.duration, options.timeout)
        self._offline = len(load.devices) - len(self._roll.present())
        self._generator = Generator(self._pool, topics, load.plan, self._measures, self._roll)
        self._probes = Probes(self._pool, topics, self._generator.token, self._measures, self._roll)
        self._storm = (
            Storm(self._generator, options.ramp, options.duration) if options.storm else None
        )
        self._ending = Ending.COMPLETE
        self._reconnects = 0

    def interrupt(self) -> None:
        """Stop before the end, for Ctrl-C."""
        self._end(Ending.INTERRUPTED)

    async def run(self, show: Show) -> None:
        """Send everything and wait for what comes of it."""
        generator = self._generator
        try:
            await generator.open()
            await self._probes.open()
            self._load.target.died.add_done_callback(self._on_death)
            beside: list[asyncio.Future[None]] = [
                asyncio.ensure_future(self._probes.run()),
                asyncio.ensure_future(show(generator, self._measures, self._load.schedule)),
            ]
            try:
                await self._run_with_storm()
            finally:
                self._load.target.died.remove_done_callback(self._on_death)
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
            self._reconnects = self._pool.reconnects
        finally:
            if self._ending is not Ending.FLEET_GONE:
                await self._probes.close()
                await generator.close()
            await self._close_pool()

    async def _close_pool(self) -> None:
        """Close the pool; once more where the first time goes unheard.

        Until Python 3.12 a task that `asyncio.wait_for` wakes in the very turn in which it is
        cancelled goes on, and the pool's dialling does just that where its broker has died.
        """
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._pool.close()
        except TimeoutError:
            await self._pool.close()

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

    async def _storming(self, storm: Storm) -> None:
        # The generator starts in the same turn: its zero is the storm's.
        await asyncio.sleep(0)
        await storm.run()

    def _on_death(self, died: asyncio.Future[Any]) -> None:
        if not died.cancelled():
            self._end(Ending.FLEET_GONE)

    def _end(self, ending: Ending) -> None:
        if self._ending is Ending.COMPLETE:
            self._ending = ending
            self._generator.halt.set()

    def result(self, thresholds: list[Any]) -> Result:
        """What came of it."""
        generator = self._generator
        return Result(
            options=self._load.options,
            schedule=self._load.schedule,
            ledger=generator.ledger,
            measures=self._measures,
            storm=self._storm,
            ending=self._ending,
            broker=self._load.target.address.url,
            platforms=Counter(seen.platform for seen in self._load.devices.values()),
            offline=self._offline,
            unsent=generator.unsent,
            sending_took=generator.sending_took,
            took=max(generator.sending_took, generator.last_answer),
            reconnects=self._reconnects,
            probes_unanswered=self._probes.unanswered,
            thresholds=thresholds,
        )


@contextlib.contextmanager
def _interrupts(interrupt: Callable[[], None]) -> Iterator[None]:
    """Take Ctrl-C and SIGTERM as the wish to stop; a second one cancels everything."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    asked = False

    def ask() -> None:
        nonlocal asked
        if asked and main is not None:
            main.cancel()
        asked = True
        interrupt()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        # Windows' loops take no handlers: there Ctrl-C ends the run without a summary.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in numbers:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
