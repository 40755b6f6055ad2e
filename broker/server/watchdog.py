"""Run a program and end it when stdin ends: for brokers that do not watch their parent themselves.

    python -I -S watchdog.py FOLDER PROGRAM ARGUMENT...

Prints the program's process id, passes its exit code on, and removes FOLDER (the program's private
files) at the end. Started by path, with nothing but the standard library, to be up in 10 ms.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

# Seconds that the program has to end before it is killed: less than the guard itself is given.
_LIMIT = 0.6


class _Terminated(SystemExit):
    """Raised by SIGTERM."""


class _Guard:
    """SIGTERM handler: effective at once during `wait`, delayed until the program has started."""

    def __init__(self) -> None:
        self.terminated = False
        self.waiting = False
        signal.signal(signal.SIGTERM, self._on_terminate)

    def wait(self) -> None:
        """Wait for the end of stdin or for SIGTERM."""
        try:
            self.waiting = True
            while not self.terminated and os.read(0, 1024):
                pass
        except _Terminated:
            pass
        self.waiting = False

    def _on_terminate(self, *_: object) -> None:
        self.terminated = True
        if self.waiting:
            self.waiting = False
            raise _Terminated


def main() -> None:
    """Guard the program named on the command line until it or stdin ends."""
    folder, *argv = sys.argv[1:]
    guard = _Guard()
    _raise_file_limit()
    try:
        # The program must not hold our stdin and stdout: their ends are signals.
        program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)  # noqa: S603
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"{argv[0]}: {error.strerror}")
    threading.Thread(target=_pass_on_end, args=(program, folder), daemon=True).start()
    try:
        os.write(1, b"%d\n" % program.pid)
        guard.wait()
    except OSError:
        pass  # stdout is closed
    finally:
        _end(program)
        shutil.rmtree(folder, ignore_errors=True)


def _pass_on_end(program: subprocess.Popen[bytes], folder: str) -> None:
    code = program.wait()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(code if code >= 0 else 128 - code)


def _end(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(_LIMIT)
    except subprocess.TimeoutExpired:
        program.kill()


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets the program have."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        sys.stderr.write("the limit of open files could not be raised\n")


if __name__ == "__main__":
    main()
