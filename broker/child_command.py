"""Command lines of the application's own child processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["module_command"]

_APPLICATION: Final = Path(__file__).resolve().parents[1]
# Installed, the application lies in passfleet/_app; in a checkout, beside passfleet.
_PACKAGE: Final = _APPLICATION.parent if _APPLICATION.name == "_app" else _APPLICATION / "passfleet"


def module_command(module: str, *arguments: str, python: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs a module of the application in a new Python process.

    `python` are further options of the interpreter. The child imports nothing from the current
    folder, and prefers the application to modules of the same name on PYTHONPATH.
    """
    launcher = str(_PACKAGE / "launcher.py")
    return [sys.executable, "-P", *python, launcher, module, *arguments]
