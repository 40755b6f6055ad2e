"""Watch on a state file that is in use: removed, replaced or truncated by another program."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FileWatch"]


class FileWatch:
    """Identity and size of a state file and its write-ahead log, compared with those before.

    Looks at names only: closing a handle of the file would release the locks that SQLite has on it.
    """

    def __init__(self, path: Path) -> None:
        log = path.with_name(path.name + "-wal")
        self._seen: dict[Path, os.stat_result] = {path: path.stat()}
        self._log = log

    def problem(self) -> str | None:
        """Change of the file since the last call, as a clause; None for none."""
        if self._log not in self._seen:
            try:
                self._seen[self._log] = self._log.stat()
            except OSError:
                return None  # made by the first write
        for path, before in self._seen.items():
            name = "it" if path is not self._log else "its write-ahead log"
            try:
                now = path.stat()
            except FileNotFoundError:
                return f"{name} was removed"
            except OSError as error:
                return f"{name} cannot be read: {error.strerror}"
            if not os.path.samestat(now, before):
                return f"{name} was replaced"
            if now.st_size < before.st_size:
                return f"{name} was truncated"
            self._seen[path] = now
        return None
