"""Windows Phone 8.1, managed over its RemoteLock and DeviceLock CSPs."""

from types import MappingProxyType

from platforms.common_actions import NO_LOST_MODE, RESTART, RETIRE, WIPE
from platforms.hybrid import PORTAL_2015
from platforms.native_sources import PHONE_CSP
from platforms.profile import (
    Alphabet,
    Fidelity,
    Inventory,
    LedgerEntry,
    LockRule,
    Management,
    PlatformProfile,
    ResetOutcome,
    ResetRule,
    ScreenMessage,
    Source,
    WithoutPasscode,
)
from platforms.windows_common import DEVICE_LOCK_CSP, POLICY_MERGE, REFUSALS, REMOTE_LOCK_CSP

WINDOWS_PHONE_8_1 = PlatformProfile(
    id="windows_phone_8_1",
    title="Windows Phone 8.1",
    inventory=Inventory(
        operating_system="Windows Phone", os_version="8.10.14219", model="Windows Phone 8.1 phone"
    ),
    reset=ResetRule(
        outcome=ResetOutcome.TEMPORARY,
        rule="Removes the passcode and sets a temporary one of digits. Standalone: shown to the"
        " user in the Company Portal website. Hybrid: shown by the administrator's console alone,"
        " and only if a passcode reset had been done on that device before.",
        portal_explains="Removes the existing passcode and creates a temporary passcode with"
        " numbers.",
        alphabet=Alphabet.DIGITS,
        default_length=6,
        shown_to_user=frozenset({Management.STANDALONE, Management.EXCHANGE_ACTIVESYNC}),
        escrow=frozenset({Management.HYBRID}),
        locks=True,
        screen=ScreenMessage("Password reset", "Your password was reset."),
        source=Source(
            "Reset passcode via the Company Portal website, 2015-12; Intune documentation"
            " 2017-01-23, reset your device passcode from the Company Portal website; RemoteLock"
            " CSP, LockAndResetPIN",
            assumption="the temporary passcode has six digits; under Exchange ActiveSync the"
            " result shows it, as standalone does; the words on the screen are passfleet's own",
        ),
        hybrid=Source(f"{PORTAL_2015}, step 5c, table and footnote: Windows Phone 8.1, hybrid"),
    ),
    lock=LockRule(
        rule="Locks. Without a passcode the command is ignored: passcodeNotSet, SyncML 405.",
        without_passcode=WithoutPasscode.REFUSED,
        source=Source(
            "Passcode reset and remote lock (Intune console); RemoteLock CSP, Lock",
            assumption="Windows Phone 8.1 answers 405 without a passcode as Windows 10 Mobile does",
        ),
    ),
    passcode=DEVICE_LOCK_CSP,
    wipe=WIPE,
    retire=RETIRE,
    restart=RESTART,
    lost_mode=NO_LOST_MODE,
    native=REMOTE_LOCK_CSP,
    ledger=(
        LedgerEntry("passcode reset sets a temporary passcode of digits", Fidelity.DONE),
        LedgerEntry(
            "hybrid: the passcode goes to the console, from the second reset on", Fidelity.DONE
        ),
        LedgerEntry("length of the temporary passcode", Fidelity.ASSUMED, "six digits"),
        LedgerEntry("remote lock", Fidelity.DONE),
        LedgerEntry(
            "remote lock without a passcode", Fidelity.ASSUMED, "405, as Windows 10 Mobile"
        ),
        LedgerEntry("passcode policy, wipe on reaching the limit", Fidelity.DONE),
        LedgerEntry("several policies: the strictest value of each setting", Fidelity.DONE),
        LedgerEntry("history and age bounds", Fidelity.ASSUMED),
        LedgerEntry(
            "NewPINValue, readable once",
            Fidelity.ASSUMED,
            "read with the reset; a check-in reads null; Windows Phone 8.1 as Windows 10 Mobile",
        ),
        LedgerEntry("status 405 and 500", Fidelity.DONE, "scripted"),
    ),
    refusals=REFUSALS,
    sources=MappingProxyType(
        {
            **PHONE_CSP,
            "policyMerge": POLICY_MERGE,
        }
    ),
)
