"""Account actor: properties of all step sequences, and the procedure of the source document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from platforms import PLATFORMS_BY_ID
from platforms.profile import Management
from scenarios.actors.account import AccountActor
from scenarios.actors.account_codes import CODE_LIFETIME, SENDER, PageStatus, verification_code
from scenarios.actors.account_rules import ATTEMPT_WINDOW, ATTEMPTS, LOCKOUT
from scenarios.actors.account_steps import AccountExpectation
from scenarios.model.actor import (
    Account,
    ActorRequest,
    DeliverTextMessage,
    DeviceMessage,
    ManagedDevice,
    Organization,
    PressButton,
    SelfServiceReset,
    SharedState,
    StepRefusedError,
)

START = 1_449_778_747_000
NUMBER = "+1 425 555 0100"
OFFICE = "+1 425 555 0199"
METHODS = ("textMobile", "callMobile", "callOffice", "emailAlternate", "securityQuestions")
EVERYTHING = {
    "authenticationPhone": NUMBER,
    "alternateEmail": "alex@home.example",
    "officePhone": {"number": OFFICE, "device": "desk"},
    "securityQuestions": {"First pet?": "Rex"},
}


def subject(name: str) -> ManagedDevice:
    return ManagedDevice(
        name=name,
        device_id=f"{name}-id",
        owner="alex",
        profile=PLATFORMS_BY_ID["ios"],
        management=Management.STANDALONE,
    )


TARGET_CONTACTS = {
    "authenticationPhone": NUMBER,
    "mobilePhone": {"number": "+1 425 555 0177", "device": "desk"},
    "officePhone": {"number": OFFICE, "device": "desk"},
    "alternateEmail": "alex@home.example",
    "authenticationEmail": "alex@work.example",
}


class AccountRig:
    """Account actor with devices that show delivered texts and calls."""

    def __init__(self, **reset: Any) -> None:
        self.shared = SharedState(
            devices={"phone": subject("phone"), "desk": subject("desk")},
            accounts={"alex": Account(user="alex", password="old-secret")},
            organization=Organization(self_service_reset=SelfServiceReset(**reset)),
            seed=7,
        )
        self.actor = AccountActor(self.shared)
        self.now = START
        self.delivered: list[DeliverTextMessage] = []
        self.reachable = True

    def perform(self, step: str, **arguments: Any) -> Sequence[ActorRequest]:
        model = AccountActor.steps[step].model_validate(arguments)
        requests = self.actor.perform(step, model, self.now)
        for request in requests:
            if isinstance(request, DeliverTextMessage):
                self.delivered.append(request)
                if self.reachable:
                    self.show(request)
            elif isinstance(request, PressButton):
                self.press(request.device)
        return requests

    def show(self, message: DeliverTextMessage) -> None:
        title = message.sender if message.kind == "text" else "Incoming call"
        body = message.body if message.kind == "text" else message.sender
        self._hear(message.device, "notifications", {"title": title, "body": body})

    def press(self, device: ManagedDevice, **more: object) -> None:
        answer = {"inputId": "i", "actionName": "pressKey", "actionState": "done", **more}
        self._hear(device, "results", answer)

    def _hear(self, device: ManagedDevice, leaf: str, payload: Mapping[str, Any]) -> None:
        assert self.actor.on_message(DeviceMessage(device, leaf, payload), self.now) == ()

    @property
    def view(self) -> Mapping[str, object]:
        return self.actor.view(self.now)

    @property
    def status(self) -> Any:
        return self.view.get("status")

    @property
    def password(self) -> str:
        return self.shared.accounts["alex"].password

    def registered(self) -> AccountRig:
        self.perform("register", **EVERYTHING)
        self.perform("enter_code", **{"from": "phone"})
        assert self.status == "registered"
        return self

    def registered_phone_only(self) -> AccountRig:
        self.perform("register", authenticationPhone=NUMBER)
        self.perform("enter_code", **{"from": "phone"})
        return self

    def at_reset(self) -> AccountRig:
        self.perform("start_reset", captcha="solved")
        assert self.status == "chooseMethod"
        return self


def pass_method(rig: AccountRig, method: str) -> None:
    rig.perform("verify", method=method)
    if method == "emailAlternate":
        rig.perform("enter_code", **{"from": "mailbox"})
    elif method != "securityQuestions":
        rig.perform("enter_code", **{"from": "phone"})


# -- the walk of the document -----------------------------------------------------------------


def test_the_procedure_of_the_source_document() -> None:
    rig = AccountRig()
    rig.perform("register", user="alex", password="old-secret", authenticationPhone=NUMBER)
    assert rig.status == "codeSent"
    assert rig.delivered[0].device.name == "phone"
    rig.perform("enter_code", **{"from": "phone"})
    assert rig.status == "registered"
    rig.perform("start_reset", captcha="solved")
    assert rig.view["options"] == ["textMobile", "callMobile"]
    rig.perform("verify", method="textMobile", number=NUMBER)
    assert rig.status == "codeSent"
    rig.perform("enter_code", **{"from": "phone"})
    assert rig.status == "choosePassword"
    rig.perform("choose_password", password="n3w-secret", confirm="n3w-secret")
    assert rig.status == "done"
    assert rig.password == "n3w-secret"


@pytest.mark.parametrize("method", METHODS)
def test_each_method_verifies(method: str) -> None:
    rig = AccountRig().registered().at_reset()
    pass_method(rig, method)
    assert rig.status == "choosePassword"


@pytest.mark.parametrize("method", ["callMobile", "callOffice"])
def test_a_key_pressed_on_the_device_verifies_a_call(method: str) -> None:
    rig = AccountRig().registered().at_reset()
    rig.perform("verify", method=method)
    assert rig.status == "calling"
    called = rig.delivered[-1]
    assert (called.kind, called.device.name) == (
        "call",
        "desk" if method == "callOffice" else "phone",
    )
    other = "phone" if method == "callOffice" else "desk"
    rig.press(rig.shared.devices[other])
    assert rig.status == "calling"
    rig.press(called.device, duplicate=True)
    assert rig.status == "calling"
    rig.press(called.device)
    assert rig.status == "choosePassword"


def test_another_key_than_the_pound_key_verifies_nothing() -> None:
    rig = AccountRig().registered().at_reset()
    rig.perform("verify", method="callMobile")
    rig.perform("enter_code", code="5")
    assert rig.status == "codeRejected"
    with pytest.raises(StepRefusedError, match="choose a new password"):
        rig.perform("choose_password", password="x", confirm="x")


def test_a_call_registers_the_phone() -> None:
    rig = AccountRig()
    rig.perform("register", authenticationPhone={"number": NUMBER, "by": "call"})
    assert rig.status == "calling"
    rig.press(rig.shared.devices["phone"])
    assert rig.status == "registered"


def test_a_number_that_is_not_the_registered_one_gets_no_text() -> None:
    rig = AccountRig().registered().at_reset()
    before = len(rig.delivered)
    assert rig.perform("verify", method="textMobile", number="+1 425 555 0101") == ()
    assert rig.status == "numberNotVerified"
    assert len(rig.delivered) == before
    rig.perform("verify", method="textMobile", number="+1 (425) 555-0100")
    assert rig.status == "codeSent"


def test_the_number_that_a_code_was_sent_from_is_no_code() -> None:
    rig = AccountRig().registered().at_reset()
    rig.perform("verify", method="textMobile")
    assert len(SENDER) == 6
    rig.perform("enter_code", code=SENDER)
    assert rig.status == "codeRejected"
    rig.perform("enter_code", **{"from": "phone"})
    assert rig.status == "choosePassword"


def test_a_text_that_did_not_arrive_cannot_be_read() -> None:
    rig = AccountRig().registered().at_reset()
    rig.reachable = False
    rig.perform("verify", method="textMobile")
    with pytest.raises(StepRefusedError, match="a text message with a code on phone"):
        rig.perform("enter_code", **{"from": "phone"})
    rig.show(rig.delivered[-1])
    rig.perform("enter_code", **{"from": "phone"})
    assert rig.status == "choosePassword"


def test_a_code_is_valid_for_ten_minutes() -> None:
    rig = AccountRig().registered().at_reset()
    rig.perform("verify", method="emailAlternate")
    rig.now += CODE_LIFETIME + 1
    rig.perform("enter_code", **{"from": "mailbox"})
    assert rig.status == "codeRejected"
    rig.perform("verify", method="emailAlternate")
    rig.now += CODE_LIFETIME
    rig.perform("enter_code", **{"from": "mailbox"})
    assert rig.status == "choosePassword"


def test_a_code_works_once_and_a_newer_one_replaces_it() -> None:
    rig = AccountRig(required=2).registered().at_reset()
    rig.perform("verify", method="textMobile")
    first = rig.delivered[-1].body.split()[1]
    rig.perform("verify", method="textMobile")
    rig.perform("enter_code", code=first)
    assert rig.status == "codeRejected"
    second = rig.delivered[-1].body.split()[1]
    rig.perform("enter_code", code=second)
    assert rig.status == "secondMethod"
    with pytest.raises(StepRefusedError, match="the page that asks for a code"):
        rig.perform("enter_code", code=second)
    assert rig.status == "secondMethod"


def test_two_methods_are_two_different_ones() -> None:
    rig = AccountRig(required=2).registered().at_reset()
    pass_method(rig, "textMobile")
    assert rig.status == "secondMethod"
    assert "textMobile" not in str(rig.view["options"])
    assert rig.perform("verify", method="textMobile") == ()
    assert rig.status == "secondMethod"
    pass_method(rig, "securityQuestions")
    assert rig.status == "choosePassword"


def test_disabled_resets_and_methods_are_refused() -> None:
    off = AccountRig(enabled=False)
    off.perform("register", **EVERYTHING)
    assert (off.status, off.delivered) == ("notEnabled", [])
    off.perform("start_reset", captcha="solved")
    assert off.status == "notEnabled"
    with pytest.raises(StepRefusedError, match="notEnabled"):
        off.perform("verify", method="textMobile")
    some = AccountRig(methods=("textMobile", "emailAlternate")).registered_phone_only().at_reset()
    some.perform("verify", method="callMobile")
    assert some.status == "notEnabled"
    some.perform("verify", method="emailAlternate")
    assert some.status == "notRegistered"
    pass_method(some, "textMobile")
    assert some.status == "choosePassword"


def test_an_unregistered_user_cannot_reset() -> None:
    rig = AccountRig()
    rig.perform("register", authenticationPhone=NUMBER)  # the code is never entered
    rig.perform("start_reset", captcha="solved")
    assert rig.status == "notRegistered"


def test_failed_captcha_and_wrong_answers() -> None:
    rig = AccountRig().registered()
    rig.perform("start_reset", captcha="failed")
    assert rig.status == "captchaFailed"
    rig.at_reset()
    rig.perform("verify", method="securityQuestions", answers={"First pet?": "Fido"})
    assert rig.status == "answersRejected"
    rig.perform("verify", method="securityQuestions", answers={"First pet?": " rex "})
    assert rig.status == "choosePassword"
    rig.perform("choose_password", password="one", confirm="two")
    assert (rig.status, rig.password) == ("passwordMismatch", "old-secret")


def test_the_wrong_password_registers_nothing() -> None:
    rig = AccountRig()
    for wrong in ({"password": "guess-canary"}, {"user": "nobody@contoso.example"}):
        assert rig.perform("register", **wrong, **EVERYTHING) == ()
        assert rig.status == "signInRejected"
        assert "secret" not in str(rig.view)
    rig.perform("start_reset", captcha="solved")
    assert rig.status == "notRegistered"


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("register", {}),
        ("register", {"user": "alex"}),
        ("register", {"authenticationPhone": "425 555 0100"}),
        ("register", {"authenticationPhone": {"number": "call me", "countryCode": "+1"}}),
        ("register", {"alternateEmail": "nowhere"}),
        ("start_reset", {}),
        ("start_reset", {"captcha": "guessed"}),
        ("verify", {"method": "carrierPigeon"}),
        ("enter_code", {}),
        ("enter_code", {"code": "1", "from": "phone"}),
        ("choose_password", {"password": "x"}),
        ("choose_password", {"password": "x", "confirm": "x", "again": "x"}),
    ],
)
def test_invalid_step_arguments_are_refused(step: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AccountActor.steps[step].model_validate(arguments)


def test_numbers_as_yaml_reads_them() -> None:
    rig = AccountRig()
    rig.perform("register", authenticationPhone=14255550100)
    rig.perform("enter_code", code=int(verification_code(7, "alex", 1)))
    assert rig.status == "registered"
    rig.at_reset().perform("verify", method="textMobile", number=NUMBER)
    assert rig.status == "codeSent"


def test_codes_come_from_the_seed() -> None:
    codes = {verification_code(seed, user, n) for seed in (1, 2) for user in "ab" for n in (1, 2)}
    assert len(codes) == 8
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert verification_code(7, "alex", 1) == verification_code(7, "alex", 1)


def test_every_status_can_be_expected() -> None:
    for status in PageStatus:
        AccountExpectation.model_validate({"status": status.value})
    with pytest.raises(ValidationError):
        AccountExpectation.model_validate({"status": "codeSnt"})


# -- pages and choices ------------------------------------------------------------------------


def test_registration_shows_the_options_and_recommends_a_back_up() -> None:
    rig = AccountRig()
    rig.perform("sign_in", user="alex", password="guess")
    assert rig.status == "signInRejected"
    rig.perform("sign_in", user="alex@contoso.example", password="old-secret")
    assert rig.status == "registrationOptions"
    options: Any = rig.view["setUpOptions"]
    assert {each["option"] for each in options} == set(TARGET_CONTACTS) | {"securityQuestions"}
    assert {each["link"] for each in options} == {"set it up now"}
    rig.perform("set_up", option="authenticationPhone")
    assert rig.status == "setUp"
    rig.registered_phone_only()
    assert rig.status == "registered"
    assert "Thanks" in str(rig.view["message"])
    assert "back-up" in str(rig.view["hint"])
    rig.perform("register", alternateEmail="alex@home.example")
    assert "hint" not in rig.view


def test_options_without_an_allowed_method_are_not_offered() -> None:
    rig = AccountRig(methods=("emailAlternate",))
    rig.perform("sign_in")
    options: Any = rig.view["setUpOptions"]
    assert [each["option"] for each in options] == ["alternateEmail", "authenticationEmail"]
    with pytest.raises(StepRefusedError):
        rig.perform("set_up", option="officePhone")


def registered_everywhere() -> AccountRig:
    rig = AccountRig()
    rig.perform("register", **TARGET_CONTACTS)
    rig.perform("enter_code", **{"from": "phone"})
    return rig.at_reset()


@pytest.mark.parametrize(
    ("method", "target", "reached"),
    [
        ("textMobile", None, "phone"),
        ("textMobile", "authenticationPhone", "phone"),
        ("textMobile", "mobilePhone", "desk"),
        ("callMobile", "mobilePhone", "desk"),
        ("emailAlternate", "alternateEmail", "alex@home.example"),
        ("emailAlternate", "authenticationEmail", "alex@work.example"),
    ],
)
def test_the_user_chooses_the_target(method: str, target: str | None, reached: str) -> None:
    rig = registered_everywhere()
    rig.perform("choose_method", method=method, target=target)
    if method == "emailAlternate":
        assert reached in str(rig.view["mailbox"])
        return
    assert rig.status == "enterNumber"
    before = len(rig.delivered)
    rig.perform("enter_number")
    assert [each.device.name for each in rig.delivered[before:]] == [reached]


def test_a_target_that_is_not_registered_or_does_not_fit() -> None:
    rig = AccountRig().registered_phone_only().at_reset()
    assert rig.view["targets"] == {
        "textMobile": ["authenticationPhone"],
        "callMobile": ["authenticationPhone"],
    }
    rig.perform("choose_method", method="textMobile", target="mobilePhone")
    assert rig.status == "notRegistered"
    with pytest.raises(ValidationError, match="has no target"):
        AccountActor.steps["verify"].model_validate(
            {"method": "callOffice", "target": "mobilePhone"}
        )


def test_security_questions_are_shown_before_they_are_answered() -> None:
    rig = AccountRig().registered().at_reset()
    with pytest.raises(StepRefusedError, match="security questions"):
        rig.perform("answer_questions")
    rig.perform("choose_method", method="securityQuestions")
    assert (rig.status, rig.view["questions"]) == ("answerQuestions", ["First pet?"])
    with pytest.raises(StepRefusedError, match="phone number"):
        rig.perform("enter_number")
    rig.perform("answer_questions", answers={"First pet?": "Fido"})
    assert (rig.status, rig.view["questions"]) == ("answersRejected", ["First pet?"])
    rig.perform("answer_questions", answers={"First pet?": "Rex"})
    assert rig.status == "choosePassword"
    assert "questions" not in rig.view


def test_fewer_methods_than_required_lead_to_the_administrator() -> None:
    rig = AccountRig(required=2)
    rig.perform("register", alternateEmail="alex@home.example")
    rig.perform("start_reset", captcha="solved")
    assert rig.status == "notRegistered"
    assert "requires 2 verification methods" in str(rig.view["message"])
    assert rig.view["links"] == ("contact your administrator",)


def test_the_administrator_unlocks_an_account_that_is_not_enabled() -> None:
    rig = AccountRig(enabled=False)
    rig.shared.organization = replace(rig.shared.organization, contact="Help desk")
    with pytest.raises(StepRefusedError, match="contact your administrator"):
        rig.perform("contact_administrator")
    rig.perform("start_reset", captcha="solved")
    assert "not enabled" in str(rig.view["message"])
    rig.perform("contact_administrator")
    assert (rig.status, rig.view["contact"]) == ("administratorContacted", "Help desk")
    rig.shared.unlocked.add("alex")
    rig.registered().at_reset()


def test_an_unknown_user_id_leads_to_a_page() -> None:
    rig = AccountRig().registered()
    rig.perform("start_reset", user="nobody@contoso.example", captcha="solved")
    assert rig.status == "accountUnknown"


@pytest.mark.parametrize("way", ["code", "answers", "number"])
def test_five_failed_attempts_within_an_hour_lock_the_user_out(way: str) -> None:
    rig = AccountRig().registered()
    for attempt in range(ATTEMPTS):
        rig.at_reset()
        if way == "code":
            rig.perform("verify", method="emailAlternate")
            rig.perform("enter_code", code=SENDER)
        elif way == "answers":
            rig.perform("verify", method="securityQuestions", answers={"First pet?": "Fido"})
        else:
            rig.perform("verify", method="textMobile", number="+1 425 555 0101")
        assert (rig.status == "lockedOut") is (attempt == ATTEMPTS - 1)
        rig.now += ATTEMPT_WINDOW // ATTEMPTS - 1
    with pytest.raises(StepRefusedError, match="lockedOut"):
        rig.perform("verify", method="emailAlternate")
    rig.perform("start_reset", captcha="solved")
    assert rig.status == "lockedOut"
    rig.now += LOCKOUT
    rig.at_reset()


def test_attempts_of_more_than_an_hour_ago_do_not_count() -> None:
    rig = AccountRig().registered().at_reset()
    for _ in range(2 * ATTEMPTS):
        rig.perform("verify", method="securityQuestions", answers={"First pet?": "Fido"})
        assert rig.status == "answersRejected"
        rig.now += ATTEMPT_WINDOW // (ATTEMPTS - 1)


def test_the_administrator_ends_a_lockout() -> None:
    rig = AccountRig().registered().at_reset()
    for _ in range(ATTEMPTS):
        rig.perform("verify", method="securityQuestions", answers={"First pet?": "Fido"})
    assert rig.status == "lockedOut"
    rig.shared.unlocked.add("alex")
    rig.at_reset()


@pytest.mark.parametrize(
    ("password", "strong"),
    [
        ("x", False),
        ("Short-1", False),
        ("long-enough", False),
        ("n3w-secret", True),
        ("NewSecret1", True),
        ("Aa1" * 86, False),
    ],
)
def test_a_new_password_obeys_the_policy(password: str, *, strong: bool) -> None:
    rig = AccountRig().registered().at_reset()
    pass_method(rig, "securityQuestions")
    rig.perform("choose_password", password=password, confirm=password)
    assert rig.status == ("done" if strong else "passwordRejected")
    assert (rig.password == password) is strong


def test_texts_take_their_time_and_arrive_in_order() -> None:
    rig = AccountRig()
    rig.shared.organization = replace(rig.shared.organization, delivery=(10_000, 300_000))
    assert rig.perform("register", authenticationPhone=NUMBER) == []
    due = rig.actor.next_change(rig.now)
    assert due is not None
    assert 10_000 <= due - rig.now <= 300_000
    assert rig.actor.on_time(due - 1) == []
    (text,) = rig.actor.on_time(due)
    assert isinstance(text, DeliverTextMessage)
    assert rig.actor.next_change(due) is None
    rig.show(text)
    rig.now = due
    rig.perform("enter_code", **{"from": "phone"})
    assert rig.status == "registered"


def test_one_number_rings_one_device() -> None:
    rig = AccountRig()
    rig.perform("register", officePhone={"number": OFFICE, "device": "desk"})
    rig.perform("register", authenticationPhone=OFFICE)
    assert rig.delivered[-1].device.name == "desk"
    with pytest.raises(StepRefusedError, match="the device of this number"):
        rig.perform("register", mobilePhone={"number": OFFICE, "device": "phone"})


# -- no path ----------------------------------------------------------------------------------


class AnyPath(RuleBasedStateMachine):
    """State machine test of arbitrary step sequences.

    The model counts what he proved: a method counts once a code that was sent for it in this
    session came back in time and for the first time, or # was pressed on its call.
    """

    @initialize(
        required=st.integers(1, 3),
        enabled=st.sets(st.sampled_from(METHODS), min_size=1),
    )
    def begin(self, required: int, enabled: set[str]) -> None:
        self.rig = AccountRig(required=required, methods=tuple(sorted(enabled)))
        self.required = required
        self.enabled = enabled
        self.proved: set[str] = set()
        self.pending: tuple[str | None, str, int] | None = None
        self.spent: set[str] = set()
        self.changes = 0

    def attempt(self, step: str, **arguments: Any) -> bool:
        try:
            self.rig.perform(step, **arguments)
        except StepRefusedError:
            return False
        return True

    @rule(what=st.sets(st.sampled_from(sorted(EVERYTHING)), min_size=1))
    def register(self, what: set[str]) -> None:
        count = len(self.rig.delivered)
        self.attempt("register", **{name: EVERYTHING[name] for name in what})
        self.proved, self.pending = set(), None
        if len(self.rig.delivered) > count:
            self.pending = (None, self.rig.delivered[-1].body, self.rig.now)

    @rule()
    def begin_anew(self) -> None:
        """Start registered and at the reset page."""
        self.register(set(EVERYTHING))
        self.enter("phone")
        self.start("solved")

    @rule(method=st.sampled_from(METHODS))
    def pass_method(self, method: str) -> None:
        self.verify(method, right=True)
        self.enter("mailbox" if method == "emailAlternate" else "phone")

    @rule(methods=st.lists(st.sampled_from(METHODS), max_size=3))
    def go_all_the_way(self, methods: list[str]) -> None:
        self.begin_anew()
        for method in methods:
            self.pass_method(method)
        self.choose(same=True)

    @rule(captcha=st.sampled_from(["solved", "failed"]))
    def start(self, captcha: str) -> None:
        self.attempt("start_reset", captcha=captcha)
        self.proved, self.pending = set(), None

    @rule(method=st.sampled_from(METHODS), right=st.booleans())
    def verify(self, method: str, right: bool) -> None:  # noqa: FBT001
        more: dict[str, Any] = {}
        if not right and method == "securityQuestions":
            more = {"answers": {"First pet?": "?"}}
        elif not right:
            more = {"number": "+1 425 555 9999"}
        count, mails = len(self.rig.delivered), self.rig.view.get("mailbox")
        if not self.attempt("verify", method=method, **more):
            return
        assert len(self.rig.delivered) == count or method in self.enabled
        self.pending = None
        if len(self.rig.delivered) > count:
            self.pending = (method, self.rig.delivered[-1].body, self.rig.now)
        elif self.rig.view.get("mailbox") != mails:
            self.pending = (method, str(self.rig.view["mailbox"]), self.rig.now)
        elif right and method == "securityQuestions" and self.is_on():
            self.proved.add(method)

    def is_on(self) -> bool:
        return self.rig.status in ("choosePassword", "secondMethod")

    @rule(guess=st.sampled_from(["phone", "mailbox", "desk", "000000", SENDER]))
    def enter(self, guess: str) -> None:
        said = {"code": guess} if guess.isdigit() else {"from": guess}
        pending = self.pending
        if not self.attempt("enter_code", **said):
            return
        accepted = self.rig.status in ("choosePassword", "secondMethod", "registered")
        assert accepted <= (pending is not None)
        if not accepted or pending is None:
            return
        method, text, sent = pending
        assert not guess.isdigit() or guess in text
        assert self.rig.now <= sent + CODE_LIFETIME
        assert text not in self.spent or method in ("callMobile", "callOffice", None)
        self.spent.add(text)
        self.pending = None
        if method is not None:
            self.proved.add(method)

    @rule(minutes=st.integers(1, 15))
    def wait(self, minutes: int) -> None:
        self.rig.now += minutes * 60_000

    @rule(same=st.booleans())
    def choose(self, same: bool) -> None:  # noqa: FBT001
        new = f"Secret-{self.changes}"
        before = self.rig.password
        went = self.attempt("choose_password", password=new, confirm=new if same else "other")
        if went and self.rig.status == "done":
            assert same
            assert len(self.proved) >= self.required
            assert self.proved <= self.enabled
            assert self.rig.password == new
            self.changes += 1
            self.proved, self.pending = set(), None
        else:
            assert self.rig.password == before

    @precondition(lambda self: self.pending is not None and self.pending[0] is not None)
    @rule()
    def use_a_code_twice(self) -> None:
        text = self.pending[1] if self.pending else ""
        code = next((word.strip(".") for word in text.split() if word.strip(".").isdigit()), None)
        if code is None:
            return
        self.enter_right(code)
        verified, status = set(self.proved), self.rig.status
        if status in ("choosePassword", "secondMethod"):
            assert not self.attempt("enter_code", code=code)
            assert self.rig.status == status
        assert self.proved == verified

    def enter_right(self, code: str) -> None:
        method, _, sent = self.pending or (None, "", 0)
        self.attempt("enter_code", code=code)
        in_time = self.rig.now <= sent + CODE_LIFETIME
        assert (self.rig.status not in ("codeRejected", "lockedOut")) is in_time
        if in_time and method is not None:
            self.proved.add(method)
        self.pending = None

    @invariant()
    def nothing_is_told_that_must_not_be(self) -> None:
        assert "secret" not in str(getattr(self, "rig", None) and self.rig.view)


AnyPath.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyPath = AnyPath.TestCase
