"""Parts shared by the Windows platforms: SyncML answers and the policy bounds of their CSPs."""

from types import MappingProxyType

from platforms.profile import (
    Action,
    Bound,
    NativeCase,
    PasscodeRules,
    PolicyMerge,
    Source,
    WipeRule,
)

__all__ = ["DEVICE_LOCK_CSP", "MANAGEMENT", "POLICY_MERGE", "REMOTE_LOCK_CSP", "syncml"]


def syncml(node: str, status: str) -> MappingProxyType[str, object]:
    """A SyncML status for one node of a configuration service provider."""
    return MappingProxyType({"protocol": "syncml", "node": node, "status": status})


def _device_status(data: str) -> MappingProxyType[str, object]:
    return MappingProxyType(
        {**syncml("./Vendor/MSFT/DeviceStatus/Compliance/PasscodeCompliance", "200"), "data": data}
    )


MANAGEMENT = MappingProxyType(
    {
        (Action.SYNC_DEVICE, NativeCase.DONE): _device_status("1"),
        (Action.SYNC_DEVICE, NativeCase.PASSCODE_NOT_REQUIRED): _device_status("1"),
        (Action.SYNC_DEVICE, NativeCase.NO_PASSCODE): _device_status("0"),
        (Action.SYNC_DEVICE, NativeCase.PASSCODE_INSUFFICIENT): _device_status("0"),
        (Action.WIPE, NativeCase.DONE): syncml("./Vendor/MSFT/RemoteWipe/doWipe", "200"),
        (Action.RETIRE, NativeCase.DONE): syncml("./Vendor/MSFT/DMClient/Unenroll", "200"),
        (Action.REBOOT_NOW, NativeCase.DONE): syncml("./Vendor/MSFT/Reboot/RebootNow", "200"),
    }
)
"""Answers that all Windows platforms give alike."""

REMOTE_LOCK_CSP = MappingProxyType(
    {
        (Action.RESET_PASSCODE, NativeCase.DONE): syncml(
            "./Vendor/MSFT/RemoteLock/LockAndResetPIN", "200"
        ),
        (Action.REMOTE_LOCK, NativeCase.DONE): syncml("./Vendor/MSFT/RemoteLock/Lock", "200"),
        (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): syncml(
            "./Vendor/MSFT/RemoteLock/Lock", "405"
        ),
        **MANAGEMENT,
        (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "200"
        ),
        (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "500"
        ),
    }
)

POLICY_MERGE = Source(
    "DeviceLock CSP and Policy CSP: a command succeeds even where a stricter value stays in force;"
    " the highest length and history and the lowest limits above 0 apply",
    assumption="the other settings merge in the same way; the empty policy lifts all policies",
)
"""Source of the merge of several policies."""

DEVICE_LOCK_CSP = PasscodeRules(
    min_length=Bound(4, 18),
    min_complex=Bound(1, 4),
    history=Bound(0, 50),
    max_failed_attempts=Bound(0, 999),
    max_inactivity=Bound(0, 999),
    max_age_days=Bound(0, 730),
    max_length=18,
    history_counts_current=True,
    wipe=WipeRule.REACHED,
    policy_merge=PolicyMerge.STRICTEST,
    source=Source(
        "DeviceLock CSP (Windows Phone 8.1)",
        assumption="the bounds of history and age, and that the current passcode counts in the"
        " history, are those of Windows 10 Mobile",
    ),
)
