"""Exchange ActiveSync: what is assumed of devices that are managed by it alone.

The console lists them and offers them both actions; no source says what becomes of these there. So
nothing differs by it in a profile, and what is assumed is told with every action.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from platforms.profile import Action, Source

__all__ = ["EXCHANGE_ACTIVESYNC"]

_OFFERED = (
    "Passcode reset and remote lock (Intune console): All Exchange ActiveSync Managed Devices"
)

EXCHANGE_ACTIVESYNC: Final[Mapping[Action, tuple[Source, ...]]] = MappingProxyType(
    {
        Action.RESET_PASSCODE: (
            Source(
                _OFFERED,
                assumption="such a device resets its passcode as its platform does where enrolled,"
                " and gives its platform's own native answer",
            ),
            Source(
                "Mobile Device Passcode Self-reset User Guide: only devices enrolled in Intune",
                assumption="the portal shows Exchange ActiveSync devices without Reset Passcode",
            ),
        ),
        Action.REMOTE_LOCK: (
            Source(
                _OFFERED,
                assumption="such a device locks as its platform does where enrolled, and gives its"
                " platform's own native answer",
            ),
        ),
        Action.SYNC_DEVICE: (),
        Action.APPLY_PASSCODE_POLICY: (
            Source(
                _OFFERED,
                assumption="a passcode policy that comes by Exchange ActiveSync has the settings"
                " and bounds of the platform",
            ),
        ),
    }
)
"""By action: what the sources say of it under Exchange ActiveSync, and what is assumed."""
