"""Models of the steps of the `console` actor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from broker.file_validation import value_error
from scenarios.model.file import Arguments

__all__ = [
    "ConsoleExpectation",
    "Open",
    "RemoteLock",
    "ResetPasscode",
    "Retire",
    "Select",
    "ShowPasscode",
    "UnlockAccount",
    "Wipe",
]


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _path(value: object) -> object:
    return [part.strip() for part in value.split(">")] if isinstance(value, str) else value


class Open(Arguments):
    """Open an item of the tree: `path` begins at Groups, or at the item that is open.

    The items are Groups > All Devices > All Mobile Devices > All Direct Managed Devices or All
    Exchange ActiveSync Managed Devices, and Groups > All Users > a user > Devices.
    """

    path: Annotated[
        list[str],
        BeforeValidator(_path, json_schema_input_type=list[str] | str),
        Field(min_length=1),
    ] = Field(description='items of the tree, as in "Groups > All Devices > All Mobile Devices"')


class Select(Arguments):
    """Select devices: by name, of a user, or of a group.

    With a user or a group, `devices` are those to click in that list; without `devices` all of it
    is selected. While a list is open (`console.open`), `devices` are those to click there.
    """

    devices: (
        Annotated[
            list[str],
            BeforeValidator(_list, json_schema_input_type=list[str] | str),
            Field(min_length=1),
        ]
        | None
    ) = Field(default=None, description="a list of device names")
    user: str | None = Field(default=None, description="the name of a user")
    group: Literal["directManaged", "exchangeActiveSync"] | None = None

    @model_validator(mode="after")
    def _one_list(self) -> Select:
        if self.user is not None and self.group is not None:
            raise value_error("user and group exclude each other", hint="give one of them")
        if not self.model_fields_set:
            raise value_error("this selects nothing", hint="give devices, user or group")
        return self


class ResetPasscode(Arguments):
    """Remote Tasks, Passcode Reset: on every selected device."""


class RemoteLock(Arguments):
    """Remote Tasks, Remote Lock: on every selected device."""


class Wipe(Arguments):
    """Wipe every selected device: a factory reset."""


class Retire(Arguments):
    """Retire every selected device: its enrollment ends, its passcode is kept."""


class ShowPasscode(Arguments):
    """Show the new passcode of the selected devices, if the console may show it."""


class UnlockAccount(Arguments):
    """Enable a user's work account for password reset, and end a lockout."""

    user: str = Field(description="the name of a user")


class ConsoleExpectation(Arguments):
    """Visible state of the selected devices, and the open item of the tree.

    If the devices differ, `actionState` is the first of these that occurs: pending, active, failed,
    notSupported, canceled, done. `device` selects one device. `path` is the open item, `items` the
    items below it, `deviceList` the devices in the open list. `remoteTasks` are the tasks that the
    taskbar offers for the selected devices.
    """

    device: str | None = Field(default=None, description="the name of a device")
    action_state: (
        Literal["pending", "active", "done", "failed", "notSupported", "canceled"] | None
    ) = None
    message: str | None = Field(default=None, description="a string")
    new_passcode: str | None = Field(default=None, repr=False, description="present or absent")
    devices: list[str] | None = Field(default=None, description="a list of device names")
    path: str | None = Field(default=None, description="a string such as Groups > All Users")
    items: list[str] | None = Field(default=None, description="a list of items of the tree")
    device_list: list[str] | None = Field(default=None, description="a list of device names")
    remote_tasks: list[str] | None = Field(default=None, description="a list of tasks")
