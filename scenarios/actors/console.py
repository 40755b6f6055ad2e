"""The `console` actor: the administrator at the Intune administration console.

It implements "Passcode reset and remote lock": All Direct Managed Devices or All Exchange
ActiveSync Managed Devices, or a user's devices; one or several of them; Remote Tasks, Passcode
Reset or Remote Lock. The display of a new passcode in hybrid follows "Reset passcode via the
Company Portal website" (2015-12): the console shows it only from the second reset of a device on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field

from platforms.profile import Action, Management
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeviceMessage,
    ManagedDevice,
    SendCommand,
    SharedState,
    StepRefusedError,
)
from scenarios.model.file import Arguments

__all__ = ["FIRST_VISIBLE_RESET", "ConsoleActor"]

FIRST_VISIBLE_RESET: Final = 2
"""Number of the first reset whose new passcode the console shows in hybrid."""
_ONCE_MORE: Final = "No passcode is available yet. Reset the passcode once more to see the new one."
_GROUPS: Final[Mapping[str, frozenset[Management]]] = {
    "directManaged": frozenset({Management.STANDALONE, Management.HYBRID}),
    "exchangeActiveSync": frozenset({Management.EXCHANGE_ACTIVESYNC}),
}
# If the selected devices differ, the console shows the first of these states.
_STATE_PRIORITY: Final = ("pending", "active", "failed", "notSupported", "canceled", "done")


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Select(Arguments):
    """Select devices by name, all devices of a user, or all devices of a group."""

    devices: Annotated[list[str], BeforeValidator(_list), Field(min_length=1)] | None = Field(
        default=None, description="a list of device names"
    )
    user: str | None = Field(default=None, description="the name of a user")
    group: Literal["directManaged", "exchangeActiveSync"] | None = None


class ResetPasscode(Arguments):
    """Remote Tasks, Passcode Reset: on every selected device."""


class RemoteLock(Arguments):
    """Remote Tasks, Remote Lock: on every selected device."""


class ShowPasscode(Arguments):
    """Show the new passcode of the selected devices, if the console may show it."""


class ConsoleExpectation(Arguments):
    """Visible state of the selected devices.

    If the devices differ, `actionState` is the first of these that occurs: pending, active, failed,
    notSupported, canceled, done. `device` selects one device.
    """

    device: str | None = Field(default=None, description="the name of a device")
    action_state: (
        Literal["pending", "active", "done", "failed", "notSupported", "canceled"] | None
    ) = None
    message: str | None = Field(default=None, description="a string")
    new_passcode: str | None = Field(default=None, repr=False, description="present or absent")
    devices: list[str] | None = Field(default=None, description="a list of device names")


@dataclass(slots=True)
class _Row:
    """Row of one device in the console."""

    correlation_id: str = ""
    state: str | None = None
    message: str | None = None
    result_passcode: str | None = None
    escrow: tuple[int, str] | None = None
    showing: bool = False


class ConsoleActor(Actor):
    """Console session of one administrator."""

    name: ClassVar[str] = "console"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "select": Select,
        "reset_passcode": ResetPasscode,
        "remote_lock": RemoteLock,
        "show_passcode": ShowPasscode,
    }
    expects: ClassVar[type[BaseModel] | None] = ConsoleExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._selected: tuple[ManagedDevice, ...] = ()
        self._rows: defaultdict[str, _Row] = defaultdict(_Row)
        self._command_count = 0
        self._handlers: Mapping[str, Callable[[Any], Sequence[ActorRequest]]] = {
            "select": self._select,
            "reset_passcode": lambda _: self._task(Action.RESET_PASSCODE),
            "remote_lock": lambda _: self._task(Action.REMOTE_LOCK),
            "show_passcode": self._show_passcode,
        }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; raises StepRefusedError if no device is selected."""
        del now
        return self._handlers[step](arguments)

    def _select(self, arguments: Select) -> Sequence[ActorRequest]:
        ways = [arguments.devices, arguments.user, arguments.group]
        if sum(way is not None for way in ways) != 1:
            raise StepRefusedError("devices, a user, or a group to select", "none or several")
        all_devices = self.shared.devices.values()
        if arguments.devices is not None:
            found = [self.shared.devices[name] for name in arguments.devices]
        elif arguments.user is not None:
            found = [device for device in all_devices if device.owner == arguments.user]
        else:
            found = self.devices_of_group(arguments.group or "")
        if not found:
            raise StepRefusedError("devices in the list", "an empty list")
        self._selected = tuple(found)
        return ()

    def devices_of_group(self, group: str) -> list[ManagedDevice]:
        """Devices in the list of `directManaged` or `exchangeActiveSync`."""
        kinds = _GROUPS[group]
        return [device for device in self.shared.devices.values() if device.management in kinds]

    def _task(self, action: Action) -> Sequence[ActorRequest]:
        requests = []
        for device in self._chosen():
            self._command_count += 1
            row = self._rows[device.name]
            row.correlation_id = f"{action.value}-{self._command_count}"
            row.state, row.message, row.result_passcode, row.showing = "pending", None, None, False
            requests.append(SendCommand(device, action.value, "admin", row.correlation_id))
        return requests

    def _show_passcode(self, _: ShowPasscode) -> Sequence[ActorRequest]:
        for device in self._chosen():
            self._rows[device.name].showing = True
        return ()

    def _chosen(self) -> tuple[ManagedDevice, ...]:
        if not self._selected:
            raise StepRefusedError("a device that is selected", "none")
        return self._selected

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store the result of a task and passcodes from escrow."""
        del now
        row, payload = self._rows[message.device.name], message.payload
        if message.leaf == "escrow":
            row.escrow = (payload["resetNumber"], payload["newPasscode"])
        elif (
            message.leaf == "results"
            and message.correlation_id is not None
            and message.correlation_id == row.correlation_id
        ):
            row.state, row.message = payload["actionState"], payload["message"]
            row.result_passcode = payload.get("newPasscode")
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible state of the selected devices."""
        del now
        return self._view_of(self._selected)

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return the visible state of the device in `query`, or of the selected devices."""
        del now
        name = query.get("device")
        return self._view_of((self.shared.devices[name],) if name else self._selected)

    def _view_of(self, devices: Sequence[ManagedDevice]) -> Mapping[str, object]:
        seen: dict[str, object] = {}
        if self._selected:
            seen["devices"] = tuple(device.name for device in self._selected)
        rows = [(device, self._rows[device.name]) for device in devices]
        states = {row.state for _, row in rows} - {None}
        if states:
            seen["actionState"] = min(states, key=lambda state: _STATE_PRIORITY.index(str(state)))
        messages = [
            row.message for _, row in rows if row.message and row.state == seen["actionState"]
        ]
        if messages:
            seen["message"] = messages[0]
        for device, row in rows:
            passcode = _passcode(device, row)
            if passcode is not None:
                seen.setdefault("newPasscode", passcode)
            elif row.showing:
                seen["message"] = _ONCE_MORE
        return seen


def _passcode(device: ManagedDevice, row: _Row) -> str | None:
    """Return the new passcode that the console shows for a device, or None.

    In hybrid it comes from escrow, and is shown on request only, from the second reset on.
    """
    if device.management is not Management.HYBRID:
        return row.result_passcode
    if not row.showing or row.escrow is None or row.escrow[0] < FIRST_VISIBLE_RESET:
        return None
    return row.escrow[1]
