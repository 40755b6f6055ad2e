"""Execution of actor requests: commands, inputs, text messages and simulated events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.random_stream import DeviceRandomStream
from scenarios.model.actor import (
    ActorRequest,
    DeliverTextMessage,
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
    """Failed step, with the expected and the actual values as text."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.seen = seen


@dataclass(slots=True)
class _SentInput:
    """Input that was sent, and its answer once it arrives."""

    request: PressButton
    answer: Mapping[str, Any] | None = None


class RequestExecutor:
    """Publisher of the requests of all actors of one scenario; its ids derive from the seed."""

    def __init__(self, environment: ScenarioEnvironment, shared: SharedState, seed: int) -> None:
        self._environment = environment
        self._shared = shared
        self._draws = DeviceRandomStream(seed, "+play")
        self._ids = 0
        self._senders: dict[str, tuple[str, str]] = {}
        self._inputs: dict[str, _SentInput] = {}

    def match_result(self, result: Mapping[str, Any]) -> tuple[str, str | None]:
        """Return (actor, correlation id) of the command that a result answers.

        Returns ("", None) for a result of any other command. Keeps the answers to inputs for
        `check_input_answers`.
        """
        sent_input = self._inputs.get(str(result.get("inputId")))
        if sent_input is not None:
            sent_input.answer = result
        return self._senders.get(str(result.get("commandId")), ("", None))

    def execute(self, requests: Sequence[ActorRequest], actor: str) -> None:
        """Publish the requests of `actor`, in order."""
        for request in requests:
            match request:
                case SendCommand():
                    self._send(request, actor)
                case PressButton():
                    self._press(request)
                case DeliverTextMessage(device, kind, sender, body):
                    message = {"kind": kind, "from": sender, "body": body}
                    self._publish(device, "messages", {"messageId": self._new_id("m"), **message})
                case SimulateDevice(device, action, values):
                    self._publish(device, "simulate", {"action": action, **values})

    def _send(self, request: SendCommand, actor: str) -> None:
        command_id = self._new_id("c")
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
        input_id = self._new_id("i")
        self._inputs[input_id] = _SentInput(request)
        press = {"inputId": input_id, "action": request.action, **request.values}
        self._publish(request.device, "inputs", press)

    def check_input_answers(self) -> None:
        """Raise StepFailedError for an input without an answer or with an unexpected one."""
        sent, self._inputs = self._inputs, {}
        for each in sent.values():
            if each.answer is None:
                raise StepFailedError(
                    "an answer of the device to the input", "none: the device is offline"
                )
            state = str(each.answer["actionState"])
            outcome = str(each.answer["errorCode"] or state)
            if each.request.answer not in (None, state, outcome):
                answer = f"{outcome}: {each.answer['message']}"
                raise StepFailedError(
                    f"the answer {each.request.answer} to {each.request.action}", answer
                )

    def send_raw(self, command: RawCommand) -> None:
        """Publish the command of a `command` step."""
        topics = self._environment.topics
        if command.group is not None:
            topic = topics.group(command.group)
        else:
            topic = topics.device(self._shared.device(command.device).device_id, "commands")
        if "payload" in command.model_fields_set:
            raw = command.payload
            document = raw.encode() if isinstance(raw, str) else b"" if raw is None else raw
        else:
            document = command_payload(command, self._new_id("c"))
        self._environment.send(topic, document, retained=command.retained)

    def _publish(self, device: ManagedDevice, leaf: str, document: Mapping[str, Any]) -> None:
        topic = self._environment.topics.device(device.device_id, leaf)
        self._environment.send(topic, document, retained=False)

    def _new_id(self, kind: str) -> str:
        """Return an unused id that is the same in every run with this seed."""
        self._ids += 1
        bits = self._draws.bits("id", self._ids)
        return f"{kind}-{self._ids}-{bits % 2**32:08x}"
