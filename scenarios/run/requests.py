"""What actors ask for, done: commands, presses, messages and simulations go out on the stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.random_stream import DeviceRandomStream
from scenarios.model.actor import (
    ActorRequest,
    DeliverMessage,
    ManagedDevice,
    PressButton,
    SendCommand,
    SharedState,
    SimulateDevice,
)
from scenarios.model.file import RawCommand
from scenarios.parsing.steps import command_payload
from scenarios.run.environment import ScenarioEnvironment

__all__ = ["RequestExecutor", "StepFailedError"]


class StepFailedError(Exception):
    """A step failed: what was expected, and what was seen instead."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.seen = seen


@dataclass(slots=True)
class _Pressed:
    """A press under way, until its answer has come."""

    press: PressButton
    answer: Mapping[str, Any] | None = None


class RequestExecutor:
    """Publishes for the actors of one scenario, under ids that its seed gives."""

    def __init__(self, environment: ScenarioEnvironment, shared: SharedState, seed: int) -> None:
        self._environment = environment
        self._shared = shared
        self._draws = DeviceRandomStream(seed, "+play")
        self._drawn = 0
        self._senders: dict[str, tuple[str, str]] = {}
        self._pressed: dict[str, _Pressed] = {}

    def match_result(self, result: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return (actor, correlation id) of the command that a result answers.

        Returns ("", None) for a result of any other command. Keeps the answers to inputs for
        `check_input_answers`.
        """
        pressed = self._pressed.get(str(result.get("inputId")))
        if pressed is not None:
            pressed.answer = result
        return self._senders.get(str(result.get("commandId")), ("", None))

    def execute(self, requests: Sequence[ActorRequest], actor: str) -> None:
        """Do what an actor asks for, in its order."""
        for request in requests:
            match request:
                case SendCommand():
                    self._send(request, actor)
                case PressButton():
                    self._press(request)
                case DeliverMessage(device, kind, sender, body):
                    message = {"kind": kind, "from": sender, "body": body}
                    self._publish(device, "messages", {"messageId": self._fresh("m"), **message})
                case SimulateDevice(device, action):
                    self._publish(device, "simulate", {"action": action})

    def _send(self, request: SendCommand, actor: str) -> None:
        command_id = self._fresh("c")
        self._senders[command_id] = (actor, request.correlation_id)
        command: dict[str, Any] = {
            "commandId": command_id,
            "actionName": request.action,
            "issuedBy": request.issued_by,
        }
        if request.policy is not None:
            command["policy"] = dict(request.policy)
        self._publish(request.device, "commands", command)

    def _press(self, request: PressButton) -> None:
        input_id = self._fresh("i")
        self._pressed[input_id] = _Pressed(request)
        press = {"inputId": input_id, "action": request.action, **request.values}
        self._publish(request.device, "inputs", press)

    def check_input_answers(self) -> None:
        """See that every press was answered, and as it was to be."""
        pressed, self._pressed = self._pressed, {}
        for each in pressed.values():
            if each.answer is None:
                raise StepFailedError("an answer of the device to the press", "none: it is offline")
            state = str(each.answer["actionState"])
            word = str(each.answer["errorCode"] or state)
            if each.press.answer not in (None, state, word):
                said = f"{word}: {each.answer['message']}"
                raise StepFailedError(
                    f"the answer {each.press.answer} to {each.press.action}", said
                )

    def send_raw(self, command: RawCommand) -> None:
        """Send the command of a `command` step."""
        topics = self._environment.topics
        if command.group is not None:
            topic = topics.group(command.group)
        else:
            topic = topics.device(self._shared.device(command.device).device_id, "commands")
        if "payload" in command.model_fields_set:
            raw = command.payload
            document = raw.encode() if isinstance(raw, str) else b"" if raw is None else raw
        else:
            document = command_payload(command, self._fresh("c"))
        self._environment.send(topic, document, retained=command.retained)

    def _publish(self, device: ManagedDevice, leaf: str, document: Mapping[str, Any]) -> None:
        topic = self._environment.topics.device(device.device_id, leaf)
        self._environment.send(topic, document, retained=False)

    def _fresh(self, kind: str) -> str:
        """An id that nobody has used, the same in every run of the seed."""
        self._drawn += 1
        bits = self._draws.bits("id", self._drawn)
        return f"{kind}-{self._drawn}-{bits % 2**32:08x}"
