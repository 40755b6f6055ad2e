"""Devices as they were when a trace began: made anew from what the trace tells of them.

A snapshot tells most of a device's state. What it does not tell is read off the trace itself: the
passcode it starts with (the one that opens it later), how long it takes for each command, how many
notifications and resets there had been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent.draws import DeviceDraws
from agent.machine import enroll, first_state
from agent.passcode import PasscodePolicy, traits_of
from agent.state import (
    BiometricState,
    Compliance,
    DeviceState,
    ErrorCode,
    GroupSetup,
    PasscodeKind,
    Prompt,
    Secret,
)
from agent.wire import policy_of
from broker import contract
from broker.errors import FileError
from broker.instants import parse_instant
from fleet.config import DeviceSpec
from platforms import PLATFORMS_BY_ID
from platforms.profile import Biometric, Management
from scenarios.redaction import is_placeholder
from scenarios.trace import Trace, TraceDevice, TraceMessage

__all__ = ["SEED", "Restaged", "ScriptedDraws", "restage"]

SEED: Final = 7
"""Of the fresh devices: what they draw need not be what was drawn."""
_LONGER: Final = 60_000
_USUAL: Final = "2580"
_COMPLEX: Final = "aK7"
_REFUSALS: Final = frozenset(
    {
        ErrorCode.INVALID_JSON,
        ErrorCode.INVALID_COMMAND,
        ErrorCode.UNKNOWN_ACTION,
        ErrorCode.RETAINED_COMMAND,
        ErrorCode.EXPIRED,
        ErrorCode.COMMAND_ID_REUSED,
        ErrorCode.NOT_ENROLLED,
        ErrorCode.PAYLOAD_TOO_LARGE,
    }
)
"""What is answered at once: no reaction is drawn for it."""


class ScriptedDraws(DeviceDraws):
    """A device's own draws, but for its reactions, which take as long as they were recorded."""

    __slots__ = ("_left",)

    def __init__(self, device_id: str, reactions: Sequence[int]) -> None:
        super().__init__(SEED, device_id)
        self._left = list(reactions)

    def bits(self, purpose: str, number: int) -> int:
        """The next recorded reaction, or a draw."""
        if purpose != "reaction":
            return super().bits(purpose, number)
        return self._left.pop(0) if self._left else 0


@dataclass(frozen=True, slots=True)
class Restaged:
    """A device to be, and the state and draws that it is to have."""

    spec: DeviceSpec
    state: DeviceState
    draws: ScriptedDraws
    online: bool


def restage(trace: Trace, meaning: Callable[[Mapping[str, Any]], str]) -> list[Restaged]:
    """The devices of a trace. `meaning` gives the passcode that a placeholder stands for.

    Raises FileError where a device is of a platform that this passfleet does not know.
    """
    return [
        _Device(trace, device, messages=list(_concerning(trace, device))).restaged(meaning)
        for device in trace.devices.values()
    ]


def _concerning(trace: Trace, device: TraceDevice) -> Iterator[TraceMessage]:
    """What a device sent and was sent, groups' commands included."""
    groups = {f"groups/{group}/commands" for group in (device.state.group, "all")}
    for message in trace.messages:
        if message.device_id == device.device_id or message.topic in groups:
            yield message


class _Device:
    """What a trace tells of one device."""

    def __init__(self, trace: Trace, device: TraceDevice, messages: list[TraceMessage]) -> None:
        self._trace = trace
        self._device = device
        self._messages = messages
        self._documents = [m.payload if isinstance(m.payload, dict) else {} for m in messages]

    def restaged(self, meaning: Callable[[Mapping[str, Any]], str]) -> Restaged:
        """Make it."""
        placeholder = self._device.passcode or self._starting_passcode()
        passcode = meaning(placeholder) if isinstance(placeholder, dict) else self._guessed()
        reactions = list(self._reactions())
        spec = self._spec(passcode, reactions)
        draws = ScriptedDraws(self._device.device_id, reactions)
        return Restaged(spec, self._state(spec, passcode, draws), draws, self._device.online)

    def _spec(self, passcode: str, reactions: Sequence[int]) -> DeviceSpec:
        state = self._device.state
        profile = PLATFORMS_BY_ID.get(state.platform)
        if profile is None:
            raise FileError(
                f"the device {state.device_id} is of the platform {state.platform!r}",
                path=self._trace.path,
                line=1,
                expected=f"one of {', '.join(PLATFORMS_BY_ID)}",
            )
        told = {
            Biometric.TOUCH_ID: state.biometrics.touch_id,
            Biometric.FACE: state.biometrics.face,
        }
        setup = GroupSetup(
            name=state.group,
            profile=profile,
            management=Management(state.management),
            policy=policy_of(self._device.policy) if self._device.policy else None,
            biometrics=frozenset(b for b, kind in told.items() if kind != "none"),
            reaction=(0, max(reactions, default=0)),
        )
        return DeviceSpec(state.device_id, state.owner, setup, passcode, 0.0)

    def _state(self, spec: DeviceSpec, passcode: str, draws: ScriptedDraws) -> DeviceState:
        told, start = self._device.state, self._trace.header.start
        first = first_state(
            enroll(spec.device_id, spec.owner, spec.setup, spec.passcode, draws), start
        )
        kind = PasscodeKind(told.passcode)
        secret = None
        if kind is not PasscodeKind.NONE:
            secret = Secret(kind, draws.digest(passcode), traits_of(passcode))
        compliance = Compliance(told.compliance)
        return replace(
            first,
            current_user=told.current_user,
            version=told.version,
            locked=told.locked,
            secret=secret,
            compliance=compliance,
            passcode_deadline=told.passcode_deadline,
            prompt=Prompt.NONE if compliance is Compliance.COMPLIANT else Prompt.SHOWN,
            touch_id=BiometricState(told.biometrics.touch_id),
            face=BiometricState(told.biometrics.face),
            failed_attempts=told.failed_attempts,
            wiped=told.wiped,
            resets=self._resets(),
            notifications=self._notifications(),
        )

    def _resets(self) -> int:
        """How many resets there had been: the first escrow counts the next one."""
        for message, document in self._each():
            number = document.get("resetNumber")
            if message.leaf == "escrow" and isinstance(number, int):
                return max(0, number - 1)
        state = self._device.state
        return int(state.passcode == "temporary" or state.compliance != "compliant")

    def _notifications(self) -> int:
        for message, document in self._each():
            if message.leaf == "notifications":
                number = str(document.get("notificationId", "")).removeprefix("n-")
                return max(0, int(number) - 1) if number.isdigit() else 0
        return 0

    def _reactions(self) -> Iterator[int]:
        """How long the device took, each time that it took a command up.

        An `active` without an end was cut short, by a crash or by the trace's own end: that one
        takes longer than the trace lasts.
        """
        took: dict[tuple[object, object], int] = {}
        for message, document in self._each():
            state, command = document.get("actionState"), document.get("commandId")
            if message.leaf != "results" or state is None or command is None:
                continue
            if document.get("duplicate") or document.get("errorCode") in _REFUSALS:
                continue
            try:
                began = parse_instant(document["startDateTime"])
                ended = parse_instant(document["lastUpdatedDateTime"])
            except (KeyError, TypeError, ValueError):
                continue
            never = self._trace.end - began + _LONGER
            took[command, began] = never if state == "active" else max(0, ended - began)
        return iter(took.values())

    def _starting_passcode(self) -> dict[str, Any] | None:
        """The placeholder of the passcode it starts with, where the trace gives it away.

        That is the first one that opened it, or one that was refused as used before.
        """
        pressed: dict[object, dict[str, Any]] = {}
        known: list[object] = []
        changed = False
        for message, document in self._each():
            if message.leaf == "inputs" and is_placeholder(document.get("passcode")):
                pressed[document.get("inputId")] = document
            elif message.leaf == "results":
                press = pressed.get(document.get("inputId"), {})
                done = document.get("actionState") == "done"
                action, passcode = press.get("action"), press.get("passcode")
                if action == "enterPasscode" and done and not changed:
                    return dict(passcode or {})
                reused = "used before" in str(document.get("message"))
                if action == "setPasscode" and reused and passcode not in known:
                    return dict(passcode or {})
                changed |= done and document.get("actionName") == "resetPasscode"
                if action == "setPasscode" and done:
                    known.append(passcode)
                    changed = True
        return None

    def _guessed(self) -> str:
        """A passcode for a device of which nobody enters it: good enough for the policies."""
        policies = [policy_of(self._device.policy)] if self._device.policy else []
        for message, document in self._each():
            if message.leaf == "commands" and document.get("actionName") == "applyPasscodePolicy":
                try:
                    policies.append(policy_of(contract.Policy.model_validate(document["policy"])))
                except (KeyError, ValueError):
                    continue
                if self._falls_short_after(message.line):
                    return _USUAL
                break
        return _satisfying(policies) if policies else _USUAL

    def _falls_short_after(self, line: int) -> bool:
        """Whether the device was no longer compliant once the policy of `line` was applied."""
        for message, document in self._each():
            if message.line > line and message.leaf == "state":
                return document.get("compliance") != "compliant"
            if message.line > line and message.leaf == "results":
                return False
        return False

    def _each(self) -> Iterator[tuple[TraceMessage, dict[str, Any]]]:
        return zip(self._messages, self._documents, strict=True)


def _satisfying(policies: Sequence[PasscodePolicy]) -> str:
    """A passcode that all of the policies take, as far as one can."""
    symbols = max(1, *(policy.min_complex_characters or 0 for policy in policies))
    length = max(policy.min_length or 0 for policy in policies)
    passcode = _COMPLEX + "#" * symbols
    return passcode + "x4" * ((length - len(passcode) + 1) // 2)
