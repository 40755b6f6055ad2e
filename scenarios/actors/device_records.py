"""Published states of devices and their new passcodes, for portal, console and user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from platforms.profile import Action
from scenarios.model.actor import DeviceMessage, ManagedDevice

__all__ = ["DeviceRecords", "NewPasscode", "NewPasscodes"]

_TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class _Record:
    """State values that matter here; the defaults hold for a device that published no state."""

    passcode: str = _TEMPORARY
    locked: bool = True
    enrolled: bool = True


_UNKNOWN: Final = _Record()


class DeviceRecords:
    """Last published state of each device."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def on_message(self, message: DeviceMessage) -> None:
        """Store a state; ignore all other messages."""
        if message.leaf == "state":
            state = message.payload
            self._records[message.device.name] = _Record(
                passcode=state.get("passcode", _TEMPORARY),
                locked=state.get("locked", True),
                enrolled=state.get("enrolled", True) and not state.get("wiped", False),
            )

    def is_enrolled(self, device: ManagedDevice) -> bool:
        """Return False if the device was wiped or its enrollment removed."""
        return self._of(device).enrolled

    def is_locked(self, device: ManagedDevice) -> bool:
        """Return True if the lock screen shows; devices start locked."""
        return self._of(device).locked

    def has_passcode(self, device: ManagedDevice) -> bool:
        """Return False if the device has no passcode."""
        return self._of(device).passcode != "none"

    def keeps_new_passcode(self, device: ManagedDevice) -> bool:
        """Return False if the device no longer has the passcode of the last reset."""
        record = self._of(device)
        return record.passcode == _TEMPORARY and record.enrolled

    def _of(self, device: ManagedDevice) -> _Record:
        return self._records.get(device.name, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class NewPasscode:
    """Passcode of a reset; `own` is True if the reset was requested by the actor itself."""

    passcode: str = field(repr=False)
    own: bool


class NewPasscodes:
    """New passcode of each device, until the device no longer has it.

    A passcode is forgotten after a later reset, and when the state of the device shows another kind
    of passcode or a wipe. The result of another action changes nothing.
    """

    def __init__(self, records: DeviceRecords) -> None:
        self._records = records
        self._found: dict[str, NewPasscode] = {}

    def on_message(self, message: DeviceMessage) -> None:
        """Store the passcode of a reset, or forget one; `records` has the message already."""
        device, payload = message.device, message.payload
        if message.leaf == "state" and not self._records.keeps_new_passcode(device):
            self._found.pop(device.name, None)
        elif message.leaf == "results" and _is_reset(payload):
            if payload.get("duplicate") and device.name in self._found:
                return
            self._found.pop(device.name, None)
            passcode = payload.get("newPasscode")
            if isinstance(passcode, str) and self._records.keeps_new_passcode(device):
                own = message.correlation_id is not None
                self._found[device.name] = NewPasscode(passcode, own)

    def of(self, device: ManagedDevice) -> NewPasscode | None:
        """Return the new passcode that the device still has, or None."""
        return self._found.get(device.name)


def _is_reset(payload: Mapping[str, Any]) -> bool:
    done = payload.get("actionState") == "done"
    return done and payload.get("actionName") == Action.RESET_PASSCODE.value
