"""Start of the application and of its child processes, with its folder first on `sys.path`.

`main` is the command `passfleet`. Run as a file, `launcher.py MODULE ARGUMENT...` runs a module of
the application, as `python -m` does; worker processes, the embedded broker and `up --detach` are
started in this way. So a `fleet.py` or a folder `agent/` of the user, in the current folder or on
PYTHONPATH, is never taken for a part of the application.

Until the signal handler is set, this file imports what the interpreter has loaded already.
"""

from __future__ import annotations

import os
import sys

__all__ = ["application_folder", "main", "run_module", "use_application"]


def application_folder() -> str:
    """Folder of the application's packages: `_app` where installed, else the repository."""
    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120  # pathlib takes time
    installed = os.path.join(here, "_app")  # noqa: PTH118
    return installed if os.path.isdir(installed) else os.path.dirname(here)  # noqa: PTH112, PTH120


def use_application() -> None:
    """Put the application's folder first on `sys.path`."""
    folder = application_folder()
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]


def _exit_on_interrupt() -> None:
    """Exit with 130 at Ctrl-C while the application is imported, without a traceback.

    A KeyboardInterrupt in the middle of an import may be printed by whatever is imported. An
    ignored SIGINT (`nohup`, a shell's `&`) stays ignored.
    """
    import signal  # noqa: PLC0415  # first of all, the handler

    def handle(number: int, _: object) -> None:
        os.write(2, b"interrupted\n")
        os._exit(128 + number)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handle)


def main() -> None:
    """Run the command line."""
    _exit_on_interrupt()
    use_application()
    from fleet.cli import main as command_line  # noqa: PLC0415  # needs the path

    command_line()


def run_module() -> None:
    """Run the module that the first argument names as `__main__`, with the other arguments."""
    import runpy  # noqa: PLC0415  # takes time that the command line does not need

    use_application()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_module()
