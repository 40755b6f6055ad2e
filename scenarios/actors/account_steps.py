"""Models of the steps of the `account` actor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from broker.validation import value_error

__all__ = [
    "METHODS",
    "AccountExpectation",
    "ChoosePassword",
    "EnterCode",
    "Phone",
    "Register",
    "StartReset",
    "Verify",
    "phone_digits",
]

Method = Literal["textMobile", "callMobile", "callOffice", "emailAlternate", "securityQuestions"]
METHODS: Final[tuple[Method, ...]] = (
    "textMobile",
    "callMobile",
    "callOffice",
    "emailAlternate",
    "securityQuestions",
)
"""Verification methods, in the order of the page."""

_PHONE: Final = re.compile(r"\+?[\d\s().-]+")
_A_PHONE: Final = "a phone number such as '+1 425 555 0100', or a table with its parts"
_PHONE_HINT: Final = "write it as '+1 425 555 0100', or with countryCode and number"
_SHORTEST: Final = 7


def _text(value: object) -> object:
    """Convert an unquoted number such as 123456 to text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _six_digits(value: object) -> object:
    return f"{value:06}" if isinstance(value, int) and not isinstance(value, bool) else value


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        raise ValueError("an e-mail address")
    return value


def phone_digits(number: str) -> str:
    """Return the digits of a phone number, country code first."""
    return re.sub(r"\D", "", number)


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]


class _Arguments(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Phone(_Arguments):
    """Phone number and the virtual device that receives its texts and calls.

    Written `"+1 425 555 0100"`, or with its parts: `{countryCode: "+1", number: "425 555 0100",
    device: phone, by: text}`. Without `device`, the first device of the user receives them. `by`
    is the channel of the registration code: `text` (default) or `call`.
    """

    country_code: Text | None = Field(default=None, description='a country code such as "+1"')
    number: Text = Field(description="a phone number")
    device: str | None = Field(default=None, description="the name of a device")
    by: Literal["text", "call"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"number": f"+{value}"}  # YAML reads an unquoted +14255550100 as a number
        return {"number": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Phone:
        if not _PHONE.fullmatch(self.number.strip()) or len(self.digits) < _SHORTEST:
            raise value_error("this is not a phone number", hint=_PHONE_HINT)
        if self.country_code is None and not self.number.strip().startswith("+"):
            raise value_error("the country code is missing", hint=_PHONE_HINT)
        return self

    @property
    def digits(self) -> str:
        """Digits of the whole number, country code first."""
        return phone_digits((self.country_code or "") + self.number)


class Register(_Arguments):
    """Register one or several contacts for password reset.

    `user` and `password` are entered on the sign-in page. Without `user` the only account is used;
    without `password` none is checked. A text message or a call goes to `authenticationPhone`:
    enter its six-digit code, or
    press # on the call; the status is then `registered`.
    """

    user: str | None = Field(default=None, description="the name of a user")
    password: Text | None = Field(default=None, repr=False, description="a string")
    authentication_phone: Phone | None = Field(default=None, description=_A_PHONE)
    alternate_email: Annotated[str, AfterValidator(_email)] | None = Field(
        default=None, description="an e-mail address"
    )
    office_phone: Phone | None = Field(default=None, description=_A_PHONE)
    security_questions: Annotated[dict[str, Text], Field(min_length=1)] | None = Field(
        default=None, description="a table of questions and their answers, not empty"
    )

    @model_validator(mode="after")
    def _something(self) -> Register:
        given = self.model_fields_set - {"user", "password"}
        if not any(getattr(self, name) is not None for name in given):
            raise value_error(
                "this registers nothing",
                hint="give authenticationPhone, alternateEmail, officePhone or securityQuestions",
            )
        return self


class StartReset(_Arguments):
    """Open the password reset page, name the account, and pass the captcha.

    `captcha` is `solved` or `failed` (status `captchaFailed`).
    """

    user: str | None = Field(default=None, description="the name of a user")
    captcha: Literal["solved", "failed"]


class Verify(_Arguments):
    """Choose a verification method.

    `number` is the full phone number that the user types before the page sends a text or calls.
    `answers` are the answers to the security questions, by question. Both default to the
    registered values.
    """

    method: Method
    number: Text | None = Field(default=None, description="a phone number, with country code")
    answers: Mapping[str, Text] | None = Field(
        default=None, description="a table of questions and their answers"
    )


class EnterCode(_Arguments):
    """Enter the six-digit code: a given `code`, or a code read `from` a device or the mailbox.

    `from: phone` reads the text message on the screen of the receiving device, `from: <name>`
    the one on that device, `from: mailbox` the last e-mail. While a call is ringing, `from: phone`
    answers it and presses #, and `code` is the pressed key.
    """

    code: Annotated[str, BeforeValidator(_six_digits), Field(min_length=1)] | None = Field(
        default=None, description='a code such as "123456", or the key to press on a call'
    )
    source: str | None = Field(
        default=None, alias="from", description="phone, mailbox, or the name of a device"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> EnterCode:
        if (self.code is None) == (self.source is None):
            raise value_error("this needs either code or from", hint="as in {from: phone}")
        return self


class ChoosePassword(_Arguments):
    """Choose a new password and type it again (if they differ: `passwordMismatch`)."""

    password: Text = Field(repr=False, description="a string")
    confirm: Text = Field(repr=False, description="a string")


class AccountExpectation(_Arguments):
    """Visible state of the password reset.

    `status` is the status of the page: `registered`, `captchaFailed`, `notEnabled` (contact your
    administrator), `notRegistered`, `chooseMethod`, `numberNotVerified`, `codeSent`, `calling`
    (press #), `codeRejected`, `answersRejected`, `secondMethod`, `choosePassword`,
    `passwordMismatch`, `done`. `options` are the offered methods, `mailbox` is the text of
    the last e-mail.
    """

    status: (
        Literal[
            "registered",
            "captchaFailed",
            "notEnabled",
            "notRegistered",
            "chooseMethod",
            "numberNotVerified",
            "codeSent",
            "calling",
            "codeRejected",
            "answersRejected",
            "secondMethod",
            "choosePassword",
            "passwordMismatch",
            "done",
        ]
        | None
    ) = None
    mailbox: str | None = Field(default=None, description="a string")
    options: list[Method] | None = Field(default=None, description="a list of methods")
