"""The pages that are made from the code are what the code says, and say all of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.state import ErrorCode
from broker.contract_page import contract_page
from broker.wire_catalog import CHANNELS, PAYLOADS
from fleet.docs_pages import PAGES, differing, main, write
from fleet.platform_facts import explain
from fleet.platform_page import platforms_page
from platforms import PLATFORMS, PlatformProfile
from platforms.profile import Action, Source

ROOT = Path(__file__).parent.parent


def test_committed_pages_are_what_the_code_says() -> None:
    assert differing(ROOT / "docs") == []


def test_check_exits_1_where_a_page_differs_and_0_where_none_does(tmp_path: Path) -> None:
    assert main(["--check"], tmp_path) == 1
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0

    page = tmp_path / "platforms.md"
    page.write_text(page.read_text(encoding="utf-8") + "by hand\n", encoding="utf-8")

    assert main(["--check"], tmp_path) == 1
    assert page.read_text(encoding="utf-8").endswith("by hand\n")


def test_write_leaves_alone_what_is_right(tmp_path: Path) -> None:
    assert {path.name for path in write(tmp_path)} == set(PAGES)
    assert write(tmp_path) == []


def test_unknown_argument_is_wrong_usage(tmp_path: Path) -> None:
    assert main(["--chek"], tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_check_runs_as_a_program() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fleet.docs_pages", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "")


def test_contract_page_has_every_topic_payload_and_error_code() -> None:
    page = contract_page()

    assert page.count("| operator |") + page.count("| anyone allowed |") == 7
    assert all(f"`passfleet schema {payload.name}`" in page for payload in PAYLOADS)
    assert all(f"`{code}`" in page for code in ErrorCode)
    assert page.count("| `<root>/") == len(CHANNELS)


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_platform_page_names_every_source_and_assumption(profile: PlatformProfile) -> None:
    page = platforms_page()
    sources: list[Source] = [
        profile.reset.source,
        profile.lock.source,
        profile.passcode.source,
        *profile.sources.values(),
    ]

    for source in sources:
        assert source.cite in page
        if source.assumption:
            assert f"**Assumption:** {source.assumption}" in page
    for action in Action:
        assert explain(profile, action).rule in page
