"""`passfleet dialects` and the findings of `passfleet check` about dialects."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.fleet_files import group

ACME = """\
[dialects.acme.command]
topic = "acme/{deviceId}/cmd/{commandId}"
payload = { op = "{actionName}" }
"""


def passfleet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fleet.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_list(tmp_path: Path) -> None:
    assert "azure-direct-methods" in passfleet(tmp_path, "dialects").stdout
    found = json.loads(passfleet(tmp_path, "dialects", "--json").stdout)
    assert {"aws-iot-jobs", "passfleet", "thingsboard-rpc"} <= {each["name"] for each in found}


def test_one_of_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(ACME + group("phones"))
    shown = passfleet(tmp_path, "dialects", "acme").stdout
    assert "acme/{deviceId}/cmd/{commandId}" in shown
    assert "[dialects.acme.command]" in shown
    facts = json.loads(passfleet(tmp_path, "dialects", "acme", "--json").stdout)
    assert facts["sections"][0]["topics"] == ["acme/{deviceId}/cmd/{commandId}"]
    assert "acme" in tomllib.loads(facts["toml"])["dialects"]


def test_an_unknown_name(tmp_path: Path) -> None:
    ended = passfleet(tmp_path, "dialects", "aws-iot-job")
    assert ended.returncode == 2
    assert "did you mean 'aws-iot-jobs'?" in ended.stderr


def test_check_reports_what_does_not_survive(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(ACME + group("phones", dialect='"acme"'))
    found = json.loads(passfleet(tmp_path, "check", "--json").stdout)
    assert "policy" in found["dialect acme"]


def test_check_refuses_topics_without_a_device_id(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(group("phones", dialect='"thingsboard-rpc"'))
    ended = passfleet(tmp_path, "check")
    assert ended.returncode == 2
    assert "carry no device id" in ended.stderr
