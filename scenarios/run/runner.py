"""Runs several scenarios at once on one broker and event loop, each under its own topic root."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from agent.clock import Clock, RealClock, VirtualClock
from broker.address import BrokerAddress
from broker.client.pace import ConnectionPace
from broker.client.pool import ConnectionPool
from broker.contract import DEFAULT_ROOT, Topics
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from scenarios.model.outcome import ScenarioOutcome, StepOutcome
from scenarios.model.scenario import Scenario
from scenarios.run.environment import ScenarioEnvironment
from scenarios.run.scenario_run import ScenarioRun

__all__ = ["DEFAULT_JOBS", "PlayListener", "PlayOptions", "play_all"]

DEFAULT_JOBS: Final = 16
_OWN_BROKERS: Final = (EMBEDDED, MOSQUITTO)
_PACE: Final = ConnectionPace(rate=20_000.0, backoff=(0.002, 1.0))
"""No other client needs protection here, so a lost device reconnects at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayOptions:
    """Options of a run.

    `broker` is `embedded`, `mosquitto` or an address. `speed` None means virtual time, 1 real time;
    a scenario with `http` steps runs on real time then, which its back-end has, too.
    `jobs` is the number of scenarios that run at once. `seed` None uses the seed of each file.
    `coverage` counts the rules that devices exercise.
    """

    broker: str = EMBEDDED
    speed: float | None = None
    jobs: int = DEFAULT_JOBS
    seed: int | None = None
    coverage: bool = False


class PlayListener(Protocol):
    """Observer of a run; `number` is the index of the scenario in the list."""

    def started(self, number: int, scenario: Scenario) -> None:
        """Handle the start of a scenario."""

    def stepped(self, number: int, step: StepOutcome) -> None:
        """Handle the end of a step."""

    def ended(self, number: int, outcome: ScenarioOutcome) -> None:
        """Handle the end of a scenario."""


async def play_all(
    scenarios: Sequence[Scenario], options: PlayOptions, listener: PlayListener | None = None
) -> list[ScenarioOutcome]:
    """Run scenarios; return their outcomes in the order of `scenarios`.

    Raises BrokerError if the broker cannot be reached or the connection is lost.
    """
    own = options.broker in _OWN_BROKERS
    async with open_broker(options.broker) as broker:
        if not own:
            await probe(broker.address)
        run = asyncio.ensure_future(
            _play_all_on(broker.address, scenarios, options, listener, tidy=not own)
        )
        try:
            futures: list[asyncio.Future[Any]] = [run, broker.died]
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                raise broker.died.result()
            return run.result()
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


async def _play_all_on(
    address: BrokerAddress,
    scenarios: Sequence[Scenario],
    options: PlayOptions,
    listener: PlayListener | None,
    *,
    tidy: bool,
) -> list[ScenarioOutcome]:
    pool = ConnectionPool(address, _PACE)
    root = f"{DEFAULT_ROOT}/plays/{secrets.token_hex(6)}"
    slots = asyncio.Semaphore(options.jobs)
    # Topics of a back-end do not contain the root of a scenario: one such scenario at a time.
    alone = asyncio.Lock()

    async def run_one(number: int, scenario: Scenario) -> ScenarioOutcome:
        foreign = any(d.dialect and not d.dialect.is_contract for d in scenario.devices)
        async with alone if foreign else contextlib.nullcontext(), slots:
            topics = Topics(f"{root}/{number}")
            return await _play_one(pool, topics, scenario, options, number, listener, tidy=tidy)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(run_one(number, scenario), name=f"passfleet.play.{number}")
                for number, scenario in enumerate(scenarios)
            ]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    finally:
        await pool.close()
    return [task.result() for task in tasks]


async def _play_one(
    pool: ConnectionPool,
    topics: Topics,
    scenario: Scenario,
    options: PlayOptions,
    number: int,
    listener: PlayListener | None,
    *,
    tidy: bool,
) -> ScenarioOutcome:
    if listener is not None:
        listener.started(number, scenario)
    seed = scenario.seed if options.seed is None else options.seed
    clock = _clock(scenario, options.speed)
    environment = ScenarioEnvironment(
        pool, topics, scenario.devices, seed, clock, coverage=options.coverage
    )
    report_step: Callable[[StepOutcome], None] | None = None
    if listener is not None:
        on_step = listener.stepped

        def report_step(step: StepOutcome) -> None:
            on_step(number, step)

    try:
        outcome = await ScenarioRun(scenario, environment, seed).play(report_step)
    finally:
        await environment.close(tidy=tidy)
    if listener is not None:
        listener.ended(number, outcome)
    return outcome


def _clock(scenario: Scenario, speed: float | None) -> Clock:
    if speed is None and scenario.http_step is None:
        return VirtualClock()
    return RealClock(1.0 if speed is None else speed)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, at any depth."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
