"""Page of the command line, held against the help of every command."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from fleet.cli import application
from fleet.reference.cli_page import cli_page
from tests.fleet.cli.test_help import COMMANDS
from tests.support.distributions import ROOT

PAGE = cli_page()
SECTIONS = dict(
    re.findall(r"^## (passfleet [^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)


def has_options(command: tuple[str, ...]) -> bool:
    """True for a command that does something itself, unlike a group such as `clock`."""
    return " ".join(["passfleet", *command]) in SECTIONS


def test_page_in_the_repository_is_up_to_date() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == PAGE


def test_every_command_has_a_section() -> None:
    groups = {command[:-1] for command in COMMANDS if command}
    expected = {" ".join(["passfleet", *command]) for command in COMMANDS if command not in groups}
    assert set(SECTIONS) == expected


@pytest.mark.parametrize("command", [c for c in COMMANDS if has_options(c)], ids=" ".join)
def test_section_has_every_option_of_the_help(command: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(
        application(), [*command, "--help"], prog_name="passfleet", env={"COLUMNS": "200"}
    )
    section = SECTIONS[" ".join(["passfleet", *command])]
    listed = set(re.findall(r"^│\s+\*?\s*(?:-\w,?\s+)?(--[\w-]+)", ran.output, re.MULTILINE)) - {
        "--help"
    }
    assert listed <= set(re.findall(r"--[\w-]+", section))
    (example,) = re.findall(r"Example: (passfleet [^\n]+)", ran.output)
    assert f"Example: `{example.strip()}`" in section
