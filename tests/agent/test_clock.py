"""Clocks and timers: against a list that is sorted each time, and against a clock that is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import VIRTUAL_START, RealClock, Timers, VirtualClock, parse_duration

Key = tuple[str, str]


class SortedList:
    """Slow reference model of Timers: armed timers by name, sorted when time passes."""

    def __init__(self) -> None:
        self.armed: dict[Key, int] = {}

    def due(self, now: int) -> list[Key]:
        return [key for at, key in sorted((at, key) for key, at in self.armed.items()) if at <= now]


OWNERS = st.sampled_from(("a", "b"))
NAMES = st.sampled_from(("grace", "reaction"))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), OWNERS, NAMES, st.integers(0, 40)),
        st.tuples(st.just("cancel"), OWNERS, NAMES, st.just(0)),
        st.tuples(st.just("pass"), OWNERS, NAMES, st.integers(0, 15)),
    ),
    max_size=60,
)


def _in_loop(work: Callable[[], None]) -> None:
    """Timers that are due when armed ask for the running loop."""

    async def run() -> None:
        work()

    asyncio.run(run())


@given(steps=STEPS)
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
def test_timers_fire_what_is_due_in_order_and_nothing_else(
    steps: list[tuple[str, str, str, int]],
) -> None:
    def run() -> None:
        clock, model = VirtualClock(0), SortedList()
        timers = Timers(clock)
        fired: list[tuple[str, str]] = []
        for what, owner, name, number in steps:
            key = (owner, name)
            if what == "arm":
                at = clock.now() + number
                timers.arm(owner, name, at, partial(fired.append, key))
                model.armed[key] = at
            elif what == "cancel":
                timers.cancel(owner, name)
                model.armed.pop(key, None)
            else:
                clock.move(clock.now() + number)
                due = model.due(clock.now())
                fired.clear()
                assert timers.fire_due() == len(due)
                assert fired == due
                for gone in due:
                    del model.armed[gone]
            assert timers.next_at() == min(model.armed.values(), default=None)
        timers.close()
        assert timers.next_at() is None

    _in_loop(run)


def test_timers_of_one_instant_fire_in_the_order_of_their_names() -> None:
    timers = Timers(clock := VirtualClock(0))
    fired: list[str] = []
    for name in ("c", "a", "b"):
        timers.arm("phone", name, 5, partial(fired.append, name))
    clock.move(5)
    timers.fire_due()
    assert fired == ["a", "b", "c"]


def test_a_timer_armed_while_others_fire_fires_in_its_turn() -> None:
    timers, fired = Timers(clock := VirtualClock(0)), []

    def first() -> None:
        fired.append("first")
        timers.arm("phone", "between", 7, lambda: fired.append("between"))
        timers.cancel("phone", "cancelled")

    timers.arm("phone", "first", 5, first)
    timers.arm("phone", "cancelled", 6, lambda: fired.append("cancelled"))
    timers.arm("phone", "last", 8, lambda: fired.append("last"))
    timers.arm("phone", "later", 11, lambda: fired.append("later"))

    def run() -> None:
        clock.move(10)
        assert timers.fire_due() == 3
        timers.close()

    _in_loop(run)
    assert fired == ["first", "between", "last"]


def test_a_timer_armed_anew_fires_once_at_its_new_time() -> None:
    timers = Timers(clock := VirtualClock(0))
    fired: list[int] = []
    for at in (9, 3, 6):
        timers.arm("phone", "grace", at, partial(fired.append, at))
    clock.move(20)
    timers.fire_due()
    assert fired == [6]


def test_forgotten_timers_do_not_pile_up() -> None:
    timers = Timers(VirtualClock(0))
    for at in range(1, 10_001):
        timers.arm("phone", "autoLock", at, lambda: None)
    assert timers.next_at() == 10_000
    assert len(timers._heap) < 200


async def test_a_timer_that_raises_does_not_keep_the_others() -> None:
    fired: list[str] = []
    heard: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    done = asyncio.Event()

    def broken() -> None:
        raise RuntimeError("broken")

    def sound() -> None:
        fired.append("sound")
        done.set()

    clock = RealClock()
    timers = Timers(clock)
    now = clock.now()
    timers.arm("phone", "a", now, broken)
    timers.arm("phone", "b", now, sound)
    await asyncio.wait_for(done.wait(), 10)
    assert fired == ["sound"]
    assert [str(e) for e in heard] == ["broken"]
    timers.close()


async def test_real_timers_fire_by_themselves_in_order() -> None:
    clock, fired = RealClock(speed=1_000), list[str]()
    timers, done = Timers(clock), asyncio.Event()
    now = clock.now()

    def last() -> None:
        fired.append("last")
        done.set()

    timers.arm("phone", "last", now + 3_000, last)
    timers.arm("phone", "first", now + 1_000, lambda: fired.append("first"))
    timers.arm("phone", "never", now + 2_000, lambda: fired.append("never"))
    timers.cancel("phone", "never")
    await asyncio.wait_for(done.wait(), 10)
    assert fired == ["first", "last"]
    assert clock.now() >= now + 3_000
    timers.close()


async def test_a_closed_set_of_timers_fires_nothing() -> None:
    clock, fired = RealClock(), list[str]()
    timers = Timers(clock)
    timers.arm("phone", "due", clock.now(), lambda: fired.append("due"))
    timers.close()
    await asyncio.sleep(0.01)
    assert fired == []


def test_a_real_clock_runs_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic = [100.0]
    monkeypatch.setattr("agent.clock.time.monotonic", lambda: monotonic[0])
    monkeypatch.setattr("agent.clock.time.time", lambda: 1_000.0)
    clock = RealClock(speed=60)
    assert clock.now() == 1_000_000
    monotonic[0] += 1.5
    assert clock.now() == 1_000_000 + 90_000
    assert clock.delay(clock.now() + 120_000) == pytest.approx(2.0)
    assert clock.delay(clock.now() - 1) == 0.0


def test_a_real_clock_does_not_follow_a_wall_clock_that_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = [1_000.0]
    monkeypatch.setattr("agent.clock.time.time", lambda: wall[0])
    clock = RealClock()
    before = clock.now()
    wall[0] = 0.0
    assert clock.now() >= before


def test_virtual_time_moves_only_on_request_and_never_back() -> None:
    clock = VirtualClock()
    assert clock.now() == VIRTUAL_START
    clock.move(VIRTUAL_START + 5)
    clock.move(VIRTUAL_START)
    assert clock.now() == VIRTUAL_START + 5
    assert clock.delay(VIRTUAL_START + 5) == 0.0
    assert clock.delay(VIRTUAL_START + 6) is None


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("200us", 200),
        ("5ms", 5_000),
        ("2s", 2_000_000),
        ("1.5s", 1_500_000),
        ("0s", 0),
        ("5m", 300_000_000),
        ("61m", 3_660_000_000),
        ("1h", 3_600_000_000),
        (" 2s ", 2_000_000),
    ],
)
def test_durations_are_read(text: str, microseconds: int) -> None:
    assert parse_duration(text) == timedelta(microseconds=microseconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-5s",
        "5 s",
        "5d",
        "1h30m",
        "5S",
        ".5s",
        "5.s",
        "1e3s",
        "nans",
        "infs",
        "2s..5s",
        "9" * 30 + "h",
        "9" * 400 + "h",
    ],
)
def test_what_is_no_duration_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(text=st.text(max_size=12) | st.from_regex(r"\d{1,40}(\.\d+)?(us|ms|s|m|h)"))
@settings(max_examples=500, deadline=None, database=None, derandomize=True)
def test_a_duration_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        read = parse_duration(text)
    except ValueError:
        return
    assert read >= timedelta(0)


def test_time_at_a_speed_jumps_forward_and_never_back() -> None:
    clock = RealClock(speed=60)
    before = clock.now()
    clock.jump(before + 3_600_000)
    assert before + 3_600_000 <= clock.now() < before + 4_200_000
    clock.jump(before)
    assert clock.now() >= before + 3_600_000


async def test_a_jump_fires_what_is_due_and_leaves_the_rest() -> None:
    clock = RealClock(speed=2)
    timers = Timers(clock)
    due, later = asyncio.Event(), clock.now() + 7_200_000
    fired: list[str] = []
    timers.arm("a", "grace", clock.now() + 3_600_000, due.set)
    timers.arm("a", "reaction", later, partial(fired.append, "reaction"))
    clock.jump(clock.now() + 3_600_000)
    timers.clock_moved()
    async with asyncio.timeout(5):
        await due.wait()
    assert not fired
    assert timers.next_at() == later
    timers.close()
