"""Remembered results of a device: the last 32, complete, in little memory."""

from __future__ import annotations

import gc
import tracemalloc
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.passcode import PasscodeRef, PasscodeSpec
from agent.past_results import (
    RESULTS_KEPT,
    ActionState,
    ErrorCode,
    InputAnswer,
    PastAnswers,
    PastResults,
    Result,
)
from agent.state import DeviceState
from platforms.profile import Action, NativeCase
from tests.support.device_harness import Rig

IDS = st.text(min_size=1, max_size=40)
INSTANTS = st.integers(0, 253_402_300_799_999)  # to the end of the year 9999
REFS = st.builds(
    PasscodeRef,
    st.integers(1, 2**62),
    st.builds(PasscodeSpec, st.integers(4, 64), st.sampled_from(("d", "dl", "dscy"))),
)
RESULTS = st.builds(
    Result,
    IDS,
    st.sampled_from(Action),
    st.sampled_from(ActionState),
    st.text(max_size=20),
    INSTANTS,
    INSTANTS,
    st.none() | st.sampled_from(ErrorCode),
    st.none() | st.sampled_from(NativeCase),
    st.none() | REFS,
)
ANSWERS = st.builds(
    InputAnswer,
    IDS,
    st.sampled_from(("swipeUp", "setPasscode")),
    st.sampled_from(ActionState),
    st.text(max_size=20),
    INSTANTS,
    st.none() | st.sampled_from(ErrorCode),
)

quickly = settings(max_examples=100, deadline=None, database=None, derandomize=True)
DONE = Result("c-1", Action.SYNC_DEVICE, ActionState.DONE, "Device checked in", 1, 2)


@given(given_=st.lists(RESULTS, max_size=80, unique_by=lambda r: r.command_id))
@quickly
def test_the_last_results_are_remembered_word_for_word(given_: list[Result]) -> None:
    remembered, kept = PastResults.of(given_), given_[-RESULTS_KEPT:]
    assert list(remembered) == kept
    assert len(remembered) == len(kept)
    assert remembered[-5:] == tuple(kept[-5:])
    for result in given_:
        assert remembered.find(result.command_id) == (result if result in kept else None)


@given(given_=st.lists(ANSWERS, max_size=80, unique_by=lambda a: a.input_id))
@quickly
def test_the_last_answers_are_remembered_word_for_word(given_: list[InputAnswer]) -> None:
    remembered, kept = PastAnswers.of(given_), given_[-RESULTS_KEPT:]
    assert list(remembered) == kept
    for answer in given_:
        assert remembered.find(answer.input_id) == (answer if answer in kept else None)


def test_remembering_changes_nothing_that_was_remembered_before() -> None:
    before = PastResults.of([DONE])
    after = before.plus(Result("c-2", Action.REMOTE_LOCK, ActionState.DONE, "Locked", 3, 3))
    assert (len(before), len(after)) == (1, 2)
    assert before == PastResults.of([DONE]) != after
    assert hash(before) == hash(PastResults.of([DONE]))
    assert len(PastResults()) == 0


def test_equal_words_are_kept_once_for_all_devices() -> None:
    one, other = PastResults.of([DONE]), PastResults.of([DONE]).plus(DONE)
    assert one.words[0] is other.words[0] is other.words[1]


def test_an_index_out_of_range_is_an_error() -> None:
    with pytest.raises(IndexError):
        PastResults.of([DONE])[1]


def test_a_device_that_did_32_resets_weighs_at_most_4_kib_more() -> None:
    """A fleet of 10,000 is to fit a laptop; each reset comes with a UUID of its own."""

    def reset(number: int) -> DeviceState:
        rig = Rig("android")
        for n in range(RESULTS_KEPT):
            rig.now += 1_000
            rig.do("resetPasscode", str(UUID(int=(number + 1) * 2**64 + n)), delivery=None)
            rig.journal.clear()
        assert len(rig.state.results) == RESULTS_KEPT
        return rig.state

    def fresh(_: int) -> DeviceState:
        return Rig("android").state

    weights = []
    for make in (fresh, reset):
        make(-1)
        gc.collect()
        tracemalloc.start()
        kept = [make(number) for number in range(100)]
        weights.append(tracemalloc.get_traced_memory()[0] / len(kept))
        tracemalloc.stop()
    assert weights[1] - weights[0] < 4 * 1024
