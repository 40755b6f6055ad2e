"""`passfleet up` with a state file that cannot be used: same words for any number of workers."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agent.storage.file import StateFile
from tests.support.fleet_processes import Start, fleet_text, phones, write_fleet


def _text(path: Path) -> None:
    path.write_text("no database " * 100, encoding="utf-8")


def _other_seed(path: Path) -> None:
    StateFile(path, 8).close()


def _damaged(path: Path) -> None:
    StateFile(path, 7).close()
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "text": (_text, "fleet.db", "is not a state file"),
    "seed": (_other_seed, "fleet.db", "was made by a fleet with another seed"),
    "damaged": (_damaged, "fleet.db", "is damaged"),
    "folder": (lambda _: None, "none/fleet.db", "cannot be made"),
}


@pytest.mark.parametrize(("make", "name", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_state_file_is_refused_in_the_same_words_by_any_number_of_workers(
    tmp_path: Path, start: Start, make: Callable[[Path], object], name: str, message: str
) -> None:
    make(tmp_path / "fleet.db")
    text = fleet_text(phones(count=4), state=f'"{name}"', seed=7)
    write_fleet(tmp_path, text)
    said = set()
    for workers in ("1", "2"):
        up = start("up", "--workers", workers)
        assert await up.ended() == 2
        assert message in up.err
        assert "Traceback" not in up.err
        said.add(up.err)
    assert len(said) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_fleet_on_a_state_file_is_refused(
    tmp_path: Path, start: Start, workers: str
) -> None:
    text = fleet_text(phones(count=4), state='"fleet.db"', workers=workers)
    write_fleet(tmp_path, text)
    first = start("up")
    await first.ready()
    second = start("up")
    assert await second.ended() == 2
    assert re.search(r"in use by another fleet \(process \d+\)", second.err.replace("\n", " "))


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_state_file_that_is_removed_ends_the_fleet_and_says_why(
    tmp_path: Path, start: Start, workers: str
) -> None:
    text = fleet_text(phones(count=4), state='"fleet.db"', workers=workers)
    write_fleet(tmp_path, text)
    up = start("up")
    await up.ready()
    (tmp_path / "fleet.db").unlink()
    assert await up.ended() == 2
    assert "it was removed while the fleet was using it" in " ".join(up.err.split())
    assert "Traceback" not in up.err


def _files_of(path: Path) -> list[str]:
    return [p.name for p in path.parent.glob(f"{path.name}*")]


async def test_a_clean_stop_seals_the_file_for_workers_too(tmp_path: Path, start: Start) -> None:
    text = fleet_text(phones(count=4), state='"fleet.db"', seed=7, workers=2)
    write_fleet(tmp_path, text)
    up = start("up", "--for", "1s")
    assert await up.ended() == 0
    path = tmp_path / "fleet.db"
    assert _files_of(path) == ["fleet.db"]
    with closing(StateFile(path, 7)) as file:
        assert file.session("phones-004") == 1
