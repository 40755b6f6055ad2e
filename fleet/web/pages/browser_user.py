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
from fleet.web.pages.recording import WRONG_PASSWORD, Recording
from fleet.web.pages.session_recorder import SessionRecorder
from scenarios.actors.account import AccountActor
from scenarios.actors.console import ConsoleActor
from scenarios.actors.portal import PortalActor
from scenarios.actors.user import UserActor
from scenarios.model.actor import (
    Account,
    Actor,
    ActorRequest,
    DeliverTextMessage,
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
        self._shared = shared = SharedState(
            devices=self.devices,
            accounts=self.accounts,
            organization=Organization(contact=self.config.organization.contact),
            seed=secrets.randbelow(2**31),
        )
        self.actors = {kind.name: kind(shared) for kind in _ACTORS}
        shared.actors.update(self.actors)
        self.recording = Recording(self.config, self.devices, self.view.now)
        self.recorder = SessionRecorder(self.view, self.devices, self.actors, self.recording)
        self._involved: set[str] = set()
        self._sent: dict[str, _Sent] = {}
        self._early: deque[tuple[str, ReceivedMessage, Mapping[str, Any]]] = deque(
            maxlen=_HEARD_EARLY
        )
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
        await self.act_on_time()
        kind = self.actors[actor]
        try:
            model = kind.steps[step].model_validate(dict(arguments))
        except ValidationError as invalid:
            raise UsageError(_problem(invalid)) from None
        for name in _devices_in(arguments):
            self.involve(name)
        requests = kind.perform(step, model, self.view.now())
        for request in requests:
            self.involve(request.device.device_id)
        self.recording.step(f"{actor}.{step}", recorded)
        await self._carry_out(requests, actor)
        self.on_change()

    def account_name(self, address: str) -> str | None:
        """Return the user with this name or e-mail address, None for an unknown one."""
        return self._shared.account_name(address)

    def password_arguments(
        self, name: str | None, typed: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the arguments of a step for a typed password, and how they are recorded.

        Every password is correct for a user to whom the fleet file gives none.
        """
        account = None if name is None else self.accounts.get(name)
        if account is None or name in self.open_accounts:
            return {}, {}
        wrong = {} if typed == account.password else {"password": WRONG_PASSWORD}
        return {"password": typed or WRONG_PASSWORD}, wrong

    async def act_on_time(self) -> None:
        """Publish what the actors request because time has passed."""
        now = self.view.now()
        for name, actor in self.actors.items():
            await self._carry_out(actor.on_time(now), name)

    def involve(self, device_id: str) -> None:
        """Pass the messages of a device to the actors from now on.

        They also receive its state, and the new passcode of a reset that another sender requested.
        """
        if device_id in self._involved or device_id not in self.devices:
            return
        self._involved.add(device_id)
        self.recording.device(self.devices.state(device_id))
        device, now = self.devices[device_id], self.view.now()
        for leaf, payload in self.view.devices[device_id].published():
            message = DeviceMessage(device, leaf, payload)
            for actor in self.actors.values():
                actor.on_message(message, now)

    def involves(self, device_id: str) -> bool:
        """Return True if the messages of a device matter to this browser session."""
        return device_id in self._involved

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
                case DeliverTextMessage(kind=kind, sender=sender, body=body):
                    await self.view.send_message(device_id, kind, sender, body)
                case SimulateDevice(action=action):
                    await self.view.send_simulation(device_id, action)

    # -- presses on phones ----------------------------------------------------------------------

    async def press(self, device_id: str, action: str, values: Mapping[str, str]) -> InputResult:
        """Press a button on a phone and wait for the answer.

        Raises UsageError for what is no input, PeerError where the device does not answer.
        """
        self.involve(device_id)
        if action == "pressKey" and self.look("account").get("status") == "calling":
            return await self._press_key(device_id, values)
        answer = await self._input(device_id, action, values)
        self.recorder.press(device_id, action, values, answer)
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
            if not self._sending:
                others, self._early = self._early, deque(maxlen=_HEARD_EARLY)
                for _, received, document in others:
                    self._take_result(received, document)

    async def _press_key(self, device_id: str, values: Mapping[str, str]) -> InputResult:
        answer = await self._input(device_id, "pressKey", values)
        self.recording.step("account.enter_code", {"code": values.get("key", "")})
        self.recording.expect("account", {"status": self.look("account").get("status")})
        return answer

    # -- device messages ------------------------------------------------------------------------

    def on_message(self, received: ReceivedMessage, document: Mapping[str, Any]) -> None:
        """Pass a message of a device that this session involves to the actors."""
        if received.leaf != "results":
            self._pass_on(received, document, None)
            return
        identity = _identity(document)
        known = identity in self._sent or identity in self._inputs
        if self._sending and not known:
            self._early.append((identity, received, document))
        else:
            self._take_result(received, document)

    def _take_early(self, identity: str) -> None:
        """Take the results that came before the id of their command or input was known."""
        for entry in [each for each in self._early if each[0] == identity]:
            self._early.remove(entry)
            self._take_result(entry[1], entry[2])

    def _take_result(self, received: ReceivedMessage, document: Mapping[str, Any]) -> None:
        identity = _identity(document)
        sent = self._sent.get(identity)
        waiting = self._inputs.get(identity)
        self._pass_on(received, document, sent)
        ended = document.get("actionState") in _ENDED and not document.get("duplicate")
        device_id = received.device_id or ""
        if sent is not None and ended:
            shown = sent.actor != "portal" or self.drafts.get("device") == device_id
            self.recorder.command_ended(sent.actor, device_id, document, shown=shown)
        elif sent is None and ended and document.get("commandId"):
            self.recorder.other_command(device_id, document)
        if waiting is not None and not waiting.done():
            answer = parse_input_result(document)
            if answer is not None:
                waiting.set_result(answer)

    def _pass_on(
        self, received: ReceivedMessage, document: Mapping[str, Any], sent: _Sent | None
    ) -> None:
        now, changed = self.view.now(), sent is not None
        device = self.devices[received.device_id or ""]
        showed = self.recorder.pages_with_passcode(device.name)
        for name, actor in self.actors.items():
            before = actor.view(now)
            own = sent.correlation_id if sent is not None and sent.actor == name else None
            message = DeviceMessage(device, received.leaf or "", document, own)
            requests = actor.on_message(message, now)
            if requests:
                task = asyncio.ensure_future(self._carry_out(requests, name))
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)
            changed = changed or actor.view(now) != before
        hidden = showed - self.recorder.pages_with_passcode(device.name)
        if hidden and received.leaf == "state":
            self.recorder.passcode_hidden(device.name, hidden)
        if changed or hidden:
            self.on_change()


def _problem(invalid: ValidationError) -> str:
    """Return the text of an alert for fields that a step does not take."""
    problem = invalid.errors(include_input=False, include_context=False)[0]
    if problem["type"] != "value_error":
        return "A field is empty, or has a value that this page does not offer."
    text = str(problem["msg"]).removeprefix("Value error, ")
    return f"{text[:1].upper()}{text[1:]}."


def _identity(document: Mapping[str, Any]) -> str:
    return str(document.get("commandId") or document.get("inputId"))


def _devices_in(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Return the device ids in the arguments of a step."""
    for key, value in arguments.items():
        if key == "device" and isinstance(value, str):
            yield value
        elif key == "devices":
            yield from value
        elif isinstance(value, Mapping):
            yield from _devices_in(value)
