"""Folders with packages from npm, in the versions of their lock files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["npm_project"]

_LIMIT = 90


def npm_project(source: Path, folder: Path) -> Path:
    """Copy a project's files and install its packages; skips where node or npm is missing."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"missing server: {program}")
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    return folder
