"""Rules that all platforms share for wipe, retire, restart and Lost Mode."""

from __future__ import annotations

from typing import Final

from platforms.profile import ActionRule, Source

__all__ = ["NO_LOST_MODE", "RESTART", "RETIRE", "WIPE"]

_GRAPH: Final = "Microsoft Graph, managedDevice"

WIPE: Final = ActionRule(
    rule="Factory reset: passcode, policy and enrollment are gone. The device answers done, then"
    " notEnrolled.",
    message="The device was wiped.",
    refusal="Wipe is not supported on this device.",
    source=Source(
        "Passcode reset and remote lock (Intune console): a device that you want to wipe;"
        f" {_GRAPH}: wipe",
        assumption="every platform takes a wipe; the message is passfleet's own",
    ),
)
RETIRE: Final = ActionRule(
    rule="Removes enrollment and policy and keeps the passcode. The device answers done, then"
    " notEnrolled.",
    message="The device was retired.",
    refusal="Retire is not supported on this device.",
    source=Source(
        f"{_GRAPH}: retire",
        assumption="every platform takes it; the message is passfleet's own",
    ),
)
RESTART: Final = ActionRule(
    rule="Restarts: the device answers done, goes offline and comes back locked.",
    message="The device restarts.",
    refusal="Restart is not supported on this device.",
    source=Source(
        f"{_GRAPH}: rebootNow",
        assumption="every platform takes it, iOS also where it is not supervised; the message is"
        " passfleet's own",
    ),
)
NO_LOST_MODE: Final = ActionRule(
    rule="Not supported: Lost Mode exists on supervised iOS devices alone.",
    message="Lost Mode is on.",
    refusal="Lost Mode is not supported on this device.",
    supported=False,
    source=Source("Apple MDM Protocol Reference (2017): EnableLostMode, DisableLostMode"),
)
