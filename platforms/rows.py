"""Rows of a dated table, each with its statement and source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from platforms.profile import Action, Limit, Source, WithoutPasscode

__all__ = [
    "ENROLLING_USER",
    "LOCK",
    "PHONES_8",
    "RESET",
    "RT",
    "ConformanceTable",
    "Row",
    "Support",
    "unlisted_source",
]


class Support(StrEnum):
    """Statement of a table about an action on a platform."""

    SUPPORTED = "supported"
    NOT_SUPPORTED = "notSupported"
    NOT_LISTED = "notListed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Row of a table: one action on some platforms.

    `says` is the table's statement, shortened. `limits` restrict the support; `without_passcode` is
    set if the table changes the outcome of a lock on a device without a passcode. `departs` means
    that devices deviate from the statement, for the reason in the source's assumption.
    """

    platforms: tuple[str, ...]
    action: Action
    support: Support
    says: str
    source: Source
    limits: tuple[Limit, ...] = ()
    without_passcode: WithoutPasscode | None = None
    departs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceTable:
    """One behaviour table; `date` is when Microsoft published it, ISO 8601 as far as known."""

    name: str
    date: str
    title: str
    rows: tuple[Row, ...]

    def row(self, platform: str, action: Action) -> Row | None:
        """Return the row about an action on a platform, None if the table has none."""
        for row in self.rows:
            if row.action is action and platform in row.platforms:
                return row
        return None


PHONES_8 = ("windows_phone_8", "windows_phone_8_1")
RT = ("windows_rt", "windows_rt_8_1", "windows_8_1")
RESET, LOCK = Action.RESET_PASSCODE, Action.REMOTE_LOCK
_UNLISTED = "what a table does not list is read as not supported"
ENROLLING_USER = "supported if the current user is the user who enrolled the device"


def unlisted_source(source: Source) -> Source:
    """Return the source of a row for a platform that the table does not list."""
    return replace(source, assumption=_UNLISTED)
