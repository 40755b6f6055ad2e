"""A broker in a process of its own: started, watched, and ended with us.

The child gets a pipe on stdin that nothing is written to: when this process ends, however it ends,
the pipe does too, and the child takes that as its cue. It runs in a session of its own, so that a
terminal's Ctrl-C reaches it through us and not before us.

Threads, not asyncio's subprocesses: those need a loop that watches children, which not every loop
does, and a transport that outlives a cancelled start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeVar

from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from broker.address import BrokerAddress

__all__ = ["BrokerHandle", "ChildProcess"]

# Seconds that a child has to end after SIGTERM, before it is killed.
_STOP_LIMIT = 1.0
# Bytes and characters of a child's stderr that an error message quotes.
_TAIL = 4096
_QUOTED = 300

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BrokerHandle:
    """A broker to use.

    `pid` is the broker's own process if it was started here, else None. `died` is done, with the
    error to report, if a broker started here ends unexpectedly; it stays pending for an
    external broker, and is cancelled when the broker is stopped.
    """

    address: BrokerAddress
    pid: int | None
    died: asyncio.Future[BrokerError]


class ChildProcess:
    """A broker's process, from its start to its end. To be made on a running event loop."""

    def __init__(self, argv: Sequence[str], *, name: str) -> None:
        """Start `argv`; `name` is what error messages call it.

        Raises BrokerError if it cannot be started at all.
        """
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._line: asyncio.Future[str] = self._loop.create_future()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._stopping = False
        self.died: asyncio.Future[BrokerError] = self._loop.create_future()
        # A file, not a pipe: a full pipe would block the child.
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own argv, no shell
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
        self._thread = threading.Thread(target=self._follow, name=f"{name} watch", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._popen.pid

    @property
    def ended(self) -> bool:
        """Return True if the child has ended."""
        return self._ended.done()

    async def first_line(self, limit: float) -> str:
        """Return the first line that the child prints, within `limit` seconds.

        Raises BrokerError, with the child's last words, if there is none.
        """
        try:
            async with asyncio.timeout(limit):
                line = await asyncio.shield(self._line)
                if not line:
                    await asyncio.shield(self._ended)
        except TimeoutError:
            raise self.failure(f"did not start within {limit:g} s") from None
        if not line:
            raise self.failure("did not start")
        return line

    def failure(self, what: str) -> BrokerError:
        """Return an error about this child that quotes its last line on stderr."""
        words = self.last_words()
        return BrokerError(f"{self._name} {what}{f': {words}' if words else ''}")

    def log(self) -> str:
        """Return the end of what the child has written to stderr."""
        if self._stderr.closed or not hasattr(os, "pread"):
            return ""  # Windows has no pread: errors go without a quotation there
        # Not read(): the child writes through the same open file, and would go on wherever reading
        # has moved it to.
        descriptor = self._stderr.fileno()
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
        return tail.decode("utf-8", "replace")

    def last_words(self) -> str:
        """Return the last line that the child has written to stderr, cut to a quotable length."""
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        return lines[-1][-_QUOTED:] if lines else ""

    async def stop(self) -> None:
        """End the child: asked first, killed after a second. Safe to call twice."""
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
            # Also when cancelled meanwhile (a second Ctrl-C): the child got the signal twice.
            self._release()

    def _release(self) -> None:
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        self._thread.join(_STOP_LIMIT)
        self._stderr.close()

    def _follow(self) -> None:
        """Run in a thread: pass on the first line and the end."""
        stdout = self._popen.stdout
        assert stdout is not None  # noqa: S101 - a pipe was asked for
        with stdout:
            line = stdout.readline().decode("utf-8", "replace").strip()
        self._tell(lambda: _resolve(self._line, line))
        code = self._popen.wait()
        self._tell(lambda: self._on_end(code))

    def _on_end(self, code: int) -> None:
        _resolve(self._ended, code)
        if not self._stopping:
            _resolve(self.died, self.failure(f"ended while in use (exit code {code})"))

    def _tell(self, callback: Callable[[], None]) -> None:
        # The loop may be closed by now, without a waiter.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
