"""Damaged, foreign and lost state files: refused with an error, never with a traceback."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.clock import Timers, VirtualClock
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from agent.storage.claim import connect
from agent.storage.file import StateFile
from broker.contract import Topics
from broker.errors import FileError
from tests.support.brokers import until
from tests.support.device_harness import SECOND, Rig

SEED = 7
CORRUPTED = 1_000


def device(number: int) -> Device:
    """A device with results, under its own id."""
    rig, clock = Rig("android"), VirtualClock(0)
    for n in range(3):
        rig.send("resetPasscode", f"c-{n}")
        rig.now += SECOND
    shared = DeviceContext(topics=Topics("t"), clock=clock, timers=Timers(clock))
    enrollment = rig.state.enrollment
    object.__setattr__(enrollment, "device_id", f"d-{number}")
    return Device(rig.state, rig.draws, shared)


async def fill(path: Path, devices: int = 10) -> None:
    """Make a state file of some devices, closed in order."""
    with closing(StateFile(path, SEED)) as file:
        for number in range(devices):
            file.keep(device(number), (), lambda _: None)
        file.flush()


def change(path: Path, query: str) -> None:
    """Write into a state file from outside, so that it is not sealed any more."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(query)
        db.execute("pragma user_version = 0")


class Draw:
    """Numbers drawn from a fixed stream."""

    def __init__(self) -> None:
        self._stream, self._number = DeviceRandomStream(13, "damage"), 0

    def below(self, limit: int) -> int:
        """A whole number from 0 to below `limit`."""
        self._number += 1
        return self._stream.bits("damage", self._number) % limit


def corrupt(data: bytes, draw: Draw) -> bytes:
    """Data with one accident: a changed byte, a zeroed or copied block, or a lost end."""
    made, at = bytearray(data), draw.below(len(data))
    match draw.below(5):
        case 0:
            made[at] ^= 1 << draw.below(8)
        case 1:
            size = (1, 16, 512, 4096)[draw.below(4)]
            made[at : at + size] = bytes(len(made[at : at + size]))
        case 2:
            del made[at:]
        case 3:
            made[at : at + 64] = bytes(draw.below(256) for _ in made[at : at + 64])
        case _:
            start, end = (draw.below(len(data) // 4096) * 4096 for _ in range(2))
            made[start : start + 4096] = data[end : end + 4096]
    return bytes(made)


async def test_no_corrupted_file_starts_in_silence_or_with_a_traceback(tmp_path: Path) -> None:
    path, broken = tmp_path / "fleet.db", tmp_path / "broken.db"
    await fill(path)
    data, draw, tried = path.read_bytes(), Draw(), 0
    while tried < CORRUPTED:
        changed = corrupt(data, draw)
        if changed == data:
            continue
        tried += 1
        broken.write_bytes(changed)
        with pytest.raises(FileError):
            StateFile(broken, SEED).close()
    broken.write_bytes(data)
    StateFile(broken, SEED).close()


KILLED = """
import asyncio, os, signal
from pathlib import Path
from tests.agent.storage.test_damage import SEED, device
from agent.storage.file import StateFile

async def main():
    file = StateFile(Path("fleet.db"), SEED)
    for number in range(10):
        file.keep(device(number), (), lambda _: None)
        file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_damaged_write_ahead_log_of_a_killed_fleet_is_noticed(tmp_path: Path) -> None:
    """A damaged frame makes SQLite ignore all later commits, so a fleet must not start."""
    program = "import sys; sys.path.insert(0, sys.argv[1])\n" + KILLED
    subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parents[3])],
        cwd=tmp_path,
        check=False,
    )
    names = ("fleet.db", "fleet.db-wal")
    saved = {name: (tmp_path / name).read_bytes() for name in names}
    draw = Draw()
    refused = 0
    for number in range(60):
        folder = tmp_path / f"copy-{number}"
        folder.mkdir()
        for name, data in saved.items():
            (folder / name).write_bytes(data)
        log = bytearray(saved["fleet.db-wal"])
        log[draw.below(len(log) - 4120)] ^= 0x10
        if number:
            (folder / "fleet.db-wal").write_bytes(log)
        try:
            file = StateFile(folder / "fleet.db", SEED)
        except FileError:
            refused += 1
            continue
        rig = Rig("android")
        with closing(file):
            for n in range(10):
                object.__setattr__(rig.enrollment, "device_id", f"d-{n}")
                assert file.load(rig.enrollment) is not None
        assert number == 0
    assert refused == 59


EDITS: dict[str, str] = {
    "a digest": 'update device set state = replace(state, \'"digest":"\', \'"digest":"00\')',
    "a session": "update device set session = 1 where id = 'd-1'",
    "a device": "delete from device where id = 'd-3'",
    "a checksum": "update device set mac = x'00' where id = 'd-1'",
    "a format": "update about set value = '3' where key = 'format'",
    "a time": "insert or replace into about values ('now', '1', x'00')",
    "a salt": "update about set value = 'zz' where key = 'salt'",
    "no format": "delete from about where key = 'format'",
    "a table": "drop table outgoing",
    "a table of others": "create table notes (text)",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_an_edited_file_is_refused(tmp_path: Path, edit: str) -> None:
    path = tmp_path / "fleet.db"
    await fill(path)
    change(path, edit)
    with pytest.raises(FileError):
        StateFile(path, SEED).close()


def _text(path: Path) -> None:
    path.write_text("no database " * 100, encoding="utf-8")


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("create table notes (text)")


def _link(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    path.symlink_to(elsewhere / "victim.db")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (_text, "is not a state file"),
    "empty": (Path.touch, "is empty"),
    "database": (_foreign, "is a database of another program"),
    "folder": (Path.mkdir, "cannot be read"),
    "link": (_link, "is a symbolic link"),
}


@pytest.mark.parametrize(("make", "message"), FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_file_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "fleet.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(FileError, match=message):
        StateFile(path, SEED).close()
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not (tmp_path / "fleet.db.lock").exists()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be made: No such file"):
        StateFile(tmp_path / "none" / "fleet.db", SEED).close()


async def test_a_file_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    with closing(StateFile(path, SEED)):
        with pytest.raises(FileError, match="in use by another fleet"):
            StateFile(path, SEED)
        link = tmp_path / "link.db"
        link.symlink_to("fleet.db")
        with pytest.raises(FileError, match="in use by another fleet"):
            StateFile(link, SEED)
    StateFile(path, SEED).close()


async def test_a_file_that_another_program_has_locked_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    await fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(FileError, match="cannot be used as a state file"):
            StateFile(path, SEED).close()
    StateFile(path, SEED).close()


def _remove(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def _replace(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


def _remove_log(path: Path) -> None:
    path.with_name("fleet.db-wal").unlink()


LOSSES: dict[str, tuple[Callable[[Path], None], str]] = {
    "removed": (_remove, "it was removed"),
    "truncated": (_truncate, "it was truncated"),
    "replaced": (_replace, "it was replaced"),
    "log removed": (_remove_log, "its write-ahead log was removed"),
}


@pytest.mark.parametrize(("lose", "message"), LOSSES.values(), ids=LOSSES)
async def test_a_file_that_is_lost_in_use_stops_all_answers(
    tmp_path: Path, lose: Callable[[Path], None], message: str
) -> None:
    path, failures, stored = tmp_path / "fleet.db", list[FileError](), list[object]()
    file = StateFile(path, SEED)
    file.on_failure = failures.append
    with closing(file):
        file.keep(device(1), (), stored.append)
        file.flush()
        file.watch()
        assert len(stored) == 1
        lose(path)
        file.keep(device(2), (), stored.append)
        file.flush()
        assert len(stored) == 1
        assert len(failures) == 1
        assert message in str(failures[0])


async def test_a_file_that_is_lost_at_rest_is_noticed_within_a_second(tmp_path: Path) -> None:
    path, failures = tmp_path / "fleet.db", list[FileError]()
    file = StateFile(path, SEED)
    file.on_failure = failures.append
    with closing(file):
        file.watch()
        path.unlink()
        async with asyncio.timeout(5):
            await until(lambda: bool(failures), 1.5)
    assert "it was removed" in str(failures[0])


async def test_a_full_disk_delays_answers_until_there_is_room(tmp_path: Path) -> None:
    path, stored = tmp_path / "fleet.db", list[int]()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    failures = list[FileError]()
    with closing(StateFile(path, SEED)) as file:
        file.on_failure = failures.append
        file.flush()
        full = path.with_name("fleet.db-wal").stat().st_size
        # A file that cannot grow is what a full disk looks like to SQLite.
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, hard))
        try:
            for number in range(5):
                file.keep(device(number), (), lambda _, n=number: stored.append(n))  # type: ignore[misc]
            file.flush()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert stored == []
        await until(lambda: len(stored) == 5)
    assert failures == []


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
async def test_with_power_each_commit_waits_for_the_disk(
    tmp_path: Path, durability: str, level: int
) -> None:
    """SQLite's level 2 (FULL) synchronizes the write-ahead log in each commit, level 1 does not."""
    path, power = tmp_path / "fleet.db", durability == "power"
    await fill(path, devices=1)
    with closing(connect(path, exclusive=True, timeout=1, power=power)) as db:
        assert db.execute("pragma synchronous").fetchone() == (level,)
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
