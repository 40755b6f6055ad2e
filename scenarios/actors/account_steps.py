"""Models of the steps of the `account` actor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from broker.file_validation import value_error

__all__ = [
    "METHODS",
    "OPTIONS",
    "TARGETS",
    "AccountExpectation",
    "AnswerQuestions",
    "ChooseMethod",
    "ChoosePassword",
    "ContactAdministrator",
    "EnterCode",
    "EnterNumber",
    "Phone",
    "Register",
    "SetUp",
    "SignIn",
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
Target = Literal[
    "authenticationPhone", "mobilePhone", "officePhone", "alternateEmail", "authenticationEmail"
]
TARGETS: Final[Mapping[str, tuple[Target, ...]]] = {
    "textMobile": ("authenticationPhone", "mobilePhone"),
    "callMobile": ("authenticationPhone", "mobilePhone"),
    "callOffice": ("officePhone",),
    "emailAlternate": ("alternateEmail", "authenticationEmail"),
    "securityQuestions": (),
}
"""Targets between which the user chooses, by method.

For a text the source names the mobile phone or the "authentication email"; the authentication phone
is assumed to be meant, as for a call."""
Option = Literal[
    "authenticationPhone",
    "mobilePhone",
    "officePhone",
    "alternateEmail",
    "authenticationEmail",
    "securityQuestions",
]
OPTIONS: Final[Mapping[Option, tuple[Method, ...]]] = {
    "authenticationPhone": ("textMobile", "callMobile"),
    "mobilePhone": ("textMobile", "callMobile"),
    "officePhone": ("callOffice",),
    "alternateEmail": ("emailAlternate",),
    "authenticationEmail": ("emailAlternate",),
    "securityQuestions": ("securityQuestions",),
}
"""Methods that use each option to register; at least one of them must be allowed."""

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


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | int), Field(min_length=1)]


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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Accept the number alone as well."""
        return {"anyOf": [handler(core_schema), {"type": ["string", "integer"]}]}

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

    `user` and `password` are entered on the sign-in page. Without `user` the signed-in user or the
    only account is used; without `password` none is checked. A text message or a call goes to
    `authenticationPhone`: enter its six-digit code, or press # on the call; the status is then
    `registered`. The other contacts are registered without a code.
    """

    user: str | None = Field(default=None, description="the name of a user")
    password: Text | None = Field(default=None, repr=False, description="a string")
    authentication_phone: Phone | None = Field(default=None, description=_A_PHONE)
    mobile_phone: Phone | None = Field(default=None, description=_A_PHONE)
    alternate_email: Annotated[str, AfterValidator(_email)] | None = Field(
        default=None, description="an e-mail address"
    )
    authentication_email: Annotated[str, AfterValidator(_email)] | None = Field(
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


class SignIn(_Arguments):
    """Sign in on the registration page; `user` and `password` default to the correct ones.

    A wrong one leads to the status `signInRejected`, otherwise the page shows the options.
    """

    user: Text | None = Field(default=None, description="the name of a user")
    password: Text | None = Field(default=None, repr=False, description="a string")


class SetUp(_Arguments):
    """Click "set it up now" of an option on the registration page; then `register` it."""

    option: Option


class ChooseMethod(_Arguments):
    """Choose a verification method, and its target where there are two.

    An e-mail is sent at once; for a phone the page then asks for its number (`enter_number`), for
    security questions it shows them (`answer_questions`).
    """

    method: Method
    target: Target | None = None

    @model_validator(mode="after")
    def _fitting_target(self) -> ChooseMethod:
        targets = TARGETS[self.method]
        if self.target is not None and self.target not in targets:
            words = f"give one of {', '.join(targets)}" if targets else "leave it out"
            raise value_error(f"{self.method} has no target {self.target}", hint=words)
        return self


class EnterNumber(_Arguments):
    """Type the full phone number and press Next; without `number` the registered one."""

    number: Text | None = Field(default=None, description="a phone number, with country code")


class AnswerQuestions(_Arguments):
    """Answer the security questions on the page; without `answers` as registered."""

    answers: Mapping[str, Text] | None = Field(
        default=None, description="a table of questions and their answers"
    )


class ContactAdministrator(_Arguments):
    """Click "contact your administrator" on a page with this link."""


class Verify(ChooseMethod):
    """Choose a verification method, its target, and give the number or the answers, in one step.

    `number` is the full phone number that the user types before the page sends a text or calls.
    `answers` are the answers to the security questions, by question. Both default to the
    registered values.
    """

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

    code: (
        Annotated[
            str, BeforeValidator(_six_digits, json_schema_input_type=str | int), Field(min_length=1)
        ]
        | None
    ) = Field(default=None, description='a code such as "123456", or the key to press on a call')
    source: str | None = Field(
        default=None, alias="from", description="phone, mailbox, or the name of a device"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> EnterCode:
        if (self.code is None) == (self.source is None):
            raise value_error("this needs either code or from", hint="as in {from: phone}")
        return self


class ChoosePassword(_Arguments):
    """Choose a new password and type it again.

    If they differ, the status is `passwordMismatch`; if the password is too weak (assumption: under
    8 or over 256 characters, or without three of small letters, capital letters, digits, symbols)
    it is `passwordRejected`.
    """

    password: Text = Field(repr=False, description="a string")
    confirm: Text = Field(repr=False, description="a string")


class AccountExpectation(_Arguments):
    """Visible state of registration and password reset.

    `status` is the status of the page, and `message` its text. Registration: `signInRejected`,
    `registrationOptions`, `setUp`, `codeSent`, `calling` (press #), `registered` (thanks). Reset:
    `accountUnknown`, `captchaFailed`, `notEnabled`, `notRegistered`, `lockedOut` (these three link
    to the administrator), `administratorContacted`, `chooseMethod`, `enterNumber`,
    `numberNotVerified`, `answerQuestions`, `answersRejected`, `codeSent`, `calling`,
    `codeRejected`, `secondMethod`, `choosePassword`, `passwordMismatch`, `passwordRejected`,
    `done`. `setUpOptions` are the options to register (`option`, `registered`, `link`), `hint` is
    the advice to register a back-up option. `options` are the offered methods, `targets` their
    targets by method, `questions` the security questions on the page. `links` are the links of the
    page, `contact` the contact data of the administrator. `mailbox` is the text of the last e-mail.
    """

    status: (
        Literal[
            "signInRejected",
            "registrationOptions",
            "setUp",
            "registered",
            "accountUnknown",
            "captchaFailed",
            "notEnabled",
            "notRegistered",
            "lockedOut",
            "administratorContacted",
            "chooseMethod",
            "enterNumber",
            "numberNotVerified",
            "answerQuestions",
            "codeSent",
            "calling",
            "codeRejected",
            "answersRejected",
            "secondMethod",
            "choosePassword",
            "passwordMismatch",
            "passwordRejected",
            "done",
        ]
        | None
    ) = None
    message: str | None = Field(default=None, description="a string")
    hint: str | None = Field(default=None, description="a string")
    mailbox: str | None = Field(default=None, description="a string")
    options: list[Method] | None = Field(default=None, description="a list of methods")
    targets: dict[Method, list[Target]] | None = Field(
        default=None, description="a table such as {textMobile: [mobilePhone]}"
    )
    questions: list[str] | None = Field(default=None, description="a list of questions")
    set_up_options: list[dict[str, Any]] | None = Field(
        default=None, description="a list of options"
    )
    links: list[str] | None = Field(default=None, description="a list of links")
    contact: str | dict[str, Any] | None = Field(
        default=None, description="a string, or a table such as {phone: ...}"
    )
