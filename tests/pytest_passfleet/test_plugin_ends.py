"""pytest-passfleet in separate projects: scenario files, missing command, end of a fleet."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

from tests.support.brokers import until
from tests.support.scratch_project import (
    GOOD,
    INI,
    NOTE,
    PLUGIN,
    environment,
    none_left,
    noted,
    ran,
    run_pytest,
    write,
)

OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")


# -- scenario files ---------------------------------------------------------------------------


def test_failed_scenario_shows_where_what_and_the_last_messages(tmp_path: Path) -> None:
    late = GOOD.replace("inGracePeriod", "noncompliant")
    wrong = GOOD.replace("console.select", "console.selekt")
    write(tmp_path, {"pytest.ini": INI, "good.passfleet.yaml": GOOD, "other.yaml": "a: 1\n"})
    write(tmp_path, {"below/late.passfleet.yml": late, "wrong.passfleet.yaml": wrong})
    ran = run_pytest(tmp_path)
    assert ran.code == 1
    assert ran.tests == {"good": "passed", "late": "failed", "wrong": "failed"}
    assert "below/late.passfleet.yml:8:5: step 4, expect.device: {compliance: n" in ran.output
    assert "expected: compliance: noncompliant\nseen:     compliance: inGracePeriod" in ran.output
    assert "last messages:\n  2015-12-10T20:19:0" in ran.output
    assert "phone notifications: Passcode Requirement" in ran.output
    assert "wrong.passfleet.yaml:5:5" in ran.output
    assert "did you mean 'console.select'?" in ran.output
    assert "Traceback" not in ran.output
    assert "scenarios.py" not in ran.output


def test_play_takes_further_arguments(tmp_path: Path) -> None:
    ini = f"{INI}passfleet_play = --broker nonsense://\n"
    write(tmp_path, {"pytest.ini": ini, "good.passfleet.yaml": GOOD})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"good": "failed"}
    assert "error: " in ran.output


# -- the command ------------------------------------------------------------------------------

BOTH = {
    "good.passfleet.yaml": GOOD,
    "test_fleet.py": "def test_fleet(passfleet_fleet):\n    assert passfleet_fleet.devices\n",
}


def test_missing_command_is_an_error_with_a_hint(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_command = no-passfleet\n", **BOTH})
    ran = run_pytest(tmp_path)
    assert (ran.code, ran.tests) == (1, {"good": "failed", "test_fleet": "error"})
    assert "command 'no-passfleet' not found; install it from a checkout" in ran.output
    assert "PASSFLEET_COMMAND" in ran.output


def test_missing_command_can_be_a_skip(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_missing = skip\n", **BOTH})
    ran = run_pytest(tmp_path, PASSFLEET_COMMAND="no-passfleet")
    assert ran.code == 0
    assert "2 skipped" in ran.output
    assert "command 'no-passfleet' not found" in ran.output


def test_command_with_arguments_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_command = no-passfleet\n", **BOTH})
    ran = run_pytest(tmp_path, PASSFLEET_COMMAND=f"{sys.executable} -m fleet.cli")
    assert ran.tests == {"good": "passed", "test_fleet": "passed"}, ran.output


# -- the end ----------------------------------------------------------------------------------


def test_fleet_that_dies_is_reported_at_once(tmp_path: Path) -> None:
    text = """
import os, signal


def test_dies(passfleet_fleet):
    os.kill(passfleet_fleet.pid, signal.SIGKILL)
    passfleet_fleet.wait_for("notifications", "ios-001", limit=60)
"""
    write(tmp_path, {"pytest.ini": INI, "test_dies.py": text})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"test_dies": "failed"}
    assert "FleetError: the fleet has ended: exit code 137" in ran.output


def test_fleet_that_does_not_get_ready_is_stopped(tmp_path: Path) -> None:
    ini = f"{INI}passfleet_start_limit = 0.5\n"
    text = "def test_fleet(passfleet_fleet):\n    raise AssertionError\n"
    write(tmp_path, {"pytest.ini": ini, "test_fleet.py": text})
    ran = run_pytest(tmp_path, PASSFLEET_COMMAND="sh -c 'echo busy >&2; exec sleep 1000'")
    assert ran.tests == {"test_fleet": "error"}
    assert "the fleet did not start within 0.5 s: exit code 143\nE" in ran.output
    assert "busy" in ran.output


async def test_no_fleet_runs_on_after_pytest_is_killed(tmp_path: Path) -> None:
    text = """
import threading
from note import note


def test_hangs(passfleet_fleet):
    note(passfleet_fleet)
    threading.Event().wait()
"""
    write(tmp_path, {"pytest.ini": INI, "note.py": NOTE, "test_hangs.py": text})
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "pytest", "-p", "pytest_passfleet"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(PLUGIN)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        notes = tmp_path / "fleets.txt"
        await until(lambda: notes.exists() and notes.read_text().endswith("\n"))
        assert not none_left(tmp_path)
    finally:
        child.kill()
        child.wait()
    try:
        await until(lambda: none_left(tmp_path))
    finally:
        for _, fleet, _ in noted(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(fleet, signal.SIGKILL)


# -- installed --------------------------------------------------------------------------------


def test_installed_distribution_needs_no_option(tmp_path: Path) -> None:
    # A copy: a build leaves its folders in the source.
    source = tmp_path / "source"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = next(home.glob("lib/python*/site-packages"))
    # pytest, aiomqtt and setuptools of our own; the environment of passfleet is not on the path.
    ours = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"{ours}\n")
    subprocess.run(
        [python, "-m", "pip", "install", *OFFLINE, str(source)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    project = tmp_path / "project"
    write(project, {"pytest.ini": INI, **BOTH})
    ended = subprocess.run(
        [python, "-m", "pytest", "-rA", "-p", "no:asyncio"],
        cwd=project,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran(ended).tests == {"good": "passed", "test_fleet": "passed"}, ended.stdout
    assert (packages / "pytest_passfleet" / "py.typed").is_file()
    twice = subprocess.run(
        [python, "-m", "pytest", "-p", "no:asyncio", "-p", "pytest_passfleet", "--co"],
        cwd=project,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert twice.returncode == 0, twice.stdout + twice.stderr
