"""Traces of `play --record` replay without differences; no report contains a passcode."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from fleet.traces.replay import replay
from scenarios.traces.reader import read_trace
from tests.support.fleet_processes import Process, Start

CANARIES = ("8347592", "Kanari-3-vogel", "Papagei-4-gruen", "Zeisig-5-gelb")
SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[2] / "data" / "jenkins-junit.xsd"))
SECRETIVE = """\
name: Secrets {number}
source: a test
users:
  alex: {{password: "Kanari-3-vogel"}}
devices:
  phone: {{platform: ios, passcode: "8347592", owner: alex}}
  tablet: {{platform: android, passcode: "8347592", owner: alex}}
steps:
  - account.register: {{user: alex, password: "Kanari-3-vogel", alternateEmail: a@b.example}}
  - account.start_reset: {{captcha: solved}}
  - account.verify: {{method: emailAlternate}}
  - account.enter_code: {{from: mailbox}}
  - account.choose_password: {{password: "Papagei-4-gruen", confirm: "Papagei-4-gruen"}}
  - portal.sign_in: {{user: alex, password: "Zeisig-5-gelb"}}
  - portal.sign_in: {{user: alex, password: "Papagei-4-gruen"}}
  - user.enter_passcode: {{device: phone, passcode: "8347592"}}
  - command: {{device: tablet, actionName: resetPasscode}}
  - expect.result: {{device: tablet, actionState: done, newPasscode: present, within: 1m}}
  - user.enter_passcode: {{device: tablet, passcode: "8347592"}}
  - expect.device: {{device: phone, locked: {locked}}}
"""


async def played(start: Start, *arguments: str) -> tuple[int, Process]:
    process = start("play", *arguments)
    return await process.ended(120), process


async def test_the_whole_library_replays_without_difference(start: Start, tmp_path: Path) -> None:
    code, process = await played(start, "--record", "traces")
    assert code == 0, process.out + process.err
    traces = sorted((tmp_path / "traces").glob("*.jsonl"))
    assert len(traces) >= 24
    for path in traces:
        replayed = await replay(read_trace(path), "embedded")
        assert replayed.differences == [], path.name
        assert replayed.published or not replayed.sent, path.name


def scenarios(folder: Path) -> None:
    for number, locked in ((1, "false"), (2, "true")):
        text = SECRETIVE.format(number=number, locked=locked)
        (folder / f"secret-{number}.yaml").write_text(text)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".yaml"]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("more", [[], ["--json"]])
async def test_no_report_contains_a_passcode(start: Start, tmp_path: Path, more: list[str]) -> None:
    scenarios(tmp_path)
    reports = ["--html", "r.html", "--junit", "r.xml", "--record", "traces"]
    code, _ = await played(start, ".", *reports, *more)
    assert code == 1
    written = contents(tmp_path)
    assert {"r.html", "r.xml", "secret-1.jsonl", "secret-2.jsonl"} <= set(written)
    for name, text in written.items():
        assert not [canary for canary in CANARIES if canary in text], name
    document = etree.fromstring(written["r.xml"].encode())
    SCHEMA.assertValid(document)
    assert len(document.findall(".//failure")) == 1
