"""What the password reset page sends and remembers: codes, calls, e-mails, registrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from scenarios.actors.account_steps import Phone
from scenarios.model.actor import ManagedDevice

__all__ = [
    "CODE_LIFETIME",
    "SENDER",
    "Challenge",
    "Channel",
    "PageStatus",
    "Registration",
    "verification_code",
    "verification_email",
    "verification_text",
]

CODE_LIFETIME: Final = 10 * 60 * 1000
"""Milliseconds for which a code, or a ringing call, verifies (assumption: the source says that a
text may take minutes, and nothing of when it is too late)."""
SENDER: Final = "732873"
"""Whom texts and calls come from. It has six digits on purpose: the source warns of taking the
number that the code was sent from for the code."""
_CODES: Final = 1_000_000


class PageStatus(StrEnum):
    """What the page says."""

    REGISTERED = "registered"
    CAPTCHA_FAILED = "captchaFailed"
    NOT_ENABLED = "notEnabled"
    NOT_REGISTERED = "notRegistered"
    CHOOSE_METHOD = "chooseMethod"
    NUMBER_NOT_VERIFIED = "numberNotVerified"
    CODE_SENT = "codeSent"
    CALLING = "calling"
    CODE_REJECTED = "codeRejected"
    ANSWERS_REJECTED = "answersRejected"
    SECOND_METHOD = "secondMethod"
    CHOOSE_PASSWORD = "choosePassword"  # noqa: S105  # the name of a page
    PASSWORD_MISMATCH = "passwordMismatch"  # noqa: S105
    DONE = "done"


class Channel(StrEnum):
    """How a challenge reaches the user."""

    TEXT = "text"
    CALL = "call"
    EMAIL = "email"


@dataclass(slots=True, kw_only=True)
class Challenge:
    """Something to be answered: a code, or a call.

    `method` is the method that it verifies, None where it confirms a phone that is being
    registered. `device` is where it went, None for an e-mail. `key` is the key that the user is
    known to press on the call.
    """

    user: str
    method: str | None
    channel: Channel
    code: str
    sent: int
    device: ManagedDevice | None = None
    used: bool = False
    key: str | None = None

    def holds(self, now: int) -> bool:
        """Whether a right answer still counts."""
        return not self.used and now <= self.sent + CODE_LIFETIME


@dataclass(slots=True, kw_only=True)
class Registration:
    """What a user registered. `pending` is a phone whose code was not entered yet."""

    phone: Phone | None = None
    pending: Phone | None = None
    email: str | None = None
    office: Phone | None = None
    questions: Mapping[str, str] | None = None

    def phone_for(self, method: str) -> Phone | None:
        """The phone that a method reaches."""
        return self.office if method == "callOffice" else self.phone

    def allows(self, method: str) -> bool:
        """Whether a method can reach the user at all."""
        if method == "emailAlternate":
            return self.email is not None
        if method == "securityQuestions":
            return self.questions is not None
        return self.phone_for(method) is not None


def verification_code(seed: int, user: str, count: int) -> str:
    """The `count`-th six-digit code of a user: the same for the same seed."""
    drawn = blake2b(f"code/{seed}/{user}/{count}".encode(), digest_size=8).digest()
    return f"{int.from_bytes(drawn) % _CODES:06}"


def verification_text(code: str) -> str:
    """The text message that brings a code."""
    return f"Use {code} as your verification code."


def verification_email(code: str, address: str) -> str:
    """The e-mail that brings a code."""
    return (
        f"To: {address}\nSubject: Account verification code\n\n"
        f"Your verification code is {code}. It expires in {CODE_LIFETIME // 60_000} minutes."
    )
