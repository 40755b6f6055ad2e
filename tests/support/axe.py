"""axe-core, the accessibility checker, from npm; run through `page.evaluate` because of the CSP."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from playwright.sync_api import Page

__all__ = ["serious_problems"]

_VERSION = "4.11.0"
_FOLDER = Path(gettempdir()) / f"passfleet-axe-{_VERSION}-{os.getuid()}"
_RUN = "() => axe.run(document, {resultTypes: ['violations']})"
_SERIOUS = ("serious", "critical")


@cache
def _source() -> str:
    """The script, installed once a machine; skips where npm is missing."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("missing server: chromium needs npm beside it, for axe-core")
    script = _FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    _FOLDER.mkdir(exist_ok=True)
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not script.exists():
            subprocess.run(
                [npm, "install", "--silent", "--no-audit", "--no-fund", f"axe-core@{_VERSION}"],
                cwd=_FOLDER,
                check=True,
                capture_output=True,
                timeout=90,
            )
    return script.read_text(encoding="utf-8")


def serious_problems(page: Page) -> list[str]:
    """Findings of axe-core with impact serious or critical: rule and elements."""
    page.evaluate(_source())
    found: dict[str, Any] = page.evaluate(_RUN)
    return [
        f"{rule['id']}: {[node['html'][:160] for node in rule['nodes'][:3]]}"
        for rule in found["violations"]
        if rule["impact"] in _SERIOUS
    ]
