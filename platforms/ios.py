"""iOS 8 to 11, managed over Apple MDM."""

from types import MappingProxyType

from platforms.profile import (
    Action,
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
    ),
    lock=LockRule(
        rule="Locks. Without a passcode it locks all the same and reports NoPasscodeSet.",
        without_passcode=WithoutPasscode.LOCKS,
        biometrics=BiometricConsequence.BLOCKED,
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
            assumption="the delays after 5, 6, 7 and 9 failures are 1, 5, 15 and 60 minutes",
        ),
    ),
    native=MappingProxyType(
        {
            (Action.RESET_PASSCODE, NativeCase.DONE): MappingProxyType(
                {**_ACKNOWLEDGED, "requestType": "ClearPasscode"}
            ),
            (Action.REMOTE_LOCK, NativeCase.DONE): _lock("Success"),
            (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): _lock("NoPasscodeSet"),
            (Action.SYNC_DEVICE, NativeCase.DONE): MappingProxyType(
                {**_ACKNOWLEDGED, "requestType": "SecurityInfo"}
            ),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): MappingProxyType(
                {**_ACKNOWLEDGED, "requestType": "InstallProfile"}
            ),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): MappingProxyType(
                {
                    "protocol": "apple-mdm",
                    "status": "Error",
                    "requestType": "InstallProfile",
                    "errorChain": (
                        MappingProxyType(
                            {
                                "errorDomain": "MCMDMErrorDomain",
                                "errorCode": 12008,
                                "localizedDescription": "The request is malformed.",
                            }
                        ),
                    ),
                }
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
        LedgerEntry(
            "unlock token, Lost Mode, supervision",
            Fidelity.NOT_MODELLED,
            "`supervised` can be set and changes nothing",
        ),
        LedgerEntry("Data Protection while no passcode is set", Fidelity.NOT_MODELLED),
    ),
    sources=MappingProxyType(
        {
            "biometrics": Source(
                "Apple Platform Security: a biometric needs a passcode, and after a restart or a"
                " remote lock the passcode is asked for first"
            ),
            "native": Source(
                "Apple MDM Protocol Reference (2017): ClearPasscode and DeviceLock never answer"
                " NotNow on iOS",
                assumption="a policy out of bounds is answered as a malformed request",
            ),
        }
    ),
)
