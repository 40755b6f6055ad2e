"""Data of the password reset page: codes, calls, e-mails and registrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from scenarios.actors.account_steps import TARGETS, Phone
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
"""Lifetime of a code or a ringing call in milliseconds.

This is an assumption: the source says that a text may take minutes, but gives no limit."""
SENDER: Final = "732873"
"""Sender of texts and calls.

It has six digits because the source warns against entering the sender's number as the code."""
_CODES: Final = 1_000_000


class PageStatus(StrEnum):
    """Status shown on the page."""

    SIGN_IN_REJECTED = "signInRejected"
    REGISTRATION_OPTIONS = "registrationOptions"
    SET_UP = "setUp"
    REGISTERED = "registered"
    ACCOUNT_UNKNOWN = "accountUnknown"
    CAPTCHA_FAILED = "captchaFailed"
    NOT_ENABLED = "notEnabled"
    NOT_REGISTERED = "notRegistered"
    LOCKED_OUT = "lockedOut"
    ADMINISTRATOR_CONTACTED = "administratorContacted"
    CHOOSE_METHOD = "chooseMethod"
    ENTER_NUMBER = "enterNumber"
    ANSWER_QUESTIONS = "answerQuestions"
    NUMBER_NOT_VERIFIED = "numberNotVerified"
    CODE_SENT = "codeSent"
    CALLING = "calling"
    CODE_REJECTED = "codeRejected"
    ANSWERS_REJECTED = "answersRejected"
    SECOND_METHOD = "secondMethod"
    CHOOSE_PASSWORD = "choosePassword"  # noqa: S105  # the name of a page
    PASSWORD_MISMATCH = "passwordMismatch"  # noqa: S105
    PASSWORD_REJECTED = "passwordRejected"  # noqa: S105
    DONE = "done"


class Channel(StrEnum):
    """Channel that delivers a challenge."""

    TEXT = "text"
    CALL = "call"
    EMAIL = "email"


@dataclass(slots=True, kw_only=True)
class Challenge:
    """Challenge that the user must answer: a code or a call.

    `method` is the verified method, None for the registration of a phone. `device` is the
    receiving device, None for an e-mail. `key` is the key that the user pressed on the call.
    `sent` is an instant in milliseconds since the Unix epoch.
    """

    user: str
    method: str | None
    channel: Channel
    code: str
    sent: int
    device: ManagedDevice | None = None
    used: bool = False
    key: str | None = None

    def is_valid(self, now: int) -> bool:
        """Return True if the challenge is unused and not expired at `now`."""
        return not self.used and now <= self.sent + CODE_LIFETIME


@dataclass(slots=True, kw_only=True)
class Registration:
    """Registered contacts of a user. `pending` is a phone whose code was not entered yet.

    `phones` and `emails` are by target: authenticationPhone, mobilePhone, officePhone;
    alternateEmail, authenticationEmail.
    """

    phones: dict[str, Phone] = field(default_factory=dict)
    pending: Phone | None = None
    emails: dict[str, str] = field(default_factory=dict)
    questions: Mapping[str, str] | None = None

    def targets(self, method: str) -> list[str]:
        """Return the registered targets of a method, the first one is the default."""
        return [each for each in TARGETS[method] if each in self.phones or each in self.emails]

    def allows(self, method: str) -> bool:
        """Return True if the user registered a contact that the method needs."""
        if method == "securityQuestions":
            return self.questions is not None
        return bool(self.targets(method))

    def options(self) -> list[str]:
        """Return the names of the registered contacts."""
        questions = [] if self.questions is None else ["securityQuestions"]
        return [*self.phones, *self.emails, *questions]


def verification_code(seed: int, user: str, count: int) -> str:
    """Return the `count`-th six-digit code of a user, derived from the seed."""
    drawn = blake2b(f"code/{seed}/{user}/{count}".encode(), digest_size=8).digest()
    return f"{int.from_bytes(drawn) % _CODES:06}"


def verification_text(code: str) -> str:
    """Return the text message with a code."""
    return f"Use {code} as your verification code."


def verification_email(code: str, address: str) -> str:
    """Return the e-mail with a code."""
    return (
        f"To: {address}\nSubject: Account verification code\n\n"
        f"Your verification code is {code}. It expires in {CODE_LIFETIME // 60_000} minutes."
    )
