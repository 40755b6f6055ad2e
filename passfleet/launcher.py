"""Start of the application and of its child processes, with its folder first on `sys.path`.

`main` is the command `passfleet`. Run as a file, `launcher.py MODULE ARGUMENT...` runs a module of
the application, as `python -m` does; worker processes, the embedded broker and `up --detach` are
started in this way. So a `fleet.py` or a folder `agent/` of the user, in the current folder or on
PYTHONPATH, is never taken for a part of the application.

This file imports the standard library alone until the path is set.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

__all__ = ["application_folder", "main", "run_module", "use_application"]


def application_folder() -> Path:
    """Folder of the application's packages: `_app` where installed, else the repository."""
    here = Path(__file__).resolve().parent
    installed = here / "_app"
    return installed if installed.is_dir() else here.parent


def use_application() -> None:
    """Put the application's folder first on `sys.path`."""
    folder = str(application_folder())
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]


def main() -> None:
    """Run the command line."""
    use_application()
    from fleet.cli import main as command_line  # noqa: PLC0415  # needs the path

    command_line()


def run_module() -> None:
    """Run the module that the first argument names as `__main__`, with the other arguments."""
    use_application()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_module()
