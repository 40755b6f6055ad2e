"""Opening of a state file by its one owner: lock, checks, and the change to the newest format."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import Final

from agent.storage.checks import (
    APPLICATION_ID,
    check_before_opening,
    check_structure,
    check_write_ahead_log,
    damaged,
    last_commit_in_log,
    seal,
)
from agent.storage.digests import SALT_BYTES, FileKey
from agent.storage.lock import FileLock
from agent.storage.rows import FORMAT
from broker.errors import FileError
from broker.safe_files import refuse_foreign_link

__all__ = [
    "SUM_LIMIT",
    "StateClaim",
    "connect",
    "open_key",
    "put_about",
    "reached_in",
    "unreadable",
]

_BUSY_FOR: Final = 0.5
"""Seconds to wait for a lock that another program has on the database."""
_OLD_FORMATS: Final = {"1", "2", "3"}
SUM_LIMIT: Final = 1 << 128
"""The sum of the checksums of all rows is kept modulo this."""
_SCHEMA: Final = """
create table about (key text primary key, value text not null, mac blob not null);
create table device (
    id text primary key, state text not null, session integer not null default 0,
    form integer not null, mac blob not null);
create table outgoing (
    mark integer primary key, device text not null, kind text not null, body text not null,
    mac blob not null);
"""
_UPGRADE: Final = """
alter table about add column mac blob not null default x'';
alter table device add column form integer not null default 3;
alter table device add column mac blob not null default x'';
alter table outgoing add column mac blob not null default x'';
"""


def connect(path: Path, *, exclusive: bool, timeout: float, power: bool) -> sqlite3.Connection:
    """Connection to a state file that exists. `power`: a commit survives a loss of power.

    Raises sqlite3.Error.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=timeout)
    try:
        if exclusive:
            db.execute("pragma locking_mode = exclusive")
        db.execute("pragma journal_mode = wal")
        db.execute(f"pragma synchronous = {'full' if power else 'normal'}")
        db.execute("pragma fullfsync = on")  # macOS: fsync alone leaves data in the drive's cache
    except BaseException:
        db.close()
        raise
    return db


def unreadable(path: Path, error: sqlite3.Error) -> FileError:
    """Error for the user of a failure in SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    busy = code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path, str(error))
    hint = "another program is using it: close it there" if busy else None
    return FileError(f"cannot be used as a state file: {error}", path=path, hint=hint)


class StateClaim:
    """State file that this process owns. `db` is open until `share` or `close`."""

    def __init__(self, path: Path, seed: int, *, power: bool = False) -> None:
        """Lock, check and open the file; make it where there is none.

        Raises FileError where it cannot be used: it is in use, damaged, of another seed, of a newer
        version, or no state file.
        """
        refuse_foreign_link(path)
        self.path, self._power = path.resolve(), power
        self._lock = FileLock(self.path)
        try:
            self.db, self.key = self._open(seed)
        except sqlite3.Error as error:
            self._lock.release()
            raise unreadable(path, error) from None
        except BaseException:
            self._lock.release()
            raise
        self._shared = False

    @property
    def handle(self) -> int:
        """Handle that keeps the lock; worker processes inherit it."""
        return self._lock.handle

    def _open(self, seed: int) -> tuple[sqlite3.Connection, FileKey]:
        last = 0
        new = not self.path.exists()
        if new:
            _make_private(self.path)
        else:
            check_before_opening(self.path)
            last = last_commit_in_log(self.path)
            with contextlib.suppress(PermissionError):
                self.path.chmod(0o600)
        db = connect(self.path, exclusive=True, timeout=_BUSY_FOR, power=self._power)
        try:
            if not new:
                check_write_ahead_log(db, self.path, last)
                check_structure(db, self.path)
            db.execute("begin immediate")
            key = self._make(db, seed) if _is_empty(db) else self._check(db, seed)
            db.execute("pragma user_version = 0")
            db.execute("commit")
        except BaseException:
            db.close()
            if new:
                self.path.unlink(missing_ok=True)
            raise
        return db, key

    def _make(self, db: sqlite3.Connection, seed: int) -> FileKey:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        return _stamp(db, seed)

    def _check(self, db: sqlite3.Connection, seed: int) -> FileKey:
        about = dict(db.execute("select key, value from about"))
        found = about.get("format")
        has_checksums = _has_column(db, "about", "mac")
        if found in _OLD_FORMATS and not has_checksums:
            if about.get("seed") != blake2b(f"seed/{seed}".encode(), digest_size=8).hexdigest():
                raise self._other_seed()
            return self._upgrade(db, seed)
        if found != str(FORMAT):
            raise FileError("is a state file of another version of passfleet", path=self.path)
        key = _read_key(about, seed)
        if key is None or about.get("seed") != key.seed_print:
            raise self._other_seed()
        self._check_rows(db, key)
        return key

    def _other_seed(self) -> FileError:
        return FileError(
            "was made by a fleet with another seed",
            path=self.path,
            hint="give fleet.toml the seed it had, or name another state file",
        )

    def _upgrade(self, db: sqlite3.Connection, seed: int) -> FileKey:
        """Add the checksums of format 4. A state is written anew when its device connects."""
        for statement in _UPGRADE.split(";"):
            db.execute(statement)
        db.execute("delete from about where key = 'seed'")
        key = _stamp(db, seed)
        for table, columns in _ROWS.items():
            for row in db.execute(f"select rowid, {columns} from {table}").fetchall():  # noqa: S608
                mac = key.mac(table, *row[1:])
                db.execute(f"update {table} set mac = ? where rowid = ?", (mac, row[0]))  # noqa: S608
        _store_sum(db, key)
        return key

    def _check_rows(self, db: sqlite3.Connection, key: FileKey) -> None:
        for table, columns in _ROWS.items():
            for *row, mac in db.execute(f"select {columns}, mac from {table}"):  # noqa: S608
                if not key.is_mac(mac, table, *row):
                    raise damaged(self.path, f"{row[0]!r} in table {table!r} was changed")
        sums = db.execute("select value from about where key like 'sum/%'")
        try:
            stored = sum(int(value, 16) for (value,) in sums) % SUM_LIMIT
        except ValueError:
            stored = -1
        if stored != _sum_in(db):
            raise damaged(self.path, "rows are missing")
        _store_sum(db, key)

    @property
    def reached(self) -> int | None:
        """Instant of the fleet's clock at the last commit; None where unknown."""
        return reached_in(self.db)

    def share(self) -> int | None:
        """Close the connection so that workers may open the file; returns `reached`.

        The lock stays.
        """
        reached = self.reached
        self.db.close()
        self._shared = True
        return reached

    def close(self) -> None:
        """Seal the file and release it. Does nothing the second time."""
        if self.handle < 0:
            return
        try:
            if self._shared and self.path.exists():
                self.db = connect(self.path, exclusive=True, timeout=_BUSY_FOR, power=self._power)
            with contextlib.suppress(OSError):
                seal(self.db, self.path)
        except sqlite3.Error:
            pass  # a file that is damaged or in use stays unsealed, and is checked row by row
        finally:
            self.db.close()
            self._lock.release()


_ROWS: Final = {
    "about": "key, value",
    "device": "id, state, session, form",
    "outgoing": "mark, device, kind, body",
}
"""Columns by table that a row's checksum covers, in order."""


def reached_in(db: sqlite3.Connection) -> int | None:
    """Instant of the fleet's clock at the last commit; None where unknown."""
    row = db.execute("select value from about where key = 'now'").fetchone()
    return int(row[0]) if row else None


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise FileError(f"cannot be made: {error.strerror}", path=path) from None


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("select count(*) = 0 from sqlite_master").fetchone()[0])


def _has_column(db: sqlite3.Connection, table: str, column: str) -> bool:
    rows = db.execute("select name from pragma_table_info(?)", (table,))
    return (column,) in rows.fetchall()


def _stamp(db: sqlite3.Connection, seed: int) -> FileKey:
    """Write the format, a new salt and the fingerprint of the seed."""
    salt = secrets.token_bytes(SALT_BYTES)
    key = FileKey(seed, salt)
    db.execute(f"pragma application_id = {APPLICATION_ID}")
    rows = {"format": str(FORMAT), "salt": salt.hex(), "seed": key.seed_print}
    for name, value in rows.items():
        put_about(db, key, name, value)
    _store_sum(db, key)
    return key


def put_about(db: sqlite3.Connection, key: FileKey, name: str, value: str) -> None:
    """Write a value of the file itself, with its checksum."""
    mac = key.mac("about", name, value)
    db.execute("insert or replace into about values (?, ?, ?)", (name, value, mac))


def _read_key(about: dict[str, str], seed: int) -> FileKey | None:
    """Key of a file with these values; None without a salt."""
    try:
        return FileKey(seed, bytes.fromhex(about["salt"]))
    except (KeyError, ValueError, TypeError):
        return None


def open_key(db: sqlite3.Connection, seed: int, path: Path) -> FileKey:
    """Key of a file that its owner has checked. Raises FileError."""
    key = _read_key(dict(db.execute("select key, value from about")), seed)
    if key is None:
        raise damaged(path, "it has no salt")
    return key


def _sum_in(db: sqlite3.Connection) -> int:
    rows = db.execute("select mac from device union all select mac from outgoing")
    return sum(int.from_bytes(mac) for (mac,) in rows) % SUM_LIMIT


def _store_sum(db: sqlite3.Connection, key: FileKey) -> None:
    """Write the sum of all rows in place of the parts that workers have written."""
    db.execute("delete from about where key like 'sum/%'")
    put_about(db, key, "sum/0", f"{_sum_in(db):x}")
