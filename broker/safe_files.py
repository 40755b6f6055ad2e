"""Files that passfleet writes: private ones, and none through a link to a foreign place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from broker.errors import FileError

__all__ = ["open_private", "refuse_foreign_link"]


def refuse_foreign_link(path: Path) -> None:
    """Raise FileError if `path` is a symbolic link that leads out of its folder.

    Somebody else may have put it there, so that passfleet writes over a file elsewhere.
    """
    if path.is_symlink():
        target = path.resolve()
        if target.parent != path.parent.resolve():
            raise FileError(
                f"is a symbolic link to {target}, outside its folder",
                path=path,
                hint="name the file itself, or remove the link",
            )


def open_private(path: Path) -> BinaryIO:
    """Open a file for writing, empty, readable by its owner alone. Raises FileError."""
    refuse_foreign_link(path)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.fchmod(handle, 0o600)
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=path) from None
    return os.fdopen(handle, "wb")
