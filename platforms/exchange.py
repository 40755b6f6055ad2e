"""Exchange ActiveSync: assumptions about devices that are managed by it alone.

The console lists these devices and offers both actions, but no source documents the outcome. So the
profiles are the same as for enrolled devices, and every action lists the assumption.
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

_AS_ENROLLED: Final = Source(
    _OFFERED, assumption="such a device does the same as one that is enrolled"
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
        Action.WIPE: (_AS_ENROLLED,),
        Action.RETIRE: (_AS_ENROLLED,),
        Action.REBOOT_NOW: (_AS_ENROLLED,),
        Action.ENABLE_LOST_MODE: (),
        Action.DISABLE_LOST_MODE: (),
        Action.APPLY_PASSCODE_POLICY: (
            Source(
                _OFFERED,
                assumption="a passcode policy that comes by Exchange ActiveSync has the settings"
                " and bounds of the platform",
            ),
        ),
    }
)
"""Sources and assumptions about Exchange ActiveSync, by action."""
