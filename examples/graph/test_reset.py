"""The reset script against virtual phones: `pytest examples/graph`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reset import reset

FLEET = Path(__file__).with_name("fleet.toml")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the Graph API over a fleet that runs for these tests."""
    folder = tmp_path_factory.mktemp("fleet")
    shutil.copy(FLEET, folder)
    up = subprocess.run(
        ["passfleet", "up", "--detach", "--web"],  # noqa: S607
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    try:
        yield next(
            line.removeprefix("web=") for line in up.stdout.splitlines() if line.startswith("web=")
        )
    finally:
        subprocess.run(["passfleet", "down"], cwd=folder, check=True)  # noqa: S607


def test_android_has_a_temporary_passcode(graph: str) -> None:
    result = reset(graph, "android-001")
    assert result["actionState"] == "done"
    assert result["passcode"]


def test_ios_has_none(graph: str) -> None:
    assert reset(graph, "ios-001")["passcode"] is None


def test_a_device_that_does_not_exist_is_named(graph: str) -> None:
    with pytest.raises(SystemExit, match="no-such-phone"):
        reset(graph, "no-such-phone")
