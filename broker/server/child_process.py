"""Child process of a broker that never outlives this process.

The child's stdin is a pipe that ends when this process ends or is killed, and the child exits then.
Only settings are written to it, at the start. The child runs in a separate session, so that Ctrl-C
in a terminal does not end it before this process.

A thread watches the child. asyncio's subprocesses need an event loop that watches children, which
not every loop does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeVar

from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.address import BrokerAddress

__all__ = ["BrokerHandle", "ChildProcess"]

# Seconds from SIGTERM until the child is killed.
_STOP_LIMIT = 1.0
# Bytes of the child's stderr that are read, and characters of it that an error message quotes.
_TAIL = 4096
_QUOTED = 300

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BrokerHandle:
    """Address of a broker, and the process id if passfleet started it.

    `pid` is None for an external broker. `died` gets the error to report if a broker started here
    ends unexpectedly. It stays pending for an external broker and is cancelled at the stop.
    """

    address: BrokerAddress
    pid: int | None
    died: asyncio.Future[BrokerError]


class ChildProcess:
    """Process of a broker. Created while an event loop is running."""

    def __init__(self, argv: Sequence[str], *, name: str, sent: bytes = b"") -> None:
        """Start `argv`. `name` is the broker's name in error messages, `sent` the child's input.

        Raises BrokerError if the program cannot be started.
        """
        self._name = name
        self._sent = sent
        self._loop = asyncio.get_running_loop()
        self._line: asyncio.Future[str] = self._loop.create_future()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._stopping = False
        self.died: asyncio.Future[BrokerError] = self._loop.create_future()
        # A file, not a pipe: a full pipe would block the child.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - argv is built here, no shell
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows
            )
        except OSError as error:
            self._stderr.close()
            raise BrokerError(f"{name} cannot be started: {error.strerror}") from error
        self._thread = threading.Thread(target=self._watch, name=f"{name} watch", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._popen.pid

    @property
    def ended(self) -> bool:
        """True if the child has ended."""
        return self._ended.done()

    async def first_line(self, limit: float) -> str:
        """Return the first line that the child prints, within `limit` seconds.

        Raises BrokerError, with the last line of the child's stderr, if there is none.
        """
        try:
            async with asyncio.timeout(limit):
                line = await asyncio.shield(self._line)
                if not line:
                    await asyncio.shield(self._ended)
        except TimeoutError:
            raise self.error(f"did not start within {limit:g} s") from None
        if not line:
            raise self.error("did not start")
        return line

    def error(self, reason: str) -> BrokerError:
        """Return an error that quotes the last line of the child's stderr."""
        line = self.last_line()
        return BrokerError(f"{self._name} {reason}{f': {line}' if line else ''}")

    def log(self) -> str:
        """Return the end of the child's stderr."""
        if self._stderr.closed or not hasattr(os, "pread"):
            return ""  # Windows has no pread: errors quote nothing there
        # pread, since the child shares the file position, which read() would move.
        descriptor = self._stderr.fileno()
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
        return tail.decode("utf-8", "replace")

    def last_line(self) -> str:
        """Return the end of the last line of the child's stderr."""
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return lines[-1][-_QUOTED:] if lines else ""

    async def stop(self) -> None:
        """End the child with SIGTERM, and kill it after a second. May be called twice."""
        self._stopping = True
        self.died.cancel()
        try:
            if not self.ended:
                self._popen.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STOP_LIMIT):
                        await asyncio.shield(self._ended)
            if not self.ended:
                self._popen.kill()
                await asyncio.shield(self._ended)
        finally:
            # Also if cancelled meanwhile by a second Ctrl-C: the child has SIGTERM already.
            self._release()

    def _release(self) -> None:
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        self._thread.join(_STOP_LIMIT)
        self._stderr.close()

    def _watch(self) -> None:
        """Write the input, then report the first line and the end of the child, in a thread."""
        self._write_input()
        stdout = self._popen.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        with stdout:
            line = stdout.readline().decode("utf-8", "replace").strip()
        self._call_in_loop(lambda: _set_result(self._line, line))
        code = self._popen.wait()
        self._call_in_loop(lambda: self._on_end(code))

    def _write_input(self) -> None:
        stdin = self._popen.stdin
        assert stdin is not None  # noqa: S101 - a pipe was asked for
        # OSError, ValueError: the child has ended, or `stop` has closed the pipe.
        with contextlib.suppress(OSError, ValueError):
            stdin.write(self._sent)
            stdin.flush()

    def _on_end(self, code: int) -> None:
        _set_result(self._ended, code)
        if not self._stopping:
            when = time.strftime("%H:%M:%S")
            _set_result(
                self.died, self.error(f"ended while in use at {when} ({_describe_exit(code)})")
            )

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        # RuntimeError: the loop is closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)


def _describe_exit(code: int) -> str:
    """Return the exit code, or the name of the signal that ended the process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _set_result(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
