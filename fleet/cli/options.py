"""Which fleet, and which of its devices: the options that the operator's commands share.

Light on purpose: it is imported for every `--help`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

__all__ = [
    "AllOption",
    "AsOption",
    "FleetLocation",
    "GroupOption",
    "IssuedBy",
    "PlatformOption",
    "Selection",
    "TargetsArgument",
    "TimeoutOption",
]


class IssuedBy(StrEnum):
    """Who sends a command: the user from the portal, or the administrator from the console."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class FleetLocation:
    """What the command line said of the broker and the topic root."""

    broker: str | None
    root: str | None

    def __repr__(self) -> str:
        """Without the broker's URL: it may hold a password."""
        return f"FleetLocation(root={self.root!r})"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line said of the devices: TARGETs narrowed by group and platform."""

    targets: tuple[str, ...] = ()
    group: str | None = None
    platform: str | None = None
    all_devices: bool = False


TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="Device ids, or shell patterns such as 'ios-*'.",
    ),
]
GroupOption = Annotated[
    str | None, typer.Option("--group", metavar="NAME", help="Only devices of this group.")
]
PlatformOption = Annotated[
    str | None, typer.Option("--platform", metavar="ID", help="Only devices of this platform.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every device of the fleet.")]
TimeoutOption = Annotated[
    str,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="How long to wait; the command expires then. 5ms, 2s, 5m or 1h.",
    ),
]
AsOption = Annotated[
    IssuedBy, typer.Option("--as", help="Who sends it: the portal's user or the administrator.")
]
