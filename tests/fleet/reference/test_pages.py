"""The pages under docs/: those made from the code say all of it, the others have right examples."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from agent.definition.device import PolicySection
from agent.state import ErrorCode
from broker.reference.catalog import CHANNELS, PAYLOADS
from broker.reference.contract_page import contract_page
from fleet.cli import application
from fleet.config.loader import parse_fleet
from fleet.config.sections import BrokerSection, FleetSection, GroupSection
from fleet.reference.build import PAGES, main, stale_pages, write_pages
from fleet.reference.facts import explain
from fleet.reference.platform_page import platforms_page
from fleet.reference.state_diagram import state_machine_page, transitions
from platforms import PLATFORMS, PLATFORMS_BY_ID, PlatformProfile
from platforms.profile import Action, Source

ROOT = Path(__file__).parents[3]


def test_committed_pages_match_the_code() -> None:
    assert stale_pages(ROOT / "docs") == []


def test_check_exits_1_where_a_page_differs_and_0_where_none_does(tmp_path: Path) -> None:
    table = tmp_path / "exercised.json"

    assert main(["--check"], tmp_path, table) == 1
    assert main([], tmp_path, table) == 0
    assert main(["--check"], tmp_path, table) == 0

    for file in (tmp_path / "platforms.md", table):
        generated = file.read_text(encoding="utf-8")
        file.write_text(generated + "by hand\n", encoding="utf-8")

        assert main(["--check"], tmp_path, table) == 1
        assert file.read_text(encoding="utf-8").endswith("by hand\n")
        file.write_text(generated, encoding="utf-8")


def test_write_leaves_alone_what_is_right(tmp_path: Path) -> None:
    assert {path.name for path in write_pages(tmp_path)} == set(PAGES)
    assert write_pages(tmp_path) == []


def test_unknown_argument_is_wrong_usage(tmp_path: Path) -> None:
    assert main(["--chek"], tmp_path) == 2
    assert list(tmp_path.iterdir()) == []


def test_check_runs_as_a_program() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "fleet.reference.build", "--check"],
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
        *(limit.source for limit in profile.reset.limits),
    ]

    for source in sources:
        assert source.cite in page
        if source.assumption:
            assert f"**Assumption:** {source.assumption}" in page
    for action in Action:
        assert explain(profile, action).rule in page
    for entry in profile.ledger:
        assert f"| {entry.what} |" in page


# ---------------------------------------------------------------------------------------------
# The pages written by hand: their examples are right

WRITTEN = sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / name for name in PAGES})
# Keys in examples that start with this comment need files that are not there.
NOT_RUN = "# not run"


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _command_lines() -> list[list[str]]:
    lines = []
    for page in WRITTEN:
        for block in (*_blocks(page, "sh"), *_blocks(page, "yaml")):
            for line in block.splitlines():
                found = re.search(r"(?:^|- |run: )(passfleet .*)", line)
                if found:
                    command = re.split(r" [<>] ", found[1])[0]
                    lines.append(shlex.split(command, comments=True)[1:])
    return lines


def _application() -> Any:
    return typer.main.get_command(application())


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_fleet_file_examples_are_right(page: Path) -> None:
    whole = ""
    for block in _blocks(page, "toml"):
        if block.startswith(NOT_RUN):
            continue
        # A block without a group continues the fleet file of the block before.
        whole = block if "[[group]]" in block else whole + block
        assert parse_fleet(whole).device_count


@pytest.mark.parametrize("arguments", _command_lines(), ids=" ".join)
def test_command_line_examples_are_taken(arguments: list[str]) -> None:
    command = _application()
    if arguments == ["--help"]:
        return
    while arguments and arguments[0] in getattr(command, "commands", {}):
        command, arguments = command.commands[arguments[0]], arguments[1:]

    assert not getattr(command, "commands", None), "a command of passfleet"
    command.make_context("passfleet", list(arguments))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([\w-]+\.md)(?:#([\w-]+))?\)", page.read_text("utf-8")):
        text = (ROOT / "docs" / target).read_text("utf-8")
        headings = [
            re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        ]
        assert not anchor or anchor in headings


def test_every_page_is_reached_from_getting_started() -> None:
    text = (ROOT / "docs" / "getting-started.md").read_text("utf-8")

    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "getting-started.md" or f"({page.name})" in text


@pytest.mark.parametrize("model", [FleetSection, BrokerSection, GroupSection, PolicySection])
def test_fleet_file_page_has_every_key(model: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "fleet-file.md").read_text("utf-8")

    for name, info in model.model_fields.items():
        assert f"`{info.alias or name}`" in text


def test_state_machine_page_shows_each_platform_once_in_every_section() -> None:
    page = state_machine_page()

    for title in ("Lock", "Passcode", "Compliance and grace"):
        headings = re.findall(rf"^### {title}: (.*)$", page, re.MULTILINE)
        shown = sorted(name for heading in headings for name in heading.split(", "))
        assert shown == sorted(profile.title for profile in PLATFORMS)
    assert page.count("```mermaid\nstateDiagram-v2\n") == page.count("\n### ")


@pytest.mark.parametrize(
    ("platform", "diagram", "edge", "possible"),
    [
        ("ios", "Passcode", ("user", "resetPasscode", "none"), True),
        ("ios", "Compliance and grace", ("compliant", "resetPasscode", "inGracePeriod"), True),
        ("android", "Passcode", ("user", "resetPasscode", "temporary"), True),
        ("android", "Lock", ("unlocked", "resetPasscode", "locked"), False),
        ("windows_phone_8", "Lock", ("unlocked", "resetPasscode", "locked"), True),
        ("windows_8_1", "Lock", ("locked", "signIn", "unlocked"), True),
    ],
)
def test_diagrams_have_the_transitions_of_the_platform(
    platform: str, diagram: str, edge: tuple[str, str, str], *, possible: bool
) -> None:
    assert (edge in transitions(PLATFORMS_BY_ID[platform])[diagram]) is possible
