"""The `console` actor: the administrator at the Intune administration console.

It implements "Passcode reset and remote lock": Groups, All Devices, All Mobile Devices, one of two
lists; or All Users, a user, the Devices tab; then one or several devices; Remote Tasks, Passcode
Reset or Remote Lock; or a wipe, which the document mentions. "Reset passcode via the Company Portal
website" (2015-12) gives the rule for new passcodes: where the platform sends them to the console
alone (`ResetRule.escrow`), the console shows one only from the second reset of a device on,
otherwise at once. A new passcode is shown until the device no longer has it.

Assumptions, because the sources do not specify it: hybrid devices, which Configuration Manager
manages, are in neither list and are selected by user or by id; without Show Passcode the console
shows new passcodes of its own resets only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from platforms.profile import Action, ResetOutcome
from scenarios.actors.console_steps import (
    ConsoleExpectation,
    Open,
    RemoteLock,
    ResetPasscode,
    Retire,
    Select,
    ShowPasscode,
    UnlockAccount,
    Wipe,
)
from scenarios.actors.console_tree import ConsoleTree
from scenarios.actors.device_records import DeviceRecords, NewPasscodes
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeviceMessage,
    ManagedDevice,
    SendCommand,
    SharedState,
    StepRefusedError,
)

__all__ = ["FIRST_VISIBLE_RESET", "ConsoleActor"]

FIRST_VISIBLE_RESET: Final = 2
"""Number of the first reset whose passcode the console shows, where it comes from escrow."""
_ONCE_MORE: Final = "No passcode is available yet. Reset the passcode once more to see the new one."
_NONE_CREATED: Final = (
    "There is no new passcode to show: a reset removes the passcode of this device and creates no"
    " new one."
)
_NONE: Final = "There is no new passcode to show."
_REMOTE_TASKS: Final = ("Passcode Reset", "Remote Lock")
# If the selected devices differ, the console shows the first of these states.
_STATE_PRIORITY: Final = ("pending", "active", "failed", "notSupported", "canceled", "done")


@dataclass(slots=True)
class _Row:
    """Row of one device in the console.

    `escrow` is (number of the reset, passcode or None). `showing` is True after Show Passcode until
    the next reset, `noting` until the next task.
    """

    correlation_id: str = ""
    state: str | None = None
    message: str | None = None
    escrow: tuple[int, str | None] = (0, None)
    showing: bool = False
    noting: bool = False


class ConsoleActor(Actor):
    """Console session of one administrator."""

    name: ClassVar[str] = "console"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "open": Open,
        "select": Select,
        "reset_passcode": ResetPasscode,
        "remote_lock": RemoteLock,
        "wipe": Wipe,
        "retire": Retire,
        "show_passcode": ShowPasscode,
        "unlock_account": UnlockAccount,
    }
    expects: ClassVar[type[BaseModel] | None] = ConsoleExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._tree = ConsoleTree(shared)
        self._selected: tuple[ManagedDevice, ...] = ()
        self._rows: defaultdict[str, _Row] = defaultdict(_Row)
        self._records = DeviceRecords()
        self._new_passcodes = NewPasscodes(self._records)
        self._command_count = 0
        self._handlers: Mapping[str, Callable[[Any], Sequence[ActorRequest]]] = {
            "open": self._open,
            "select": self._select,
            "reset_passcode": lambda _: self._task(Action.RESET_PASSCODE),
            "remote_lock": lambda _: self._task(Action.REMOTE_LOCK),
            "wipe": lambda _: self._task(Action.WIPE),
            "retire": lambda _: self._task(Action.RETIRE),
            "show_passcode": self._show_passcode,
            "unlock_account": self._unlock_account,
        }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; raises StepRefusedError if no device is selected."""
        del now
        return self._handlers[step](arguments)

    def _open(self, arguments: Open) -> Sequence[ActorRequest]:
        self._tree.open(arguments.path)
        self._selected = ()
        return ()

    def _select(self, arguments: Select) -> Sequence[ActorRequest]:
        self._selected = tuple(self._tree.select(arguments))
        return ()

    def devices_of_group(self, group: str) -> list[ManagedDevice]:
        """Return the devices in the list `directManaged` or `exchangeActiveSync`."""
        return self._tree.devices_of_group(group)

    def _task(self, action: Action) -> Sequence[ActorRequest]:
        requests = []
        for device in self._chosen():
            self._command_count += 1
            row = self._rows[device.name]
            row.correlation_id = f"{action.value}-{self._command_count}"
            row.state, row.message, row.noting = "pending", None, False
            row.showing = row.showing and action is not Action.RESET_PASSCODE
            requests.append(SendCommand(device, action.value, "admin", row.correlation_id))
        return requests

    def _show_passcode(self, _: ShowPasscode) -> Sequence[ActorRequest]:
        for device in self._chosen():
            row = self._rows[device.name]
            row.showing = row.noting = True
        return ()

    def _unlock_account(self, arguments: UnlockAccount) -> Sequence[ActorRequest]:
        self.shared.unlocked.add(arguments.user)
        return ()

    def _chosen(self) -> tuple[ManagedDevice, ...]:
        if not self._selected:
            raise StepRefusedError("a device that is selected", "none")
        return self._selected

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store the result of a task, new passcodes, and the state of the device."""
        del now
        self._records.on_message(message)
        self._new_passcodes.on_message(message)
        device, payload = message.device, message.payload
        if message.leaf == "escrow":
            self._rows[device.name].escrow = (payload["resetNumber"], payload["newPasscode"])
        row = self._rows.get(device.name)
        if row is None:
            return ()
        if message.leaf == "state" and not self._records.keeps_new_passcode(device):
            row.escrow = (row.escrow[0], None)
        elif message.leaf == "results" and message.correlation_id == row.correlation_id:
            row.state, row.message = payload["actionState"], payload["message"]
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

    def new_passcode(self, device: ManagedDevice, now: int) -> str | None:
        """Return the new passcode that the console shows for a device, or None.

        From escrow it is shown on request only, from the second reset on.
        """
        del now
        row = self._rows[device.name]
        if _is_escrowed(device):
            number, passcode = row.escrow
            return passcode if row.showing and number >= FIRST_VISIBLE_RESET else None
        found = self._new_passcodes.of(device)
        return found.passcode if found is not None and (found.own or row.showing) else None

    def _view_of(self, devices: Sequence[ManagedDevice]) -> Mapping[str, object]:
        seen: dict[str, object] = dict(self._tree.view())
        if self._selected:
            seen["devices"] = tuple(device.name for device in self._selected)
            seen["remoteTasks"] = _REMOTE_TASKS
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
            passcode = self.new_passcode(device, 0)
            if passcode is not None:
                seen.setdefault("newPasscode", passcode)
            elif row.noting:
                seen["message"] = _note(device, row)
        return seen


def _is_escrowed(device: ManagedDevice) -> bool:
    return device.management in device.profile.reset.escrow


def _note(device: ManagedDevice, row: _Row) -> str:
    """Return the answer to Show Passcode where the console has no passcode to show."""
    if _is_escrowed(device):
        return _ONCE_MORE if row.escrow[0] < FIRST_VISIBLE_RESET else _NONE
    return _NONE_CREATED if device.profile.reset.outcome is ResetOutcome.REMOVES else _NONE
