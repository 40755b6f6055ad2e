"""Messages that an operator receives: known devices, outcomes of requests, and parsing.

Unlike sending, reading is lenient: unknown keys are ignored, and an invalid payload is read as
None. Readers never raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from broker.contract import (
    MAX_PAYLOAD,
    PARSED_JSON,
    ActionResult,
    ClockNow,
    DeviceState,
    Escrow,
    InputResult,
    Inspection,
    Message,
    Notification,
    Presence,
    is_more_than_json,
)

__all__ = [
    "FINAL_STATES",
    "KnownDevice",
    "PresenceTracker",
    "ReceivedMessage",
    "RequestOutcome",
    "SimulationOutcome",
    "is_outdated",
    "parse_input_result",
    "parse_result",
    "read_clock_now",
    "read_escrow",
    "read_inspection",
    "read_json",
    "read_notification",
    "read_presence",
    "read_result",
    "read_state",
    "read_text_message",
]

M = TypeVar("M", bound=BaseModel)

FINAL_STATES: Final = frozenset({"done", "failed", "notSupported", "canceled"})
"""Values of `actionState` that are final."""


class _ActionResult(ActionResult):
    model_config = ConfigDict(extra="ignore")


class _InputResult(InputResult):
    model_config = ConfigDict(extra="ignore")


class _DeviceState(DeviceState):
    model_config = ConfigDict(extra="ignore")


class _Presence(Presence):
    model_config = ConfigDict(extra="ignore")


class _Notification(Notification):
    model_config = ConfigDict(extra="ignore")


class _Escrow(Escrow):
    model_config = ConfigDict(extra="ignore")


class _Message(Message):
    model_config = ConfigDict(extra="ignore")


class _ClockNow(ClockNow):
    model_config = ConfigDict(extra="ignore")


class _Inspection(Inspection):
    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message. `device_id` and `leaf` are set for a topic of a device.

    `retained` means that the broker had stored it before the subscription.
    """

    topic: str
    device_id: str | None
    leaf: str | None
    payload: bytes = field(repr=False)
    retained: bool

    def document(self) -> object:
        """Return the payload parsed as JSON, None if it is not JSON."""
        return read_json(self.payload)


@dataclass(slots=True)
class KnownDevice:
    """Retained state and presence of a device; None for a part that was not published."""

    device_id: str
    state: DeviceState | None = None
    presence: Presence | None = None

    @property
    def online(self) -> bool:
        """Return True if the device is connected, as far as the broker knows."""
        return self.presence is not None and self.presence.status == "online"

    @property
    def platform(self) -> str:
        """Id of the platform, `?` if the device has published no state."""
        return self.state.platform if self.state else "?"

    @property
    def group(self) -> str | None:
        """Name of the device's group, None if the device has published no state."""
        return self.state.group if self.state else None


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """Outcome of a command or an input on one device.

    `result` is None if no final answer came in time. `document` is the answer as it arrived; it may
    contain a passcode and is not part of the repr. `seconds` is the real time from sending to
    answer.
    """

    device_id: str
    request_id: str
    result: ActionResult | InputResult | None
    document: Mapping[str, Any] | None = field(repr=False)
    seconds: float

    @property
    def done(self) -> bool:
        """Return True if the final state is `done`."""
        return self.result is not None and self.result.action_state == "done"

    @property
    def word(self) -> str:
        """Final `actionState`, or `no answer`."""
        return self.result.action_state if self.result else "no answer"


@dataclass(frozen=True, slots=True)
class SimulationOutcome:
    """Outcome of a simulation on one device.

    `seen`: the effect was observed. `sent`: no effect can be observed, since the device is offline.
    `unseen`: the effect was not observed in time.
    """

    device_id: str
    effect: Literal["seen", "sent", "unseen"]
    seconds: float


class PresenceTracker:
    """Known devices, updated by each message."""

    def __init__(self) -> None:
        self.devices: dict[str, KnownDevice] = {}

    def on_message(self, message: ReceivedMessage) -> None:
        """Handle a message; ignore those that are neither a state nor a presence."""
        if message.device_id is None or message.leaf not in ("state", "presence"):
            return
        seen = self.devices.get(message.device_id) or KnownDevice(message.device_id)
        if message.leaf == "state":
            self._on_state(seen, message)
        else:
            self._on_presence(seen, message)
        if seen.state is None and seen.presence is None:
            self.devices.pop(seen.device_id, None)
        else:
            self.devices[seen.device_id] = seen

    def _on_state(self, seen: KnownDevice, message: ReceivedMessage) -> None:
        if not message.payload:
            seen.state = None
        elif (state := read_state(message.payload)) is not None:
            seen.state = state

    def _on_presence(self, seen: KnownDevice, message: ReceivedMessage) -> None:
        if not message.payload:
            seen.presence = None
            return
        presence = read_presence(message.payload)
        if presence is None:
            return
        if not is_outdated(presence, seen.presence):
            seen.presence = presence


def is_outdated(presence: Presence, last: Presence | int | None) -> bool:
    """Return True for a presence of an earlier session than the last one; None for no last one.

    The Last Will of a lost connection may arrive after the `online` of the next connection.
    """
    last_session = last.session if isinstance(last, Presence) else last
    return last_session is not None and presence.session < last_session


def read_json(payload: bytes) -> object:
    """Return the payload as plain values, None if it is not JSON or above 64 KiB."""
    if len(payload) > MAX_PAYLOAD:
        return None
    try:
        return from_json(payload, allow_inf_nan=False)
    except ValueError:
        return None


def _read(model: type[M], payload: bytes) -> M | None:
    if len(payload) > MAX_PAYLOAD or is_more_than_json(payload):
        return None
    try:
        return model.model_validate_json(payload, by_alias=True, by_name=False)
    except ValidationError:
        return None


def _validate(model: type[M], document: Mapping[str, Any]) -> M | None:
    try:
        return model.model_validate(document, by_alias=True, by_name=False, context=PARSED_JSON)
    except ValidationError:
        return None


def parse_result(document: Mapping[str, Any]) -> ActionResult | None:
    """Return a command's result from parsed JSON, None if it is not valid."""
    return _validate(_ActionResult, document)


def parse_input_result(document: Mapping[str, Any]) -> InputResult | None:
    """Return an input's answer from parsed JSON, None if it is not valid."""
    return _validate(_InputResult, document)


def read_result(payload: bytes) -> ActionResult | None:
    """Return a command's result, None if the payload is not valid."""
    return _read(_ActionResult, payload)


def read_state(payload: bytes) -> DeviceState | None:
    """Return a device's state, None if the payload is not valid."""
    return _read(_DeviceState, payload)


def read_presence(payload: bytes) -> Presence | None:
    """Return a device's presence, None if the payload is not valid."""
    return _read(_Presence, payload)


def read_notification(payload: bytes) -> Notification | None:
    """Return a notification on a device's screen, None if the payload is not valid."""
    return _read(_Notification, payload)


def read_escrow(payload: bytes) -> Escrow | None:
    """Return a passcode in escrow, None if the payload is not valid."""
    return _read(_Escrow, payload)


def read_text_message(payload: bytes) -> Message | None:
    """Return a text message or call for a device, None if the payload is not valid."""
    return _read(_Message, payload)


def read_clock_now(payload: bytes) -> ClockNow | None:
    """Return the fleet's clock, None if the payload is not valid."""
    return _read(_ClockNow, payload)


def read_inspection(payload: bytes) -> Inspection | None:
    """Return a host's inspection of a device, None if the payload is not valid."""
    return _read(_Inspection, payload)
