"""Files that passfleet writes: nothing else is overwritten, and no foreign link followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import FileError
from broker.safe_files import check_report, open_private

MARK = 'content="passfleet"'


def test_a_former_report_a_missing_and_an_empty_file_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    check_report(path, MARK, force=False)
    path.touch()
    check_report(path, MARK, force=False)
    path.write_text(f"<html>{MARK}")
    check_report(path, MARK, force=False)
    check_report(Path("/dev/null"), MARK, force=False)


def test_another_file_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "thesis.html"
    path.write_text("ten years of work")
    with pytest.raises(FileError, match="is not a report of passfleet") as error:
        check_report(path, MARK, force=False)
    assert "--force" in str(error.value.hint)
    check_report(path, MARK, force=True)


def test_a_link_to_another_folder_is_not_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "here" / "report.html"
    link.parent.mkdir()
    victim.write_text("mine")
    link.symlink_to(victim)
    with pytest.raises(FileError, match="symbolic link"):
        check_report(link, MARK, force=True)
    with pytest.raises(FileError, match="symbolic link"):
        open_private(link)
    assert victim.read_text() == "mine"
