"""Options shared by the commands for a running fleet, and the values parsed from them.

This module imports little, because every `--help` imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    "select",
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
    """Devices from the command line: target ids and patterns, filtered by groups and platforms."""

    targets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    all_devices: bool = False

    def __str__(self) -> str:
        """Describe the selection as the command line gave it."""
        words = list(self.targets)
        if self.all_devices:
            words.append("all devices")
        words += [f"group {group}" for group in self.groups]
        words += [f"platform {platform}" for platform in self.platforms]
        return ", ".join(words) or "no device"


def select(
    targets: Sequence[str] | None,
    groups: Sequence[str] | None,
    platforms: Sequence[str] | None,
    *,
    all_devices: bool = False,
) -> Selection:
    """Return the selection that the options make; each is None where not given."""
    return Selection(tuple(targets or ()), tuple(groups or ()), tuple(platforms or ()), all_devices)


TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="Device ids or shell patterns, such as ios-001 or 'ios-*'.",
    ),
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="NAME",
        show_default=False,
        help="Only devices of this group. Repeatable.",
    ),
]
PlatformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--platform",
        metavar="ID",
        show_default=False,
        help="Only devices of this platform. Repeatable.",
    ),
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
