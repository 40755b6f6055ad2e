"""Version numbers of the distributions and the changelog."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d{2}-\d{2})$")


def declared(folder: Path) -> str:
    with (folder / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def changelog() -> list[tuple[str, str]]:
    """(version, date or "Unreleased") of every heading, newest first."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    found = [HEADING.match(line) for line in lines if line.startswith("## ")]
    assert all(found), "a heading is not `## [X.Y.Z] - YYYY-MM-DD` or `## [X.Y.Z] - Unreleased`"
    return [(match[1], match[2]) for match in found if match]


def test_distributions_and_changelog_have_one_version() -> None:
    expected = declared(ROOT)
    assert declared(ROOT / "pytest-passfleet") == expected
    assert changelog()[0][0] == expected
    assert version("passfleet") == expected


def test_changelog_lists_versions_newest_first() -> None:
    numbers = [tuple(map(int, number.split("."))) for number, _ in changelog()]
    assert numbers == sorted(set(numbers), reverse=True)
    dates = [when for _, when in changelog()]
    assert "Unreleased" not in dates[1:]
    released = [date.fromisoformat(when) for when in dates if when != "Unreleased"]
    assert released == sorted(released, reverse=True)
