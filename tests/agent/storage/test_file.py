"""The state file: what is written is read again, of an earlier format too, and of no other."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from threading import Barrier
from typing import Any, TypeGuard

import pytest

from agent import effects
from agent.clock import Timers, VirtualClock
from agent.passcode import PasscodePolicy, reveal
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from agent.state import DeviceState
from agent.storage.claim import StateClaim
from agent.storage.digests import FileKey
from agent.storage.file import StateFile
from broker.contract import Topics
from broker.errors import FileError
from tests.support.device_harness import SECOND, Rig

SEED = 7
FORMAT_1 = Path(__file__).parents[2] / "data" / "state-format-1.json"
"""The state that `busy` leaves, as passfleet wrote it when it wrote format 1."""


def busy(rig: Rig) -> DeviceState:
    """A device with results, answers and a history of former passcodes."""
    for act in (
        lambda: rig.send("resetPasscode", "c-1"),
        lambda: rig.press("swipeUp", input_id="i-1"),
        lambda: rig.send("resetPasscode", "c-2"),
        lambda: rig.send("remoteLock", "c-3"),
        lambda: rig.send("applyPasscodePolicy", "c-4", policy=PasscodePolicy(history=99)),
    ):
        act()
        rig.now += SECOND
    return rig.state


async def written(path: Path, state: DeviceState) -> None:
    """A state, stored."""
    rig, clock = Rig("android"), VirtualClock(0)
    shared = DeviceContext(topics=Topics("t"), clock=clock, timers=Timers(clock))
    stored: list[object] = []
    file = StateFile(path, SEED)

    def then(marks: object) -> None:
        stored.append(marks)
        file.tick()

    file.keep(Device(state, rig.draws, shared), (), then)
    file.close()
    assert stored == [[]]


def read(path: Path, rig: Rig) -> DeviceState | None:
    """Stored state of a rig's device."""
    file = StateFile(path, SEED)
    try:
        return file.load(rig.enrollment)
    finally:
        file.close()


def reveal_last(rig: Rig) -> str:
    """Temporary passcode of the last reset, in clear."""
    ref = rig.state.results[1].passcode
    assert ref is not None
    return reveal(ref, rig.draws)


def change(path: Path, query: str, *values: object) -> None:
    """Write into a state file from outside."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(query, values)


def stored_key(path: Path) -> FileKey:
    """Key of a closed state file, to make the checksums of rows."""
    with closing(sqlite3.connect(path)) as db:
        ((salt,),) = db.execute("select value from about where key = 'salt'")
    return FileKey(SEED, bytes.fromhex(salt))


def old_file(path: Path, state: str, version: str, seed: int = SEED) -> None:
    """A state file as passfleet wrote it before format 4."""
    seed_print = blake2b(f"seed/{seed}".encode(), digest_size=8).hexdigest()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("pragma journal_mode = wal")
        db.executescript(
            "create table about (key text primary key, value text not null);"
            "create table device (id text primary key, state text not null,"
            " session integer not null default 0);"
            "create table outgoing (mark integer primary key, device text not null,"
            " kind text not null, body text not null);"
        )
        about = [("format", version), ("seed", seed_print)]
        db.executemany("insert into about values (?, ?)", about)
        db.execute("insert into device values ('d-1', ?, 3)", (state,))


async def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path, rig = tmp_path / "fleet.db", Rig("android", reaction=(5 * SECOND, 5 * SECOND))
    busy(rig)
    rig.advance(60 * SECOND)
    rig.press("swipeUp")
    for n in range(60):
        rig.send("resetPasscode", f"more-{n}", delivery=None)
        rig.advance(5 * SECOND)
    rig.send("remoteLock", "at work", delivery=None)
    rig.send("remoteLock", "waits", delivery=None)
    await written(path, rig.state)
    found = read(path, rig)
    assert found is not None
    # The file has the digests in another form: see tests/agent/storage/test_passcodes.py.
    same = replace(found, secret=rig.state.secret, history=rig.state.history)
    assert same == rig.state
    assert found.work
    assert found.inbox
    assert len(found.results) == 32
    assert found.results.words[0] is rig.state.results.words[0]


@pytest.mark.parametrize("version", ["1", "2", "3"])
async def test_a_file_of_an_earlier_format_is_read_and_written_as_format_4(
    tmp_path: Path, version: str
) -> None:
    path, rig = tmp_path / "fleet.db", Rig("android")
    expected = busy(rig)
    old_file(path, FORMAT_1.read_text(encoding="utf-8"), version)
    with closing(StateFile(path, SEED)) as file:
        assert file.session("d-1") == 3
        found = file.load(rig.enrollment)
        assert found is not None
        assert (found.results, found.answers) == (expected.results, expected.answers)
        assert found.secret == expected.secret
        rig.state = found
        rig.draws = DeviceRandomStream(SEED, "d-1", file.key)
        assert rig.do("resetPasscode", "c-2") == expected.results[1]
        rig.press("enterPasscode", passcode=reveal_last(rig))
        assert not rig.state.locked
    with closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("select key, value from about"))["format"] == "4"
    assert read(path, rig) is not None


async def test_a_file_of_another_format_or_seed_is_refused_and_left_alone(tmp_path: Path) -> None:
    path, rig = tmp_path / "fleet.db", Rig("android")
    await written(path, busy(rig))
    with pytest.raises(FileError, match="another seed"):
        StateFile(path, SEED + 1)
    change(path, "pragma user_version = 0")
    change(path, "update about set value = '5' where key = 'format'")
    before = path.read_bytes()
    with pytest.raises(FileError, match="another version of passfleet"):
        StateFile(path, SEED)
    assert path.read_bytes() == before


async def test_nothing_is_written_once_the_file_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`keep`, and what it led to, asked the loop for turns that come after `close`."""
    await written(tmp_path / "fleet.db", Rig("android").state)
    await asyncio.sleep(0)
    assert caplog.records == []


async def test_a_device_that_fails_at_what_is_stored_keeps_no_other_waiting(tmp_path: Path) -> None:
    rig, clock = Rig("android"), VirtualClock(0)
    shared = DeviceContext(topics=Topics("t"), clock=clock, timers=Timers(clock))
    device = Device(rig.state, rig.draws, shared)
    file = StateFile(tmp_path / "fleet.db", SEED)
    stored: list[object] = []

    def fails(_: object) -> None:
        raise LookupError

    file.keep(device, (), fails)
    file.keep(device, (), stored.append)
    file.close()
    assert stored == [[]]


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "no object": lambda _: 5,
    "no history": lambda d: d | {"history": [1]},
    "half a digit": lambda d: d | {"history": "abc"},
    "results of nothing": lambda d: d | {"results": {}},
    "words that are missing": lambda d: d | {"results": d["results"] | {"words": []}},
    "words that are none": lambda d: d | {"results": d["results"] | {"which": ["x"]}},
    "numbers that are missing": lambda d: d | {"results": d["results"] | {"numbers": "00"}},
    "answers of somebody else": lambda d: d | {"answers": d["results"]},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_an_error_about_a_damaged_state_names_its_device(
    tmp_path: Path, damage: Callable[[Any], Any]
) -> None:
    path, rig = tmp_path / "fleet.db", Rig("android")
    await written(path, busy(rig))
    with closing(sqlite3.connect(path)) as db:
        ((text,),) = db.execute("select state from device")
    damaged = json.dumps(damage(json.loads(text)))
    old_file(tmp_path / "old.db", damaged, "3")
    path = tmp_path / "old.db"
    with pytest.raises(FileError, match="no readable state of d-1"):
        read(path, rig)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("PublishResult", "{}"), ("PublishResult", "not JSON"), ("PublishRumour", "{}")],
)
async def test_an_error_about_a_damaged_message_names_its_device(
    tmp_path: Path, kind: str, body: str
) -> None:
    path = tmp_path / "fleet.db"
    old_file(path, "{}", "3")
    change(path, "insert into outgoing values (1, 'd-1', ?, ?)", kind, body)
    with (
        closing(StateFile(path, SEED)) as file,
        pytest.raises(FileError, match="no readable message of d-1"),
    ):
        file.unsent("d-1")


async def test_a_device_that_the_file_does_not_know_has_no_state(tmp_path: Path) -> None:
    path, rig = tmp_path / "fleet.db", Rig("android")
    await written(path, rig.state)
    rig.enrollment = replace(rig.enrollment, device_id="d-2")
    assert read(path, rig) is None


async def test_a_state_snapshot_is_neither_stored_nor_marked(tmp_path: Path) -> None:
    rig, clock = Rig("android"), VirtualClock(0)
    context = DeviceContext(topics=Topics("t"), clock=clock, timers=Timers(clock))
    device, path = Device(rig.state, rig.draws, context), tmp_path / "state.db"
    file = StateFile(path, SEED)
    marks: list[int | None] = []
    published: list[effects.Publication] = []
    for number in range(5):
        made = [e for e in rig.send("resetPasscode", f"c-{number}") if _is_publication(e)]
        published += made
        device.state = rig.state
        file.keep(device, made, marks.extend)
        file.flush()
        for effect, mark in zip(made, marks[-len(made) :], strict=True):
            assert (mark is None) is isinstance(effect, effects.PublishState)

    snapshots = [e for e in published if isinstance(e, effects.PublishState)]
    stored = [e for e in published if not isinstance(e, effects.PublishState)]
    assert len(snapshots) == 5
    assert [effect for _, effect in file.unsent("d-1")] == stored
    assert [mark for mark, _ in file.unsent("d-1")] == [m for m in marks if m is not None]
    file.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select count(*) from outgoing").fetchone() == (len(stored),)


def _is_publication(effect: effects.Effect) -> TypeGuard[effects.Publication]:
    return isinstance(effect, effects.Publication)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_that_open_one_new_file_at_once_all_get_it(tmp_path: Path, workers: int) -> None:
    start = Barrier(workers, timeout=30)

    def open_together(path: Path, index: int) -> None:
        start.wait()
        StateFile(path, SEED, part=(index, workers)).close()

    with ThreadPoolExecutor(workers) as pool:
        for attempt in range(10):
            path = tmp_path / f"fleet-{attempt}.db"
            with closing(StateClaim(path, SEED)) as claim:
                claim.share()
                list(pool.map(partial(open_together, path), range(workers)))
