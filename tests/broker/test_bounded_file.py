"""Limits of the files that a user names: fleet files, scenarios and traces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.bounded_file import read_bounded
from broker.errors import FileError
from fleet.config.loader import load_fleet
from scenarios.parsing.parser import load_scenario

KIB = 1024


def test_file_of_the_limit_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * KIB)
    assert read_bounded(path, KIB, "a file") == b"x" * KIB
    with pytest.raises(FileError, match="too large to be a file; expected at most 0 KiB"):
        read_bounded(path, KIB - 1, "a file")


@pytest.mark.parametrize(("load", "limit"), [(load_fleet, 1024 * KIB), (load_scenario, 512 * KIB)])
def test_endless_file_is_refused(
    load: Callable[[Path], object], limit: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"#" * (limit + 1))
    for name in (path, Path("/dev/zero")):
        with pytest.raises(FileError, match=f"at most {limit // KIB} KiB"):
            load(name)


@pytest.mark.parametrize("text", ["a" + ".b" * 400_000 + " = 1\n", f"[{'x . ' * 40}y]\n"])
def test_key_of_too_many_parts_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(FileError, match="a key has too many parts"):
        load_fleet(path)
