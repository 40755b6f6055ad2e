"""Projects of other people, made in a scratch folder: their files, and tools run in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.processes import is_alive

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "pytest-passfleet"
BIN = Path(sys.executable).parent
INI = """
[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider
filterwarnings = error
"""
# What nothing but a kill leaves: tests write down which process their fleet is.
NOTE = """
import os
from pathlib import Path


def note(fleet):
    with Path("fleets.txt").open("a") as file:
        file.write(f"{os.getpid()} {fleet.pid} {fleet.port}\\n")
"""
GOOD = """
name: An administrator resets a phone
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
steps:
  - console.select: {devices: [phone]}
  - console.reset_passcode
  - expect.console: {actionState: done, within: 5m}
  - expect.device: {compliance: inGracePeriod}
"""
_LIMIT = 90.0
# What would reach from the test run that we are into the one that is started.
_OURS = ("PYTEST_", "PASSFLEET_", "PYTHONPATH", "COLUMNS", "FORCE_COLOR", "PY_COLORS")


@dataclass(frozen=True)
class Ran:
    """A pytest that has ended: its exit code, what it said, and how each test ended."""

    code: int
    output: str
    tests: Mapping[str, str]


def environment(**more: str) -> dict[str, str]:
    """The environment, with our own commands first on PATH and without our own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    path = f"{BIN}{os.pathsep}{kept['PATH']}"
    # A project has the plugins that its test names, not all of ours.
    return {**kept, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a project's files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")


def run_pytest(folder: Path, *arguments: str, **more: str) -> Ran:
    """Run pytest with the plugin's source in a folder."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_passfleet", "-rA", *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(PLUGIN), **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    return ran(ended)


def ran(ended: subprocess.CompletedProcess[str]) -> Ran:
    """Parse the outcome of a run of `pytest -rA`."""
    output = ended.stdout + ended.stderr
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    tests = {name.rpartition("::")[2]: outcome.lower() for outcome, name in found}
    return Ran(ended.returncode, output, tests)


def named_blocks(page: Path) -> dict[str, str]:
    """The fenced blocks of a page whose first line names their file, by that name."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def noted(folder: Path) -> list[tuple[int, int, int]]:
    """(pytest's process, the fleet's process, its port) for every note, each once."""
    lines = (folder / "fleets.txt").read_text().splitlines()
    found = (tuple(int(word) for word in line.split()) for line in dict.fromkeys(lines))
    return [(pytest_pid, fleet, port) for pytest_pid, fleet, port in found]


def none_left(folder: Path) -> bool:
    """Say whether all fleets that were noted have ended."""
    return not any(is_alive(fleet) for _, fleet, _ in noted(folder))
