"""Messages about wrong input that need no running fleet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fleet_processes import Start

THREE_MISTAKES = """\
[fleet]
sed = 7
[[group]]
name = "phones"
platform = "iso"
colour = "red"
"""


async def test_every_problem_of_a_file_is_printed(tmp_path: Path, start: Start) -> None:
    (tmp_path / "fleet.toml").write_text(THREE_MISTAKES)
    check = start("check")
    assert await check.ended() == 2
    lines = [line for line in check.err.splitlines() if line.startswith("error: fleet.toml:")]
    assert [line.split(":")[2] for line in lines] == ["2", "6"]
    assert "did you mean 'seed'?" in check.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--broker", "mqtt://127.0.0.1:99999"], "MQTT's port is 1883, over TLS 8883"),
        (["check", "--broker", "mqtt://a:p@c:w/x@e"], "write /, @ and : in a user name"),
        (["load", "--threshold", "p99<500ms"], "did you mean 'all.p99'?"),
    ],
)
async def test_hint_names_what_to_write(arguments: list[str], words: str, start: Start) -> None:
    assert await start("init").ended() == 0
    refused = start(*arguments)
    assert await refused.ended() == 2
    assert words in refused.err
