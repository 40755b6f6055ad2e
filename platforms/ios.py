"""iOS 8 to 11, managed over Apple MDM."""

from types import MappingProxyType

from platforms.common_actions import RESTART, RETIRE, WIPE
from platforms.hybrid import PORTAL_2015
from platforms.native_sources import APPLE_MDM
from platforms.profile import (
    Action,
    ActionRule,
    Attributes,
    Biometric,
    BiometricConsequence,
    Bound,
    ComplexCharacters,
    Fidelity,
    Inventory,
    LedgerEntry,
    LockRule,
    NativeCase,
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

_ACKNOWLEDGED = MappingProxyType(
    {"protocol": "apple-mdm", "status": "Acknowledged", "errorChain": ()}
)


def _lock(message_result: str) -> MappingProxyType[str, object]:
    return MappingProxyType(
        {**_ACKNOWLEDGED, "requestType": "DeviceLock", "messageResult": message_result}
    )


def _acknowledged(request_type: str) -> MappingProxyType[str, object]:
    return MappingProxyType({**_ACKNOWLEDGED, "requestType": request_type})


def _security_info(*, present: bool, compliant: bool) -> MappingProxyType[str, object]:
    """Answer to SecurityInfo, as far as it concerns the passcode."""
    return MappingProxyType(
        {
            **_acknowledged("SecurityInfo"),
            "securityInfo": MappingProxyType(
                {
                    "PasscodePresent": present,
                    "PasscodeCompliant": compliant,
                    "PasscodeCompliantWithProfiles": compliant,
                }
            ),
        }
    )


def _error(
    request_type: str, code: int, text: str, domain: str = "MCMDMErrorDomain"
) -> MappingProxyType[str, object]:
    """Error answer with an ErrorChain of one item."""
    item = {"errorDomain": domain, "errorCode": code, "localizedDescription": text}
    return MappingProxyType(
        {
            "protocol": "apple-mdm",
            "status": "Error",
            "requestType": request_type,
            "errorChain": (MappingProxyType(item),),
        }
    )


def _unsupervised(request_type: str) -> MappingProxyType[str, object]:
    return _error(request_type, 12000, "The device is not supervised.")


IOS = PlatformProfile(
    id="ios",
    title="iOS",
    reset=ResetRule(
        outcome=ResetOutcome.REMOVES,
        rule="Removes the passcode and makes no temporary one; the user has 60 minutes to set a"
        " new one.",
        portal_explains="Removes the existing passcode and does not create a temporary passcode."
        " If you're using the Touch ID fingerprint scanner for opening your device or making"
        " purchases, you'll need to set it up again.",
        grace=60 * 60,
        screen=ScreenMessage(
            "Passcode Requirement",
            "You must change your passcode within 60 minutes.",
            ("changeNow", "later"),
        ),
        biometrics=BiometricConsequence.MUST_ENROLL,
        source=Source(
            "Intune documentation 2017-01-23, reset your device passcode from the Company Portal"
            " website; Reset passcode via the Company Portal website, 2015-12; Passcode reset and"
            " remote lock (Intune console)",
            assumption="the reset leaves the lock screen as it was, and the 60 minutes run whether"
            " or not a policy is in force",
        ),
        hybrid=Source(
            f"{PORTAL_2015}, step 5a and table: iOS, standalone and hybrid",
            assumption="the console has no passcode to show either, and says so",
        ),
    ),
    lock=LockRule(
        rule="Locks. Without a passcode it locks all the same and reports NoPasscodeSet.",
        without_passcode=WithoutPasscode.LOCKS,
        biometrics=BiometricConsequence.BLOCKED,
        shows_message=True,
        source=Source(
            "Passcode reset and remote lock (Intune console); Apple MDM Protocol Reference,"
            " DeviceLock; Apple Platform Security: Touch ID is refused after a remote lock"
        ),
    ),
    passcode=PasscodeRules(
        min_length=Bound(0, 16),
        min_complex=Bound(0, 4),
        history=Bound(1, 50),
        max_failed_attempts=Bound(2, 11),
        max_inactivity=Bound(0, 15),
        max_age_days=Bound(0, 730),
        # The payload bounds what a policy may demand, not what a user may type.
        max_length=64,
        complex_characters=ComplexCharacters.SYMBOLS,
        cleared_enters_history=True,
        cleared_kept_out_from=(16,),
        wipe=WipeRule.EXCEEDED,
        attempt_delays=((5, 60), (6, 5 * 60), (7, 15 * 60), (9, 60 * 60)),
        policy_grace=60 * 60,
        max_grace_period=Bound(0, 4 * 60),
        requirement_screen=ScreenMessage(
            "Passcode Requirement",
            "You must change your passcode within 60 minutes.",
            ("changeNow", "later"),
        ),
        deadline_screen=ScreenMessage(
            "Passcode Requirement", "You must change your passcode now.", ("changeNow",)
        ),
        source=Source(
            "Apple passcode policy payload; Apple, Managing Passcodes; Apple Platform Security",
            assumption="the delays after 5, 6, 7 and 9 failures are 1, 5, 15 and 60 minutes;"
            " maxGracePeriod is 4 hours at most",
        ),
    ),
    wipe=WIPE,
    retire=RETIRE,
    restart=RESTART,
    lost_mode=ActionRule(
        rule="Supervised devices alone: locks the device, shows the message and telephone number,"
        " and cannot be unlocked until Lost Mode is disabled.",
        message="Lost Mode is on.",
        refusal="Lost Mode needs a supervised device.",
        supervised_only=True,
        source=Source(
            "Apple MDM Protocol Reference (2017): EnableLostMode, DisableLostMode",
            assumption="enabling it again replaces the message; disabling it where it is off is"
            " done; the texts are passfleet's own",
        ),
    ),
    native=MappingProxyType(
        {
            (Action.RESET_PASSCODE, NativeCase.DONE): _acknowledged("ClearPasscode"),
            (Action.RESET_PASSCODE, NativeCase.STALE_UNLOCK_TOKEN): _error(
                "ClearPasscode", 5013, "The passcode cannot be cleared.", "MCPasscodeErrorDomain"
            ),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.NOT_NOW): MappingProxyType(
                {**_acknowledged("InstallProfile"), "status": "NotNow"}
            ),
            (Action.REMOTE_LOCK, NativeCase.DONE): _lock("Success"),
            (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): _lock("NoPasscodeSet"),
            (Action.REMOTE_LOCK, NativeCase.LOST_MODE): _lock("DeviceInLostMode"),
            (Action.SYNC_DEVICE, NativeCase.DONE): _security_info(present=True, compliant=True),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_NOT_REQUIRED): _security_info(
                present=False, compliant=True
            ),
            (Action.SYNC_DEVICE, NativeCase.NO_PASSCODE): _security_info(
                present=False, compliant=False
            ),
            (Action.SYNC_DEVICE, NativeCase.PASSCODE_INSUFFICIENT): _security_info(
                present=True, compliant=False
            ),
            (Action.WIPE, NativeCase.DONE): _acknowledged("EraseDevice"),
            (Action.RETIRE, NativeCase.DONE): _acknowledged("RemoveProfile"),
            (Action.REBOOT_NOW, NativeCase.DONE): _acknowledged("RestartDevice"),
            (Action.ENABLE_LOST_MODE, NativeCase.DONE): _acknowledged("EnableLostMode"),
            (Action.ENABLE_LOST_MODE, NativeCase.NOT_SUPPORTED): _unsupervised("EnableLostMode"),
            (Action.DISABLE_LOST_MODE, NativeCase.DONE): _acknowledged("DisableLostMode"),
            (Action.DISABLE_LOST_MODE, NativeCase.NOT_SUPPORTED): _unsupervised("DisableLostMode"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): _acknowledged("InstallProfile"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): _error(
                "InstallProfile", 12008, "The request is malformed."
            ),
        }
    ),
    biometrics=frozenset({Biometric.TOUCH_ID}),
    biometrics_blocked_by_restart=True,
    attributes=Attributes(os_version=(9, 2), supervised=False),
    inventory=Inventory(operating_system="iOS", model="iPhone"),
    ledger=(
        LedgerEntry("passcode reset clears the passcode", Fidelity.DONE),
        LedgerEntry(
            "60 minutes of grace, prompt, deadline",
            Fidelity.ASSUMED,
            "that a reset starts the clock that a tightened policy starts is inferred",
        ),
        LedgerEntry("remote lock, NoPasscodeSet", Fidelity.DONE),
        LedgerEntry("Touch ID after a reset, a remote lock and a restart", Fidelity.DONE),
        LedgerEntry(
            "passcode policy, history by OS version, wipe on exceeding the limit", Fidelity.DONE
        ),
        LedgerEntry("delays after wrong passcodes", Fidelity.ASSUMED, "their lengths"),
        LedgerEntry("forcePIN", Fidelity.DONE),
        LedgerEntry(
            "maxGracePeriod after an automatic lock",
            Fidelity.ASSUMED,
            "the user chose the longest time; with Touch ID there is none",
        ),
        LedgerEntry("several policies", Fidelity.ASSUMED, "the last one replaces the one before"),
        LedgerEntry(
            "Lost Mode on supervised devices, lock screen message and telephone number",
            Fidelity.ASSUMED,
            "the texts, and which error an unsupervised device answers",
        ),
        LedgerEntry(
            "stale unlock token",
            Fidelity.ASSUMED,
            "scripted; that it is answered with MCPasscodeErrorDomain 5013 is inferred",
        ),
        LedgerEntry("NotNow on a profile", Fidelity.DONE, "scripted"),
        LedgerEntry("Data Protection while no passcode is set", Fidelity.NOT_MODELLED),
    ),
    refusals=(
        RefusalRule(
            case=NativeCase.STALE_UNLOCK_TOKEN,
            message="The unlock token is not valid, so that the passcode cannot be cleared. Wipe"
            " the device.",
            source=Source(
                "Apple MDM Protocol Reference (2017): ClearPasscode with UnlockToken,"
                " MCPasscodeErrorDomain 5013; Intune documentation, remove passcode: wipe",
                assumption="a wrong unlock token is answered with 5013; the message is passfleet's"
                " own",
            ),
        ),
        RefusalRule(
            case=NativeCase.NOT_NOW,
            message="The device is busy. Send the policy again.",
            stored=False,
            source=Source(
                "Apple MDM Protocol Reference (2017): NotNow; the device does not keep the command",
                assumption="the message is passfleet's own",
            ),
        ),
    ),
    sources=MappingProxyType(
        {
            **APPLE_MDM,
            "policyMerge": Source(
                "Apple MDM Protocol Reference (2017): InstallProfile replaces an installed profile"
                " of the same identifier",
                assumption="all policies of a device have one identifier: the last one replaces",
            ),
            "unlockGrace": Source(
                "Apple passcode policy payload: maxGracePeriod",
                assumption="the user chose the longest time that the policy allows; it counts from"
                " an automatic lock alone, and not while Touch ID is set up",
            ),
            "biometrics": Source(
                "Apple Platform Security: a biometric needs a passcode, and after a restart or a"
                " remote lock the passcode is asked for first"
            ),
        }
    ),
)
