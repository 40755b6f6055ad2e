"""Texts of the registration and password reset pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scenarios.actors.account_codes import PageStatus

__all__ = ["BACKUP_HINT", "CONTACT_LINK", "CONTACT_STATUSES", "MESSAGES", "SET_UP_LINK", "TOO_FEW"]

CONTACT_LINK: Final = "contact your administrator"
SET_UP_LINK: Final = "set it up now"
BACKUP_HINT: Final = (
    "We highly recommend that you also register a back-up option, in case you lose your phone or"
    " access to your email."
)
TOO_FEW: Final = (
    "Your administrator requires {required} verification methods, and you have registered"
    " {registered}. Please contact your administrator."
)
CONTACT_STATUSES: Final = frozenset(
    {PageStatus.NOT_ENABLED, PageStatus.NOT_REGISTERED, PageStatus.LOCKED_OUT}
)
"""Pages with the link to the administrator."""
MESSAGES: Final[Mapping[PageStatus, str]] = {
    PageStatus.SIGN_IN_REJECTED: "Your account or password is incorrect.",
    PageStatus.REGISTRATION_OPTIONS: "Choose an option to register for password reset.",
    PageStatus.SET_UP: "Enter your data for this option.",
    PageStatus.REGISTERED: (
        "Thanks! You can use what you registered to reset your password at any time."
    ),
    PageStatus.ACCOUNT_UNKNOWN: "The user ID you entered does not exist.",
    PageStatus.CAPTCHA_FAILED: "The characters you entered do not match the picture. Try again.",
    PageStatus.NOT_ENABLED: (
        "Your account is not enabled for password reset. You can contact your administrator to"
        " unlock your account."
    ),
    PageStatus.NOT_REGISTERED: (
        "You have not registered for password reset, so we can't verify you. Please contact your"
        " administrator."
    ),
    PageStatus.LOCKED_OUT: (
        "You've tried to verify your account too many times. Please wait 24 hours and try again, or"
        " contact your administrator."
    ),
    PageStatus.ADMINISTRATOR_CONTACTED: (
        "Get in touch with your administrator to unlock your account."
    ),
    PageStatus.CHOOSE_METHOD: "Choose the contact method that we should use for verification.",
    PageStatus.ENTER_NUMBER: (
        "To protect your account, enter your complete phone number before we contact you."
    ),
    PageStatus.NUMBER_NOT_VERIFIED: (
        "The phone number you entered does not match the one that we have on file."
    ),
    PageStatus.ANSWER_QUESTIONS: "Answer your security questions.",
    PageStatus.CODE_SENT: "We've sent a code. Enter it here once it arrives.",
    PageStatus.CALLING: "We're calling your phone. Answer it and press the # key.",
    PageStatus.CODE_REJECTED: "You entered an incorrect or expired code. Try again.",
    PageStatus.ANSWERS_REJECTED: "Your answers do not match the ones that you registered.",
    PageStatus.SECOND_METHOD: (
        "Your administrator requires a second verification step. Choose another contact method."
    ),
    PageStatus.CHOOSE_PASSWORD: "Choose a new password.",
    PageStatus.PASSWORD_MISMATCH: "These passwords don't match.",
    PageStatus.PASSWORD_REJECTED: (
        "Choose a password that is harder to guess: 8 to 256 characters with three of small"
        " letters, capital letters, digits and symbols."
    ),
    PageStatus.DONE: "Your password has been reset. You can now sign in with your new password.",
}
