"""Program that runs a broker and ends it when stdin ends, that is, when the parent process ends.

    python -I -S watchdog.py FOLDER PROGRAM ARGUMENT...

It prints the broker's process id, exits with the broker's exit code, and removes FOLDER (the
broker's files) at the end. It is started by path and uses only the standard library, so that it
starts in 10 ms.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

# Seconds from SIGTERM until the program is killed: less than ChildProcess gives the watchdog.
_LIMIT = 0.6


class _Terminated(SystemExit):
    """Raised by SIGTERM."""


class _StopSignal:
    """SIGTERM handler. A signal before `wait` is remembered until then."""

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
    """Run the program named on the command line until it or stdin ends."""
    folder, *argv = sys.argv[1:]
    stop = _StopSignal()
    _raise_file_limit()
    try:
        # The program must not inherit stdin and stdout: their end is a signal.
        program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)  # noqa: S603
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.exit(f"{argv[0]}: {error.strerror}")
    threading.Thread(target=_exit_with, args=(program, folder), daemon=True).start()
    try:
        os.write(1, b"%d\n" % program.pid)
        stop.wait()
    except OSError:
        pass  # stdout is closed
    finally:
        _end(program)
        shutil.rmtree(folder, ignore_errors=True)


def _exit_with(program: subprocess.Popen[bytes], folder: str) -> None:
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
    """Raise the soft limit of open files to the hard limit."""
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
