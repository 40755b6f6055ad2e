"""Limits of password reset: attempts of a user, and the rules of a new password.

All of them are assumptions, because the source gives none. They follow the documentation of Azure
AD: "five attempts within an hour, then locked out for 24 hours" (self-service password reset, for
phone numbers, codes and answers), and the password policy of cloud accounts (8 to 256 characters,
three of: small letters, capital letters, digits, symbols).
"""

from __future__ import annotations

from typing import Final

__all__ = ["ATTEMPTS", "ATTEMPT_WINDOW", "LOCKOUT", "AttemptLimits", "is_strong"]

ATTEMPTS: Final = 5
"""Number of failed attempts within `ATTEMPT_WINDOW` that locks a user out."""
ATTEMPT_WINDOW: Final = 60 * 60 * 1000
"""Time in milliseconds within which failed attempts are counted."""
LOCKOUT: Final = 24 * 60 * 60 * 1000
"""Duration of a lockout in milliseconds."""
_SHORTEST: Final = 8
_LONGEST: Final = 256
_CLASSES: Final = 3


class AttemptLimits:
    """Failed attempts of all users. Instants are milliseconds since the Unix epoch."""

    def __init__(self) -> None:
        self._failures: dict[str, list[int]] = {}
        self._locked: dict[str, int] = {}

    def fail(self, user: str, now: int) -> None:
        """Count a failed attempt; lock the user out after too many."""
        recent = [at for at in self._failures.get(user, ()) if now - at < ATTEMPT_WINDOW]
        self._failures[user] = [*recent, now]
        if len(recent) + 1 >= ATTEMPTS:
            self._locked[user] = now
            del self._failures[user]

    def is_locked(self, user: str, now: int) -> bool:
        """Return True while the user is locked out."""
        return user in self._locked and now - self._locked[user] < LOCKOUT

    def clear(self, user: str) -> None:
        """End a lockout and forget failed attempts."""
        self._locked.pop(user, None)
        self._failures.pop(user, None)


def is_strong(password: str) -> bool:
    """Return True if a new password obeys the password policy."""
    classes = (
        any(each.islower() for each in password),
        any(each.isupper() for each in password),
        any(each.isdigit() for each in password),
        any(not each.isalnum() for each in password),
    )
    return _SHORTEST <= len(password) <= _LONGEST and sum(classes) >= _CLASSES
