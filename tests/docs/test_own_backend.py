"""examples/own_backend: the back-end, its dialect and its scenarios, as a CI job runs them."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from broker.server.mosquitto import find_mosquitto
from broker.server.open import MOSQUITTO
from tests.support.brokers import need
from tests.support.scratch_project import ROOT, environment

EXAMPLE = ROOT / "examples" / "own_backend"
SECRET = "key-of-the-help-desk"
_LIMIT = 100.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy of the example."""
    need(MOSQUITTO)
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the job."""
    own = {
        "PYTHON": sys.executable,
        "MOSQUITTO": str(find_mosquitto()),
        "KEYRING_API_KEY": SECRET,
        "KEYRING_DATABASE": str(folder / "keyring.db"),
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(**own),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


def test_scenarios_pass_against_the_back_end(checkout: Path) -> None:
    ended = run(checkout, "./run.sh")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    suites: Any = JUnitXml.fromfile(str(checkout / "junit.xml"))
    assert [(suite.tests, suite.failures) for suite in suites] == [(3, 0)]
    with sqlite3.connect(checkout / "keyring.db") as database:
        orders = database.execute("select phone, status, pin from orders").fetchall()
    database.close()
    assert {(phone, status) for phone, status, _ in orders} == {
        ("caller", "OK"),
        ("tablet", "REJECTED"),
        ("traveller", "OK"),
    }
    shown = (checkout / "report.html").read_text() + (checkout / "junit.xml").read_text()
    for secret in (SECRET, *(pin for _, _, pin in orders if pin)):
        assert secret not in shown
    assert "POST" in shown


def test_defect_in_the_back_end_fails_its_scenarios(checkout: Path) -> None:
    source = checkout / "keyring.py"
    right = source.read_text()
    source.write_text(right.replace('document.get("pin")', 'document.get("new")'))
    assert source.read_text() != right
    ended = run(checkout, "./run.sh", "-k", "resets")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "pin: {matches: ^[A-Za-z0-9]{6}$}" in ended.stdout
    assert "•••" not in ended.stdout, "there is no PIN to mask"


def test_job_runs_the_script_that_the_test_runs() -> None:
    document = yaml.safe_load((EXAMPLE / "github-actions.yml").read_text())
    (job,) = document["jobs"].values()
    steps = [step["run"] for step in job["steps"] if "run" in step]
    assert steps[-1] == "./run.sh"
    kept = job["steps"][-1]["with"]["path"].split()
    script = (EXAMPLE / "run.sh").read_text()
    assert all(name in script for name in kept)


def test_check_reads_fleet_and_scenarios_together(checkout: Path) -> None:
    ended = run(
        checkout, "sh", "-c", "KEYRING=http://127.0.0.1 passfleet check fleet.toml scenarios"
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 files" in ended.stdout


def test_dialect_of_a_fleet_file_is_unknown_without_it(checkout: Path) -> None:
    ended = run(checkout, "sh", "-c", "KEYRING=http://127.0.0.1 passfleet check scenarios")
    assert ended.returncode == 2
    assert 'got "keyring"; expected one of' in ended.stderr
