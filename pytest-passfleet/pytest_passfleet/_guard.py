"""Run a program and end it when stdin ends, so that no fleet runs on after a `kill -9` of pytest.

    python -I -S _guard.py PROGRAM ARGUMENT...

Prints the program's process id, leaves stdout to the program, and passes its exit code on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

_LIMIT = 20.0
"""Seconds between SIGTERM and SIGKILL."""


def main() -> None:
    """Guard the program named on the command line."""
    try:
        program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
    os.write(1, b"%d\n" % program.pid)
    # Our copy of stdout would keep the pipe open after the program's end.
    os.close(1)
    threading.Thread(target=_pass_on_end, args=(program,), daemon=True).start()
    while os.read(0, 1024):
        pass
    program.terminate()
    try:
        program.wait(_LIMIT)
    except subprocess.TimeoutExpired:
        program.kill()
    _pass_on_end(program)


def _pass_on_end(program: subprocess.Popen[bytes]) -> None:
    code = program.wait()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
