"""The fleet of `passfleet demo --web`: one phone of each platform, on virtual time."""

from __future__ import annotations

from collections.abc import Iterator

from fleet.config.loader import FleetConfig, parse_fleet
from platforms import PLATFORMS
from platforms.profile import Management, ResetOutcome

__all__ = ["demo_config"]

_OWNER = "alex"
_PASSCODE = "2580"


def demo_config() -> FleetConfig:
    """One device a platform, and one in hybrid where hybrid hides the passcode from the user."""
    head = '[fleet]\nseed = 7\nclock = "virtual"\n'
    return parse_fleet(head + "".join(_groups()))


def _groups() -> Iterator[str]:
    for profile in PLATFORMS:
        name = profile.id.replace("_", "-")
        yield _group(name, profile.id, Management.STANDALONE)
        reset = profile.reset
        if reset.outcome is ResetOutcome.TEMPORARY and Management.HYBRID not in reset.shown_to_user:
            yield _group(f"{name}-hybrid", profile.id, Management.HYBRID)


def _group(name: str, platform: str, management: Management) -> str:
    return (
        f'[[group]]\nname = "{name}"\nplatform = "{platform}"\nmanagement = "{management}"\n'
        f'owner = "{_OWNER}"\npasscode = "{_PASSCODE}"\n'
    )
