"""Schedule: due times and devices depend on seed and rate only."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import UsageError
from fleet.load.schedule import ACTIONS, ActionMix, Schedule

without_hurry = settings(deadline=None, max_examples=60)
DEVICES = [f"ios-{n:03}" for n in range(1, 21)]


def schedule(
    rate: float = 50.0,
    duration: float = 2.0,
    ramp: float = 0.0,
    seed: int = 7,
    mix: str = "reset=8,lock=2",
    devices: list[str] = DEVICES,
) -> Schedule:
    return Schedule(
        rate=rate,
        duration=duration,
        ramp=ramp,
        mix=ActionMix.parse(mix),
        seed=seed,
        device_ids=devices,
    )


@without_hurry
@given(
    rate=st.floats(0.5, 500),
    duration=st.floats(0.1, 8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_every_command_is_due_within_the_duration_in_order(
    rate: float, duration: float, share: float, seed: int
) -> None:
    plan = schedule(rate, duration, duration * share, seed)
    arrivals = list(plan.arrivals())
    instants = [arrival.at for arrival in arrivals]
    assert len(arrivals) == plan.count
    assert [arrival.number for arrival in arrivals] == list(range(plan.count))
    assert instants == sorted(instants)
    assert instants[0] == 0.0
    assert all(0 <= at < duration + 1e-6 for at in instants)
    assert {a.device_id for a in arrivals} <= set(DEVICES)
    assert {a.action for a in arrivals} <= {"reset", "lock"}


@without_hurry
@given(rate=st.floats(1, 500), duration=st.floats(0.5, 8), share=st.floats(0, 1))
def test_the_rate_asks_for_as_many_as_were_due(rate: float, duration: float, share: float) -> None:
    plan = schedule(rate, duration, duration * share)
    for number in range(0, plan.count, max(1, plan.count // 20)):
        assert plan.due_by(plan.at(number)) == pytest.approx(number, abs=1e-3)
    assert plan.due_by(duration) == pytest.approx(rate * duration * (1 - share / 2))
    assert plan.due_by(duration * 9) == plan.due_by(duration)


@without_hurry
@given(seed=st.integers())
def test_the_same_seed_draws_the_same(seed: int) -> None:
    assert list(schedule(seed=seed).arrivals()) == list(schedule(seed=seed).arrivals())
    assert schedule(seed=seed).shuffled() == schedule(seed=seed).shuffled()
    assert sorted(schedule(seed=seed).shuffled()) == DEVICES


def test_another_seed_draws_otherwise() -> None:
    assert list(schedule(seed=1).arrivals()) != list(schedule(seed=2).arrivals())


def test_shares_are_kept_and_every_device_gets_commands() -> None:
    arrivals = list(schedule(rate=1000, duration=4).arrivals())
    actions = Counter(arrival.action for arrival in arrivals)
    assert len(arrivals) == 4000
    assert 700 < actions["lock"] < 900
    devices = Counter(arrival.device_id for arrival in arrivals)
    assert set(devices) == set(DEVICES)
    assert max(devices.values()) < 2 * min(devices.values())


def test_a_ramp_starts_from_nothing() -> None:
    plan = schedule(rate=100, duration=4, ramp=2)
    assert plan.count == 300
    first, second = plan.due_by(1), plan.due_by(2) - plan.due_by(1)
    assert (first, second) == (25, 75)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("reset=8,lock=2", {"reset": 8, "lock": 2}),
        (" reset = 1 , sync=0.5", {"reset": 1, "sync": 0.5}),
        ("lock", {"lock": 1}),
        ("reset=1,lock=0", {"reset": 1}),
    ],
)
def test_a_mix_is_read(text: str, weights: dict[str, float]) -> None:
    assert dict(ActionMix.parse(text).weights) == weights


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rest=2", "did you mean 'reset'"),
        ("zzz", f"one of {', '.join(ACTIONS)}"),
        ("reset=-1", "is not an action and its share"),
        ("reset=8;lock=2", "is not an action and its share"),
        ("", "is not an action and its share"),
        ("reset,reset", "twice"),
        ("reset=0", "every share is 0"),
    ],
)
def test_a_bad_mix_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        ActionMix.parse(text)
    assert said in f"{refused.value} {refused.value.hint}"
