"""Passcodes across a restart from a state file, and what the file gives away of them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from time import monotonic

import pytest

from agent.clock import Timers, VirtualClock
from agent.passcode import PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from agent.state import DeviceState
from agent.storage.file import StateFile
from broker.contract import Topics
from tests.support.device_harness import FIRST, OTHER, SECOND, THIRD, Rig

SEED = 7


def stored(path: Path, rig: Rig) -> None:
    """Store a rig's state as the fleet would."""
    clock = VirtualClock(0)
    shared = DeviceContext(topics=Topics("t"), clock=clock, timers=Timers(clock))
    with closing(StateFile(path, SEED)) as file:
        file.keep(Device(rig.state, rig.draws, shared), (), lambda _: None)
        file.tick()


def restarted(path: Path, rig: Rig) -> None:
    """Give a rig the state and the random stream of a new process."""
    with closing(StateFile(path, SEED)) as file:
        found = file.load(rig.enrollment)
        assert found is not None
        rig.state, rig.draws = found, DeviceRandomStream(SEED, "d-1", file.key)
    rig.now += SECOND


def opens(rig: Rig, passcode: str) -> bool:
    """True if the passcode opens the locked device."""
    rig.send("remoteLock", delivery=None)
    rig.press("enterPasscode", passcode=passcode)
    rig.now += SECOND
    return not rig.state.locked


async def test_a_passcode_that_a_user_set_opens_the_device_after_a_restart(tmp_path: Path) -> None:
    rig, path = Rig("android", policy=PasscodePolicy(history=5)), tmp_path / "fleet.db"
    for old, new in ((FIRST, OTHER), (OTHER, THIRD)):
        assert opens(rig, old)
        rig.press("setPasscode", passcode=new)
    for _ in range(2):
        stored(path, rig)
        restarted(path, rig)
        assert not opens(rig, OTHER)
        assert opens(rig, THIRD)
    for used in (FIRST, OTHER, THIRD):
        assert rig.press("setPasscode", passcode=used).error == "policyViolation"


async def test_a_temporary_passcode_opens_the_device_after_a_restart(tmp_path: Path) -> None:
    rig, path = Rig("android", policy=PasscodePolicy(history=5)), tmp_path / "fleet.db"
    rig.send("resetPasscode")
    first = rig.temporary()
    rig.send("resetPasscode")
    second = rig.temporary()
    stored(path, rig)
    restarted(path, rig)
    assert not opens(rig, first)
    assert opens(rig, second)
    assert rig.press("setPasscode", passcode=second).error == "policyViolation"


async def test_the_passcode_of_the_fleet_file_is_not_in_the_state_file(tmp_path: Path) -> None:
    rig, path = Rig("android"), tmp_path / "fleet.db"
    stored(path, rig)
    digest = rig.enrollment.first
    assert digest is not None
    assert digest.digest.hex().encode() not in path.read_bytes()
    restarted(path, rig)
    assert opens(rig, FIRST)


def _fast_digests(guess: str) -> set[str]:
    """Digests that one guess of seed and passcode gives without a slow hash."""
    stream = DeviceRandomStream(SEED, "d-1")
    key = blake2b(f"{SEED}/d-1".encode(), digest_size=32).digest()
    plain = blake2b(b"passcode/" + guess.encode(), key=key, digest_size=16).digest()
    temporary = stream.digest(guess, temporary=True)
    return {digest.hex() for digest in (stream.digest(guess), temporary, plain)}


async def test_trying_all_passcodes_of_four_digits_finds_none_in_the_file(tmp_path: Path) -> None:
    """Even whoever knows the seed has to compute a slow hash for each guess."""
    rig, path = Rig("android"), tmp_path / "fleet.db"
    assert opens(rig, FIRST)
    rig.press("setPasscode", passcode="4826")
    rig.press("setPasscode", passcode="7351")
    stored(path, rig)
    with closing(sqlite3.connect(path)) as db:
        ((text,),) = db.execute("select state from device")
    for number in range(10_000):
        assert not any(digest in text for digest in _fast_digests(f"{number:04}"))


async def test_a_guess_costs_a_slow_hash(tmp_path: Path) -> None:
    rig, path = Rig("android"), tmp_path / "fleet.db"
    assert opens(rig, FIRST)
    rig.press("setPasscode", passcode="4826")
    stored(path, rig)
    restarted(path, rig)
    since = monotonic()
    for guess in ("0000", "0001", "0002"):
        assert not opens(rig, guess)
    assert (monotonic() - since) / 3 > 0.02


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path, umask: int) -> None:
    path, before = tmp_path / "fleet.db", os.umask(umask)
    try:
        with closing(StateFile(path, SEED)):
            modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    path.chmod(0o644)
    StateFile(path, SEED).close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_first_passcode_that_was_taken_out_of_the_fleet_file_opens_no_device(
    tmp_path: Path,
) -> None:
    rig, path = Rig("android"), tmp_path / "fleet.db"
    stored(path, rig)
    rig.enrollment = replace(rig.enrollment, first=None)
    restarted(path, rig)
    assert isinstance(rig.state, DeviceState)
    assert not opens(rig, FIRST)
    rig.send("resetPasscode")
    assert opens(rig, rig.temporary())
