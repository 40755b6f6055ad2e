"""Owner of a state file: one fleet at a time, whatever the number of its processes.

The lock is on a file of its own, since closing any other handle of a database releases the locks
that SQLite has on it. Workers inherit the handle, so the lock lasts until the last process of the
fleet has ended.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from broker.errors import FileError
from broker.processes import is_alive

if os.name == "posix":
    import fcntl

__all__ = ["FileLock"]

_LEAVING_WITHIN: Final = 10.0
"""Seconds to wait for the workers of a fleet whose main process has ended."""
_WRITTEN_WITHIN: Final = 1.0
"""Seconds within which an owner has written its process id."""
_POLL: Final = 0.05


class FileLock:
    """Lock of a state file, held until `release` or the end of all processes that have `handle`."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises FileError where another fleet has it, or it cannot be made."""
        self._path = path.with_name(path.name + ".lock")
        self._shown = path
        self.handle = self._take()

    def _take(self) -> int:
        give_up_at = monotonic() + _LEAVING_WITHIN
        written_by = monotonic() + _WRITTEN_WITHIN
        while True:
            handle = self._try()
            if handle is not None:
                return handle
            owner = self._owner()
            last = written_by if owner is None else give_up_at
            if (owner is not None and is_alive(owner)) or monotonic() >= last:
                by = f"process {owner}" if owner else "another process"
                raise FileError(
                    f"is in use by another fleet ({by})",
                    path=self._shown,
                    hint="stop that fleet, or name another state file",
                )
            sleep(_POLL)

    def _try(self) -> int | None:
        """Handle of the locked file, None where another process has the lock."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise FileError(f"cannot be made: {error.strerror}", path=self._path) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is(handle):
                raise BlockingIOError  # the former owner has just removed it
        except OSError:
            os.close(handle)
            return None
        os.ftruncate(handle, 0)
        os.write(handle, b"%d" % os.getpid())
        return handle

    def _is(self, handle: int) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.fstat(handle), self._path.lstat())
        return False

    def _owner(self) -> int | None:
        """Process id that the owner has written, None where it has not yet, or has removed it."""
        with contextlib.suppress(OSError, ValueError):
            return int(self._path.read_bytes())
        return None

    def release(self) -> None:
        """Give the lock up and remove its file."""
        if self.handle >= 0:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self.handle)
            self.handle = -1
