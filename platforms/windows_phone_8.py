"""Windows Phone 8: as 8.1 does, so far as the sources tell."""

from dataclasses import replace

from platforms.hybrid import PORTAL_2015
from platforms.profile import Fidelity, Inventory, LedgerEntry, Source
from platforms.windows_phone_8_1 import WINDOWS_PHONE_8_1

WINDOWS_PHONE_8 = replace(
    WINDOWS_PHONE_8_1,
    id="windows_phone_8",
    title="Windows Phone 8",
    inventory=Inventory(
        operating_system="Windows Phone", os_version="8.0.10512", model="Windows Phone 8 phone"
    ),
    ledger=(
        LedgerEntry("passcode reset and remote lock are supported", Fidelity.DONE),
        LedgerEntry("their details", Fidelity.ASSUMED, "those of Windows Phone 8.1"),
        LedgerEntry(
            "NewPINValue, readable once",
            Fidelity.ASSUMED,
            "read with the reset; a check-in reads null; Windows Phone 8.1 as Windows 10 Mobile",
        ),
        LedgerEntry("status 405 and 500", Fidelity.DONE, "scripted"),
    ),
    reset=replace(
        WINDOWS_PHONE_8_1.reset,
        source=Source(
            "Passcode reset and remote lock (Intune console): Windows Phone 8 and Windows Phone"
            " 8.1, supported",
            assumption="the reset is that of Windows Phone 8.1 in every detail",
        ),
        hybrid=Source(
            f"{PORTAL_2015}, step 5c, table and footnote: Windows Phone 8.1, hybrid",
            assumption="Windows Phone 8, which the document does not name, does the same",
        ),
    ),
    lock=replace(
        WINDOWS_PHONE_8_1.lock,
        source=Source(
            "Passcode reset and remote lock (Intune console): Windows Phone 8 and Windows Phone"
            " 8.1, supported",
            assumption="without a passcode the command is ignored as on Windows 10 Mobile",
        ),
    ),
    passcode=replace(
        WINDOWS_PHONE_8_1.passcode,
        source=Source(
            "DeviceLock CSP (Windows Phone 8.1)",
            assumption="Windows Phone 8 has the bounds of Windows Phone 8.1",
        ),
    ),
)
