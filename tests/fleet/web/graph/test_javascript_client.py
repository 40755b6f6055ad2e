"""The official JavaScript client, unmodified, against a running fleet.

It is installed by npm into a temporary folder, in the versions of the lock file.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet_files import group
from tests.support.npm_projects import npm_project
from tests.support.web_fleets import web_fleet

HERE = Path(__file__).parent
FLEET = "\n".join(
    [
        group("ios", "ios", count=3, id='"ios-{n:03}"'),
        group("android", "android", count=4, id='"android-{n:03}"', owner='"kim"'),
    ]
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client installed."""
    return npm_project(HERE / "js", tmp_path_factory.mktemp("javascript"))


async def flows(project: Path, url: str) -> dict[str, Any]:
    """Run the script and return the JSON that it prints."""
    process = await asyncio.create_subprocess_exec(
        *("node", "flows.mjs", url),
        cwd=project,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    printed: dict[str, Any] = json.loads(out)
    return printed


async def test_the_client_lists_acts_and_batches(project: Path) -> None:
    async with web_fleet(FLEET) as fleet:
        seen = await flows(project, fleet.url)
    everyone = [f"android-{n:03}" for n in range(1, 5)] + [f"ios-{n:03}" for n in range(1, 4)]
    assert seen["pages"] == {"first": 3, "names": everyone}
    assert seen["iterated"] == everyone
    assert seen["filtered"] == ["ios-003", "ios-002", "ios-001"]
    assert seen["mine"] == everyone[:4]
    assert seen["beta"] == "ios-001"
    assert seen["answer"] is None
    assert seen["reset"]["@odata.type"] == "#microsoft.graph.resetPasscodeActionResult"
    assert seen["reset"]["passcode"]
    assert seen["missing"]["graphError"]
    assert seen["missing"]["status"] == 404
    assert seen["missing"]["code"] == "ResourceNotFound"
    assert seen["missing"]["requestId"]
    assert seen["unknown"]["status"] == 400
    assert seen["batch"] == {"statuses": [204, 200, 404], "name": "android-002"}


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((HERE / "js" / "package-lock.json").read_text())
    assert all("resolved" not in package for package in lock["packages"].values())
    assert all("integrity" in lock["packages"][name] for name in lock["packages"] if name)
