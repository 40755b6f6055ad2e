"""Parts shared by the Windows platforms: SyncML answers and the policy bounds of their CSPs."""

from types import MappingProxyType

from platforms.profile import (
    Action,
    Bound,
    NativeCase,
    PasscodeRules,
    PolicyMerge,
    RefusalError,
    RefusalRule,
    Source,
    WipeRule,
)

__all__ = [
    "DEVICE_LOCK_CSP",
    "MANAGEMENT",
    "POLICY_MERGE",
    "REFUSALS",
    "REMOTE_LOCK_CSP",
    "new_pin",
    "syncml",
]


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

_REMOTE_LOCK = "./Vendor/MSFT/RemoteLock"
_NEW_PIN = f"{_REMOTE_LOCK}/NewPINValue"


def new_pin(node: str) -> MappingProxyType[str, object]:
    """Return the answer to a reset, with the first Get of NewPINValue in the same message.

    The PIN itself is the result's `newPasscode`.
    """
    return MappingProxyType(
        {**syncml(f"{_REMOTE_LOCK}/{node}", "200"), "get": syncml(_NEW_PIN, "200")}
    )


def _second_get(answer: MappingProxyType[str, object]) -> MappingProxyType[str, object]:
    """Add a later Get of NewPINValue to an answer: the PIN can be read once only."""
    later = MappingProxyType({**syncml(_NEW_PIN, "200"), "data": None})
    return MappingProxyType({**answer, "get": later})


REMOTE_LOCK_CSP = MappingProxyType(
    {
        **MANAGEMENT,
        **{
            (action, case): _second_get(answer)
            for (action, case), answer in MANAGEMENT.items()
            if action is Action.SYNC_DEVICE
        },
        (Action.RESET_PASSCODE, NativeCase.DONE): new_pin("LockAndResetPIN"),
        **{
            (action, case): syncml(f"{_REMOTE_LOCK}/{node}", status)
            for action, node in (
                (Action.RESET_PASSCODE, "LockAndResetPIN"),
                (Action.REMOTE_LOCK, "Lock"),
            )
            for case, status in ((NativeCase.STATUS_405, "405"), (NativeCase.STATUS_500, "500"))
        },
        (Action.REMOTE_LOCK, NativeCase.DONE): syncml("./Vendor/MSFT/RemoteLock/Lock", "200"),
        (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): syncml(
            "./Vendor/MSFT/RemoteLock/Lock", "405"
        ),
        (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "200"
        ),
        (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): syncml(
            "./Vendor/MSFT/DeviceLock/Provider", "500"
        ),
    }
)

REFUSALS = (
    RefusalRule(
        case=NativeCase.STATUS_405,
        message="The device has no passcode; the command was ignored.",
        error=RefusalError.PASSCODE_NOT_SET,
        source=Source(
            "RemoteLock CSP: Lock, 405 where no PIN is set",
            assumption="LockAndResetPIN answers 405 as well; the message is passfleet's own",
        ),
    ),
    RefusalRule(
        case=NativeCase.STATUS_500,
        message="The command failed on the device.",
        source=Source(
            "RemoteLock CSP: Lock and LockAndResetPIN, 500",
            assumption="the message is passfleet's own",
        ),
    ),
)
"""Refusals of Windows phones that a test can script."""

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
