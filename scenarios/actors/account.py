"""The `account` actor: self-service reset of a work account's password, without I/O.

It implements "How to manage your own password" (Microsoft Intune documentation, 2017-02): register,
identify the account and solve a captcha, pass one of five methods, pass a second one if the
administrator requires two, and type a new password twice.

The actor sends a text message or call as a `DeliverMessage`. It has arrived once the device shows
it: `enter_code: {from: phone}` reads the code from the screen of the device. A call is verified
when the device reports the pressed key.

Assumptions, because the source does not specify it: a code is valid for ten minutes, and only the
last code is valid; e-mail address, office phone and security questions are registered without a
code; text and call on the same phone are different methods; case and surrounding spaces of an
answer are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from scenarios.actors.account_codes import (
    SENDER,
    Challenge,
    Channel,
    PageStatus,
    Registration,
    verification_code,
    verification_email,
    verification_text,
)
from scenarios.actors.account_steps import (
    METHODS,
    AccountExpectation,
    ChoosePassword,
    EnterCode,
    Phone,
    Register,
    StartReset,
    Verify,
    phone_digits,
)
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeliverMessage,
    DeviceMessage,
    ManagedDevice,
    PressButton,
    SharedState,
    StepRefusedError,
)

__all__ = ["AccountActor"]

_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
_KEY: Final = re.compile(r"[0-9*#]")
_POUND: Final = "#"
_MAILBOX: Final = "mailbox"
_CALLS: Final = ("callMobile", "callOffice")
_ENABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "authentication_phone": ("textMobile", "callMobile"),
    "alternate_email": ("emailAlternate",),
    "office_phone": ("callOffice",),
    "security_questions": ("securityQuestions",),
}
"""Methods that use each registered contact; at least one of them must be allowed."""


@dataclass(slots=True)
class _Session:
    """Reset in progress: the user and the methods passed so far."""

    user: str
    verified: list[str] = field(default_factory=list)
    finished: bool = False


class AccountActor(Actor):
    """User of the password reset page of a work account."""

    name: ClassVar[str] = "account"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "register": Register,
        "start_reset": StartReset,
        "verify": Verify,
        "enter_code": EnterCode,
        "choose_password": ChoosePassword,
    }
    expects: ClassVar[type[BaseModel] | None] = AccountExpectation

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._status: PageStatus | None = None
        self._registered: dict[str, Registration] = {}
        self._session: _Session | None = None
        self._challenge: Challenge | None = None
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._mailbox: list[str] = []
        self._handlers: Mapping[str, Callable[[Any, int], Sequence[ActorRequest]]] = {
            "register": self._register,
            "start_reset": self._start_reset,
            "verify": self._verify,
            "enter_code": self._enter_code,
            "choose_password": self._choose_password,
        }

    # -- interface of actors ----------------------------------------------------------------------

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Perform a step; see the models in `account_steps`."""
        return self._handlers[step](arguments, now)

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store text messages that devices show; verify a call whose key was pressed."""
        payload = message.payload
        if message.leaf == "notifications" and payload.get("title") == SENDER:
            self._texts[message.device.name] = str(payload.get("body", ""))
        pressed = payload.get("actionName") == "pressKey" and payload.get("actionState") == "done"
        if message.leaf == "results" and pressed and not payload.get("duplicate"):
            self._key_pressed(message.device, now)
        return ()

    def view(self, now: int) -> Mapping[str, object]:
        """Return the status of the page, the offered methods and the last e-mail."""
        del now
        seen: dict[str, object] = {}
        if self._status is not None:
            seen["status"] = self._status.value
        if self._session is not None and not self._session.finished:
            seen["options"] = self._options(self._session)
        if self._mailbox:
            seen["mailbox"] = self._mailbox[-1]
        return seen

    # -- registering ---------------------------------------------------------------------------

    def _register(self, arguments: Register, now: int) -> Sequence[ActorRequest]:
        user = self._user(arguments.user)
        if arguments.password not in (None, self.shared.accounts[user].password):
            raise StepRefusedError(f"the password of {user}", "another one")
        self._session = self._challenge = None
        if not self._may_register(arguments):
            self._status = PageStatus.NOT_ENABLED
            return ()
        known = self._registered.setdefault(user, Registration())
        known.email = arguments.alternate_email or known.email
        known.questions = arguments.security_questions or known.questions
        if arguments.office_phone is not None:
            self._device_of(arguments.office_phone, user)
            known.office = arguments.office_phone
        phone = arguments.authentication_phone
        if phone is None:
            self._status = PageStatus.REGISTERED
            return ()
        known.pending = phone
        return self._challenge_by_phone(phone, user, None, Channel(phone.by), now)

    def _may_register(self, arguments: Register) -> bool:
        """Return True if a method is allowed for each of the registered contacts."""
        offer = self.shared.organization.self_service_reset
        given = [name for name in _ENABLES if getattr(arguments, name) is not None]
        return offer.enabled and all(set(_ENABLES[name]) & set(offer.methods) for name in given)

    # -- resetting -----------------------------------------------------------------------------

    def _start_reset(self, arguments: StartReset, now: int) -> Sequence[ActorRequest]:
        del now
        user = self._user(arguments.user)
        self._session = self._challenge = None
        if arguments.captcha != "solved":
            self._status = PageStatus.CAPTCHA_FAILED
        elif not self.shared.organization.self_service_reset.enabled:
            self._status = PageStatus.NOT_ENABLED
        elif not self._options(session := _Session(user)):
            self._status = PageStatus.NOT_REGISTERED
        else:
            self._session, self._status = session, PageStatus.CHOOSE_METHOD
        return ()

    def _options(self, session: _Session) -> list[str]:
        """Return the methods that are allowed, registered and not passed yet."""
        allowed = self.shared.organization.self_service_reset.methods
        known = self._registered.get(session.user, Registration())
        return [
            method
            for method in METHODS
            if method in allowed and known.allows(method) and method not in session.verified
        ]

    def _verify(self, arguments: Verify, now: int) -> Sequence[ActorRequest]:
        session = self._open_session("the page that offers the methods")
        if self._is_verified(session):
            raise StepRefusedError("the page that offers the methods", self._seen())
        method, known = arguments.method, self._registered[session.user]
        self._challenge = None
        if method not in self.shared.organization.self_service_reset.methods:
            self._status = PageStatus.NOT_ENABLED
        elif not known.allows(method):
            self._status = PageStatus.NOT_REGISTERED
        elif method in session.verified:
            self._status = PageStatus.SECOND_METHOD
        elif method == "securityQuestions":
            self._answer_questions(session, arguments.answers, known.questions or {})
        elif method == "emailAlternate":
            self._send_email(session.user, method, known.email or "", now)
        elif (phone := known.phone_for(method)) is not None:
            channel = Channel.CALL if method in _CALLS else Channel.TEXT
            return self._reach(session, phone, arguments, channel, now)
        return ()

    def _reach(
        self, session: _Session, phone: Phone, arguments: Verify, channel: Channel, now: int
    ) -> Sequence[ActorRequest]:
        """Check the typed phone number; send a code or call only if it is correct."""
        if arguments.number is not None and phone_digits(arguments.number) != phone.digits:
            self._status = PageStatus.NUMBER_NOT_VERIFIED
            return ()
        return self._challenge_by_phone(phone, session.user, arguments.method, channel, now)

    def _answer_questions(
        self, session: _Session, answers: Mapping[str, str] | None, right: Mapping[str, str]
    ) -> None:
        given = right if answers is None else answers
        if {q: _plain(a) for q, a in given.items()} == {q: _plain(a) for q, a in right.items()}:
            self._now_verified(session, "securityQuestions")
        else:
            self._status = PageStatus.ANSWERS_REJECTED

    def _choose_password(self, arguments: ChoosePassword, now: int) -> Sequence[ActorRequest]:
        del now
        session = self._open_session("the page to choose a new password")
        if not self._is_verified(session):
            raise StepRefusedError("the page to choose a new password", self._seen())
        if arguments.password != arguments.confirm:
            self._status = PageStatus.PASSWORD_MISMATCH
            return ()
        account = self.shared.accounts[session.user]
        self.shared.accounts[session.user] = replace(account, password=arguments.password)
        session.finished = True
        self._challenge = None
        self._status = PageStatus.DONE
        return ()

    # -- codes and calls -----------------------------------------------------------------------

    def _challenge_by_phone(
        self, phone: Phone, user: str, method: str | None, channel: Channel, now: int
    ) -> Sequence[ActorRequest]:
        device = self._device_of(phone, user)
        challenge = self._new_challenge(user, method, channel, now)
        challenge.device = device
        if channel is Channel.CALL:
            self._status = PageStatus.CALLING
            return [DeliverMessage(device, "call", SENDER, "Press # to verify this call.")]
        self._status = PageStatus.CODE_SENT
        # An older text on the screen must not be taken for the new one.
        self._texts.pop(device.name, None)
        return [DeliverMessage(device, "text", SENDER, verification_text(challenge.code))]

    def _send_email(self, user: str, method: str, address: str, now: int) -> None:
        challenge = self._new_challenge(user, method, Channel.EMAIL, now)
        self._mailbox.append(verification_email(challenge.code, address))
        self._status = PageStatus.CODE_SENT

    def _new_challenge(
        self, user: str, method: str | None, channel: Channel, now: int
    ) -> Challenge:
        count = self._counts[user] = self._counts.get(user, 0) + 1
        code = verification_code(self.shared.seed, user, count)
        self._challenge = Challenge(user=user, method=method, channel=channel, code=code, sent=now)
        return self._challenge

    def _enter_code(self, arguments: EnterCode, now: int) -> Sequence[ActorRequest]:
        challenge = self._challenge
        if challenge is None:
            raise StepRefusedError("the page that asks for a code", self._seen())
        if challenge.channel is Channel.CALL and not challenge.used:
            return self._press(challenge, arguments)
        code = arguments.code or self._read(arguments.source or "", challenge)
        if challenge.is_valid(now) and code == challenge.code:
            self._accept(challenge)
        else:
            self._status = PageStatus.CODE_REJECTED
        return ()

    def _press(self, challenge: Challenge, arguments: EnterCode) -> Sequence[ActorRequest]:
        """Answer the call and press the entered key."""
        assert challenge.device is not None  # noqa: S101  # a call goes to a device
        if arguments.source == _MAILBOX:
            raise StepRefusedError("a key pressed on the call", "an e-mail's code")
        key = arguments.code or _POUND
        if not _KEY.fullmatch(key):
            raise StepRefusedError("a key to press on the call: 0 to 9, * or #", "a code")
        challenge.key = key
        return [PressButton(challenge.device, "pressKey", {"key": key})]

    def _key_pressed(self, device: ManagedDevice, now: int) -> None:
        challenge = self._challenge
        if challenge is None or challenge.channel is not Channel.CALL:
            return
        if challenge.device is None or challenge.device.name != device.name or challenge.used:
            return
        if challenge.is_valid(now) and challenge.key in (None, _POUND):
            self._accept(challenge)
        else:
            challenge.used = True
            self._status = PageStatus.CODE_REJECTED

    def _read(self, source: str, challenge: Challenge) -> str:
        """Return the code from the last e-mail or from the text that the device shows."""
        if source == _MAILBOX:
            found = _CODE.search(self._mailbox[-1]) if self._mailbox else None
            place = "an e-mail with a code"
        else:
            device = self._phone_named(source, challenge)
            found = _CODE.search(self._texts.get(device.name, "")) if device else None
            place = f"a text message with a code on {device.name if device else source}"
        if found is None:
            raise StepRefusedError(place, "none")
        return found[0]

    def _phone_named(self, source: str, challenge: Challenge) -> ManagedDevice | None:
        """The device meant by `from`: its own name, or `phone` for where the code went."""
        if source in self.shared.devices:
            return self.shared.devices[source]
        if source == "phone":
            return challenge.device
        known = ", ".join([_MAILBOX, "phone", *self.shared.devices])
        raise StepRefusedError(f"from to be one of {known}", source)

    def _accept(self, challenge: Challenge) -> None:
        challenge.used = True
        if challenge.method is None:
            known = self._registered[challenge.user]
            known.phone, known.pending = known.pending, None
            self._status = PageStatus.REGISTERED
        elif self._session is not None:
            self._now_verified(self._session, challenge.method)

    # -- helpers ---------------------------------------------------------------------------------

    def _now_verified(self, session: _Session, method: str) -> None:
        session.verified.append(method)
        enough = self._is_verified(session)
        self._status = PageStatus.CHOOSE_PASSWORD if enough else PageStatus.SECOND_METHOD

    def _is_verified(self, session: _Session) -> bool:
        required = max(1, self.shared.organization.self_service_reset.required)
        return len(session.verified) >= required

    def _open_session(self, expected: str) -> _Session:
        if self._session is None or self._session.finished:
            raise StepRefusedError(expected, self._seen())
        return self._session

    def _user(self, named: str | None) -> str:
        """Return the given user, or the only user if none is given."""
        accounts = self.shared.accounts
        if named is None:
            if len(accounts) != 1:
                raise StepRefusedError("user, where there are several accounts", "none")
            return next(iter(accounts))
        if named not in accounts:
            raise StepRefusedError(f"one of the accounts {', '.join(accounts)}", named)
        return named

    def _device_of(self, phone: Phone, user: str) -> ManagedDevice:
        """Return the device of a phone number: the given one, or the first device of the user."""
        devices = self.shared.devices
        if phone.device is not None:
            if phone.device not in devices:
                raise StepRefusedError(f"one of the devices {', '.join(devices)}", phone.device)
            return devices[phone.device]
        own = [device for device in devices.values() if device.owner == user]
        if not own:
            raise StepRefusedError(f"a device of {user}, or one named with `device`", "none")
        return own[0]

    def _seen(self) -> str:
        return f"status {self._status.value}" if self._status else "no reset under way"


def _plain(answer: str) -> str:
    return answer.strip().casefold()
