"""Ledger: every command sent gets exactly one outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.contract import Presence
from broker.operator.readers import KnownDevice
from fleet.load.ledger import CommandOutcome, Ledger, SentCommand
from fleet.load.loaded_devices import LoadedDevices

without_hurry = settings(deadline=None, max_examples=60)
TIMEOUT = 5.0


@dataclass(frozen=True)
class Fate:
    """Events of one command. `answers` are (seconds after its sending, state)."""

    accepted: bool
    there: bool
    answers: tuple[tuple[float, str], ...]


fates = st.lists(
    st.builds(
        Fate,
        accepted=st.booleans(),
        there=st.booleans(),
        answers=st.lists(
            st.tuples(
                st.floats(0, 12).filter(lambda s: abs(s - TIMEOUT) > 0.1),
                st.sampled_from(["active", "done", "failed", "notSupported", "canceled", "?"]),
            ),
            max_size=4,
        ).map(lambda answers: tuple(sorted(answers))),
    ),
    max_size=40,
)


def sent(number: int, at: float = 0.0, action: str = "reset", platform: str = "ios") -> SentCommand:
    return SentCommand(number, action, platform, f"d-{number}", at, at)


def play(all_fates: list[Fate], stop_at: float = 1e9) -> Ledger:
    """Apply all events in order of time, then close the ledger."""
    ledger = Ledger(TIMEOUT)
    events: list[tuple[float, int, str]] = []
    for number, fate in enumerate(all_fates):
        at = number * 0.01
        events.append((at, number, "send"))
        events += [(at + after, number, state) for after, state in fate.answers]
    for at, number, what in sorted(events, key=lambda event: event[:2]):
        if at > stop_at:
            break
        ledger.expire(at, lambda command: all_fates[command.number].there)
        if what == "send":
            ledger.send(sent(number, at))
            if all_fates[number].accepted:
                ledger.accept(number)
        else:
            ledger.answer(number, what)
    if stop_at == 1e9:
        ledger.expire(1e9, lambda command: all_fates[command.number].there)
    ledger.close()
    return ledger


def expected(fate: Fate) -> CommandOutcome:
    final = {
        "done": CommandOutcome.DONE,
        "failed": CommandOutcome.FAILED,
        "canceled": CommandOutcome.FAILED,
        "notSupported": CommandOutcome.NOT_SUPPORTED,
    }
    for after, state in fate.answers:
        if after < TIMEOUT and state in final:
            return final[state]
    return CommandOutcome.LOST if fate.accepted and fate.there else CommandOutcome.UNKNOWN


@without_hurry
@given(fates)
def test_every_command_gets_its_outcome(all_fates: list[Fate]) -> None:
    ledger = play(all_fates)
    assert ledger.sent == len(all_fates)
    assert ledger.in_flight == 0
    for column in CommandOutcome:
        assert ledger.count(column) == sum(expected(fate) is column for fate in all_fates)


@without_hurry
@given(fates, st.floats(0, 3))
def test_a_ledger_closed_early_has_an_outcome_for_every_command(
    all_fates: list[Fate], stop_at: float
) -> None:
    ledger = play(all_fates, stop_at)
    assert sum(ledger.count(column) for column in CommandOutcome) == ledger.sent
    assert ledger.in_flight == 0


@without_hurry
@given(fates)
def test_further_answers_are_duplicates_or_late(all_fates: list[Fate]) -> None:
    final = {"done", "failed", "notSupported", "canceled"}
    ledger = play(all_fates)
    answers = sum(state in final for fate in all_fates for _, state in fate.answers)
    assert ledger.answered + ledger.duplicate + ledger.late == answers


def test_an_answer_to_an_unknown_command_is_ignored() -> None:
    ledger = Ledger(TIMEOUT)
    ledger.send(sent(0))
    assert ledger.answer(1, "done") is None
    assert ledger.answer(-1, "done") is None
    assert (ledger.duplicate, ledger.late, ledger.in_flight) == (0, 0, 1)


def test_outcomes_are_counted_by_action_and_platform() -> None:
    ledger = Ledger(TIMEOUT)
    ledger.send(sent(0, action="reset", platform="ios"))
    ledger.send(sent(1, action="lock", platform="android"))
    ledger.answer(0, "done")
    ledger.answer(1, "failed")
    assert list(ledger.pairs()) == [("lock", "android"), ("reset", "ios")]
    assert ledger.count(CommandOutcome.DONE, action="reset") == 1
    assert ledger.count(CommandOutcome.DONE, platform="android") == 0
    assert ledger.count(CommandOutcome.FAILED, action="lock", platform="android") == 1


def test_commands_sent_in_a_storm_are_counted_separately() -> None:
    ledger = Ledger(TIMEOUT)
    during_storm = sent(0)
    during_storm.during_storm = True
    ledger.send(during_storm)
    ledger.send(sent(1))
    ledger.answer(0, "done")
    ledger.answer(1, "done")
    assert dict(ledger.storm) == {CommandOutcome.DONE: 1}


# -- presence ----------------------------------------------------------------------------


def seen(device_id: str, status: str, session: int) -> KnownDevice:
    presence = Presence(status=status, session=session)  # type: ignore[arg-type]
    return KnownDevice(device_id, None, presence)


def said(status: str, session: int) -> bytes:
    return Presence(status=status, session=session).to_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("heard", "online"),
    [
        ([], True),
        ([said("offline", 3)], False),
        ([said("offline", 3), said("online", 4)], True),
        ([said("online", 4), said("offline", 3)], True),
        ([b""], False),
        ([b"nonsense"], False),
    ],
)
def test_presence_is_followed_past_late_wills(heard: list[bytes], *, online: bool) -> None:
    devices = LoadedDevices({"d": seen("d", "online", 3)})
    for payload in heard:
        devices.on_presence("d", payload, 1.0)
        devices.on_presence("other", payload, 1.0)
    assert devices.online("d") is online
    assert devices.present() == (["d"] if online else [])


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        ([said("online", 3)], -math.inf),
        ([said("offline", 3)], 1.0),
        ([b""], 1.0),
        ([said("offline", 3), said("offline", 3)], 1.0),
        ([said("offline", 3), said("online", 4)], 1.0),
        # No `offline` was sent: the device was online in a new session first.
        ([said("online", 4), said("offline", 3)], 1.0),
        ([said("offline", 3), said("online", 4), said("offline", 4)], 3.0),
    ],
)
def test_the_time_of_an_unexpected_disconnect_is_kept(heard: list[bytes], left: float) -> None:
    devices = LoadedDevices({"d": seen("d", "online", 3), "e": seen("e", "offline", 3)})
    for now, payload in enumerate(heard, 1):
        devices.on_presence("d", payload, float(now))
    devices.on_presence("e", said("online", 4), 9.0)
    assert devices.disconnected_at("d") == left
    assert devices.dropped == ([] if left < 0 else ["d"])


def test_an_expected_disconnect_does_not_count() -> None:
    devices = LoadedDevices({"d": seen("d", "online", 3)})
    devices.expect(["d"])
    devices.on_presence("d", said("offline", 3), 1.0)
    devices.on_presence("d", said("online", 4), 2.0)
    assert devices.dropped == []
    devices.on_presence("d", said("online", 5), 3.0)
    assert (devices.dropped, devices.disconnected_at("d")) == (["d"], 3.0)
