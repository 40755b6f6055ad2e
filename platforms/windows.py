"""Parts shared by the Windows platforms: SyncML answers and the policy bounds of their CSPs."""

from types import MappingProxyType

from platforms.profile import Action, Bound, NativeCase, PasscodeRules, Source, WipeRule

__all__ = ["DEVICE_LOCK_CSP", "REMOTE_LOCK_CSP", "syncml"]


def syncml(node: str, status: str) -> MappingProxyType[str, object]:
    """A SyncML status for one node of a configuration service provider."""
    return MappingProxyType({"protocol": "syncml", "node": node, "status": status})


REMOTE_LOCK_CSP = MappingProxyType(
    {
        (Action.RESET_PASSCODE, NativeCase.DONE): syncml(
            "./Vendor/MSFT/RemoteLock/LockAndResetPIN", "200"
        ),
        (Action.REMOTE_LOCK, NativeCase.DONE): syncml("./Vendor/MSFT/RemoteLock/Lock", "200"),
        (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): syncml(
            "./Vendor/MSFT/RemoteLock/Lock", "405"
        ),
        (Action.SYNC_DEVICE, NativeCase.DONE): syncml("./DevInfo", "200"),
        (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "200"
        ),
        (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "500"
        ),
    }
)

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
    source=Source(
        "DeviceLock CSP (Windows Phone 8.1)",
        assumption="the bounds of history and age, and that the current passcode counts in the"
        " history, are those of Windows 10 Mobile",
    ),
)
