"""Checks of a state file before a fleet uses it.

A file that was closed in order is sealed: its `user_version` is a checksum of all its bytes. A file
that was not, after a kill -9, has a write-ahead log, whose last commit must be readable. In both
cases every row has a checksum (`FileKey.mac`), and the sum of those shows a removed row.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

from broker.errors import FileError

__all__ = [
    "APPLICATION_ID",
    "check_before_opening",
    "check_structure",
    "check_write_ahead_log",
    "damaged",
    "last_commit_in_log",
    "seal",
]

APPLICATION_ID: Final = 0x50464C31
"""`application_id` of a state file from format 4 on: PFL1."""

_TABLES: Final = {"about", "device", "outgoing"}
_MAGIC: Final = b"SQLite format 3\0"
_HEADER: Final = 100
_VERSION_AT: Final = 60
_APPLICATION_AT: Final = 68
_CHANGED: Final = (24, 92)
"""Offsets of two equal counters that change with the seal itself."""
_LEFT_OUT: Final = ((24, 28), (60, 64), (92, 96))
_PART: Final = 1 << 20
_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_LOG_MAGIC: Final = (0x377F0682, 0x377F0683)


def damaged(path: Path, problem: str) -> FileError:
    """Error of a file that is a state file and has lost something."""
    return FileError(
        f"is damaged: {problem}",
        path=path,
        hint="restore a copy of it; without one, remove it, and the devices start anew",
    )


def check_before_opening(path: Path) -> None:
    """Check the bytes of an existing file. Raises FileError.

    Reads the file without SQLite, so that nothing in a damaged or foreign file is changed.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
            if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER:
                raise FileError(
                    "is not a state file" if header else "is empty, so it is not a state file",
                    path=path,
                    hint="remove it, or name another state file",
                )
            sealed = _number(header, _VERSION_AT)
            if _number(header, _APPLICATION_AT) != APPLICATION_ID:
                _check_owner(path)
                return
            if header[18:20] != b"\2\2":
                raise damaged(path, "its header is changed")
            if sealed and _sum_of(path) != sealed and not _has_log(path):
                raise damaged(path, "its bytes do not match its checksum")
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", path=path) from None


def _check_owner(path: Path) -> None:
    """Check that a database without our id is a state file of an earlier format."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        if _tables_of(db) != _TABLES:
            raise FileError(
                "is a database of another program", path=path, hint="name another state file"
            )


def check_structure(db: sqlite3.Connection, path: Path) -> None:
    """Check that an open state file has its tables, intact. Raises FileError."""
    (found,) = db.execute("pragma integrity_check(1)").fetchone()
    if found != "ok":
        raise damaged(path, str(found).splitlines()[-1])
    if _tables_of(db) != _TABLES:
        raise damaged(path, "it has other tables than a state file")


def _tables_of(db: sqlite3.Connection) -> set[str]:
    rows = db.execute("select name from sqlite_master where type = 'table'")
    return {name for (name,) in rows}


def _number(data: bytes | bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _has_log(path: Path) -> bool:
    try:
        return _log_of(path).stat().st_size > _LOG_HEADER
    except OSError:
        return False


def _sum_of(path: Path) -> int:
    """Checksum of a file's bytes without those that a seal changes; never 0."""
    made = blake2b(digest_size=4)
    with path.open("rb") as file:
        header = bytearray(file.read(_HEADER))
        if _number(header, _CHANGED[0]) != _number(header, _CHANGED[1]):
            return -1
        for start, end in _LEFT_OUT:
            header[start:end] = bytes(end - start)
        made.update(header)
        while part := file.read(_PART):
            made.update(part)
    return int.from_bytes(made.digest()) or 1


def seal(db: sqlite3.Connection, path: Path) -> None:
    """Write the checksum of the file into it. Nothing may write to the file afterwards."""
    db.execute("pragma wal_checkpoint(truncate)")
    found = _sum_of(path)
    if found < 0:
        return
    signed = int.from_bytes(found.to_bytes(4), signed=True)
    db.execute(f"pragma user_version = {signed}")
    db.execute("pragma wal_checkpoint(truncate)")


def last_commit_in_log(path: Path) -> int:
    """Number of the last frame in the write-ahead log that ends a transaction, 0 for none.

    Frames with other salts are left over from before a checkpoint. Raises FileError for a log with
    a damaged header: SQLite would ignore all of the log.
    """
    log = _log_of(path)
    if not _has_log(path):
        return 0
    with log.open("rb") as file:
        header = file.read(_LOG_HEADER)
        if _number(header, 0) not in _LOG_MAGIC or not _is_sum_right(header):
            raise damaged(path, "the header of its write-ahead log is changed")
        page_size, salts = _number(header, 8), header[16:24]
        last, at, number = 0, _LOG_HEADER, 0
        size = os.fstat(file.fileno()).st_size
        while at + _FRAME_HEADER + page_size <= size:
            number += 1
            file.seek(at)
            frame = file.read(_FRAME_HEADER)
            if frame[8:16] == salts and _number(frame, 4):
                last = number
            at += _FRAME_HEADER + page_size
        return last


def _is_sum_right(header: bytes) -> bool:
    """True if the header of a write-ahead log has the checksum of SQLite's file format."""
    order: Literal["big", "little"] = "big" if _number(header, 0) & 1 else "little"
    one = two = 0
    for at in range(0, 24, 8):
        first = int.from_bytes(header[at : at + 4], order)
        second = int.from_bytes(header[at + 4 : at + 8], order)
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return (one, two) == (_number(header, 24), _number(header, 28))


def check_write_ahead_log(db: sqlite3.Connection, path: Path, last: int) -> None:
    """Check that SQLite has read the log to its last commit, `last`. Raises FileError."""
    _, frames, _ = db.execute("pragma wal_checkpoint(passive)").fetchone()
    if frames < last:
        raise damaged(path, "the last commits in its write-ahead log cannot be read")
