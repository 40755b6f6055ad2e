"""Tables of Intune's own console and documentation, 2015 and 2016."""

from __future__ import annotations

from dataclasses import replace

from platforms.profile import Source
from platforms.rows import (
    ENROLLING_USER,
    LOCK,
    PHONES_8,
    RESET,
    RT,
    ConformanceTable,
    Row,
    Support,
)

__all__ = ["INTUNE_2015_12", "INTUNE_2016_07"]

_CONSOLE_2015 = Source(
    "Passcode reset and remote lock (Intune console, sources/003)",
    assumption="the document, which has no date, describes Intune as of December 2015",
)
_W10M_2017 = Source(
    "Intune documentation 2017-01-23, reset your device passcode from the Company Portal website"
    " (sources/002)",
    assumption="Windows 10 Mobile, which no table of 2015 lists, behaves as its own document says",
)
_INTUNE_2016 = Source(
    "Intune documentation 2016-07-21, help protect your devices with remote lock and passcode reset"
)

INTUNE_2015_12 = ConformanceTable(
    name="intune-2015-12",
    date="2015-12",
    title="Intune console and Company Portal website, November 2015 update",
    rows=(
        Row(
            platforms=("ios",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported for clearing the passcode; does not create a new temporary passcode",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("android",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported, and a temporary passcode is created",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=PHONES_8,
            action=RESET,
            support=Support.SUPPORTED,
            says="supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=RESET,
            support=Support.SUPPORTED,
            says="removes the passcode and creates a temporary one with both letters and numbers",
            source=_W10M_2017,
        ),
        Row(
            platforms=RT,
            action=RESET,
            support=Support.NOT_SUPPORTED,
            says="not supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("ios", "android", *PHONES_8),
            action=LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=replace(
                _INTUNE_2016,
                assumption="Windows 10 Mobile, which no table of 2015 lists, locks as in 2016",
            ),
        ),
        Row(
            platforms=RT,
            action=LOCK,
            support=Support.SUPPORTED,
            says=ENROLLING_USER,
            source=_CONSOLE_2015,
        ),
    ),
)

INTUNE_2016_07 = ConformanceTable(
    name="intune-2016-07",
    date="2016-07-21",
    title="Intune documentation, July 2016",
    rows=(
        Row(
            platforms=("ios",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported for clearing the passcode; does not create a new temporary passcode",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("android",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported, and a temporary passcode is created",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_10_mobile", *PHONES_8),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=RT,
            action=RESET,
            support=Support.NOT_SUPPORTED,
            says="not supported",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("ios", "android", "windows_10_mobile", *PHONES_8),
            action=LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=RT,
            action=LOCK,
            support=Support.SUPPORTED,
            says=ENROLLING_USER,
            source=_INTUNE_2016,
        ),
    ),
)
