"""Help of every command: plain metavars, an example, and lines of at most 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from fleet.cli import application
from fleet.config.sample import default_config

TYPE_NAMES = re.compile(
    r"<(bool|str|int|float|path|list|tuple)|range>|\[\d*<?=?x|\[x[<>]=|<\w+(\|\w+)+>"
)
SAMPLE_DEVICES = {device.device_id for device in default_config().devices()}
SAMPLE_GROUPS = {group.name for group in default_config().groups}


def command_lines(group: TyperGroup, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield prefix
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from command_lines(command, (*prefix, name))
        else:
            yield (*prefix, name)


def root_group() -> TyperGroup:
    group = get_command(application())
    assert isinstance(group, TyperGroup)
    return group


COMMANDS = list(command_lines(root_group()))


def test_the_walk_finds_commands_and_sub_commands() -> None:
    assert {(), ("up",), ("load",), ("clock",), ("clock", "advance")} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_plain_metavars_and_an_example(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    ran = CliRunner().invoke(application(), [*command, "--help"], prog_name="passfleet")
    assert ran.exit_code == 0
    assert not TYPE_NAMES.search(ran.output), ran.output
    assert max(map(len, ran.output.splitlines())) <= 80
    (example,) = re.findall(r"Example: (passfleet [^\n]+)", ran.output)
    assert example.startswith(" ".join(["passfleet", *command]))
    assert set(re.findall(r"(?:ios|android)-\d+", example)) <= SAMPLE_DEVICES
    assert set(re.findall(r"--group (\w+)", example)) <= SAMPLE_GROUPS


@pytest.mark.parametrize(
    "arguments",
    [("up", "--devices", "0"), ("policy", "--min-length", "-1"), ("play", "--jobs", "0")],
)
def test_numbers_out_of_range_are_still_refused(arguments: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(application(), list(arguments))
    assert ran.exit_code == 2
    assert "Invalid value" in ran.output
