"""The account actor: what no path through it can do, and the walk of the source document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from platforms import PLATFORMS_BY_ID
from platforms.profile import Management
from scenarios.actors.account import AccountActor
from scenarios.actors.account_codes import CODE_VALID, SENDER, PageStatus, verification_code
from scenarios.actors.account_steps import AccountExpectation
from scenarios.model.actor import (
    Account,
    DeliverMessage,
    Organization,
    Press,
    ReceivedMessage,
    Request,
    SelfServiceReset,
    StepRefusedError,
    Subject,
    World,
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


def subject(name: str) -> Subject:
    return Subject(
        name=name,
        device_id=f"{name}-id",
        owner="alex",
        profile=PLATFORMS_BY_ID["ios"],
        management=Management.STANDALONE,
    )


class Stage:
    """An actor and the devices around it: what is delivered appears on their screens."""

    def __init__(self, **reset: Any) -> None:
        self.world = World(
            devices={"phone": subject("phone"), "desk": subject("desk")},
            accounts={"alex": Account(user="alex", password="old-secret")},
            organization=Organization(self_service_reset=SelfServiceReset(**reset)),
            seed=7,
        )
        self.actor = AccountActor(self.world)
        self.now = START
        self.delivered: list[DeliverMessage] = []
        self.reachable = True

    def do(self, step: str, **arguments: Any) -> Sequence[Request]:
        model = AccountActor.steps[step].model_validate(arguments)
        requests = self.actor.do(step, model, self.now)
        for request in requests:
            if isinstance(request, DeliverMessage):
                self.delivered.append(request)
                if self.reachable:
                    self.show(request)
            elif isinstance(request, Press):
                self.press(request.device)
        return requests

    def show(self, message: DeliverMessage) -> None:
        title = message.sender if message.kind == "text" else "Incoming call"
        body = message.body if message.kind == "text" else message.sender
        self._hear(message.device, "notifications", {"title": title, "body": body})

    def press(self, device: Subject, **more: object) -> None:
        answer = {"inputId": "i", "actionName": "pressKey", "actionState": "done", **more}
        self._hear(device, "results", answer)

    def _hear(self, device: Subject, leaf: str, payload: Mapping[str, Any]) -> None:
        assert self.actor.hear(ReceivedMessage(device, leaf, payload), self.now) == ()

    @property
    def view(self) -> Mapping[str, object]:
        return self.actor.view(self.now)

    @property
    def status(self) -> Any:
        return self.view.get("status")

    @property
    def password(self) -> str:
        return self.world.accounts["alex"].password

    def registered(self) -> Stage:
        self.do("register", **EVERYTHING)
        self.do("enter_code", **{"from": "phone"})
        assert self.status == "registered"
        return self

    def registered_phone_only(self) -> Stage:
        self.do("register", authenticationPhone=NUMBER)
        self.do("enter_code", **{"from": "phone"})
        return self

    def at_reset(self) -> Stage:
        self.do("start_reset", captcha="solved")
        assert self.status == "chooseMethod"
        return self


def pass_method(stage: Stage, method: str) -> None:
    stage.do("verify", method=method)
    if method == "emailAlternate":
        stage.do("enter_code", **{"from": "mailbox"})
    elif method != "securityQuestions":
        stage.do("enter_code", **{"from": "phone"})


# -- the walk of the document -----------------------------------------------------------------


def test_the_walk_of_the_document() -> None:
    stage = Stage()
    stage.do("register", user="alex", password="old-secret", authenticationPhone=NUMBER)
    assert stage.status == "codeSent"
    assert stage.delivered[0].device.name == "phone"
    stage.do("enter_code", **{"from": "phone"})
    assert stage.status == "registered"
    stage.do("start_reset", captcha="solved")
    assert stage.view["options"] == ["textMobile", "callMobile"]
    stage.do("verify", method="textMobile", number=NUMBER)
    assert stage.status == "codeSent"
    stage.do("enter_code", **{"from": "phone"})
    assert stage.status == "choosePassword"
    stage.do("choose_password", password="n3w-secret", confirm="n3w-secret")
    assert stage.status == "done"
    assert stage.password == "n3w-secret"


@pytest.mark.parametrize("method", METHODS)
def test_each_method_verifies(method: str) -> None:
    stage = Stage().registered().at_reset()
    pass_method(stage, method)
    assert stage.status == "choosePassword"


@pytest.mark.parametrize("method", ["callMobile", "callOffice"])
def test_pressing_a_key_with_the_thumb_verifies_a_call(method: str) -> None:
    stage = Stage().registered().at_reset()
    stage.do("verify", method=method)
    assert stage.status == "calling"
    called = stage.delivered[-1]
    assert (called.kind, called.device.name) == (
        "call",
        "desk" if method == "callOffice" else "phone",
    )
    other = "phone" if method == "callOffice" else "desk"
    stage.press(stage.world.devices[other])
    assert stage.status == "calling"
    stage.press(called.device, duplicate=True)
    assert stage.status == "calling"
    stage.press(called.device)
    assert stage.status == "choosePassword"


def test_another_key_than_the_pound_key_verifies_nothing() -> None:
    stage = Stage().registered().at_reset()
    stage.do("verify", method="callMobile")
    stage.do("enter_code", code="5")
    assert stage.status == "codeRejected"
    with pytest.raises(StepRefusedError, match="choose a new password"):
        stage.do("choose_password", password="x", confirm="x")


def test_a_call_registers_the_phone() -> None:
    stage = Stage()
    stage.do("register", authenticationPhone={"number": NUMBER, "by": "call"})
    assert stage.status == "calling"
    stage.press(stage.world.devices["phone"])
    assert stage.status == "registered"


def test_a_number_that_is_not_the_registered_one_gets_no_text() -> None:
    stage = Stage().registered().at_reset()
    before = len(stage.delivered)
    assert stage.do("verify", method="textMobile", number="+1 425 555 0101") == ()
    assert stage.status == "numberNotVerified"
    assert len(stage.delivered) == before
    stage.do("verify", method="textMobile", number="+1 (425) 555-0100")
    assert stage.status == "codeSent"


def test_the_number_that_a_code_was_sent_from_is_no_code() -> None:
    stage = Stage().registered().at_reset()
    stage.do("verify", method="textMobile")
    assert len(SENDER) == 6
    stage.do("enter_code", code=SENDER)
    assert stage.status == "codeRejected"
    stage.do("enter_code", **{"from": "phone"})
    assert stage.status == "choosePassword"


def test_a_text_that_did_not_arrive_cannot_be_read() -> None:
    stage = Stage().registered().at_reset()
    stage.reachable = False
    stage.do("verify", method="textMobile")
    with pytest.raises(StepRefusedError, match="a text message with a code on phone"):
        stage.do("enter_code", **{"from": "phone"})
    stage.show(stage.delivered[-1])
    stage.do("enter_code", **{"from": "phone"})
    assert stage.status == "choosePassword"


def test_a_code_is_good_for_ten_minutes() -> None:
    stage = Stage().registered().at_reset()
    stage.do("verify", method="emailAlternate")
    stage.now += CODE_VALID + 1
    stage.do("enter_code", **{"from": "mailbox"})
    assert stage.status == "codeRejected"
    stage.do("verify", method="emailAlternate")
    stage.now += CODE_VALID
    stage.do("enter_code", **{"from": "mailbox"})
    assert stage.status == "choosePassword"


def test_a_code_works_once_and_a_newer_one_replaces_it() -> None:
    stage = Stage(required=2).registered().at_reset()
    stage.do("verify", method="textMobile")
    first = stage.delivered[-1].body.split()[1]
    stage.do("verify", method="textMobile")
    stage.do("enter_code", code=first)
    assert stage.status == "codeRejected"
    second = stage.delivered[-1].body.split()[1]
    stage.do("enter_code", code=second)
    assert stage.status == "secondMethod"
    stage.do("enter_code", code=second)
    assert stage.status == "codeRejected"


def test_two_methods_are_two_different_ones() -> None:
    stage = Stage(required=2).registered().at_reset()
    pass_method(stage, "textMobile")
    assert stage.status == "secondMethod"
    assert "textMobile" not in str(stage.view["options"])
    assert stage.do("verify", method="textMobile") == ()
    assert stage.status == "secondMethod"
    pass_method(stage, "securityQuestions")
    assert stage.status == "choosePassword"


def test_what_the_administrator_did_not_switch_on() -> None:
    off = Stage(enabled=False)
    off.do("register", **EVERYTHING)
    assert (off.status, off.delivered) == ("notEnabled", [])
    off.do("start_reset", captcha="solved")
    assert off.status == "notEnabled"
    with pytest.raises(StepRefusedError, match="notEnabled"):
        off.do("verify", method="textMobile")
    some = Stage(methods=("textMobile", "emailAlternate")).registered_phone_only().at_reset()
    some.do("verify", method="callMobile")
    assert some.status == "notEnabled"
    some.do("verify", method="emailAlternate")
    assert some.status == "notRegistered"
    pass_method(some, "textMobile")
    assert some.status == "choosePassword"


def test_who_has_not_registered_cannot_reset() -> None:
    stage = Stage()
    stage.do("register", authenticationPhone=NUMBER)  # the code is never entered
    stage.do("start_reset", captcha="solved")
    assert stage.status == "notRegistered"


def test_robots_and_wrong_answers() -> None:
    stage = Stage().registered()
    stage.do("start_reset", captcha="failed")
    assert stage.status == "captchaFailed"
    stage.at_reset()
    stage.do("verify", method="securityQuestions", answers={"First pet?": "Fido"})
    assert stage.status == "answersRejected"
    stage.do("verify", method="securityQuestions", answers={"First pet?": " rex "})
    assert stage.status == "choosePassword"
    stage.do("choose_password", password="one", confirm="two")
    assert (stage.status, stage.password) == ("passwordMismatch", "old-secret")


def test_the_wrong_password_registers_nothing() -> None:
    with pytest.raises(StepRefusedError) as refused:
        Stage().do("register", password="guess-canary", **EVERYTHING)
    assert "canary" not in str(refused.value)
    assert "old-secret" not in str(refused.value)


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
def test_what_no_step_says(step: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AccountActor.steps[step].model_validate(arguments)


def test_numbers_as_yaml_reads_them() -> None:
    stage = Stage()
    stage.do("register", authenticationPhone=14255550100)
    stage.do("enter_code", code=int(verification_code(7, "alex", 1)))
    assert stage.status == "registered"
    stage.at_reset().do("verify", method="textMobile", number=NUMBER)
    assert stage.status == "codeSent"


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


# -- no path ----------------------------------------------------------------------------------


class AnyPath(RuleBasedStateMachine):
    """Whatever a user tries, in whatever order.

    The model counts what he proved: a method counts once a code that was sent for it in this
    session came back in time and for the first time, or # was pressed on its call.
    """

    @initialize(
        required=st.integers(1, 3),
        enabled=st.sets(st.sampled_from(METHODS), min_size=1),
    )
    def begin(self, required: int, enabled: set[str]) -> None:
        self.stage = Stage(required=required, methods=tuple(sorted(enabled)))
        self.required = required
        self.enabled = enabled
        self.proved: set[str] = set()
        self.pending: tuple[str | None, str, int] | None = None
        self.spent: set[str] = set()
        self.changes = 0

    def attempt(self, step: str, **arguments: Any) -> bool:
        try:
            self.stage.do(step, **arguments)
        except StepRefusedError:
            return False
        return True

    @rule(what=st.sets(st.sampled_from(sorted(EVERYTHING)), min_size=1))
    def register(self, what: set[str]) -> None:
        count = len(self.stage.delivered)
        self.attempt("register", **{name: EVERYTHING[name] for name in what})
        self.proved, self.pending = set(), None
        if len(self.stage.delivered) > count:
            self.pending = (None, self.stage.delivered[-1].body, self.stage.now)

    @rule()
    def begin_anew(self) -> None:
        """Registered and at the reset page: where paths get interesting."""
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
        count, mails = len(self.stage.delivered), self.stage.view.get("mailbox")
        if not self.attempt("verify", method=method, **more):
            return
        assert len(self.stage.delivered) == count or method in self.enabled
        self.pending = None
        if len(self.stage.delivered) > count:
            self.pending = (method, self.stage.delivered[-1].body, self.stage.now)
        elif self.stage.view.get("mailbox") != mails:
            self.pending = (method, str(self.stage.view["mailbox"]), self.stage.now)
        elif right and method == "securityQuestions" and self.is_on():
            self.proved.add(method)

    def is_on(self) -> bool:
        return self.stage.status in ("choosePassword", "secondMethod")

    @rule(guess=st.sampled_from(["phone", "mailbox", "desk", "000000", SENDER]))
    def enter(self, guess: str) -> None:
        said = {"code": guess} if guess.isdigit() else {"from": guess}
        pending = self.pending
        if not self.attempt("enter_code", **said):
            return
        accepted = self.stage.status in ("choosePassword", "secondMethod", "registered")
        assert accepted <= (pending is not None)
        if not accepted or pending is None:
            return
        method, text, sent = pending
        assert not guess.isdigit() or guess in text
        assert self.stage.now <= sent + CODE_VALID
        assert text not in self.spent or method in ("callMobile", "callOffice", None)
        self.spent.add(text)
        self.pending = None
        if method is not None:
            self.proved.add(method)

    @rule(minutes=st.integers(1, 15))
    def wait(self, minutes: int) -> None:
        self.stage.now += minutes * 60_000

    @rule(same=st.booleans())
    def choose(self, same: bool) -> None:  # noqa: FBT001
        new = f"secret-{self.changes}"
        before = self.stage.password
        went = self.attempt("choose_password", password=new, confirm=new if same else "other")
        if went and self.stage.status == "done":
            assert same
            assert len(self.proved) >= self.required
            assert self.proved <= self.enabled
            assert self.stage.password == new
            self.changes += 1
            self.proved, self.pending = set(), None
        else:
            assert self.stage.password == before

    @precondition(lambda self: self.pending is not None and self.pending[0] is not None)
    @rule()
    def use_a_code_twice(self) -> None:
        text = self.pending[1] if self.pending else ""
        code = next((word.strip(".") for word in text.split() if word.strip(".").isdigit()), None)
        if code is None:
            return
        self.enter_right(code)
        verified = set(self.proved)
        self.attempt("enter_code", code=code)
        assert self.stage.status == "codeRejected"
        assert self.proved == verified

    def enter_right(self, code: str) -> None:
        method, _, sent = self.pending or (None, "", 0)
        self.attempt("enter_code", code=code)
        in_time = self.stage.now <= sent + CODE_VALID
        assert (self.stage.status != "codeRejected") is in_time
        if in_time and method is not None:
            self.proved.add(method)
        self.pending = None

    @invariant()
    def nothing_is_told_that_must_not_be(self) -> None:
        assert "secret" not in str(getattr(self, "stage", None) and self.stage.view)


AnyPath.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAnyPath = AnyPath.TestCase
