"""Run file: trusted only if this user alone can have written it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from broker.errors import BrokerError, FileError
from broker.processes import is_alive, started_at
from fleet.service import run_file
from fleet.service.detach import stop_running
from fleet.service.run_file import RunningFleet


@pytest.fixture
def process() -> Iterator[int]:
    """Process that is not a fleet, and has to survive."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield sleeper.pid
    sleeper.kill()
    sleeper.wait()


def fleet_of(pid: int) -> RunningFleet:
    """Run file content of a process."""
    return RunningFleet(
        broker="mqtt://127.0.0.1:1", root="r", pid=pid, devices=1, started=started_at(pid)
    )


def _writable(path: Path) -> None:
    path.chmod(0o666)


def _linked(path: Path) -> None:
    path.rename(path.with_name("other.json"))
    path.symlink_to("other.json")


def _foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 65534, -1)


def _no_start(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": None}))


def _earlier(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": "1"}))


@pytest.mark.parametrize("spoil", [_writable, _linked, _foreign, _no_start, _earlier])
def test_down_signals_no_process_of_a_run_file_that_is_not_trusted(
    tmp_path: Path, process: int, spoil: Callable[[Path], None]
) -> None:
    path = run_file.write(tmp_path, fleet_of(process))
    assert path is not None
    spoil(path)
    assert stop_running(tmp_path, Console(quiet=True)) is None
    assert is_alive(process)


def test_down_ends_the_process_that_wrote_the_file(tmp_path: Path) -> None:
    # Reaped by a shell: a zombie of this process would also count as ended.
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert run_file.write(tmp_path, fleet_of(sleeper.pid)) is not None
    assert stop_running(tmp_path, Console(quiet=True)) == sleeper.pid
    assert sleeper.wait() == -15


def test_an_ignored_run_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run_file.write(tmp_path, replace(fleet_of(os.getpid()), devices=2))
    assert path is not None
    monkeypatch.chdir(tmp_path)
    assert run_file.locate(None, None)[1] == "r"
    path.chmod(0o622)
    with pytest.raises(BrokerError) as error:
        run_file.locate(None, None)
    assert "up.json is ignored" in str(error.value.hint)


def test_the_files_are_private_and_replace_links(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = run_file.make_folder(tmp_path)
    (folder / "up.json").symlink_to(victim)
    (folder / "starting.json").symlink_to(victim)
    written = [
        run_file.write(tmp_path, fleet_of(os.getpid())),
        run_file.write_starting(tmp_path, os.getpid()),
    ]
    for path in written:
        assert path is not None
        assert path.lstat().st_mode & 0o7777 == 0o600
        assert not path.is_symlink()
    assert victim.read_text() == "mine"


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    (elsewhere / "target").mkdir(parents=True)
    here.mkdir()
    (here / ".passfleet").symlink_to(elsewhere / "target")
    with pytest.raises(FileError, match="symbolic link"):
        run_file.write(here, fleet_of(os.getpid()))
    assert list((elsewhere / "target").iterdir()) == []
