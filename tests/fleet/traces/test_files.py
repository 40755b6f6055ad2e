"""Several traces and folders in one replay, and a replay that stops at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.distributions import ROOT
from tests.support.fleet_processes import Start

TRACE = ROOT / "tests" / "data" / "trace-v1.jsonl"


async def replayed(start: Start, *arguments: str) -> Any:
    process = start("replay", *arguments, "--json")
    assert await process.ended() == 0, process.err
    return json.loads(process.out)


async def test_files_and_folders_are_replayed_once_each(start: Start, tmp_path: Path) -> None:
    below = tmp_path / "traces" / "below"
    below.mkdir(parents=True)
    for path in (tmp_path / "traces" / "a.jsonl", below / "b.jsonl"):
        shutil.copy(TRACE, path)
    found = await replayed(start, "traces", "traces/a.jsonl")
    assert [each["trace"] for each in found] == ["traces/a.jsonl", "traces/below/b.jsonl"]
    assert {len(each["differences"]) for each in found} == {0}
    text = start("replay", "traces")
    assert await text.ended() == 0
    assert [line.split(":")[0] for line in text.out.splitlines()] == [
        "traces/a.jsonl",
        "traces/below/b.jsonl",
    ]


@pytest.mark.parametrize("until", ["20:19:08", "2015-12-10T20:19:08Z", "20:20"])
async def test_replay_stops_at_a_time(until: str, start: Start, tmp_path: Path) -> None:
    shutil.copy(TRACE, tmp_path / "trace.jsonl")
    whole = await replayed(start, "trace.jsonl")
    part = await replayed(start, "trace.jsonl", "--until", until)
    assert part["differences"] == []
    assert 0 < part["sent"] <= whole["sent"]
    assert part["published"] <= whole["published"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trace.jsonl", "--until", "noon"], "write 12:30, 12:30:05 or 2015-12-10T20:30:00Z"),
        (["trace.jsonl", "--until", "2015-12-10T20:00:00Z"], "is before the trace starts"),
        (["empty"], "traces end in .jsonl"),
    ],
)
async def test_wrong_arguments_are_refused(
    arguments: list[str], words: str, start: Start, tmp_path: Path
) -> None:
    shutil.copy(TRACE, tmp_path / "trace.jsonl")
    (tmp_path / "empty").mkdir()
    process = start("replay", *arguments)
    assert await process.ended() == 2
    assert words in process.err
