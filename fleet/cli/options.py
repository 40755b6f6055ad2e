"""Options shared by the commands for a running fleet, and the values parsed from them.

This module imports little, because every `--help` imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

import typer

__all__ = [
    "RUNNING_FLEET_PANEL",
    "AllOption",
    "AsOption",
    "FleetLocation",
    "GroupOption",
    "IssuedBy",
    "PlatformOption",
    "Selection",
    "TargetsArgument",
    "TimeoutOption",
    "YesOption",
]


RUNNING_FLEET_PANEL: Final = "A running fleet"
"""Panel of `passfleet --help` with the commands for a running fleet."""


class IssuedBy(StrEnum):
    """Sender of a command: the user in the portal, or the administrator in the console."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class FleetLocation:
    """Broker URL and topic root from the command line; None where not given."""

    broker: str | None
    root: str | None

    def __repr__(self) -> str:
        """Leave out the broker's URL: it may contain a password."""
        return f"FleetLocation(root={self.root!r})"


@dataclass(frozen=True, slots=True)
class Selection:
    """Devices from the command line: target ids and patterns, filtered by group and platform."""

    targets: tuple[str, ...] = ()
    group: str | None = None
    platform: str | None = None
    all_devices: bool = False

    def __str__(self) -> str:
        """Describe the selection as the command line gave it."""
        words = list(self.targets)
        if self.all_devices:
            words.append("all devices")
        if self.group is not None:
            words.append(f"group {self.group}")
        if self.platform is not None:
            words.append(f"platform {self.platform}")
        return ", ".join(words) or "no device"


TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="Device ids or shell patterns, such as ios-001 or 'ios-*'.",
    ),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="NAME", help="Only devices of this group.")
]
PlatformOption = Annotated[
    str | None, typer.Option("--platform", metavar="ID", help="Only devices of this platform.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every device of the fleet.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; send at once.")]
TimeoutOption = Annotated[
    str,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="Time to wait for results; the request expires then.",
    ),
]
AsOption = Annotated[
    IssuedBy,
    typer.Option(
        "--as", metavar="ROLE", help="Sender: user (in the portal) or admin (in the console)."
    ),
]
