"""Windows 10 Mobile, managed over its RemoteLock CSP and the Policy CSP."""

from dataclasses import replace
from types import MappingProxyType

from platforms.common_actions import NO_LOST_MODE, RESTART, RETIRE, WIPE
from platforms.hybrid import PORTAL_2015
from platforms.native_sources import POLICY_CSP
from platforms.profile import (
    Action,
    Alphabet,
    AttributeCondition,
    Attributes,
    Biometric,
    Bound,
    Fidelity,
    Inventory,
    LedgerEntry,
    LockRule,
    Management,
    NativeCase,
    NativeVariant,
    PlatformProfile,
    ResetOutcome,
    ResetRule,
    ScreenMessage,
    Source,
    WithoutPasscode,
)
from platforms.windows_common import (
    DEVICE_LOCK_CSP,
    POLICY_MERGE,
    REFUSALS,
    REMOTE_LOCK_CSP,
    new_pin,
    syncml,
)

_POLICY_CSP = "./Vendor/MSFT/Policy/Config/DeviceLock"

WINDOWS_10_MOBILE = PlatformProfile(
    id="windows_10_mobile",
    title="Windows 10 Mobile",
    reset=ResetRule(
        outcome=ResetOutcome.TEMPORARY,
        rule="Removes the passcode and sets a temporary one of letters and digits. Windows Hello"
        " face keeps working.",
        portal_explains="Removes the existing passcode and creates a temporary passcode with both"
        " letters and numbers. If you're using Windows Hello facial recognition to log in, it will"
        " still be supported.",
        alphabet=Alphabet.LETTERS_AND_DIGITS,
        default_length=6,
        shown_to_user=frozenset(Management),
        locks=True,
        screen=ScreenMessage("Password reset", "Your password was reset."),
        source=Source(
            "Intune documentation 2017-01-23, reset your device passcode from the Company Portal"
            " website; RemoteLock CSP, LockAndResetPIN",
            assumption="the temporary passcode has six characters; the face keeps working, as the"
            " document says, though LockAndResetPIN itself deletes Windows Hello keys; the words on"
            " the screen are passfleet's own",
        ),
        hybrid=Source(
            f"{PORTAL_2015}, footnote: the restriction in hybrid is that of Windows Phone 8.1",
            assumption="Windows 10 Mobile, which the document does not name, shows the new passcode"
            " in hybrid as it does standalone, in the portal and in the console",
        ),
    ),
    lock=LockRule(
        rule="Locks. Without a passcode the command is ignored: passcodeNotSet, SyncML 405.",
        without_passcode=WithoutPasscode.REFUSED,
        source=Source(
            "Intune documentation 2016-07-21, remote lock; RemoteLock CSP, Lock: 405 where no PIN"
            " is set",
            assumption="Windows Hello face opens the device after a remote lock",
        ),
    ),
    passcode=replace(
        DEVICE_LOCK_CSP,
        min_length=Bound(4, 16),
        max_length=127,
        source=Source(
            "Policy CSP, DeviceLock: the history includes the current password; a phone wipes on"
            " reaching MaxDevicePasswordFailedAttempts"
        ),
    ),
    wipe=WIPE,
    retire=RETIRE,
    restart=RESTART,
    lost_mode=NO_LOST_MODE,
    native=MappingProxyType(
        {
            **REMOTE_LOCK_CSP,
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): syncml(_POLICY_CSP, "200"),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): syncml(_POLICY_CSP, "500"),
        }
    ),
    biometrics=frozenset({Biometric.FACE}),
    attributes=Attributes(os_version=(10, 0, 14393), azure_ad_joined=False, pin_recovery=False),
    inventory=Inventory(operating_system="Windows Phone", model="Windows 10 Mobile phone"),
    ledger=(
        LedgerEntry("passcode reset sets a temporary passcode", Fidelity.DONE),
        LedgerEntry("Azure AD join and OS version, where a dated table asks", Fidelity.DONE),
        LedgerEntry("length of the temporary passcode", Fidelity.ASSUMED, "six characters"),
        LedgerEntry("remote lock, 405 without a passcode", Fidelity.DONE),
        LedgerEntry("passcode policy, wipe on reaching the limit", Fidelity.DONE),
        LedgerEntry("several policies: the strictest value of each setting", Fidelity.DONE),
        LedgerEntry(
            "Windows Hello face survives a reset",
            Fidelity.ASSUMED,
            "the document says so; the RemoteLock CSP says that LockAndResetPIN deletes its keys",
        ),
        LedgerEntry("Windows Hello face after a remote lock or restart", Fidelity.ASSUMED, "works"),
        LedgerEntry(
            "LockAndRecoverPIN", Fidelity.DONE, "from version 10.0.15063 on, with PIN recovery on"
        ),
        LedgerEntry("the ticket of the PIN reset service", Fidelity.NOT_MODELLED),
        LedgerEntry(
            "NewPINValue, readable once",
            Fidelity.DONE,
            "read with the reset; a check-in reads null",
        ),
        LedgerEntry("status 405 and 500", Fidelity.DONE, "scripted"),
    ),
    variants=(
        NativeVariant(
            when=AttributeCondition(from_os=(10, 0, 15063), pin_recovery=True),
            native=MappingProxyType(
                {(Action.RESET_PASSCODE, NativeCase.DONE): new_pin("LockAndRecoverPIN")}
            ),
            source=Source(
                "RemoteLock CSP: LockAndRecoverPIN from version 1703 on, with EnablePinRecovery;"
                " Windows Hello keys are kept",
                assumption="a management service uses it wherever it can",
            ),
        ),
    ),
    refusals=REFUSALS,
    sources=MappingProxyType(
        {
            **POLICY_CSP,
            "biometrics": Source(
                "Intune documentation 2017-01-23: Windows Hello will still be supported",
                assumption="a restart does not ask for the passcode before a face is taken",
            ),
            "policyMerge": POLICY_MERGE,
        }
    ),
)
