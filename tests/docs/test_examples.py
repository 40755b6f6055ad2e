"""The files in examples/ run unchanged, in separate folders, with the command of this checkout."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from tests.support.scratch_project import PLUGIN, ROOT, environment, run_pytest

EXAMPLES = ROOT / "examples"
NETWORK = ("pip install ", "pipx install ")
"""Steps that install packages; the tests replace them by the packages of this checkout."""
ALWAYS = {"passfleet down"}
_TAVERN = Path(sys.prefix) / "tavern"
_LIMIT = 90.0


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """Repository of the back-end; a fleet still running there is stopped at the end."""
    folder = tmp_path / "repository"
    ignored = shutil.ignore_patterns(".passfleet", "__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLES / "backend", folder, ignore=ignored)
    yield folder
    left = folder / ".passfleet" / "up.json"
    if left.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(left.read_text())["pid"], signal.SIGKILL)


def run_shell(command: str, folder: Path, **more: str) -> str:
    """Run a command as a CI job would, with the plugin as if it were installed."""
    plugins = {
        "PYTHONPATH": str(PLUGIN),
        "PYTEST_PLUGINS": "pytest_passfleet,pytest_asyncio.plugin",
    }
    ended = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env=environment(**plugins, CI="true", **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def github_steps() -> list[str]:
    """Commands of the job."""
    document = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    (job,) = document["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


def gitlab_steps() -> list[str]:
    """Commands of the job."""
    (job,) = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text()).values()
    return [*job["before_script"], *job["script"], *job["after_script"]]


def uploaded(folder: Path, patterns: list[str]) -> None:
    """Assert that every file that the job uploads exists."""
    for pattern in patterns:
        assert list(folder.glob(pattern)), pattern
    assert ".passfleet/up.json" not in patterns


def run_job(steps: list[str], folder: Path) -> None:
    """Run the steps; skip those that install packages, after checking their arguments."""
    fetched = [step for step in steps if step.startswith(NETWORK)]
    assert len(fetched) == 2
    for named in re.findall(r"\./passfleet(\S*)", " ".join(fetched)):
        assert (ROOT / named.lstrip("/") / "pyproject.toml").is_file()
    for step in steps:
        if step not in fetched:
            run_shell(step, folder)
    suites: Any = JUnitXml.fromfile(str(folder / "tests.xml"))
    assert sum(suite.tests for suite in suites) == 5
    states = json.loads((folder / "devices.json").read_text())["devices"]
    late = [s["state"] for s in states if s["state"]["compliance"] == "noncompliant"]
    assert [state["platform"] for state in late] == ["ios"] * 5
    assert json.loads((folder / "results.json").read_text())["done"] == 5
    assert not (folder / ".passfleet" / "up.json").exists()


def test_github_actions_job_runs(checkout: Path) -> None:
    run_job(github_steps(), checkout)
    document = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    (job,) = document["jobs"].values()
    kept = job["steps"][-1]["with"]["path"].split()
    uploaded(checkout, kept)
    always = {step["run"] for step in job["steps"] if "run" in step and "if" in step}
    assert always == ALWAYS


def test_gitlab_job_runs(checkout: Path) -> None:
    run_job(gitlab_steps(), checkout)
    (job,) = yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text()).values()
    uploaded(checkout, job["artifacts"]["paths"] + job["artifacts"]["reports"]["junit"])
    assert set(job["after_script"]) == ALWAYS


def test_back_end_is_tested_on_two_workers(checkout: Path) -> None:
    ran = run_pytest(checkout, "-p", "pytest_asyncio.plugin", "-p", "xdist.plugin", "-n", "2")
    assert (ran.code, len(ran.tests)) == (0, 5), ran.output


def test_defect_in_the_back_end_fails_its_tests(checkout: Path) -> None:
    source = checkout / "helpdesk.py"
    right = source.read_text()
    source.write_text(right.replace('"noncompliant"', '"inGracePeriod"'))
    assert source.read_text() != right
    ran = run_pytest(checkout, "-p", "pytest_asyncio.plugin")
    failed = [name for name, how in ran.tests.items() if how == "failed"]
    assert failed == ["test_ios_device_without_new_passcode_is_overdue_after_an_hour"], ran.output


def tavern_python() -> Path:
    """Python of an environment with Tavern, created on first use and kept in `.venv`.

    Tavern needs paho-mqtt 1.6, which conflicts with the version of passfleet.
    """
    python = _TAVERN / "bin" / "python"
    wanted = (EXAMPLES / "tavern" / "requirements.txt").read_text()
    made = _TAVERN / "made-for.txt"
    if made.is_file() and made.read_text() == wanted:
        return python
    venv.create(_TAVERN, with_pip=False, clear=True)
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet"]
    fetched = subprocess.run(
        [*pip, "-r", str(EXAMPLES / "tavern" / "requirements.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode != 0:
        last = fetched.stderr.strip().splitlines()[-1:]
        pytest.skip(f"missing server: tavern ({' '.join(last)})")
    made.write_text(wanted)
    return python


@pytest.mark.timeout(300)  # the first time, Tavern is fetched
def test_tavern_file_passes_against_a_running_fleet(tmp_path: Path) -> None:
    folder = tmp_path / "tavern"
    shutil.copytree(EXAMPLES / "tavern", folder, ignore=shutil.ignore_patterns(".passfleet"))
    ended = subprocess.run(
        ["./run.sh", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=environment(TAVERN_PYTHON=str(tavern_python()), PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout
    assert "stopped the fleet of process" in ended.stdout
    assert not (folder / ".passfleet" / "up.json").exists()
