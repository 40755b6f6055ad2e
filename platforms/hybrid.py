"""Hybrid management: sources and assumptions about devices that Configuration Manager manages.

"Reset passcode via the Company Portal website" (2015-12) has the rules of a reset in hybrid for
iOS, Windows Phone 8.1 and Android, in each platform's own `ResetRule.hybrid`. No document of the
time describes the other actions in hybrid.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from platforms.profile import Action, Source

__all__ = ["HYBRID", "PORTAL_2015"]

PORTAL_2015: Final = "Reset passcode via the Company Portal website, 2015-12"

_CONFIGURATION_MANAGER: Final = (
    "System Center Configuration Manager documentation 2017-10-27, protect data with remote wipe,"
    " lock, or passcode reset"
)
_AS_STANDALONE: Final = Source(
    "none", assumption="a hybrid device does the same as a standalone one, with the same texts"
)

HYBRID: Final[Mapping[Action, Source]] = MappingProxyType(
    {
        Action.RESET_PASSCODE: Source(
            _CONFIGURATION_MANAGER,
            assumption="a reset in hybrid has the outcome and the texts of standalone",
        ),
        Action.REMOTE_LOCK: Source(
            _CONFIGURATION_MANAGER,
            assumption="a lock in hybrid had the same outcome and texts in 2015 as standalone",
        ),
        Action.SYNC_DEVICE: _AS_STANDALONE,
        Action.APPLY_PASSCODE_POLICY: _AS_STANDALONE,
        Action.WIPE: _AS_STANDALONE,
        Action.RETIRE: _AS_STANDALONE,
        Action.REBOOT_NOW: _AS_STANDALONE,
        Action.ENABLE_LOST_MODE: _AS_STANDALONE,
        Action.DISABLE_LOST_MODE: _AS_STANDALONE,
    }
)
"""Source about hybrid by action, where the platform has none of its own."""
