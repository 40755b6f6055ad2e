"""State of the account pages, and their codes and calls: the base class of `AccountActor`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from scenarios.actors.account_codes import (
    SENDER,
    Challenge,
    Channel,
    PageStatus,
    Registration,
    verification_code,
    verification_email,
)
from scenarios.actors.account_delivery import PhoneNetwork, code_in
from scenarios.actors.account_rules import AttemptLimits
from scenarios.actors.account_steps import ChooseMethod, EnterCode, Phone
from scenarios.actors.account_texts import MESSAGES
from scenarios.model.actor import (
    Actor,
    ActorRequest,
    DeliverTextMessage,
    DeviceMessage,
    ManagedDevice,
    PressButton,
    SharedState,
    StepRefusedError,
)

__all__ = ["AUTHENTICATION_PHONE", "AccountPages", "ResetSession"]

AUTHENTICATION_PHONE: Final = "authenticationPhone"
"""The only contact that is registered with a code."""
_KEY: Final = re.compile(r"[0-9*#]")
_POUND: Final = "#"
_MAILBOX: Final = "mailbox"


@dataclass(slots=True)
class ResetSession:
    """Reset in progress: the user, the methods passed so far, and the chosen method."""

    user: str
    verified: list[str] = field(default_factory=list)
    finished: bool = False
    chosen: ChooseMethod | None = None


class AccountPages(Actor):
    """Status of the open page, the registrations, and the code or call that the page waits for."""

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._status: PageStatus | None = None
        self._message = ""
        self._signed_in: str | None = None
        self._registered: dict[str, Registration] = {}
        self._session: ResetSession | None = None
        self._challenge: Challenge | None = None
        self._counts: dict[str, int] = {}
        self._network = PhoneNetwork(shared)
        self._limits = AttemptLimits()
        self._enabled: set[str] = set()
        self._mailbox: list[str] = []

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store text messages that devices show; verify a call whose key was pressed."""
        payload = message.payload
        self._network.on_message(message)
        pressed = payload.get("actionName") == "pressKey" and payload.get("actionState") == "done"
        if message.leaf == "results" and pressed and not payload.get("duplicate"):
            self._key_pressed(message.device, now)
        return ()

    def on_time(self, now: int) -> Sequence[ActorRequest]:
        """Return the texts that arrive at `now`."""
        return self._network.arrived(now)

    def next_change(self, now: int) -> int | None:
        """Return the instant at which the next text arrives, or None."""
        del now
        return self._network.next_arrival()

    # -- codes and calls -----------------------------------------------------------------------

    def _challenge_by_phone(
        self, phone: Phone, user: str, method: str | None, channel: Channel, now: int
    ) -> Sequence[ActorRequest]:
        device = self._network.device_of(phone, user)
        challenge = self._new_challenge(user, method, channel, now)
        challenge.device = device
        if channel is Channel.CALL:
            self._show(PageStatus.CALLING)
            return [DeliverTextMessage(device, "call", SENDER, "Press # to verify this call.")]
        self._show(PageStatus.CODE_SENT)
        return self._network.send_text(device, challenge.code, now)

    def _send_email(self, user: str, method: str, address: str, now: int) -> None:
        challenge = self._new_challenge(user, method, Channel.EMAIL, now)
        self._mailbox.append(verification_email(challenge.code, address))
        self._show(PageStatus.CODE_SENT)

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
            self._fail(challenge.user, PageStatus.CODE_REJECTED, now)
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
            self._fail(challenge.user, PageStatus.CODE_REJECTED, now)

    def _read(self, source: str, challenge: Challenge) -> str:
        """Return the code from the last e-mail or from the text that the device shows."""
        if source == _MAILBOX:
            found = code_in(self._mailbox[-1]) if self._mailbox else None
            place = "an e-mail with a code"
        else:
            device = self._phone_named(source, challenge)
            found = self._network.shown_code(device) if device else None
            place = f"a text message with a code on {device.name if device else source}"
        if found is None:
            raise StepRefusedError(place, "none")
        return found

    def _phone_named(self, source: str, challenge: Challenge) -> ManagedDevice | None:
        """The device meant by `from`: its own name, or `phone` for where the code went."""
        if source in self.shared.devices:
            return self.shared.devices[source]
        if source == "phone":
            return challenge.device
        known = ", ".join([_MAILBOX, "phone", *self.shared.devices])
        raise StepRefusedError(f"from to be one of {known}", source)

    def _accept(self, challenge: Challenge) -> None:
        # The next page has no field for a code: the same code cannot be entered again.
        self._challenge = None
        if challenge.method is None:
            known = self._registered[challenge.user]
            if known.pending is not None:
                known.phones[AUTHENTICATION_PHONE], known.pending = known.pending, None
            self._show(PageStatus.REGISTERED)
        elif self._session is not None:
            self._now_verified(self._session, challenge.method)

    def _fail(self, user: str, status: PageStatus, now: int) -> None:
        """Show a failed attempt; after too many of them the user is locked out."""
        self._limits.fail(user, now)
        self._show(status)
        if self._limits.is_locked(user, now):
            self._session = self._challenge = None
            self._show(PageStatus.LOCKED_OUT)

    # -- helpers ---------------------------------------------------------------------------------

    def _show(self, status: PageStatus, message: str | None = None) -> None:
        self._status, self._message = status, message or MESSAGES[status]

    def _now_verified(self, session: ResetSession, method: str) -> None:
        session.verified.append(method)
        session.chosen = None
        enough = self._is_verified(session)
        self._show(PageStatus.CHOOSE_PASSWORD if enough else PageStatus.SECOND_METHOD)

    def _is_verified(self, session: ResetSession) -> bool:
        return len(session.verified) >= self._required()

    def _required(self) -> int:
        return max(1, self.shared.organization.self_service_reset.required)

    def _is_enabled(self, user: str) -> bool:
        return self.shared.organization.self_service_reset.enabled or user in self._enabled

    def _registration(self, user: str) -> Registration:
        return self._registered.get(user, Registration())

    def _open_session(self, expected: str) -> ResetSession:
        if self._session is None or self._session.finished:
            raise StepRefusedError(expected, self._seen())
        return self._session

    def _user(self, address: str | None) -> str | None:
        """Return the user of an address, or None; without an address the only user."""
        accounts = self.shared.accounts
        if address is not None:
            return self.shared.account_name(address)
        if len(accounts) != 1:
            raise StepRefusedError("user, where there are several accounts", "none")
        return next(iter(accounts))

    def _seen(self) -> str:
        return f"status {self._status.value}" if self._status else "no reset under way"
