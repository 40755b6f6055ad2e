"""Restoring devices to their state at the beginning of a trace.

A snapshot has most of a device's state; its host recorded its setup and its memory
(`scenarios.traces.device_facts`). The rest is derived from the messages of the trace: the first
passcode (the one that opens the device later) and the duration of each command; without a host's
answer also the numbers of earlier notifications and resets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from agent.definition.platforms import Platforms, read_platforms
from agent.device_factory import DeviceSpec
from agent.machine import first_state
from agent.passcode import PasscodePolicy, traits_of
from agent.payloads import policy_of
from agent.random_stream import DeviceRandomStream
from agent.state import (
    BiometricState,
    Compliance,
    DeviceState,
    ErrorCode,
    PasscodeKind,
    Prompt,
    Secret,
)
from broker import contract
from broker.errors import FileError
from broker.file_validation import Problems
from broker.operator.operator import EVERYONE
from broker.timestamps import parse_timestamp
from platforms.profile import Biometric, PlatformProfile
from scenarios.traces.device_facts import DeviceSetup
from scenarios.traces.format import Trace, TraceDevice, TraceMessage
from scenarios.traces.placeholders import is_placeholder

__all__ = ["SEED", "ReplayRandomStream", "RestoredDevice", "restore_devices"]

SEED: Final = 7
"""Seed of the restored devices. It may differ from the recorded fleet's."""
_NOT_DEFINED: Final = (
    "since version 2 a trace defines the platforms of a fleet's own that its devices are of;"
    " record it anew"
)
_BEYOND_TRACE: Final = 60_000
_UNFINISHED: Final = 1_000
"""Longest duration, in milliseconds, of a command without any result in the trace."""
_DEFAULT_PASSCODE: Final = "2580"
_COMPLEX_PREFIX: Final = "aK7"
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
"""Errors that a device may answer at once, without drawing a reaction time."""


class ReplayRandomStream(DeviceRandomStream):
    """Random stream of a device that draws its reaction times from a recording."""

    __slots__ = ("_left",)

    def __init__(self, device_id: str, reactions: Sequence[int]) -> None:
        super().__init__(SEED, device_id)
        self._left = list(reactions)

    def bits(self, purpose: str, number: int) -> int:
        """The next recorded reaction, or a draw."""
        if purpose != "reaction":
            return super().bits(purpose, number)
        return self._left.pop(0) if self._left else _UNFINISHED


@dataclass(frozen=True, slots=True)
class RestoredDevice:
    """Spec of a device to host, with its state and random stream."""

    spec: DeviceSpec
    state: DeviceState
    draws: ReplayRandomStream
    online: bool


def restore_devices(
    trace: Trace, resolve_placeholder: Callable[[Mapping[str, Any]], str]
) -> list[RestoredDevice]:
    """Devices of a trace. `resolve_placeholder` returns the passcode for a placeholder.

    Raises FileError if neither the trace nor this passfleet defines the platform of a device, or
    if the trace defines a platform incorrectly.
    """
    profiles = _Profiles(trace)
    messages = {device_id: list[TraceMessage]() for device_id in trace.devices}
    for message in trace.messages:
        for device_id in _concerned_devices(trace, message):
            messages[device_id].append(message)
    return [
        _DeviceRestorer(
            trace, device, number, profiles.of(device), messages[device.device_id]
        ).restore(resolve_placeholder)
        for number, device in enumerate(trace.devices.values(), 1)
    ]


def _concerned_devices(trace: Trace, message: TraceMessage) -> Iterator[str]:
    """The devices that sent a message or were sent it, those of a group included."""
    if message.device_id is not None:
        if message.device_id in trace.devices:
            yield message.device_id
    elif message.topic.startswith("groups/"):
        group = message.topic.split("/")[1]
        for device_id, device in trace.devices.items():
            if group in (device.state.group, EVERYONE):
                yield device_id


class _Profiles:
    """Platform profiles of a trace's devices, under the dated table of the recording."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._known: dict[str, Platforms] = {}

    def of(self, device: TraceDevice) -> PlatformProfile:
        """The platform of a device."""
        profiles = self._platforms(device).profiles
        profile = profiles.get(device.state.platform)
        if profile is None:
            raise FileError(
                f"the device {device.device_id} is of the platform {device.state.platform!r}",
                path=self._trace.path,
                line=device.line,
                expected=f"one of {', '.join(profiles)}",
                hint=_NOT_DEFINED,
            )
        return profile

    def _platforms(self, device: TraceDevice) -> Platforms:
        header = self._trace.header
        table = device.conformance or header.conformance
        line, own = device.line, device.platforms
        if own is None:
            line, own = 1, header.platforms
        key = f"{table}/{json.dumps(own)}"
        if key not in self._known:
            self._known[key], found = read_platforms(own, table)
            problems = Problems(self._trace.path, {"platforms": own}, {(): line})
            problems.extend(found)
            problems.raise_first()
        return self._known[key]


@dataclass(frozen=True, slots=True)
class _EnteredPasscodes:
    """Placeholders of the passcode as the trace begins, and of the one it was enrolled with."""

    now: dict[str, Any] | None
    first: dict[str, Any] | None


class _DeviceRestorer:
    """Builder of one device from a trace. `number` is unique per device, from 1."""

    def __init__(
        self,
        trace: Trace,
        device: TraceDevice,
        number: int,
        profile: PlatformProfile,
        messages: list[TraceMessage],
    ) -> None:
        self._trace = trace
        self._device = device
        self._number = number
        self._profile = profile
        self._messages = messages
        self._documents = [m.payload if isinstance(m.payload, dict) else {} for m in messages]

    def restore(self, resolve_placeholder: Callable[[Mapping[str, Any]], str]) -> RestoredDevice:
        """Return the device."""
        passcode, first = self._passcodes(resolve_placeholder)
        never = self._trace.end - self._trace.header.start + _BEYOND_TRACE
        reactions = list(self._reactions(never))
        draws = ReplayRandomStream(self._device.device_id, reactions)
        spec = self._spec(first, max(reactions, default=0))
        return RestoredDevice(spec, self._state(spec, passcode, draws), draws, self._device.online)

    def _spec(self, passcode: str | None, longest: int) -> DeviceSpec:
        state = self._device.state
        group = (self._device.setup or self._default_setup()).group_setup(state, self._profile)
        took_time = longest > 0 or group.reaction[1] > 0
        reaction = (0, max(longest, _UNFINISHED)) if took_time else (0, 0)
        group = replace(group, reaction=reaction)
        return DeviceSpec(state.device_id, state.owner, group, passcode)

    def _default_setup(self) -> DeviceSetup:
        """Assumed setup of a device without a recorded one."""
        recorded = self._device.state.biometrics
        kinds = {Biometric.TOUCH_ID: recorded.touch_id, Biometric.FACE: recorded.face}
        has = tuple(biometric for biometric, kind in kinds.items() if kind != "none")
        return DeviceSetup(policy=self._device.policy, biometrics=has)

    def _state(
        self, spec: DeviceSpec, passcode: str | None, draws: ReplayRandomStream
    ) -> DeviceState:
        recorded, start = self._device.state, self._trace.header.start
        first = first_state(spec.enrollment(draws), start)
        kind = PasscodeKind(recorded.passcode)
        secret = None
        if kind is not PasscodeKind.NONE and passcode is not None:
            temporary = kind is PasscodeKind.TEMPORARY
            digest = draws.digest(passcode, temporary=temporary)
            secret = Secret(kind, digest, traits_of(passcode))
        policy = policy_of(self._device.policy) if self._device.policy else None
        return replace(
            first,
            current_user=recorded.current_user,
            version=recorded.version,
            locked=recorded.locked,
            secret=secret,
            compliance=Compliance(recorded.compliance),
            passcode_deadline=recorded.passcode_deadline,
            touch_id=BiometricState(recorded.biometrics.touch_id),
            face=BiometricState(recorded.biometrics.face),
            failed_attempts=recorded.failed_attempts,
            wiped=recorded.wiped,
            enrolled=recorded.enrolled and not recorded.wiped,
            lost_mode=recorded.lost_mode,
            last_check_in=recorded.last_check_in,
            policy=policy if policy and policy.asks_for_something else None,
            **self._memory_fields(),
        )

    def _memory_fields(self) -> dict[str, Any]:
        """State fields missing from a snapshot: as the host reported them, else estimated."""
        if self._device.memory is not None:
            return self._device.memory.fields()
        compliant = self._device.state.compliance == "compliant"
        return {
            "prompt": Prompt.NONE if compliant else Prompt.SHOWN,
            "resets": self._resets(),
            "notifications": self._notifications(),
        }

    def _resets(self) -> int:
        """Number of resets before the trace: one less than the first `resetNumber` in it."""
        for message, document in self._documents_by_message():
            number = document.get("resetNumber")
            if message.leaf == "escrow" and isinstance(number, int):
                return max(0, number - 1)
        state = self._device.state
        return int(state.passcode == "temporary" or state.compliance != "compliant")

    def _notifications(self) -> int:
        for message, document in self._documents_by_message():
            if message.leaf == "notifications":
                number = str(document.get("notificationId", "")).removeprefix("n-")
                return max(0, int(number) - 1) if number.isdecimal() else 0
        return 0

    def _reactions(self, never: int) -> Iterator[int]:
        """Duration in milliseconds of each command that the device began, in order.

        A command that is `active` to the end was cut short by a crash or by the end of the trace:
        its duration is `never`, longer than the trace lasts.
        """
        took: dict[tuple[str, int], int] = {}
        for message, document in self._documents_by_message():
            state, command = document.get("actionState"), document.get("commandId")
            if message.leaf != "results" or state is None or command is None:
                continue
            try:
                began = parse_timestamp(document["startDateTime"])
                ended = parse_timestamp(document["lastUpdatedDateTime"])
            except (KeyError, TypeError, ValueError):
                continue
            at_once = began == ended and str(document.get("errorCode")) in _REFUSALS
            if document.get("duplicate") or at_once:
                continue
            took[str(command), began] = never if state == "active" else max(0, ended - began)
        return iter(took.values())

    def _passcodes(
        self, resolve_placeholder: Callable[[Mapping[str, Any]], str]
    ) -> tuple[str | None, str | None]:
        """The passcode that opens it as the trace begins, and the one that it was enrolled with."""
        memory, setup = self._device.memory, self._device.setup
        entered = self._entered_passcodes()
        now, first = self._device.passcode or entered.now, entered.first
        same = memory is None or memory.as_enrolled
        if same:
            now = now or first
        # For a passcode that is never entered, the trace has its length and kinds of characters.
        like_now = memory.passcode if memory else setup.passcode if setup else None
        like_first = setup.passcode if setup else None
        passcode: str | None
        if isinstance(now, dict):
            passcode = resolve_placeholder(now)
        elif like_now is not None:
            passcode = resolve_placeholder(like_now.placeholder(-2 * self._number))
        else:
            passcode = self._guess_passcode() if memory is None else None
        if setup is not None and like_first is None:
            return passcode, None
        if same or like_first is None:
            return passcode, passcode
        return passcode, resolve_placeholder(first or like_first.placeholder(-2 * self._number - 1))

    def _entered_passcodes(self) -> _EnteredPasscodes:
        """The placeholders of its passcodes, if the trace shows them.

        `now` is the first passcode that opens the device, or one that is refused as used before.
        `first` is the one that opens the device after a `restore`.
        """
        pressed: dict[str, dict[str, Any]] = {}
        found: dict[str, dict[str, Any]] = {}
        known: list[object] = []
        holds = "now"
        for message, document in self._documents_by_message():
            if message.leaf == "inputs" and is_placeholder(document.get("passcode")):
                pressed[str(document.get("inputId"))] = document
            elif message.leaf == "simulate" and document.get("action") == "restore":
                holds = "first"
            elif message.leaf == "results" and not document.get("duplicate"):
                press = pressed.get(str(document.get("inputId")), {})
                done = document.get("actionState") == "done"
                action, passcode = press.get("action"), press.get("passcode", {})
                reused = "used before" in str(document.get("message"))
                if action == "enterPasscode" and done:
                    found.setdefault(holds, passcode)
                elif action == "setPasscode" and reused and passcode not in known:
                    found.setdefault("now", passcode)
                elif action == "setPasscode" and done:
                    known.append(passcode)
                    holds = "another"
                elif done and document.get("actionName") == "resetPasscode":
                    holds = "another"
        return _EnteredPasscodes(found.get("now"), found.get("first"))

    def _guess_passcode(self) -> str:
        """A passcode for a device whose own is never entered; it meets the policies."""
        policies = [policy_of(self._device.policy)] if self._device.policy else []
        for message, document in self._documents_by_message():
            if message.leaf == "commands" and document.get("actionName") == "applyPasscodePolicy":
                try:
                    policies.append(policy_of(contract.Policy.model_validate(document["policy"])))
                except (KeyError, ValueError):
                    continue
                if self._falls_short_after(message.line):
                    return _DEFAULT_PASSCODE
                break
        return _passcode_for(policies) if policies else _DEFAULT_PASSCODE

    def _falls_short_after(self, line: int) -> bool:
        """Return True if the device was not compliant after the policy in `line` was applied."""
        for message, document in self._documents_by_message():
            if message.line > line and message.leaf == "state":
                return document.get("compliance") != "compliant"
            if message.line > line and message.leaf == "results":
                return False
        return False

    def _documents_by_message(self) -> Iterator[tuple[TraceMessage, dict[str, Any]]]:
        return zip(self._messages, self._documents, strict=True)


def _passcode_for(policies: Sequence[PasscodePolicy]) -> str:
    """A passcode that meets all policies, as far as one passcode can."""
    symbols = max(1, *(policy.min_complex_characters or 0 for policy in policies))
    length = max(policy.min_length or 0 for policy in policies)
    passcode = _COMPLEX_PREFIX + "#" * symbols
    return passcode + "x4" * ((length - len(passcode) + 1) // 2)
