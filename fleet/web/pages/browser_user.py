"""The user of one browser: one actor of each kind, driven by the pages, and what was recorded.

Actors hold all rules. This class passes steps to them, publishes what they request, and passes
device messages back, as `scenarios.run` does for a scenario. Each browser session has its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from broker.contract import InputResult
from broker.errors import PeerError, UsageError
from broker.operator.readers import ReceivedMessage, parse_input_result
from fleet.config.loader import FleetConfig
from fleet.web.fleet_view import FleetView
from fleet.web.pages.devices import PageDevices
from fleet.web.pages.recording import Recording
from scenarios.actors.account import AccountActor
from scenarios.actors.console import ConsoleActor
from scenarios.actors.portal import PortalActor
from scenarios.actors.user import UserActor
from scenarios.model.actor import (
    Account,
    Actor,
    ActorRequest,
    DeliverMessage,
    DeviceMessage,
    Organization,
    PressButton,
    SendCommand,
    SharedState,
    SimulateDevice,
)

__all__ = ["BrowserUser"]

_ANSWER_WITHIN: Final = 5.0
"""Seconds within which a device must answer a press."""
_HEARD_EARLY: Final = 256
"""Results kept that arrive before the broker has confirmed their command."""
_ENDED: Final = frozenset({"done", "failed", "notSupported", "canceled"})
_ACTORS: Final[tuple[type[Actor], ...]] = (PortalActor, ConsoleActor, AccountActor, UserActor)
_SEEN_OF_DEVICE: Final = ("locked", "passcode", "compliance")
_STEP_OF_INPUT: Final[Mapping[str, str]] = {
    "swipeUp": "swipe_up",
    "enterPasscode": "enter_passcode",
    "changeNow": "change_now",
    "later": "later",
    "setPasscode": "set_passcode",
    "useBiometric": "use_biometric",
    "enrollBiometric": "enroll_biometric",
    "signIn": "sign_in",
}


@dataclass(frozen=True, slots=True)
class _Sent:
    """A command that an actor requested."""

    actor: str
    correlation_id: str


@dataclass
class BrowserUser:
    """Actors of one browser session. `drafts` are a page's fields between two of its steps."""

    view: FleetView
    config: FleetConfig
    devices: PageDevices
    accounts: dict[str, Account]
    open_accounts: set[str]
    on_change: Callable[[], None]
    drafts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shared = SharedState(
            devices=self.devices,
            accounts=self.accounts,
            organization=Organization(),
            seed=secrets.randbelow(2**31),
        )
        self.actors = {kind.name: kind(shared) for kind in _ACTORS}
        shared.actors.update(self.actors)
        self.recording = Recording(self.config, self.devices, self.view.now)
        self._sent: dict[str, _Sent] = {}
        self._early: deque[tuple[str, ReceivedMessage]] = deque(maxlen=_HEARD_EARLY)
        self._inputs: dict[str, asyncio.Future[InputResult]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._sending = 0

    # -- steps of the pages ---------------------------------------------------------------------

    def look(self, actor: str) -> Mapping[str, Any]:
        """Return the current screen of an actor."""
        return self.actors[actor].view(self.view.now())

    def look_at(self, device_id: str) -> Mapping[str, Any]:
        """Return the console's current view of one device."""
        return self.actors["console"].observe({"device": device_id}, self.view.now())

    async def perform(
        self, actor: str, step: str, arguments: Mapping[str, Any], recorded: Mapping[str, Any]
    ) -> None:
        """Take a step and publish what it requests; `recorded` is how the scenario says it.

        Raises StepRefusedError where the actor refuses it, UsageError for arguments that it does
        not take.
        """
        kind = self.actors[actor]
        try:
            model = kind.steps[step].model_validate(dict(arguments))
        except ValidationError as invalid:
            problem = invalid.errors(include_input=False, include_context=False)[0]
            raise UsageError(str(problem["msg"]).removeprefix("Value error, ")) from None
        requests = kind.perform(step, model, self.view.now())
        for request in requests:
            self.recording.device(self.devices.state(request.device.device_id))
        self.recording.step(f"{actor}.{step}", recorded)
        await self._carry_out(requests, actor)
        self.on_change()

    async def _carry_out(self, requests: Sequence[ActorRequest], actor: str) -> None:
        for request in requests:
            device_id = request.device.device_id
            match request:
                case SendCommand(action=action, issued_by=issued_by, correlation_id=mark):
                    with self._sending_one():
                        command_id = await self.view.send_command(
                            device_id, action, issued_by=issued_by
                        )
                        self._sent[command_id] = _Sent(actor, mark)
                        self._take_early(command_id)
                case PressButton(action=action, values=values):
                    await self.view.send_input(device_id, action, **values)
                case DeliverMessage(kind=kind, sender=sender, body=body):
                    await self.view.send_message(device_id, kind, sender, body)
                case SimulateDevice(action=action):
                    await self.view.send_simulation(device_id, action)

    # -- presses on phones ----------------------------------------------------------------------

    async def press(self, device_id: str, action: str, values: Mapping[str, str]) -> InputResult:
        """Press a button on a phone and wait for the answer.

        Raises UsageError for what is no input, PeerError where the device does not answer.
        """
        self.recording.device(self.devices.state(device_id))
        if action == "pressKey" and self.look("account").get("status") == "calling":
            return await self._press_key(device_id, values)
        answer = await self._input(device_id, action, values)
        self._record_press(device_id, action, values, answer)
        return answer

    async def _input(self, device_id: str, action: str, values: Mapping[str, str]) -> InputResult:
        with self._sending_one():
            input_id = await self.view.send_input(device_id, action, **values)
            answer: asyncio.Future[InputResult] = asyncio.get_running_loop().create_future()
            self._inputs[input_id] = answer
            self._take_early(input_id)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                await answer
                return answer.result()
        except TimeoutError:
            raise PeerError(f"{device_id} does not answer.", hint="is it online?") from None
        finally:
            del self._inputs[input_id]

    @contextlib.contextmanager
    def _sending_one(self) -> Iterator[None]:
        """Keep results that arrive before the id of what they answer is known."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1

    def _record_press(
        self, device_id: str, action: str, values: Mapping[str, str], answer: InputResult
    ) -> None:
        word = answer.error_code or answer.action_state
        if action == "restart":
            self.recording.step("device.restart", {"device": device_id})
            return
        if action not in _STEP_OF_INPUT:
            return
        arguments: dict[str, Any] = {"device": device_id, **values, "answer": word}
        step = f"user.{_STEP_OF_INPUT[action]}"
        passcode = values.get("passcode", "")
        if passcode and (source := self._shown_by(passcode)):
            self.recording.step(step, arguments | {"passcode": {"from": source}})
        elif passcode and self.look_at(device_id).get("newPasscode") == passcode:
            # The console shows it beside those of other devices that are selected.
            self.recording.step("console.select", {"devices": [device_id]})
            self.recording.step(step, arguments | {"passcode": {"from": "console"}})
            self.recording.step("console.select", {"devices": [*self.look("console")["devices"]]})
        else:
            self.recording.step(step, arguments)
            if word == "done" and action == "enterPasscode":
                self.recording.entered(device_id, passcode)
        if word == "done" and action == "setPasscode":
            self.recording.device_changed(device_id)
        self.expect_device(device_id)

    def expect_device(self, device_id: str, *, later: bool = False) -> None:
        """Record what can be seen of a device now."""
        state = self.devices.state(device_id)
        if state is not None and self.recording.knows(device_id):
            seen = {key: getattr(state, key) for key in _SEEN_OF_DEVICE}
            self.recording.expect("device", {"device": device_id, **seen}, later=later)

    def expect_devices(self) -> None:
        """Record what can be seen of every device in the scenario, after time was moved."""
        for device_id in self.recording.device_ids():
            self.expect_device(device_id, later=True)

    def _shown_by(self, passcode: str) -> str | None:
        """The page of this browser that shows a passcode now."""
        for actor in ("portal", "console"):
            if self.look(actor).get("newPasscode") == passcode:
                return actor
        return None

    async def _press_key(self, device_id: str, values: Mapping[str, str]) -> InputResult:
        answer = await self._input(device_id, "pressKey", values)
        self.recording.step("account.enter_code", {"code": values.get("key", "")})
        self.recording.expect("account", {"status": self.look("account").get("status")})
        return answer

    # -- device messages ------------------------------------------------------------------------

    def on_message(self, received: ReceivedMessage, document: Mapping[str, Any]) -> None:
        """Pass a device message to the actors."""
        name = received.device_id or ""
        if name not in self.devices:
            return
        if received.leaf == "results":
            identity = str(document.get("commandId") or document.get("inputId"))
            if identity not in self._sent and identity not in self._inputs:
                if self._sending:
                    self._early.append((identity, received))
                if document.get("actionName") != "pressKey":
                    return  # the answer to another operator's command
            waiting = self._inputs.get(identity)
            answer = None if waiting is None else parse_input_result(document)
            self._pass_on(received, document, self._sent.get(identity))
            if waiting is not None and answer is not None and not waiting.done():
                waiting.set_result(answer)
        else:
            self._pass_on(received, document, None)

    def _take_early(self, identity: str) -> None:
        """Take a result that came before its command's id was known."""
        for early, received in tuple(self._early):
            document = received.document()
            if early == identity and isinstance(document, dict):
                self._early.remove((early, received))
                waiting = self._inputs.get(identity)
                answer = None if waiting is None else parse_input_result(document)
                if waiting is not None and answer is not None:
                    waiting.set_result(answer)
                elif identity in self._sent:
                    self._pass_on(received, document, self._sent[identity])

    def _pass_on(
        self, received: ReceivedMessage, document: Mapping[str, Any], sent: _Sent | None
    ) -> None:
        now, changed = self.view.now(), False
        device = self.devices[received.device_id or ""]
        for name, actor in self.actors.items():
            before = actor.view(now)
            own = sent.correlation_id if sent is not None and sent.actor == name else None
            message = DeviceMessage(device, received.leaf or "", document, own)
            requests = actor.on_message(message, now)
            if requests:
                task = asyncio.ensure_future(self._carry_out(requests, name))
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)
            changed = changed or actor.view(now) != before or own is not None
        if sent is not None and document.get("actionState") in _ENDED:
            self._record_end(sent.actor, device.name, document)
        if changed:
            self.on_change()

    def _record_end(self, actor: str, device_id: str, document: Mapping[str, Any]) -> None:
        """Record what the page showed once a device had answered, and the device itself."""
        if document.get("actionName") == "resetPasscode" and document["actionState"] == "done":
            self.recording.device_changed(device_id)
        seen = self.look_at(device_id) if actor == "console" else self.look(actor)
        state = "actionState" if actor == "console" else "status"
        if seen.get(state) != document["actionState"]:
            return
        if actor == "portal" and self.drafts.get("device") != device_id:
            return  # the page shows another device
        expected: dict[str, Any] = {"device": device_id} if actor == "console" else {}
        expected |= {key: seen[key] for key in (state, "message") if key in seen}
        expected["newPasscode"] = "present" if "newPasscode" in seen else "absent"
        self.recording.expect(actor, expected, later=True)
        self.expect_device(device_id)
