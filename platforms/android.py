"""Android 4 to 6 (API level 23 and below), managed by a device administrator."""

from types import MappingProxyType

from platforms.common_actions import NO_LOST_MODE, RESTART, RETIRE, WIPE
from platforms.hybrid import PORTAL_2015
from platforms.native_sources import DEVICE_ADMIN
from platforms.profile import (
    Action,
    AdminMode,
    Alphabet,
    AttributeCondition,
    Attributes,
    Bound,
    Fidelity,
    Inventory,
    LedgerEntry,
    Limit,
    LockRule,
    Management,
    NativeCase,
    NativeVariant,
    PasscodeRules,
    PlatformProfile,
    RefusalRule,
    ResetOutcome,
    ResetRule,
    ScreenMessage,
    Source,
    WipeRule,
    WithoutPasscode,
)


def _answer(call: str, status: str) -> MappingProxyType[str, object]:
    return MappingProxyType({"protocol": "android-device-admin", "call": call, "status": status})


_API = "android-management-api"


def _command(kind: str, error_code: str | None = None) -> MappingProxyType[str, object]:
    """Command of the Android Management API as the device ended it."""
    return MappingProxyType({"protocol": _API, "type": kind, "errorCode": error_code})


def _request(method: str, status: str) -> MappingProxyType[str, object]:
    return MappingProxyType({"protocol": _API, "method": method, "status": status})


def _device_report(*, compliant: bool) -> MappingProxyType[str, object]:
    """Part of a Device resource that concerns the passcode."""
    detail = MappingProxyType(
        {"settingName": "passwordPolicies", "nonComplianceReason": "USER_ACTION"}
    )
    return MappingProxyType(
        {
            **_request("enterprises.devices.get", "200"),
            "policyCompliant": compliant,
            "nonComplianceDetails": () if compliant else (detail,),
        }
    )


_MANAGEMENT_API = NativeVariant(
    when=AttributeCondition(managed_by=AdminMode.ANDROID_MANAGEMENT_API),
    native=MappingProxyType(
        {
            (Action.RESET_PASSCODE, NativeCase.DONE): _command("RESET_PASSWORD"),
            (Action.RESET_PASSCODE, NativeCase.RETURNED_FALSE): _command(
                "RESET_PASSWORD", "INVALID_VALUE"
            ),
            (Action.RESET_PASSCODE, NativeCase.SECURITY_EXCEPTION): _command(
                "RESET_PASSWORD", "MANAGEMENT_MODE"
            ),
            (Action.REMOTE_LOCK, NativeCase.DONE): _command("LOCK"),
            (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): _command("LOCK"),
            (Action.REBOOT_NOW, NativeCase.DONE): _command("REBOOT"),
            (Action.SYNC_DEVICE, NativeCase.DONE): _device_report(compliant=True),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_NOT_REQUIRED): _device_report(compliant=True),
            (Action.SYNC_DEVICE, NativeCase.NO_PASSCODE): _device_report(compliant=False),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_INSUFFICIENT): _device_report(compliant=False),
            (Action.WIPE, NativeCase.DONE): _request("enterprises.devices.delete", "200"),
            (Action.RETIRE, NativeCase.DONE): _command("RELINQUISH_OWNERSHIP"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): _request(
                "enterprises.policies.patch", "200"
            ),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): _request(
                "enterprises.policies.patch", "400"
            ),
        }
    ),
    source=Source(
        "Android Management API: enterprises.devices (Command, type, errorCode), policies.patch",
        assumption="a retire is RELINQUISH_OWNERSHIP; a scripted false is INVALID_VALUE, a scripted"
        " SecurityException MANAGEMENT_MODE",
    ),
)

ANDROID = PlatformProfile(
    id="android",
    title="Android",
    reset=ResetRule(
        outcome=ResetOutcome.TEMPORARY,
        rule="Removes the passcode and sets a temporary one of letters and digits, shown to the"
        " user in the Company Portal website.",
        portal_explains="Removes the existing passcode and creates a temporary passcode with both"
        " letters and numbers",
        alphabet=Alphabet.LETTERS_AND_DIGITS,
        default_length=6,
        shown_to_user=frozenset(Management),
        screen=ScreenMessage(
            "New temporary passcode", "A new temporary passcode was set on this device."
        ),
        source=Source(
            "Reset passcode via the Company Portal website, 2015-12; Intune documentation"
            " 2017-01-23, reset your device passcode from the Company Portal website",
            assumption="the temporary passcode has six characters, and the reset leaves the lock"
            " screen as it was; the words on the screen are passfleet's own",
        ),
        hybrid=Source(
            f"{PORTAL_2015}, step 5d and table: Android, standalone and hybrid",
            assumption="the console shows the new passcode as well, at once",
        ),
        limits=(
            Limit(
                message="From Android 7 on, an administrator cannot change a passcode that exists.",
                source=Source(
                    "AOSP CTS DeviceAdminTest: from API level 24 on the first passcode is set,"
                    " changing one fails",
                    assumption="the portal shows notSupported",
                ),
                from_api_level=24,
                managed_by=AdminMode.DEVICE_ADMIN,
                with_passcode=True,
                native=NativeCase.REFUSED,
            ),
        ),
    ),
    lock=LockRule(
        rule="Locks, with or without a passcode.",
        without_passcode=WithoutPasscode.LOCKS,
        source=Source(
            "Passcode reset and remote lock (Intune console)",
            assumption="a device without a passcode locks as well",
        ),
    ),
    passcode=PasscodeRules(
        min_length=Bound(0, 16),
        min_complex=Bound(0, 4),
        history=Bound(0, 50),
        max_failed_attempts=Bound(0, 999),
        max_inactivity=Bound(0, 999),
        max_age_days=Bound(0, 730),
        max_length=16,
        history_counts_current=True,
        wipe=WipeRule.REACHED,
        source=Source(
            "Android DevicePolicyManager (passwords have 16 characters at most)",
            assumption="the upper bounds of history, attempts, inactivity and age are those of"
            " Intune's other platforms; the history counts the current passcode",
        ),
    ),
    wipe=WIPE,
    retire=RETIRE,
    restart=RESTART,
    lost_mode=NO_LOST_MODE,
    native=MappingProxyType(
        {
            (Action.RESET_PASSCODE, NativeCase.DONE): _answer("resetPassword", "true"),
            (Action.RESET_PASSCODE, NativeCase.REFUSED): _answer("resetPassword", "false"),
            (Action.RESET_PASSCODE, NativeCase.RETURNED_FALSE): _answer("resetPassword", "false"),
            (Action.RESET_PASSCODE, NativeCase.SECURITY_EXCEPTION): _answer(
                "resetPassword", "SecurityException"
            ),
            (Action.REMOTE_LOCK, NativeCase.DONE): _answer("lockNow", "true"),
            (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): _answer("lockNow", "true"),
            (Action.SYNC_DEVICE, NativeCase.DONE): _answer("isActivePasswordSufficient", "true"),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_NOT_REQUIRED): _answer(
                "isActivePasswordSufficient", "true"
            ),
            (Action.SYNC_DEVICE, NativeCase.NO_PASSCODE): _answer(
                "isActivePasswordSufficient", "false"
            ),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_INSUFFICIENT): _answer(
                "isActivePasswordSufficient", "false"
            ),
            (Action.WIPE, NativeCase.DONE): _answer("wipeData", "true"),
            (Action.RETIRE, NativeCase.DONE): _answer("removeActiveAdmin", "true"),
            (Action.REBOOT_NOW, NativeCase.DONE): _answer("reboot", "true"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): _answer("setPasswordQuality", "true"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): _answer(
                "setPasswordQuality", "false"
            ),
        }
    ),
    attributes=Attributes(api_level=23, managed_by=AdminMode.DEVICE_ADMIN, target_sdk=23),
    inventory=Inventory(operating_system="Android", os_version="6.0", model="Android phone"),
    ledger=(
        LedgerEntry("passcode reset sets a temporary passcode", Fidelity.DONE),
        LedgerEntry("refusal from API level 24 on where a passcode exists", Fidelity.DONE),
        LedgerEntry("length of the temporary passcode", Fidelity.ASSUMED, "six characters"),
        LedgerEntry("remote lock", Fidelity.DONE),
        LedgerEntry("remote lock without a passcode", Fidelity.ASSUMED, "the screen locks"),
        LedgerEntry("bounds and history of the passcode policy", Fidelity.ASSUMED),
        LedgerEntry("several policies", Fidelity.ASSUMED, "the last one replaces the one before"),
        LedgerEntry("delays after wrong passcodes", Fidelity.NOT_MODELLED),
        LedgerEntry("fingerprint and other biometrics", Fidelity.NOT_MODELLED),
        LedgerEntry(
            "resetPassword: false, and SecurityException from target SDK 24 on", Fidelity.DONE
        ),
        LedgerEntry(
            "resetPasswordWithToken of a device owner from API level 26 on",
            Fidelity.ASSUMED,
            "the token is active",
        ),
        LedgerEntry(
            "Android Management API on a fully managed device", Fidelity.ASSUMED, "in part"
        ),
        LedgerEntry("secure start-up, Android for Work", Fidelity.NOT_MODELLED),
    ),
    variants=(
        _MANAGEMENT_API,
        NativeVariant(
            when=AttributeCondition(managed_by=AdminMode.DEVICE_OWNER, from_api_level=26),
            native=MappingProxyType(
                {
                    (Action.RESET_PASSCODE, case): _answer("resetPasswordWithToken", status)
                    for case, status in (
                        (NativeCase.DONE, "true"),
                        (NativeCase.RETURNED_FALSE, "false"),
                        (NativeCase.SECURITY_EXCEPTION, "SecurityException"),
                    )
                }
            ),
            source=Source(
                "Android DevicePolicyManager.resetPasswordWithToken, from API level 26 on for"
                " device owners",
                assumption="the token was activated when the device was enrolled",
            ),
        ),
        NativeVariant(
            when=AttributeCondition(managed_by=AdminMode.DEVICE_ADMIN, from_target_sdk=24),
            native=MappingProxyType(
                {
                    (Action.RESET_PASSCODE, NativeCase.REFUSED): MappingProxyType(
                        {
                            **_answer("resetPassword", "SecurityException"),
                            "message": "Admin cannot change current password",
                        }
                    )
                }
            ),
            source=Source(
                "AOSP CTS DeviceAdminTest: an app with a target SDK above 23 gets a"
                " SecurityException where an older one gets false"
            ),
        ),
    ),
    refusals=(
        RefusalRule(
            case=NativeCase.RETURNED_FALSE,
            message="The device did not take the new passcode.",
            source=Source(
                "Android DevicePolicyManager.resetPassword: false where the password was not"
                " applied",
                assumption="the message is passfleet's own",
            ),
        ),
        RefusalRule(
            case=NativeCase.SECURITY_EXCEPTION,
            message="The device does not let the administrator change the passcode.",
            source=Source(
                "AOSP CTS DeviceAdminTest: SecurityException",
                assumption="the message is passfleet's own",
            ),
        ),
    ),
    sources=MappingProxyType(
        {
            **DEVICE_ADMIN,
            "policyMerge": Source(
                "Android DevicePolicyManager: of several administrators the strictest applies",
                assumption="one administrator sets all policies, so that the last one replaces",
            ),
        }
    ),
)
