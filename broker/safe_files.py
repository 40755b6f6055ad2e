"""Files that passfleet writes: private ones, and none through a link to a foreign place."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from broker.errors import FileError

__all__ = ["check_report", "is_private", "open_private", "refuse_foreign_link"]

_START: Final = 4096
"""Bytes at the start of a report that contain its mark."""


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


def is_private(path: Path) -> bool:
    """True if `path` is a file of this user that nobody else can write, and no symbolic link.

    Always True on systems without POSIX permissions.
    """
    if os.name != "posix":
        return True
    found = path.lstat()
    mine = found.st_uid == os.geteuid()
    return stat.S_ISREG(found.st_mode) and mine and not found.st_mode & 0o022


def check_report(path: Path, mark: str, *, force: bool) -> None:
    """Raise FileError if writing a report to `path` would destroy something else.

    `mark` is a text at the start of every such report. `force` allows any regular file. A missing
    or empty file is accepted, and a device such as /dev/stdout.
    """
    refuse_foreign_link(path)
    if force or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", path=path) from None
    if start and mark.encode() not in start:
        raise FileError(
            "exists and is not a report of passfleet",
            path=path,
            hint="name another file, or overwrite it with --force",
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
