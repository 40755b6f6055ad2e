"""Sources of the native answers, one for each action: topics of `PlatformProfile.sources`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from platforms.profile import Action, Source, native_topic

__all__ = ["APPLE_MDM", "DEVICE_ADMIN", "PHONE_CSP", "POLICY_CSP", "TABLET_CSP"]

_APPLE: Final = "Apple MDM Protocol Reference (2017): "
_NOTHING_RETURNED: Final = "the call returns nothing on a real device; its success is given as true"
_OUT_OF_BOUNDS_500: Final = "a policy out of bounds, a configuration failure, is answered with 500"
_PASSCODE_COMPLIANCE: Final = (
    "the node PasscodeCompliance, 1 for compliant, stands where the CSP has EncryptionCompliance"
)


def _by_topic(sources: Mapping[Action, Source]) -> Mapping[str, Source]:
    return MappingProxyType({native_topic(action): source for action, source in sources.items()})


_LOST_MODE_REFUSED: Final = (
    "a device that is not supervised answers MCMDMErrorDomain 12000 (access rights)"
)

APPLE_MDM: Final = _by_topic(
    {
        Action.RESET_PASSCODE: Source(f"{_APPLE}ClearPasscode, which never answers NotNow on iOS"),
        Action.REMOTE_LOCK: Source(
            f"{_APPLE}DeviceLock, which never answers NotNow on iOS; MessageResult Success,"
            " NoPasscodeSet, DeviceInLostMode"
        ),
        Action.SYNC_DEVICE: Source(
            f"{_APPLE}SecurityInfo: PasscodePresent, PasscodeCompliant,"
            " PasscodeCompliantWithProfiles",
            assumption="a check-in is answered with SecurityInfo alone, and both kinds of"
            " compliance have the same value",
        ),
        Action.APPLY_PASSCODE_POLICY: Source(
            f"{_APPLE}InstallProfile; Apple passcode policy payload",
            assumption="a policy out of bounds is answered as a malformed request,"
            " MCMDMErrorDomain 12008",
        ),
        Action.WIPE: Source(f"{_APPLE}EraseDevice, which never answers NotNow on iOS"),
        Action.RETIRE: Source(
            f"{_APPLE}RemoveProfile",
            assumption="a retire removes the profile that enrolls the device",
        ),
        Action.REBOOT_NOW: Source(
            f"{_APPLE}RestartDevice", assumption="every version of iOS acknowledges it"
        ),
        Action.ENABLE_LOST_MODE: Source(f"{_APPLE}EnableLostMode", assumption=_LOST_MODE_REFUSED),
        Action.DISABLE_LOST_MODE: Source(f"{_APPLE}DisableLostMode", assumption=_LOST_MODE_REFUSED),
    }
)
"""iOS."""

DEVICE_ADMIN: Final = _by_topic(
    {
        Action.RESET_PASSCODE: Source(
            "Android DevicePolicyManager.resetPassword: true when the password was applied"
        ),
        Action.REMOTE_LOCK: Source(
            "Android DevicePolicyManager.lockNow", assumption=_NOTHING_RETURNED
        ),
        Action.SYNC_DEVICE: Source(
            "Android DevicePolicyManager.isActivePasswordSufficient",
            assumption="a check-in is answered with this value alone; without a policy it is true",
        ),
        Action.APPLY_PASSCODE_POLICY: Source(
            "Android DevicePolicyManager.setPasswordQuality",
            assumption=f"{_NOTHING_RETURNED}, and a policy out of bounds as false",
        ),
        Action.WIPE: Source("Android DevicePolicyManager.wipeData", assumption=_NOTHING_RETURNED),
        Action.RETIRE: Source(
            "Android DevicePolicyManager.removeActiveAdmin", assumption=_NOTHING_RETURNED
        ),
        Action.REBOOT_NOW: Source(
            "Android DevicePolicyManager.reboot",
            assumption=f"{_NOTHING_RETURNED}; the call, which exists from API level 24 on and for"
            " device owners, is taken on every device",
        ),
    }
)
"""Android, managed by a device administrator."""

_CSP: Final[Mapping[Action, Source]] = {
    Action.SYNC_DEVICE: Source("DeviceStatus CSP: Compliance", assumption=_PASSCODE_COMPLIANCE),
    Action.WIPE: Source("RemoteWipe CSP: doWipe"),
    Action.RETIRE: Source("DMClient CSP: Unenroll"),
    Action.REBOOT_NOW: Source("Reboot CSP: RebootNow"),
}

POLICY_CSP: Final = _by_topic(
    {
        **_CSP,
        Action.RESET_PASSCODE: Source("RemoteLock CSP: LockAndResetPIN"),
        Action.REMOTE_LOCK: Source("RemoteLock CSP: Lock, 405 where no PIN is set"),
        Action.APPLY_PASSCODE_POLICY: Source(
            "Policy CSP, DeviceLock", assumption=_OUT_OF_BOUNDS_500
        ),
    }
)
"""Windows 10 Mobile."""

_OF_WINDOWS_10: Final = "Windows Phone 8.1 has the node of Windows 10"

PHONE_CSP: Final = _by_topic(
    {
        Action.RESET_PASSCODE: Source(
            "RemoteLock CSP: LockAndResetPIN",
            assumption="Windows Phone 8 and 8.1 have the node of Windows 10 Mobile",
        ),
        Action.REMOTE_LOCK: Source(
            "RemoteLock CSP: Lock",
            assumption="without a passcode, Windows Phone 8 and 8.1 answer 405 as Windows 10"
            " Mobile does",
        ),
        Action.SYNC_DEVICE: Source(
            "DeviceStatus CSP: Compliance",
            assumption=f"{_OF_WINDOWS_10}; {_PASSCODE_COMPLIANCE}",
        ),
        Action.APPLY_PASSCODE_POLICY: Source("DeviceLock CSP", assumption=_OUT_OF_BOUNDS_500),
        Action.WIPE: Source("RemoteWipe CSP: doWipe"),
        Action.RETIRE: Source("DMClient CSP: Unenroll"),
        Action.REBOOT_NOW: Source("Reboot CSP: RebootNow", assumption=_OF_WINDOWS_10),
    }
)
"""Windows Phone 8 and 8.1."""

TABLET_CSP: Final = _by_topic(
    {
        **{
            action: Source(
                source.cite,
                assumption="; ".join(
                    text for text in ("a tablet has the node of a phone", source.assumption) if text
                ),
            )
            for action, source in _CSP.items()
        },
        Action.RESET_PASSCODE: Source(
            "none", assumption="a reset, which has no node, is never sent to the device"
        ),
        Action.REMOTE_LOCK: Source(
            "RemoteLock CSP: Lock; OMA DM SyncML status codes",
            assumption="a tablet has the node of a phone, and answers 500 where another user than"
            " the enrolling one is signed in",
        ),
        Action.APPLY_PASSCODE_POLICY: Source(
            "Policy CSP, DeviceLock",
            assumption=f"a tablet has the node of a phone; {_OUT_OF_BOUNDS_500}",
        ),
    }
)
"""Windows RT, Windows RT 8.1 and Windows 8.1."""
