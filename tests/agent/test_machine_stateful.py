"""The state machine against a simple model of a phone, for every platform, management and reaction.

The model knows passcodes in clear, which the machine never does, and keeps no effects: it says what
each event must come to, and the machine is held to it after every single event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.effects import (
    AcknowledgeDelivery,
    ArmTimer,
    CancelTimer,
    Effect,
    PublishAnswer,
    PublishEscrow,
    PublishNotification,
    PublishResult,
    PublishState,
    Reboot,
)
from agent.events import (
    Command,
    Event,
    Input,
    InputAction,
    MessageArrived,
    MessageKind,
    Simulate,
    Simulation,
    TimerFired,
)
from agent.machine import first_state, step
from agent.passcode import DIGEST_BYTES, PasscodePolicy, reveal
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, Result, Timer
from platforms import PLATFORMS
from platforms.profile import Action, Management
from tests.support.device_harness import DAY, HOUR, MINUTE, SECOND, START, Rig
from tests.support.phone_model import OUT_OF_BOUNDS, PhoneModel

EXAMPLES = int(os.environ.get("PASSFLEET_EXAMPLES", "0"))
"""0: the same few runs every time; else so many new ones for each parameter."""

REACTIONS = ((0, 0), (200, 200), (1_500, 1_500), (0, 3_000))
KEPT = 32
LONG_AGO = 40
"""So many ids are remembered by the tests, more than the machine need remember."""

# No two share a run of characters, and none can turn up in an id, an instant or a digest.
POOL = (
    "Gn4vQ81xZ",
    "tz6kmwjhq",
    "Rw9!bJ52y",
    "790246813579",
    "58203947",
    "88888888",
    "Kd3",
    "9175",
)
WRONG = "never-a-passcode"
TOO_LONG = "Xy7" * 50

POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"min_length": 8},
    {"require_alphanumeric": True, "min_length": 6},
    {"allow_simple": False, "history": 1},
    {"history": 2, "max_inactivity_minutes": 5},
    {"history": 5, "max_age_days": 30},
    {"max_failed_attempts": 2, "min_complex_characters": 1},
    {"max_failed_attempts": 9, "max_inactivity_minutes": 1, "max_age_days": 1},
    {"min_complex_characters": 3},
    {"force_pin": False, "min_length": 4, "allow_simple": True},
    {"force_pin": True, "max_inactivity_minutes": 2},
)
GRACE: tuple[dict[str, Any], ...] = (
    {"max_inactivity_minutes": 1, "max_grace_period_minutes": 5},
    {"max_inactivity_minutes": 3, "max_grace_period_minutes": 0},
)
"""Policies that iOS alone accepts."""


class Grammar:
    """The order of effects: state, notifications, escrow, result; timers last."""

    LETTERS: ClassVar[dict[type, str]] = {
        PublishState: "S",
        PublishNotification: "N",
        PublishEscrow: "E",
        PublishResult: "R",
        PublishAnswer: "A",
        AcknowledgeDelivery: "T",
        Reboot: "B",
        CancelTimer: "x",
        ArmTimer: "y",
    }
    BY_EVENT: ClassVar[dict[type, str]] = {
        Command: r"(S?N?E?RT|R)?",
        Input: r"S?N?AB?",
        MessageArrived: r"N?",
        Simulate: r"(BS?|S?B|S)",
        TimerFired: r"(S?N?E?RT)*R?|S?N?",
    }

    @classmethod
    def holds(cls, event: Event, effects: tuple[Effect, ...]) -> bool:
        said = "".join(cls.LETTERS[type(e)] for e in effects)
        return re.fullmatch(f"({cls.BY_EVENT[type(event)]})x*y*", said) is not None


def leaves(value: object) -> Iterator[str]:
    """Every plain value in a record, recursively, as text."""
    if is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from leaves(getattr(value, f.name))
    elif isinstance(value, (tuple, list, frozenset)):
        for item in value:
            yield from leaves(item)
    elif value is not None and not hasattr(value, "keys"):
        yield str(value)


def holds_in_clear(text: str, passcode: str) -> bool:
    """True if a passcode occurs in a text as a word; a digest contains none by accident."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(passcode)}(?![0-9A-Za-z])", text) is not None


class Phone(RuleBasedStateMachine):
    """All events of a phone, in any order."""

    def __init__(self, platform: str, management: str, reaction: tuple[int, int]) -> None:
        super().__init__()
        self.platform, self.management, self.reaction = platform, management, reaction
        self.waiting: list[Command] = []
        self.sent: list[Command] = []
        self.pressed: list[Input] = []
        self.messages: list[str] = []
        self.announced: list[str] = []
        self.deliveries: set[object] = set()
        self.clear: set[str] = set()

    @initialize(
        passcode=st.sampled_from((None, *POOL[:5])),
        policy=st.sampled_from((None, *POLICIES)),
        senses=st.sampled_from(((), ("touchId", "face"))),
        seed=st.integers(0, 3),
    )
    def begin(
        self,
        passcode: str | None,
        policy: dict[str, Any] | None,
        senses: tuple[str, ...],
        seed: int,
    ) -> None:
        has = {"ios": {"touchId"}, "windows_10_mobile": {"face"}}.get(self.platform, set())
        senses = tuple(s for s in senses if s in has)
        self.rig = Rig(
            self.platform,
            management=self.management,
            passcode=passcode,
            policy=None if policy is None else PasscodePolicy(**policy),
            biometrics=senses,
            reaction=self.reaction,
            seed=seed,
        )
        self.model = PhoneModel(
            self.platform, self.management, passcode, policy, frozenset(senses), self.rig.now
        )
        self.clear |= {passcode} if passcode else set()
        self.compare(self.rig.state)

    # What happens

    def happen(self, event: Event) -> None:
        """One event, held against the model effect by effect."""
        if isinstance(event, TimerFired):
            self.model.now = self.rig.now
        before = self.rig.state
        effects = self.rig.happen(event)
        assert Grammar.holds(event, effects)
        if isinstance(event, (Command, TimerFired)):
            self.follow_commands(event, effects)
        else:
            self.follow_rest(event, before, effects)
        self.compare(self.rig.state)
        assert self.rig.state.version == self.model.version

    def follow_commands(self, event: Command | TimerFired, effects: tuple[Effect, ...]) -> None:
        if isinstance(event, Command):
            self.waiting.append(event)
        elif event.timer is not Timer.REACTION:
            seen = self.model.seen()
            shown = self.model.tick(Timer(event.timer))
            self.published(effects, seen, shown)
            return
        group: list[Effect] = []
        for effect in effects:
            group.append(effect)
            if isinstance(effect, PublishResult) and effect.result.state == "active":
                self.follow_active(effect)
                group = []
            elif isinstance(effect, AcknowledgeDelivery):
                self.follow_result(tuple(group))
                group = []

    def follow_active(self, effect: PublishResult) -> None:
        head = self.waiting[0]
        assert effect.result.command_id == head.command_id
        assert self.reaction[1] > SECOND
        assert effect.result.error is None
        assert head.delivery not in self.announced
        self.announced.append(str(head.delivery))

    def follow_result(self, group: tuple[Effect, ...]) -> None:
        """One command answered: the oldest that waits, as the model says."""
        command = self.waiting.pop(0)
        said, settled = group[-2:]
        assert isinstance(said, PublishResult)
        assert isinstance(settled, AcknowledgeDelivery)
        assert settled.delivery == command.delivery
        assert settled.delivery not in self.deliveries
        self.deliveries.add(settled.delivery)
        result = said.result
        assert (result.command_id, result.action) == (command.command_id, command.action) or (
            said.duplicate
        )
        assert (result.error is not None) == (result.state == "failed")
        known = [r for r in self.model.answered if r.command_id == command.command_id]
        if known and known[-1].action is command.action:
            assert said == PublishResult(known[-1], duplicate=True)
            assert len(group) == 2
            return
        assert not said.duplicate
        if known:
            assert result.error == "commandIdReused"
            assert len(group) == 2
            return
        self.follow_doing(command, result, group)

    def follow_doing(self, command: Command, result: Result, group: tuple[Effect, ...]) -> None:
        passcode = self.shown_passcode(command, result, group)
        seen = self.model.seen()
        state, error, shown = self.model.answer(command, passcode)
        assert (result.state, result.error) == (state, error)
        self.published(
            group, seen, shown, always=command.action == "syncDevice" and state == "done"
        )
        assert result.updated == self.rig.now
        if error in {"expired", "notEnrolled"}:
            assert len(group) == 2
        else:
            shortest, longest = self.reaction
            assert shortest <= result.updated - result.started <= longest
            took_its_time = result.updated - result.started > SECOND
            assert (str(command.delivery) in self.announced) == took_its_time
            self.model.answered = [*self.model.answered, result][-KEPT:]

    def shown_passcode(
        self, command: Command, result: Result, group: tuple[Effect, ...]
    ) -> str | None:
        """The temporary passcode in clear, as exactly those who may know it see it."""
        escrow = [e for e in group if isinstance(e, PublishEscrow)]
        temporary = command.action == "resetPasscode" and result.state == "done"
        temporary &= self.platform != "ios"
        hidden = self.platform in {"windows_phone_8", "windows_phone_8_1"}
        assert bool(escrow) == (temporary and hidden and self.management == "hybrid")
        hidden &= self.management == "hybrid"
        assert (result.passcode is not None) == (temporary and not hidden)
        refs = {e.passcode for e in escrow} | ({result.passcode} - {None})
        if not temporary:
            return None
        (ref,) = refs
        assert ref is not None
        passcode = reveal(ref, self.rig.draws)
        self.clear.add(passcode)
        return passcode

    def published(
        self, effects: tuple[Effect, ...], seen: object, shown: int, *, always: bool = False
    ) -> None:
        """The version grows by one with each visible change, and what is published is the model."""
        changed = self.model.seen() != seen
        self.model.version += changed
        states = [e.state for e in effects if isinstance(e, PublishState)]
        assert len(states) == (changed or always)
        for state in states:
            self.compare(state)
            assert state.version == self.model.version
        numbers = [e.number for e in effects if isinstance(e, PublishNotification)]
        assert len(numbers) == shown
        self.model.screens += shown
        assert numbers in ([], [self.model.screens])

    def follow_rest(self, event: Event, before: DeviceState, effects: tuple[Effect, ...]) -> None:
        model, seen, shown, always = self.model, self.model.seen(), 0, False
        if isinstance(event, Input):
            (said,) = (e for e in effects if isinstance(e, PublishAnswer))
            known = [p for p in self.pressed if p.input_id == event.input_id]
            if known:
                same = known[0].action is event.action
                assert said.duplicate == same
                assert same or said.answer.error == "inputIdReused"
                assert self.rig.state == before
                assert len(effects) == 1
                return
            self.pressed.append(event)
            state, error, shown = model.press(event)
            assert (said.answer.state, said.answer.error) == (state, error)
            assert not said.duplicate
        elif isinstance(event, MessageArrived):
            shown = event.message_id not in self.messages
            self.messages.append(event.message_id)
            if shown and event.kind == "call":
                model.call = event.message_id
        elif isinstance(event, Simulate):
            if event.action == "restore":
                model.enroll()
                always = True
            else:
                model.restart()
        self.published(effects, seen, shown, always=always)

    def compare(self, state: DeviceState) -> None:
        """A state against the model."""
        model = self.model
        kind = ("temporary" if model.temporary else "user") if model.opens else "none"
        assert (
            state.locked,
            state.passcode,
            state.passcode_deadline,
            state.compliance,
            state.touch_id,
            state.face,
            state.failed_attempts,
            state.wiped,
            state.current_user,
            state.last_check_in,
        ) == (
            model.locked,
            kind,
            *model.seen()[3:],
        )
        if model.opens:
            assert state.secret
            assert self.rig.draws.matches(model.opens, state.secret.digest)

    # Rules

    @rule(action=st.sampled_from(("resetPasscode", "remoteLock", "syncDevice")))
    def command(self, action: str) -> None:
        self.send(action)

    @rule(action=st.sampled_from(("resetPasscode", "remoteLock")), lives=st.integers(-1, 2_000))
    def command_that_expires(self, action: str, lives: int) -> None:
        self.send(action, expires=self.rig.now + lives)

    @precondition(lambda self: self.platform == "ios")
    @rule(policy=st.sampled_from(GRACE))
    def policy_with_grace(self, policy: dict[str, Any]) -> None:
        self.send("applyPasscodePolicy", policy=PasscodePolicy(**policy))

    @rule(policy=st.sampled_from((*POLICIES, *OUT_OF_BOUNDS)))
    def policy(self, policy: dict[str, Any]) -> None:
        self.send("applyPasscodePolicy", policy=PasscodePolicy(**policy))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def command_once_more(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.sent[-LONG_AGO:]))
        self.send(again.action, again.command_id, expires=again.expires, policy=again.policy)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def command_id_reused(self, data: st.DataObject) -> None:
        again = data.draw(st.sampled_from(self.sent[-LONG_AGO:]))
        other = "remoteLock" if again.action != "remoteLock" else "syncDevice"
        self.send(other, again.command_id)

    @rule(count=st.integers(30, 40))
    def many_commands(self, count: int) -> None:
        for _ in range(count):
            self.send("syncDevice")

    def send(self, action: str, command_id: str | None = None, **more: Any) -> None:
        number = len(self.sent) + 1
        command = Command(
            command_id or f"command {number}",
            Action(action),
            delivery=f"delivery {number}",
            **more,
        )
        self.sent.append(command)
        self.happen(command)

    def press(self, action: str, input_id: str | None = None, **more: Any) -> None:
        number = f"input {len(self.pressed) + 1}"
        self.happen(Input(input_id or number, InputAction(action), **more))

    @rule()
    def enter_the_right_passcode(self) -> None:
        self.press("enterPasscode", passcode=self.model.opens or WRONG)

    @rule(times=st.integers(1, 7))
    def enter_a_wrong_passcode(self, times: int) -> None:
        for _ in range(times):
            self.press("enterPasscode", passcode=WRONG)

    @precondition(lambda self: self.clear - {self.model.opens})
    @rule(data=st.data())
    def enter_an_old_passcode(self, data: st.DataObject) -> None:
        was_locked = self.rig.state.locked
        old = sorted(self.clear - {self.model.opens})
        self.press("enterPasscode", passcode=data.draw(st.sampled_from(old)))
        (said,) = (e for e in self.rig.effects if isinstance(e, PublishAnswer))
        assert said.answer.state == "failed"
        assert self.rig.state.locked == was_locked

    @rule(passcode=st.sampled_from((*POOL, TOO_LONG)))
    def set_a_passcode(self, passcode: str) -> None:
        self.clear.add(passcode)
        self.press("setPasscode", passcode=passcode)

    @precondition(lambda self: self.clear)
    @rule(data=st.data())
    def set_a_used_passcode(self, data: st.DataObject) -> None:
        self.press("setPasscode", passcode=data.draw(st.sampled_from(sorted(self.clear))))

    @rule()
    def open_and_set(self) -> None:
        self.press("enterPasscode", passcode=self.model.opens or WRONG)
        self.press("swipeUp")
        fresh = f"Nw{len(self.pressed)}!pc"
        self.clear.add(fresh)
        self.press("setPasscode", passcode=fresh)

    @rule(
        action=st.sampled_from(
            ("swipeUp", "changeNow", "later", "useBiometric", "enrollBiometric", "restart")
        )
    )
    def plain_press(self, action: str) -> None:
        self.press(action)

    @rule(user=st.sampled_from(("alex", "robin")))
    def sign_in(self, user: str) -> None:
        self.press("signIn", user=user)

    @rule()
    def press_a_key(self) -> None:
        self.press("pressKey", key="#")

    @precondition(lambda self: self.pressed)
    @rule(data=st.data(), action=st.sampled_from((None, "later", "swipeUp")))
    def input_once_more(self, data: st.DataObject, action: str | None) -> None:
        again = data.draw(st.sampled_from(self.pressed[-KEPT:]))
        self.press(action or again.action, again.input_id, passcode=again.passcode, user=again.user)

    @rule(number=st.integers(1, 8), kind=st.sampled_from(("text", "call")))
    def message(self, number: int, kind: str) -> None:
        self.happen(MessageArrived(f"m-{number}", MessageKind(kind), "+1 555 0100", "code 123"))

    @rule(action=st.sampled_from(("crash", "restart", "restore")))
    def simulate(self, action: str) -> None:
        self.happen(Simulate(Simulation(action)))

    @rule(
        time=st.sampled_from(
            (1, 200, SECOND, 2 * SECOND, MINUTE - 1, 6 * MINUTE, HOUR, HOUR + MINUTE, 31 * DAY)
        )
    )
    def wait(self, time: int) -> None:
        """Time passes; each timer on the way is an event of its own."""
        end = self.rig.now + time
        while self.rig.armed:
            at, timer = min((at, timer) for timer, at in self.rig.armed.items())
            if at > end:
                break
            del self.rig.armed[timer]
            self.rig.now = at
            self.happen(TimerFired(timer))
        self.rig.now = self.model.now = end

    @rule(timer=st.sampled_from(Timer))
    def timer_that_is_not_armed(self, timer: Timer) -> None:
        """A cancelled timer that still fires changes nothing before its instant."""
        before = self.rig.state
        state, effects = step(before, TimerFired(timer), self.rig.now, self.rig.draws)
        due = self.rig.armed.get(timer)
        if due is None or due > self.rig.now:
            assert (state, effects) == (before, ())

    # What always holds

    @invariant()
    def the_deadline_is_set_exactly_in_the_grace_period(self) -> None:
        state = self.rig.state
        assert (state.passcode_deadline is not None) == (state.compliance == "inGracePeriod")

    @invariant()
    def what_the_device_waits_for_is_what_the_model_waits_for(self) -> None:
        waits = {
            Timer.GRACE: self.model.deadline,
            Timer.AUTO_LOCK: self.model.idle_at,
            Timer.PASSCODE_EXPIRY: self.model.expires,
        }
        armed = {t: at for t, at in self.rig.armed.items() if t is not Timer.REACTION}
        assert armed == {t: at for t, at in waits.items() if at is not None}
        assert (Timer.REACTION in self.rig.armed) == bool(self.waiting)

    @invariant()
    def no_passcode_stands_in_the_state(self) -> None:
        texts = list(leaves(self.rig.state))
        shown = repr(self.rig.state)
        for passcode in self.clear:
            assert passcode not in texts
            assert not holds_in_clear(shown, passcode)

    @invariant()
    def old_passcodes_are_not_what_opens(self) -> None:
        opens = self.rig.state.secret.digest if self.rig.state.secret else b""
        old = self.clear - {self.model.opens}
        assert not any(self.rig.draws.matches(passcode, opens) for passcode in old)

    @invariant()
    def the_last_results_are_kept_and_no_more(self) -> None:
        state = self.rig.state
        assert list(state.results) == self.model.answered
        assert len(state.results) <= KEPT
        assert len(state.answers) <= KEPT
        assert len(state.messages) <= KEPT
        former = self.model.past[-50:]
        kept = [
            state.history[at : at + DIGEST_BYTES]
            for at in range(0, len(state.history), DIGEST_BYTES)
        ]
        assert len(kept) == len(former)
        assert all(map(self.rig.draws.matches, former, kept))

    def teardown(self) -> None:
        """Equal events and equal seeds give equal runs."""
        if not hasattr(self, "rig"):
            return
        state, draws = (
            first_state(self.rig.enrollment, START),
            DeviceRandomStream(self.rig.seed, "d-1"),
        )
        for now, event, after, effects in self.rig.journal:
            state, again = step(state, event, now, draws)
            assert (state, again) == (after, effects)


@pytest.mark.parametrize("reaction", REACTIONS, ids=lambda r: f"{r[0]}..{r[1]}ms")
@pytest.mark.parametrize("management", [m.value for m in Management])
@pytest.mark.parametrize("platform", [p.id for p in PLATFORMS])
def test_a_device_follows_the_model(
    platform: str, management: str, reaction: tuple[int, int]
) -> None:
    run_state_machine_as_test(
        partial(Phone, platform, management, reaction),  # type: ignore[arg-type]  # any factory works
        settings=settings(
            max_examples=EXAMPLES or 4,
            stateful_step_count=50 if EXAMPLES else 30,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
