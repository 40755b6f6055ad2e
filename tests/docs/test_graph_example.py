"""The Graph example runs as it is, with this checkout's command."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.npm_projects import npm_project
from tests.support.scratch_project import ROOT, environment
from tests.support.web_fleets import web_fleet

EXAMPLE = ROOT / "examples" / "graph"
_LIMIT = 90.0


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with this checkout's `passfleet` first on PATH."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )


def test_the_pytest_of_the_example_passes(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    ended = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


@pytest.mark.parametrize("script", ["reset.py", "reset.mjs"])
async def test_the_script_prints_the_new_passcode(script: str, tmp_path: Path) -> None:
    python = script.endswith(".py")
    folder = EXAMPLE if python else npm_project(EXAMPLE, tmp_path)
    program = sys.executable if python else "node"
    async with web_fleet((EXAMPLE / "fleet.toml").read_text()) as fleet:
        for device, code in (("android-001", 0), ("no-such", 1)):
            command = [program, script, fleet.url, device]
            ended = await asyncio.to_thread(run, command, folder)
            assert ended.returncode == code, ended.stderr
            said = ended.stderr if code else ended.stdout
            assert ("no-such" in said) if code else said.startswith("done ")
            assert "no passcode" not in said
