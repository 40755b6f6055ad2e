"""Windows RT: no passcode reset, and a remote lock for the enrolling user only."""

from types import MappingProxyType

from platforms.common_actions import NO_LOST_MODE, RESTART, RETIRE, WIPE
from platforms.native_sources import TABLET_CSP
from platforms.profile import (
    Action,
    Bound,
    Fidelity,
    Inventory,
    LedgerEntry,
    LockRule,
    NativeCase,
    PasscodeRules,
    PlatformProfile,
    ResetOutcome,
    ResetRule,
    Source,
    WipeRule,
    WithoutPasscode,
)
from platforms.windows_common import MANAGEMENT, syncml

_CONSOLE = "Passcode reset and remote lock (Intune console)"

WINDOWS_RT = PlatformProfile(
    id="windows_rt",
    title="Windows RT",
    inventory=Inventory(
        operating_system="Windows", os_version="6.2.9200", model="Windows RT tablet"
    ),
    reset=ResetRule(
        outcome=ResetOutcome.NOT_SUPPORTED,
        rule="Not supported: nothing changes on the device, and the portal has no Reset Passcode"
        " button.",
        portal_explains="You can't reset the passcode of this device here. Contact your IT admin.",
        message="Passcode reset is not supported on this device. Contact your IT admin.",
        source=Source(
            f"{_CONSOLE}: not supported; Intune documentation 2017-01-23, reset your device"
            " passcode from the Company Portal website: the button may be missing, and the user"
            " contacts the IT admin",
            assumption="the button is missing where a reset is not supported; the texts of portal"
            " and result are passfleet's own",
        ),
    ),
    lock=LockRule(
        rule="Locks if the current user of the device is the user who enrolled it; else wrongUser.",
        enrolling_user_only=True,
        without_passcode=WithoutPasscode.LOCKS,
        source=Source(
            f"{_CONSOLE}: supported if the current user of the device is the same user who"
            " enrolled the device",
            assumption="a device without a passcode locks as well",
        ),
    ),
    passcode=PasscodeRules(
        min_length=Bound(1, 14),
        min_complex=Bound(1, 4),
        history=Bound(0, 50),
        max_failed_attempts=Bound(0, 999),
        max_inactivity=Bound(0, 999),
        max_age_days=Bound(0, 730),
        max_length=127,
        history_counts_current=True,
        wipe=WipeRule.REACHED,
        source=Source(
            "Policy CSP, DeviceLock",
            assumption="all bounds; that the device wipes itself on reaching the limit (a PC asks"
            " for its BitLocker recovery key)",
        ),
    ),
    wipe=WIPE,
    retire=RETIRE,
    restart=RESTART,
    lost_mode=NO_LOST_MODE,
    native=MappingProxyType(
        {
            (Action.REMOTE_LOCK, NativeCase.DONE): syncml("./Vendor/MSFT/RemoteLock/Lock", "200"),
            (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE): syncml(
                "./Vendor/MSFT/RemoteLock/Lock", "200"
            ),
            (Action.REMOTE_LOCK, NativeCase.WRONG_USER): syncml(
                "./Vendor/MSFT/RemoteLock/Lock", "500"
            ),
            **MANAGEMENT,
            (Action.APPLY_PASSCODE_POLICY, NativeCase.DONE): syncml(
                "./Vendor/MSFT/Policy/Config/DeviceLock", "200"
            ),
            (Action.APPLY_PASSCODE_POLICY, NativeCase.POLICY_VIOLATION): syncml(
                "./Vendor/MSFT/Policy/Config/DeviceLock", "500"
            ),
        }
    ),
    sign_in=True,
    ledger=(
        LedgerEntry("passcode reset is not supported", Fidelity.DONE),
        LedgerEntry("remote lock for the enrolling user only", Fidelity.DONE),
        LedgerEntry("remote lock without a passcode", Fidelity.ASSUMED, "it locks"),
        LedgerEntry("passcode policy bounds, wipe", Fidelity.ASSUMED),
        LedgerEntry("several policies", Fidelity.ASSUMED, "the last one replaces the one before"),
        LedgerEntry("sign-in", Fidelity.ASSUMED, "any named user signs in, without a password"),
        LedgerEntry("BitLocker recovery", Fidelity.NOT_MODELLED),
    ),
    sources=MappingProxyType(
        {
            **TABLET_CSP,
            "policyMerge": Source("none", assumption="the last policy replaces the one before"),
        }
    ),
)
