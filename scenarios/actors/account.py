"""The `account` actor: self-service reset of a work account's password, without I/O.

It implements "How to manage your own password" (Microsoft Intune documentation, 2017-02): sign in
and register; identify the account and solve a captcha, pass one of five methods, pass a second one
if the administrator requires two, and type a new password twice.

The actor sends a text message or call as a `DeliverTextMessage`. It has arrived once the device
shows it: `enter_code: {from: phone}` reads the code from the screen of the device. A call is
verified when the device reports the pressed key.

Assumptions, because the source does not specify it: a code is valid for ten minutes, and only the
last code is valid; all contacts but the authentication phone are registered without a code; text
and call on the same phone are different methods; case and surrounding spaces of an answer are
ignored; a user who registered fewer methods than required has to contact the administrator, who
can enable a single account. Attempts and passwords are limited by `account_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from scenarios.actors.account_codes import (
    Channel,
    PageStatus,
    Registration,
)
from scenarios.actors.account_pages import AUTHENTICATION_PHONE, AccountPages, ResetSession
from scenarios.actors.account_rules import is_strong
from scenarios.actors.account_steps import (
    METHODS,
    OPTIONS,
    TARGETS,
    AccountExpectation,
    AnswerQuestions,
    ChooseMethod,
    ChoosePassword,
    ContactAdministrator,
    EnterCode,
    EnterNumber,
    Phone,
    Register,
    SetUp,
    SignIn,
    StartReset,
    Verify,
    phone_digits,
)
from scenarios.actors.account_texts import (
    BACKUP_HINT,
    CONTACT_LINK,
    CONTACT_STATUSES,
    SET_UP_LINK,
    TOO_FEW,
)
from scenarios.model.actor import (
    ActorRequest,
    SharedState,
    StepRefusedError,
)

__all__ = ["AccountActor"]

_CALLS: Final = ("callMobile", "callOffice")
_QUESTIONS: Final = "securityQuestions"
_FIELDS: Final[Mapping[str, str]] = {
    "authenticationPhone": "authentication_phone",
    "mobilePhone": "mobile_phone",
    "officePhone": "office_phone",
    "alternateEmail": "alternate_email",
    "authenticationEmail": "authentication_email",
    "securityQuestions": "security_questions",
}
"""Field of `Register` for each option."""


class AccountActor(AccountPages):
    """User of the registration and password reset pages of a work account."""

    name: ClassVar[str] = "account"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "sign_in": SignIn,
        "set_up": SetUp,
        "register": Register,
        "start_reset": StartReset,
        "contact_administrator": ContactAdministrator,
        "choose_method": ChooseMethod,
        "enter_number": EnterNumber,
        "answer_questions": AnswerQuestions,
        "verify": Verify,
        "enter_code": EnterCode,
        "choose_password": ChoosePassword,
    }
    expects: ClassVar[type[BaseModel] | None] = AccountExpectation

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._handlers: Mapping[str, Callable[[Any, int], Sequence[ActorRequest]]] = {
            "sign_in": self._sign_in,
            "set_up": self._set_up,
            "register": self._register,
            "start_reset": self._start_reset,
            "contact_administrator": self._contact_administrator,
            "choose_method": self._choose_method,
            "enter_number": self._enter_number,
            "answer_questions": self._answer_questions,
            "verify": self._verify,
            "enter_code": self._enter_code,
            "choose_password": self._choose_password,
        }

    # -- interface of actors ----------------------------------------------------------------------

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; see the models in `account_steps`."""
        for user in self.shared.unlocked:
            self._limits.clear(user)
        self._enabled |= self.shared.unlocked
        self.shared.unlocked.clear()
        return self._handlers[step](arguments, now)

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible values of the page, and the last e-mail."""
        del now
        seen: dict[str, object] = {}
        if self._status is not None:
            seen |= {"status": self._status.value, "message": self._message}
        if self._status in CONTACT_STATUSES:
            seen["links"] = (CONTACT_LINK,)
        contact = self.shared.organization.contact
        if self._status is PageStatus.ADMINISTRATOR_CONTACTED and contact is not None:
            seen["contact"] = contact
        if self._session is not None and not self._session.finished:
            seen |= self._view_of_reset(self._session)
        elif self._signed_in is not None:
            seen |= self._view_of_registration(self._signed_in)
        if self._mailbox:
            seen["mailbox"] = self._mailbox[-1]
        return seen

    def _view_of_reset(self, session: ResetSession) -> Mapping[str, object]:
        known, options = self._registration(session.user), self._options(session)
        seen: dict[str, object] = {"options": options}
        targets = {method: known.targets(method) for method in options if TARGETS[method]}
        if targets:
            seen["targets"] = targets
        if self._status in (PageStatus.ANSWER_QUESTIONS, PageStatus.ANSWERS_REJECTED):
            seen["questions"] = list(known.questions or ())
        return seen

    def _view_of_registration(self, user: str) -> Mapping[str, object]:
        registered, offered = self._registration(user).options(), self._offered_options()
        seen: dict[str, object] = {}
        if self._status is PageStatus.REGISTRATION_OPTIONS:
            seen["setUpOptions"] = [
                {"option": option, "registered": option in registered, "link": SET_UP_LINK}
                for option in offered
            ]
        if self._status is PageStatus.REGISTERED and len(registered) == 1 < len(offered):
            seen["hint"] = BACKUP_HINT
        return seen

    # -- registering ---------------------------------------------------------------------------

    def _sign_in(self, arguments: SignIn, now: int) -> Sequence[ActorRequest]:
        del now
        self._session = self._challenge = self._signed_in = None
        user = self._user(arguments.user)
        if user is None or arguments.password not in (None, self.shared.accounts[user].password):
            self._show(PageStatus.SIGN_IN_REJECTED)
        elif not self._is_enabled(user):
            self._show(PageStatus.NOT_ENABLED)
        else:
            self._signed_in = user
            self._show(PageStatus.REGISTRATION_OPTIONS)
        return ()

    def _set_up(self, arguments: SetUp, now: int) -> Sequence[ActorRequest]:
        del now
        if self._signed_in is None:
            raise StepRefusedError("the page with the options to register", self._seen())
        if arguments.option not in self._offered_options():
            raise StepRefusedError(f"one of {', '.join(self._offered_options())}", arguments.option)
        self._show(PageStatus.SET_UP)
        return ()

    def _register(self, arguments: Register, now: int) -> Sequence[ActorRequest]:
        self._sign_in(
            SignIn(user=arguments.user or self._signed_in, password=arguments.password), now
        )
        user = self._signed_in
        if user is None:
            return ()
        given = {
            option: value
            for option, name in _FIELDS.items()
            if (value := getattr(arguments, name)) is not None
        }
        if not set(given) <= set(self._offered_options()):
            self._show(PageStatus.NOT_ENABLED)
            return ()
        known = self._registered.setdefault(user, Registration())
        known.questions = given.pop(_QUESTIONS, known.questions)
        for option, value in given.items():
            if isinstance(value, Phone):
                self._network.device_of(value, user)
            if option != AUTHENTICATION_PHONE:
                contacts: dict[str, Any] = (
                    known.phones if isinstance(value, Phone) else known.emails
                )
                contacts[option] = value
        phone = arguments.authentication_phone
        if phone is None:
            self._show(PageStatus.REGISTERED)
            return ()
        known.pending = phone
        return self._challenge_by_phone(phone, user, None, Channel(phone.by), now)

    def _offered_options(self) -> list[str]:
        """Return the options to register: those for which a method is allowed."""
        allowed = set(self.shared.organization.self_service_reset.methods)
        return [option for option, methods in OPTIONS.items() if allowed & set(methods)]

    # -- resetting -----------------------------------------------------------------------------

    def _start_reset(self, arguments: StartReset, now: int) -> Sequence[ActorRequest]:
        self._session = self._challenge = self._signed_in = None
        user = self._user(arguments.user)
        if arguments.captcha != "solved":
            self._show(PageStatus.CAPTCHA_FAILED)
        elif user is None:
            self._show(PageStatus.ACCOUNT_UNKNOWN)
        elif not self._is_enabled(user):
            self._show(PageStatus.NOT_ENABLED)
        elif self._limits.is_locked(user, now):
            self._show(PageStatus.LOCKED_OUT)
        else:
            self._open_reset(ResetSession(user))
        return ()

    def _open_reset(self, session: ResetSession) -> None:
        options, required = self._options(session), self._required()
        if not options:
            self._show(PageStatus.NOT_REGISTERED)
        elif len(options) < required:
            words = TOO_FEW.format(required=required, registered=len(options))
            self._show(PageStatus.NOT_REGISTERED, words)
        else:
            self._session = session
            self._show(PageStatus.CHOOSE_METHOD)

    def _contact_administrator(self, _: ContactAdministrator, now: int) -> Sequence[ActorRequest]:
        del now
        if self._status not in CONTACT_STATUSES:
            raise StepRefusedError(f"a page with the link {CONTACT_LINK}", self._seen())
        self._show(PageStatus.ADMINISTRATOR_CONTACTED)
        return ()

    def _options(self, session: ResetSession) -> list[str]:
        """Return the methods that are allowed, registered and not passed yet."""
        allowed = self.shared.organization.self_service_reset.methods
        known = self._registration(session.user)
        return [
            method
            for method in METHODS
            if method in allowed and known.allows(method) and method not in session.verified
        ]

    def _choose_method(self, arguments: ChooseMethod, now: int) -> Sequence[ActorRequest]:
        session = self._open_session("the page that offers the methods")
        if self._is_verified(session):
            raise StepRefusedError("the page that offers the methods", self._seen())
        method, known = arguments.method, self._registration(session.user)
        self._challenge = session.chosen = None
        target = arguments.target
        if method not in self.shared.organization.self_service_reset.methods:
            self._show(PageStatus.NOT_ENABLED)
        elif not known.allows(method) or target not in (None, *known.targets(method)):
            self._show(PageStatus.NOT_REGISTERED)
        elif method in session.verified:
            self._show(PageStatus.SECOND_METHOD)
        elif method == "emailAlternate":
            address = known.emails[target or known.targets(method)[0]]
            self._send_email(session.user, method, address, now)
        else:
            session.chosen = arguments
            asks = PageStatus.ANSWER_QUESTIONS if method == _QUESTIONS else PageStatus.ENTER_NUMBER
            self._show(asks)
        return ()

    def _verify(self, arguments: Verify, now: int) -> Sequence[ActorRequest]:
        self._choose_method(arguments, now)
        if self._status is PageStatus.ANSWER_QUESTIONS:
            return self._answer_questions(AnswerQuestions(answers=arguments.answers), now)
        if self._status is PageStatus.ENTER_NUMBER:
            return self._enter_number(EnterNumber(number=arguments.number), now)
        return ()

    def _enter_number(self, arguments: EnterNumber, now: int) -> Sequence[ActorRequest]:
        """Check the typed phone number; send a code or call only if it is correct."""
        session, chosen = self._chosen("the page that asks for a phone number", questions=False)
        known = self._registration(session.user)
        phone = known.phones[chosen.target or known.targets(chosen.method)[0]]
        if arguments.number is not None and phone_digits(arguments.number) != phone.digits:
            self._fail(session.user, PageStatus.NUMBER_NOT_VERIFIED, now)
            return ()
        channel = Channel.CALL if chosen.method in _CALLS else Channel.TEXT
        return self._challenge_by_phone(phone, session.user, chosen.method, channel, now)

    def _answer_questions(self, arguments: AnswerQuestions, now: int) -> Sequence[ActorRequest]:
        session, _ = self._chosen("the page with the security questions", questions=True)
        right = self._registration(session.user).questions or {}
        given = right if arguments.answers is None else arguments.answers
        if {q: _plain(a) for q, a in given.items()} == {q: _plain(a) for q, a in right.items()}:
            self._now_verified(session, _QUESTIONS)
        else:
            self._fail(session.user, PageStatus.ANSWERS_REJECTED, now)
        return ()

    def _chosen(self, expected: str, *, questions: bool) -> tuple[ResetSession, ChooseMethod]:
        """Return the session and its chosen method, which must be one for this page."""
        session = self._open_session(expected)
        chosen = session.chosen
        if chosen is None or (chosen.method == _QUESTIONS) is not questions:
            raise StepRefusedError(expected, self._seen())
        return session, chosen

    def _choose_password(self, arguments: ChoosePassword, now: int) -> Sequence[ActorRequest]:
        del now
        session = self._open_session("the page to choose a new password")
        if not self._is_verified(session):
            raise StepRefusedError("the page to choose a new password", self._seen())
        if arguments.password != arguments.confirm:
            self._show(PageStatus.PASSWORD_MISMATCH)
        elif not is_strong(arguments.password):
            self._show(PageStatus.PASSWORD_REJECTED)
        else:
            account = self.shared.accounts[session.user]
            self.shared.accounts[session.user] = replace(account, password=arguments.password)
            session.finished = True
            self._show(PageStatus.DONE)
        return ()


def _plain(answer: str) -> str:
    return answer.strip().casefold()
