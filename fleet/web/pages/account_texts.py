"""Texts of the account pages, by the names that the `account` actor uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "COUNTRIES",
    "METHOD_NAMES",
    "OPEN_PAGES",
    "OPTION_NAMES",
    "PROBLEMS",
    "QUESTIONS",
    "SCREENS",
    "TARGET_NAMES",
]

OPTION_NAMES: Final[Mapping[str, str]] = {
    "authenticationPhone": "Authentication Phone",
    "mobilePhone": "Mobile Phone",
    "officePhone": "Office Phone",
    "alternateEmail": "Alternate Email",
    "authenticationEmail": "Authentication Email",
    "securityQuestions": "Security Questions",
}
TARGET_NAMES: Final[Mapping[str, str]] = {
    option: name.lower() for option, name in OPTION_NAMES.items()
}
METHOD_NAMES: Final[Mapping[str, str]] = {
    "emailAlternate": "Email my alternate email",
    "textMobile": "Text my mobile phone",
    "callMobile": "Call my mobile phone",
    "callOffice": "Call my office phone",
    "securityQuestions": "Answer my security questions",
}
QUESTIONS: Final = ("In what city were you born?", "What was the name of your first pet?")
COUNTRIES: Final = (
    ("+1", "United States"),
    ("+44", "United Kingdom"),
    ("+49", "Germany"),
    ("+33", "France"),
    ("+91", "India"),
    ("+81", "Japan"),
)
PROBLEMS: Final = frozenset(
    {
        "signInRejected",
        "accountUnknown",
        "captchaFailed",
        "notEnabled",
        "notRegistered",
        "lockedOut",
        "numberNotVerified",
        "codeRejected",
        "answersRejected",
        "passwordMismatch",
        "passwordRejected",
    }
)
"""Statuses whose message the page shows as a problem."""
SCREENS: Final[Mapping[str, str]] = {
    "signInRejected": "register",
    "registrationOptions": "options",
    "setUp": "setUp",
    "registered": "thanks",
    "accountUnknown": "who",
    "captchaFailed": "who",
    "notEnabled": "notPossible",
    "notRegistered": "notPossible",
    "lockedOut": "notPossible",
    "administratorContacted": "contacted",
    "chooseMethod": "method",
    "secondMethod": "method",
    "enterNumber": "number",
    "numberNotVerified": "number",
    "answerQuestions": "answers",
    "answersRejected": "answers",
    "codeSent": "code",
    "codeRejected": "code",
    "calling": "calling",
    "choosePassword": "choosePassword",
    "passwordMismatch": "choosePassword",
    "passwordRejected": "choosePassword",
    "done": "done",
}
"""The page that each status of the actor leads to."""
OPEN_PAGES: Final = ("start", "register")
"""Pages that a link opens at any time."""
