"""Execution of one scenario over a real broker, on the clock of the scenario.

After each step the run waits until all messages in flight have arrived, without moving the clock.
Only `wait` and `within` move the clock. Virtual time jumps to the next timer of a device or the
next change of an actor; on a real clock the run sleeps until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.clock import VirtualClock
from scenarios.actors import ACTORS
from scenarios.actors.http import HttpActor
from scenarios.model.actor import Actor, DeviceMessage, ManagedDevice, SharedState, StepRefusedError
from scenarios.model.file import RawCommand
from scenarios.model.matchers import matches
from scenarios.model.outcome import (
    Failure,
    InitialDevice,
    Lane,
    ScenarioOutcome,
    Status,
    StepOutcome,
    TimelineEvent,
    WireMessage,
)
from scenarios.model.scenario import (
    ActorStep,
    DeferredStep,
    ExpectStep,
    Operation,
    Scenario,
    Step,
    WaitStep,
)
from scenarios.run.descriptions import clock_name, format_duration, format_values, speed_of
from scenarios.run.environment import ScenarioEnvironment, TopicMessage
from scenarios.run.http_exchange import HttpExchange, shown_values
from scenarios.run.redaction import (
    add_passcodes,
    redact_events,
    redact_steps,
    scenario_redactor,
)
from scenarios.run.requests import RequestExecutor, StepFailedError
from scenarios.run.timeline import message_event, screen_event

__all__ = ["ScenarioRun"]

_LAST_MESSAGES: Final = 5
_ACTOR_TOPICS: Final = frozenset(
    {"state", "presence", "notifications", "escrow", "results", "messages"}
)
_ON_THE_DEVICE: Final = frozenset({"user", "device", "network"})
"""Actors whose steps appear in the device lane of the report."""
_LANES: Final = {**dict.fromkeys(_ON_THE_DEVICE, Lane.DEVICE), HttpActor.name: Lane.BACKEND}
_ANSWER: Final = "answer"
_POLL_INTERVAL: Final = 0.2
"""Interval in real seconds between two requests of an `expect.http` with `within`."""
_MAX_ROUNDS: Final = 1_000
"""Limit that ends an endless exchange of messages between actors, which would be a defect."""


class ScenarioRun:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, environment: ScenarioEnvironment, seed: int) -> None:
        self._scenario = scenario
        self._environment = environment
        self._shared = _shared(scenario, seed)
        self._actors: dict[str, Actor] = {kind.name: kind(self._shared) for kind in ACTORS}
        self._shared.actors.update(self._actors)
        self._executor = RequestExecutor(environment, self._shared, seed)
        http = self._actors[HttpActor.name]
        assert isinstance(http, HttpActor)  # noqa: S101  # ACTORS has one class for each name
        self._http = HttpExchange(http, self._record_http)
        self._redactor = scenario_redactor(scenario)
        self._screens: dict[str, Mapping[str, object]] = {}
        self._step = 0
        self._events: list[TimelineEvent] = []
        self._wire: list[WireMessage] = []

    @property
    def _now(self) -> int:
        return self._environment.clock.now()

    async def play(self, on_step: Callable[[StepOutcome], None] | None = None) -> ScenarioOutcome:
        """Run the steps up to the first failed one; the steps after it are skipped.

        Calls `on_step` after each step. Raises BrokerError if the broker is lost or too slow.
        """
        started, began = time.perf_counter(), self._now
        first = {name: device.state for name, device in self._environment.devices.items()}
        await self._environment.open()
        await self._settle()
        async with self._http:
            steps = await self._run_steps(on_step)
        failed = any(step.status is Status.FAILED for step in steps)
        scenario, redactor = self._scenario, self._redactor
        return ScenarioOutcome(
            name=scenario.name,
            path=scenario.path,
            line=scenario.line,
            source=scenario.source,
            status=Status.FAILED if failed else Status.PASSED,
            steps=redact_steps(steps, redactor),
            began=began,
            ended=self._now,
            seconds=time.perf_counter() - started,
            devices=tuple(
                (device.device_id, device.setup.profile.title, device.setup.management.value)
                for device in scenario.devices
            ),
            events=redact_events(self._events, redactor),
            wire=tuple(self._wire),
            initial_devices=tuple(
                InitialDevice(
                    name=device.device_id, passcode=device.passcode, state=first[device.device_id]
                )
                for device in scenario.devices
            ),
            clock=clock_name(self._environment.clock),
            platforms=scenario.platforms,
            proves=scenario.proves,
            exercised=self._environment.exercised,
        )

    # -- steps ---------------------------------------------------------------------------------

    async def _run_steps(self, on_step: Callable[[StepOutcome], None] | None) -> list[StepOutcome]:
        steps: list[StepOutcome] = []
        failed = False
        for step in self._scenario.steps:
            outcome = _skipped(step, self._now) if failed else await self._run_step(step)
            failed = failed or outcome.status is Status.FAILED
            steps.append(outcome)
            if on_step is not None:
                on_step(outcome)
        return steps

    async def _run_step(self, step: Step) -> StepOutcome:
        started, began, self._step = time.perf_counter(), self._now, step.number
        failure = None
        try:
            self._act_on_time()
            await self._execute(step, self._operation(step))
        except (StepRefusedError, StepFailedError) as error:
            failure = Failure(
                path=self._scenario.path,
                line=step.line,
                column=step.column,
                expected=error.expected,
                seen=error.seen,
                messages=self._last_messages(step.device),
            )
        return StepOutcome(
            number=step.number,
            name=step.name,
            text=step.text,
            line=step.line,
            status=Status.FAILED if failure else Status.PASSED,
            began=began,
            ended=self._now,
            seconds=time.perf_counter() - started,
            failure=failure,
        )

    def _operation(self, step: Step) -> Operation:
        """Return the operation of a step, with saved values filled in."""
        operation = step.operation
        return (
            operation.resolve(self._http.saved)
            if isinstance(operation, DeferredStep)
            else operation
        )

    async def _execute(self, step: Step, operation: Operation) -> None:
        match operation:
            case ActorStep(actor, verb, arguments):
                self._record_step(step, _LANES.get(actor, Lane.PORTAL), actor)
                requests = self._actors[actor].perform(verb, arguments, self._now)
                self._executor.execute(requests, actor)
                if actor == HttpActor.name:
                    await self._http.send()
                self._record_screens()
                await self._settle()
                self._executor.check_input_answers()
            case ExpectStep() as expect:
                await self._check(expect)
            case WaitStep(duration):
                await self._move(self._now + duration, lambda: False)
            case RawCommand() as command:
                self._executor.send_raw(command)
                await self._settle()

    def _record_step(self, step: Step, lane: Lane, actor: str) -> None:
        self._events.append(
            TimelineEvent(
                at=self._now,
                lane=lane,
                kind=step.name,
                text=step.text,
                step=step.number,
                actor=actor,
                device=step.device,
            )
        )

    def _record_http(self, kind: str, text: str, document: Mapping[str, Any] | None) -> None:
        self._events.append(
            TimelineEvent(
                at=self._now,
                lane=Lane.BACKEND,
                kind=kind,
                text=text,
                step=self._step,
                actor=HttpActor.name,
                document=document,
            )
        )

    def _last_messages(self, device: str | None) -> tuple[TimelineEvent, ...]:
        messages = [
            each
            for each in self._events
            if each.kind == _ANSWER
            or (each.actor is None and (device is None or each.device == device))
        ]
        return tuple(messages[-_LAST_MESSAGES:])

    # -- expectations --------------------------------------------------------------------------

    async def _check(self, expect: ExpectStep) -> None:
        actor = self._actors[expect.actor]

        def observed() -> Mapping[str, object]:
            return actor.observe(expect.plain_values, self._now)

        def satisfied() -> bool:
            found = observed()
            return all(
                matches(expected, found.get(key)) for key, expected in expect.expected.items()
            )

        if expect.within is None:
            await self._settle()
            good = satisfied()
        elif expect.actor == HttpActor.name:
            good = await self._repeat_request(self._now + expect.within, satisfied)
        else:
            good = await self._move(self._now + expect.within, satisfied)
        if not good:
            found: Mapping[str, object] = {key: observed().get(key) for key in expect.expected}
            if expect.actor == HttpActor.name:
                found = shown_values(found)
            limit = "" if expect.within is None else f", within {format_duration(expect.within)}"
            raise StepFailedError(format_values(expect.expected) + limit, format_values(found))

    async def _repeat_request(self, to: int, until: Callable[[], bool]) -> bool:
        """Send the last request again until `until()` is true, at most until `to`.

        A request that may change something at the back-end is judged once.
        """
        await self._settle()
        while not (good := until()) and self._now < to and self._http.repeatable:
            pause = round(_POLL_INTERVAL * 1000 * speed_of(self._environment.clock))
            await self._move(min(to, self._now + max(1, pause)), lambda: False)
            await self._http.repeat()
            await self._settle()
        return good

    # -- time ----------------------------------------------------------------------------------

    async def _move(self, to: int, until: Callable[[], bool]) -> bool:
        """Let time pass up to `to`; stop at the first instant at which `until()` is true.

        Returns the last value of `until()`.
        """
        await self._settle()
        while not (good := until()) and self._now < to:
            if isinstance(self._environment.clock, VirtualClock):
                await self._jump(self._environment.clock, to)
            else:
                await self._wait(to)
        return good

    async def _jump(self, clock: VirtualClock, to: int) -> None:
        """Move virtual time to the next timer or change of an actor, at most to `to`."""
        timers = self._environment.timers
        at = timers.next_at()
        changes = [at, *(actor.next_change(clock.now()) for actor in self._actors.values())]
        clock.move(min([to, *(each for each in changes if each is not None)]))
        if timers.fire_due() | self._act_on_time():
            await self._settle()
        self._record_screens()

    async def _wait(self, to: int) -> None:
        """Wait for a message or for the next change of an actor, at most until `to`."""
        changes = [actor.next_change(self._now) for actor in self._actors.values()]
        until = min([to, *(each for each in changes if each is not None)])
        self._environment.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._environment.clock.delay(until)):
                await self._environment.changed.wait()
        self._act_on_time()
        await self._settle()

    def _act_on_time(self) -> bool:
        """Publish the requests of actors that are due now; return True if there were any."""
        found = False
        for name, actor in self._actors.items():
            requests = actor.on_time(self._now)
            self._executor.execute(requests, name)
            found = found or bool(requests)
        return found

    async def _settle(self) -> None:
        """Deliver all messages in flight to the actors until no actor sends another request."""
        for _ in range(_MAX_ROUNDS):
            await self._environment.settle()
            messages = self._environment.take_messages()
            if not messages:
                return
            request_count = 0
            for message in messages:
                request_count += self._handle_message(message)
            self._record_screens()
            if not request_count:
                return
        raise StepFailedError(
            "actors that stop sending requests", f"requests after {_MAX_ROUNDS} rounds of messages"
        )

    # -- messages ------------------------------------------------------------------------------

    def _handle_message(self, message: TopicMessage) -> int:
        """Deliver a message to all actors; return the number of requests that it caused."""
        now = self._now
        add_passcodes(self._redactor, message.document)
        self._wire.append(
            WireMessage(
                at=now, topic=message.topic, payload=message.payload, retained=message.retained
            )
        )
        self._events.append(message_event(message, now, self._step))
        document = message.document
        if (
            message.device is None
            or message.leaf not in _ACTOR_TOPICS
            or not isinstance(document, dict)
        ):
            return 0
        owner, correlation_id = "", None
        if message.leaf == "results":
            owner, correlation_id = self._executor.match_result(document)
        device = self._shared.devices[message.device]
        request_count = 0
        for name, actor in self._actors.items():
            own = correlation_id if name == owner else None
            requests = actor.on_message(DeviceMessage(device, message.leaf, document, own), now)
            self._executor.execute(requests, name)
            request_count += len(requests)
        return request_count

    def _record_screens(self) -> None:
        for name, actor in self._actors.items():
            if name in _ON_THE_DEVICE or actor.expects is None or not actor.steps:
                continue
            before, after = self._screens.get(name, {}), dict(actor.view(self._now))
            event = screen_event(name, before, after, self._now, self._step)
            self._screens[name] = after
            if event is not None:
                self._events.append(event)


def _shared(scenario: Scenario, seed: int) -> SharedState:
    devices = {
        device.device_id: ManagedDevice(
            name=device.device_id,
            device_id=device.device_id,
            owner=device.owner,
            profile=device.setup.profile,
            management=device.setup.management,
            attributes=device.setup.attributes,
        )
        for device in scenario.devices
    }
    accounts = {account.user: account for account in scenario.accounts}
    return SharedState(
        devices=devices, accounts=accounts, organization=scenario.organization, seed=seed
    )


def _skipped(step: Step, now: int) -> StepOutcome:
    return StepOutcome(
        number=step.number,
        name=step.name,
        text=step.text,
        line=step.line,
        status=Status.SKIPPED,
        began=now,
        ended=now,
    )
