"""Dated conformance: what Microsoft's tables said about reset and lock, and when.

The tables changed over the years and contradict each other, so each is data with a name and a date.
A row says what a table says of one platform and one action; `under` gives the profile that behaves
as the table says. The default, `intune-2015-12`, is the profiles as they stand.

What a table does not list is read as not supported: that is an assumption, and its rows say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from platforms.profile import (
    Action,
    Limit,
    PlatformProfile,
    ResetOutcome,
    Source,
    WithoutPasscode,
)

__all__ = ["CONFORMANCE", "DEFAULT_CONFORMANCE", "ConformanceTable", "Row", "Support", "under"]

DEFAULT_CONFORMANCE: Final = "intune-2015-12"


class Support(StrEnum):
    """What a table says of an action on a platform."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "notSupported"
    NOT_LISTED = "notListed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one table says of one action on some platforms.

    `says` is the table's own statement in short. `limits` narrow the support it gives;
    `without_passcode` is set where the table changes what a lock does on a device that has none.
    """

    platforms: tuple[str, ...]
    action: Action
    support: Support
    says: str
    source: Source
    limits: tuple[Limit, ...] = ()
    without_passcode: WithoutPasscode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceTable:
    """One behaviour table; `date` is when Microsoft published it, ISO 8601 as far as known."""

    name: str
    date: str
    title: str
    rows: tuple[Row, ...]

    def row(self, platform: str, action: Action) -> Row | None:
        """What the table says of an action on a platform; None where it is silent."""
        for row in self.rows:
            if row.action is action and platform in row.platforms:
                return row
        return None


_PHONES_8 = ("windows_phone_8", "windows_phone_8_1")
_RT = ("windows_rt", "windows_rt_8_1", "windows_8_1")
_RESET, _LOCK = Action.RESET_PASSCODE, Action.REMOTE_LOCK
_UNLISTED = "what a table does not list is read as not supported"
_ENROLLING_USER = "supported if the current user is the user who enrolled the device"

_CONSOLE_2015 = Source("Passcode reset and remote lock (Intune console, sources/003)")
_W10M_2017 = Source(
    "Intune documentation 2017-01-23, reset your device passcode from the Company Portal website"
    " (sources/002)",
    assumption="Windows 10 Mobile, which no table of 2015 lists, behaves as its own document says",
)
_INTUNE_2016 = Source("Intune documentation 2016-07-21, passcode reset and remote lock")
_HYBRID_2017 = Source(
    "System Center Configuration Manager documentation 2017-10-27, wipe, lock and reset devices"
)
_AZURE_RESET = Source("Intune on Azure documentation 2017-11, reset the device passcode")
_AZURE_LOCK = Source("Intune on Azure documentation 2018-02, remotely lock devices")


def _unlisted(source: Source) -> Source:
    return replace(source, assumption=_UNLISTED)


_INTUNE_2015_12 = ConformanceTable(
    name=DEFAULT_CONFORMANCE,
    date="2015-12",
    title="Intune console and Company Portal website, November 2015 update",
    rows=(
        Row(
            platforms=("ios",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="supported for clearing the passcode; does not create a new temporary passcode",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("android",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="supported, and a temporary passcode is created",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=_PHONES_8,
            action=_RESET,
            support=Support.SUPPORTED,
            says="supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="removes the passcode and creates a temporary one with both letters and numbers",
            source=_W10M_2017,
        ),
        Row(
            platforms=_RT,
            action=_RESET,
            support=Support.NOT_SUPPORTED,
            says="not supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("ios", "android", *_PHONES_8),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=_CONSOLE_2015,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="supported",
            source=replace(
                _INTUNE_2016,
                assumption="Windows 10 Mobile, which no table of 2015 lists, locks as in 2016",
            ),
        ),
        Row(
            platforms=_RT,
            action=_LOCK,
            support=Support.SUPPORTED,
            says=_ENROLLING_USER,
            source=_CONSOLE_2015,
        ),
    ),
)

_INTUNE_2016_07 = ConformanceTable(
    name="intune-2016-07",
    date="2016-07-21",
    title="Intune documentation, July 2016",
    rows=(
        Row(
            platforms=("ios",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="clears the passcode only",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("android",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="yes, with a temporary passcode",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_10_mobile", *_PHONES_8),
            action=_RESET,
            support=Support.SUPPORTED,
            says="yes",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_rt_8_1", "windows_8_1"),
            action=_RESET,
            support=Support.NOT_SUPPORTED,
            says="no",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_rt",),
            action=_RESET,
            support=Support.NOT_LISTED,
            says="not listed",
            source=_unlisted(_INTUNE_2016),
        ),
        Row(
            platforms=("ios", "android", "windows_10_mobile", *_PHONES_8),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="yes",
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_rt_8_1", "windows_8_1"),
            action=_LOCK,
            support=Support.SUPPORTED,
            says=_ENROLLING_USER,
            source=_INTUNE_2016,
        ),
        Row(
            platforms=("windows_rt",),
            action=_LOCK,
            support=Support.NOT_LISTED,
            says="not listed",
            source=_unlisted(_INTUNE_2016),
        ),
    ),
)

_HYBRID_2017_10 = ConformanceTable(
    name="hybrid-2017-10",
    date="2017-10-27",
    title="Intune with Configuration Manager, October 2017",
    rows=(
        Row(
            platforms=("ios",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="clears the passcode only",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("android",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="versions below 7.0 only",
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
            action=_RESET,
            support=Support.SUPPORTED,
            says="excluding devices joined to Azure AD",
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
            platforms=_PHONES_8,
            action=_RESET,
            support=Support.SUPPORTED,
            says="yes",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=_RT,
            action=_RESET,
            support=Support.NOT_SUPPORTED,
            says="no",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("ios", "android", *_PHONES_8),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="yes",
            source=_HYBRID_2017,
        ),
        Row(
            platforms=("windows_10_mobile",),
            action=_LOCK,
            support=Support.NOT_LISTED,
            says="not listed",
            source=_unlisted(_HYBRID_2017),
        ),
        Row(
            platforms=_RT,
            action=_LOCK,
            support=Support.SUPPORTED,
            says=_ENROLLING_USER,
            source=_HYBRID_2017,
        ),
    ),
)

_AZURE_2018_02 = ConformanceTable(
    name="azure-2018-02",
    date="2018-02",
    title="Intune on Azure, November 2017 (reset) and February 2018 (lock)",
    rows=(
        Row(
            platforms=("ios",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="supported (the page says in general that a new passcode is generated)",
            source=replace(
                _AZURE_RESET,
                assumption="iOS clears the passcode, as its protocol does: no new one is made",
            ),
        ),
        Row(
            platforms=("android",),
            action=_RESET,
            support=Support.SUPPORTED,
            says="versions below 7.0 only; Android for Work no",
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
            action=_RESET,
            support=Support.SUPPORTED,
            says="before the Creators Update where not joined to Azure AD; the Creators Update and"
            " later",
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
            action=_RESET,
            support=Support.SUPPORTED,
            says="yes, from 8.1",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=("windows_phone_8",),
            action=_RESET,
            support=Support.NOT_SUPPORTED,
            says="from 8.1 only",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=_RT,
            action=_RESET,
            support=Support.NOT_SUPPORTED,
            says="Windows: no",
            source=_AZURE_RESET,
        ),
        Row(
            platforms=("ios",),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="only a device that has a PIN or password set",
            source=replace(
                _AZURE_LOCK,
                assumption="iOS locks without a passcode all the same, as its protocol does",
            ),
        ),
        Row(
            platforms=("android",),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="only a device that has a PIN or password set",
            source=_AZURE_LOCK,
            without_passcode=WithoutPasscode.REFUSED,
        ),
        Row(
            platforms=("windows_10_mobile", "windows_phone_8_1"),
            action=_LOCK,
            support=Support.SUPPORTED,
            says="yes, phones from 8.1; only a device that has a PIN or password set",
            source=_AZURE_LOCK,
            without_passcode=WithoutPasscode.REFUSED,
        ),
        Row(
            platforms=("windows_phone_8",),
            action=_LOCK,
            support=Support.NOT_SUPPORTED,
            says="from 8.1 only",
            source=_AZURE_LOCK,
        ),
        Row(
            platforms=_RT,
            action=_LOCK,
            support=Support.NOT_LISTED,
            says="not listed",
            source=_unlisted(_AZURE_LOCK),
        ),
    ),
)

CONFORMANCE: Final[Mapping[str, ConformanceTable]] = MappingProxyType(
    {
        table.name: table
        for table in (_INTUNE_2015_12, _INTUNE_2016_07, _HYBRID_2017_10, _AZURE_2018_02)
    }
)


def under(profile: PlatformProfile, table: ConformanceTable, like: str) -> PlatformProfile:
    """The profile that behaves as `table` says of the platform `like`.

    That is the profile's own id, or the built-in platform that it extends. A profile whose
    platform the table does not mention is returned as it is.
    """
    reset, lock = table.row(like, _RESET), table.row(like, _LOCK)
    if reset is not None:
        profile = _reset_under(profile, reset)
    if lock is not None:
        profile = _lock_under(profile, lock)
    return profile


def _reset_under(profile: PlatformProfile, row: Row) -> PlatformProfile:
    rule = profile.reset
    if row.support is Support.SUPPORTED:
        return replace(profile, reset=replace(rule, limits=rule.limits + row.limits))
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        return profile
    refused = type(rule)(
        outcome=ResetOutcome.NOT_SUPPORTED,
        rule=f"Not supported: {row.says}. Nothing changes on the device.",
        portal_explains="You can't reset the passcode of this device here. Contact your IT admin.",
        message="Passcode reset is not supported on this device. Contact your IT admin.",
        source=row.source,
    )
    return replace(profile, reset=refused)


def _lock_under(profile: PlatformProfile, row: Row) -> PlatformProfile:
    rule = profile.lock
    if row.support is not Support.SUPPORTED:
        refused = replace(
            rule, supported=False, rule=f"Not supported: {row.says}.", source=row.source
        )
        return replace(profile, lock=refused)
    if row.without_passcode is None or row.without_passcode is rule.without_passcode:
        return profile
    narrowed = replace(
        rule,
        without_passcode=row.without_passcode,
        rule="Locks. Without a passcode the command is refused: passcodeNotSet.",
        source=row.source,
    )
    return replace(profile, lock=narrowed)
