"""Dated conformance: Microsoft's published tables about reset and lock, by date.

The tables changed over the years and contradict each other, so each is data with a name and a date
(`platforms.tables_intune`, `platforms.tables_later`). A row is the statement of a table about one
platform and one action; `under` returns the profile that behaves accordingly. The default,
`intune-2015-12`, is the unchanged profiles.

A platform that a table does not list counts as not supported: an assumption, marked in its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from platforms.profile import Action, Limit, NativeCase, PlatformProfile, ResetOutcome
from platforms.rows import LOCK, RESET, ConformanceTable, Row, Support
from platforms.tables_intune import INTUNE_2015_12, INTUNE_2016_07
from platforms.tables_later import AZURE_2018_02, HYBRID_2017_10

__all__ = [
    "CONFORMANCE",
    "DEFAULT_CONFORMANCE",
    "ConformanceTable",
    "Difference",
    "Row",
    "Support",
    "agree",
    "differences",
    "profile_under_table",
]

CONFORMANCE: Final[Mapping[str, ConformanceTable]] = MappingProxyType(
    {table.name: table for table in (INTUNE_2015_12, INTUNE_2016_07, HYBRID_2017_10, AZURE_2018_02)}
)
"""Tables by name, the oldest first."""

DEFAULT_CONFORMANCE: Final = INTUNE_2015_12.name
"""Name of the default table."""

_WITHOUT_PASSCODE: Final = (Action.REMOTE_LOCK, NativeCase.NO_PASSCODE)


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two tables about one action on one platform; a missing row is None."""

    platform: str
    action: Action
    one: Row | None
    other: Row | None


def differences(
    one: ConformanceTable, other: ConformanceTable, platforms: tuple[str, ...]
) -> Iterator[Difference]:
    """Return the differences of two tables about `platforms`, in their order."""
    for platform in platforms:
        for action in (RESET, LOCK):
            rows = one.row(platform, action), other.row(platform, action)
            if not agree(*rows):
                yield Difference(platform, action, *rows)


def agree(one: Row | None, other: Row | None) -> bool:
    """Return True if two rows mean the same; wording and source are not compared."""
    return one is other or (one is not None and other is not None and _gist(one) == _gist(other))


def _gist(row: Row) -> tuple[object, ...]:
    limits = frozenset(_condition(limit) for limit in row.limits)
    return row.support, limits, row.without_passcode, row.departs


def _condition(limit: Limit) -> tuple[object, ...]:
    return limit.from_api_level, limit.below_os, limit.azure_ad_joined, limit.with_passcode


def profile_under_table(
    profile: PlatformProfile, table: ConformanceTable, like: str
) -> PlatformProfile:
    """Return the profile that behaves as `table` specifies for the platform `like`.

    `like` is the profile's own id, or the built-in platform that it extends. A profile whose
    platform is not in the table is returned unchanged.
    """
    reset, lock = table.row(like, RESET), table.row(like, LOCK)
    if reset is not None:
        profile = _reset_under(profile, reset)
    if lock is not None:
        profile = _lock_under(profile, lock)
    return profile


def _reset_under(profile: PlatformProfile, row: Row) -> PlatformProfile:
    rule = profile.reset
    if row.support is Support.SUPPORTED:
        if not row.limits:
            return profile
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
    # The device refuses the command itself: the native protocol would lock without a passcode.
    native = {key: answer for key, answer in profile.native.items() if key != _WITHOUT_PASSCODE}
    return replace(profile, lock=narrowed, native=MappingProxyType(native))
