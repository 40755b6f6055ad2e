"""Later tables: hybrid management in 2017, Intune on Azure in 2017 and 2018."""

from __future__ import annotations

from dataclasses import replace

from platforms.profile import Limit, Source, WithoutPasscode
from platforms.rows import (
    ENROLLING_USER,
    LOCK,
    PHONES_8,
    RESET,
    RT,
    ConformanceTable,
    Row,
    Support,
    unlisted_source,
)

__all__ = ["AZURE_2018_02", "HYBRID_2017_10"]

_HYBRID_2017 = Source(
    "System Center Configuration Manager documentation 2017-10-27, protect data with remote wipe,"
    " lock, or passcode reset"
)
_AZURE_RESET = Source("Intune on Azure documentation 2017-11, reset and remove the passcode")
_AZURE_LOCK = Source("Intune on Azure documentation 2018-02-22, remotely lock devices")


HYBRID_2017_10 = ConformanceTable(
    name="hybrid-2017-10",
    date="2017-10-27",
    title="Intune with Configuration Manager, October 2017",
    rows=(
        Row(
            platforms=("ios",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported for clearing the passcode; does not create a new temporary passcode",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("android",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported on versions earlier than 7.0; creates a temporary passcode",
            source=_HYBRID_2017,
            limits=(
                Limit(
                    message="Passcode reset is supported on Android below 7.0 only.",
                    source=_HYBRID_2017,
                    from_api_level=24,
                ),
            ),
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported, excluding devices joined to Azure AD",
            source=_HYBRID_2017,
            limits=(
                Limit(
                    message="Passcode reset is not supported on devices joined to Azure AD.",
                    source=_HYBRID_2017,
                    azure_ad_joined=True,
                ),
            ),
        ),
        Row(
            platforms=PHONES_8,
            action=RESET,
            support=Support.SUPPORTED,
            says="supported",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("windows_rt",),
            action=RESET,
            support=Support.NOT_LISTED,
            says="not listed",
            source=unlisted_source(_HYBRID_2017),
        ),
        Row(
            platforms=("windows_rt_8_1", "windows_8_1"),
            action=RESET,
            support=Support.NOT_SUPPORTED,
            says="not supported",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("ios", "android", *PHONES_8),
            action=LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=LOCK,
            support=Support.NOT_LISTED,
            says="not listed (Windows 10: not supported at this time)",
            source=unlisted_source(_HYBRID_2017),
        ),
        Row(
            platforms=("windows_rt",),
            action=LOCK,
            support=Support.NOT_LISTED,
            says="not listed",
            source=unlisted_source(_HYBRID_2017),
        ),
        Row(
            platforms=("windows_rt_8_1", "windows_8_1"),
            action=LOCK,
            support=Support.SUPPORTED,
            says=ENROLLING_USER,
            source=_HYBRID_2017,
        ),
    ),
)

AZURE_2018_02 = ConformanceTable(
    name="azure-2018-02",
    date="2018-02-22",
    title="Intune on Azure, November 2017 (reset) and February 2018 (lock)",
    rows=(
        Row(
            platforms=("ios",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported (the page says in general that a new passcode is generated)",
            source=replace(
                _AZURE_RESET,
                assumption="iOS clears the passcode, as its protocol does: no new one is made",
            ),
            departs=True,
        ),
        Row(
            platforms=("android",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported on versions earlier than 7; Android for Work is not",
            source=_AZURE_RESET,
            limits=(
                Limit(
                    message="Passcode reset is supported on Android below 7.0 only.",
                    source=_AZURE_RESET,
                    from_api_level=24,
                ),
            ),
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=RESET,
            support=Support.SUPPORTED,
            says="Windows Phone 8.1 to Windows 10 Creators Update not joined to Azure AD; Windows"
            " 10 Creators Update and later",
            source=_AZURE_RESET,
            limits=(
                Limit(
                    message="Passcode reset is not supported on devices joined to Azure AD before"
                    " the Creators Update.",
                    source=_AZURE_RESET,
                    azure_ad_joined=True,
                    below_os=(10, 0, 15063),
                ),
            ),
        ),
        Row(
            platforms=("windows_phone_8_1",),
            action=RESET,
            support=Support.SUPPORTED,
            says="supported from Windows Phone 8.1 on",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=("windows_phone_8",),
            action=RESET,
            support=Support.NOT_SUPPORTED,
            says="Windows Phone 8.1 and later only",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=RT,
            action=RESET,
            support=Support.NOT_SUPPORTED,
            says="not supported (Windows)",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=("ios",),
            action=LOCK,
            support=Support.SUPPORTED,
            says="only a device that has a PIN or password set",
            source=replace(
                _AZURE_LOCK,
                assumption="iOS locks without a passcode all the same, as its protocol does",
            ),
            departs=True,
        ),
        Row(
            platforms=("android",),
            action=LOCK,
            support=Support.SUPPORTED,
            says="only a device that has a PIN or password set",
            source=_AZURE_LOCK,
            without_passcode=WithoutPasscode.REFUSED,
        ),
        Row(
            platforms=("windows_10_mobile", "windows_phone_8_1"),
            action=LOCK,
            support=Support.SUPPORTED,
            says="yes (Windows Phone: 8.1 and later); only a device that has a PIN or password set",
            source=_AZURE_LOCK,
            without_passcode=WithoutPasscode.REFUSED,
        ),
        Row(
            platforms=("windows_phone_8",),
            action=LOCK,
            support=Support.NOT_SUPPORTED,
            says="Windows Phone 8.1 and later only",
            source=_AZURE_LOCK,
        ),
        Row(
            platforms=RT,
            action=LOCK,
            support=Support.NOT_LISTED,
            says="not listed",
            source=unlisted_source(_AZURE_LOCK),
        ),
    ),
)
