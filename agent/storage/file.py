"""State file in SQLite: the states of devices and the publications not yet accepted.

Written before anything is published or acknowledged, many devices in one transaction a turn of the
loop. With a write-ahead log, a committed transaction survives a kill -9 of the process, and with
`power` a loss of power.

The file holds no passcode in clear: see `agent.storage.digests`. The seed is in fleet.toml only, so
a file that was made with another seed is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from agent import effects
from agent.clock import Clock
from agent.runner import Device
from agent.state import DeviceState, Enrollment
from agent.storage.claim import (
    SUM_LIMIT,
    StateClaim,
    connect,
    open_key,
    put_about,
    reached_in,
    unreadable,
)
from agent.storage.digests import FileKey
from agent.storage.rows import (
    FORMAT,
    UNREADABLE,
    dump_publication,
    dump_state,
    passcode_digests,
    read_publication,
    read_state,
)
from agent.storage.watch import FileWatch
from broker.client.connection import run_guarded
from broker.errors import FileError

__all__ = ["StateFile"]

_log = logging.getLogger("passfleet.store")

_RETRY_AFTER: Final = 1.0
_WATCH_EVERY: Final = 0.5
_WORKERS_WAIT: Final = 30.0
"""Seconds that a worker waits for the commit of another one."""
_FATAL: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY})
"""SQLite's errors after which the file does not become usable again."""


class StateFile:
    """A fleet's state file, open in one of the fleet's processes."""

    def __init__(
        self, path: Path, seed: int, part: tuple[int, int] = (0, 1), *, power: bool = False
    ) -> None:
        """Open the file. `part` is (index, count) of this process among those that share it.

        A single process makes, locks and checks the file. Where several share it, a `StateClaim` of
        the fleet's main process has done so. `power`: what is answered survives a loss of power.
        Raises FileError as `StateClaim` does.
        """
        self._claim = StateClaim(path, seed, power=power) if part[1] == 1 else None
        self._path = path.resolve()
        try:
            self._db, self._key = self._open(seed, power=power)
            # Worker i of n uses the marks i, i + n, i + 2n, ...: no two give the same mark.
            index, self._step = part
            highest = self._one("select coalesce(max(mark), 0) from outgoing")
        except sqlite3.Error as error:
            raise unreadable(path, error) from None
        self._next_mark = (highest // self._step + 1) * self._step + index
        self._sum_name = f"sum/{index}"
        self._pending: list[tuple[str, Callable[[], None]]] = []
        self._rows: dict[str, Device] = {}
        self._outgoing: list[tuple[int, str, str, str]] = []
        self._gone: list[int] = []
        self._sessions: dict[str, int] = {}
        self._scheduled: asyncio.Handle | None = None
        self._hashing: dict[str, asyncio.Future[None]] = {}
        self._watch = FileWatch(self._path)
        self._watching: asyncio.TimerHandle | None = None
        self._closed = False
        self._failure: FileError | None = None
        self.on_failure: Callable[[FileError], None] | None = None
        """Called once when the file is lost while in use; from then on nothing is stored."""
        self.clock: Clock | None = None
        """Clock whose time is stored with each commit."""

    def _open(self, seed: int, *, power: bool) -> tuple[sqlite3.Connection, FileKey]:
        if self._claim is not None:
            return self._claim.db, self._claim.key
        if not self._path.exists():
            raise FileError("was removed", path=self._path)
        db = connect(self._path, exclusive=False, timeout=_WORKERS_WAIT, power=power)
        return db, open_key(db, seed, self._path)

    @property
    def key(self) -> FileKey:
        """Key of the file, which finds the passcodes of restored devices."""
        return self._key

    @property
    def reached(self) -> int | None:
        """Instant of the fleet's clock at the last commit; None where unknown."""
        with self._readable():
            return reached_in(self._db)

    def tick(self) -> None:
        """Store the time: it was moved."""
        self._schedule()

    def _one(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    # -- reading, at the start -----------------------------------------------------------------

    @contextlib.contextmanager
    def _readable(self, what: str = "value") -> Iterator[None]:
        """Turn the exceptions of an unreadable row into a FileError."""
        try:
            yield
        except UNREADABLE:
            raise FileError(f"has no readable {what}", path=self._path) from None
        except sqlite3.Error as error:
            raise unreadable(self._path, error) from None

    def load(self, enrollment: Enrollment) -> DeviceState | None:
        """The state a device had, None where the file does not know it.

        Raises FileError where it cannot be read.
        """
        device_id = enrollment.device_id
        with self._readable(f"state of {device_id}"):
            row = self._db.execute(
                "select state, form from device where id = ?", (device_id,)
            ).fetchone()
            return None if row is None else read_state(row[0], enrollment, row[1])

    def session(self, device_id: str) -> int:
        """The last session of a device that the file knows of, 0 for none."""
        with self._readable(f"session of {device_id}"):
            row = self._db.execute(
                "select session from device where id = ?", (device_id,)
            ).fetchone()
            return int(row[0]) if row else 0

    def unsent(self, device_id: str) -> list[tuple[int, effects.Publication]]:
        """Stored publications that the broker has not accepted, in order, each with its mark.

        Raises FileError where it cannot be read.
        """
        with self._readable(f"message of {device_id}"):
            rows = self._db.execute(
                "select mark, kind, body from outgoing where device = ? order by mark",
                (device_id,),
            )
            return [(mark, read_publication(kind, body)) for mark, kind, body in rows]

    # -- writing (agent.runner.Store) ----------------------------------------------------------

    def keep(
        self,
        device: Device,
        publications: Sequence[effects.Publication],
        then: Callable[[Sequence[int | None]], None],
    ) -> None:
        """Store a device's state and what it is about to publish; call `then` when it is stored.

        `then` is called with a mark for each publication, None for a state snapshot: that is not
        stored beside the state it is made of, since it is published again after every restart.
        """
        marks = [self._store_outgoing(device, publication) for publication in publications]
        self._rows[device.id] = device
        self._pending.append((device.id, partial(then, marks)))
        self._schedule()

    def _store_outgoing(self, device: Device, publication: effects.Publication) -> int | None:
        """Queue a publication for the next commit; returns its mark, None where not stored."""
        row = dump_publication(publication)
        if row is None:
            return None
        mark = self._next_mark
        self._next_mark += self._step
        self._outgoing.append((mark, device.id, *row))
        return mark

    def accepted(self, device: Device, mark: int) -> None:
        """The broker has a publication."""
        del device
        self._gone.append(mark)
        self._schedule()

    def connected(self, device: Device, number: int) -> None:
        """Remember how many sessions a device has had."""
        self._rows[device.id] = device
        self._sessions[device.id] = number
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled is None and not self._closed:
            self._scheduled = asyncio.get_running_loop().call_soon(self.flush)

    def _unschedule(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def flush(self) -> None:
        """Commit what has gathered, then let what waited for it go on.

        Where the file takes nothing (a full disk), all of it waits and is tried again:
        no answer is published that could be lost. A device whose user has set a new passcode waits
        until its slow hash is computed, in a thread.
        """
        self._unschedule()
        if self._failure is not None:
            return
        held = self._hold_new_passcodes()
        try:
            self._commit(held)
        except sqlite3.Error as error:
            self._on_error(error)
            return
        if (problem := self._watch.problem()) is not None:
            self._fail(problem)
            return
        self._go_on(held)

    def _go_on(self, held: set[str]) -> None:
        """Forget what was committed and call what waited for it."""
        self._rows = {name: row for name, row in self._rows.items() if name in held}
        self._outgoing = [row for row in self._outgoing if row[1] in held]
        self._sessions = {name: n for name, n in self._sessions.items() if name in held}
        self._gone.clear()
        pending = self._pending
        self._pending = [waiting for waiting in pending if waiting[0] in held]
        for device_id, then in pending:
            if device_id not in held:
                run_guarded(device_id, then)

    def _on_error(self, error: sqlite3.Error) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("rollback")
        problem = self._watch.problem()
        if problem is not None or getattr(error, "sqlite_errorcode", 0) & 0xFF in _FATAL:
            self._fail(problem or f"it is damaged: {error}")
            return
        _log.error("%s: %s; trying again", self._path, error)
        if not self._closed:
            self._scheduled = asyncio.get_running_loop().call_later(_RETRY_AFTER, self.flush)

    # -- new passcodes

    def _hold_new_passcodes(self) -> set[str]:
        """Ids of devices whose new passcodes are being hashed; starts the hashing."""
        for device_id, device in self._rows.items():
            if device_id not in self._hashing:
                digests = self._key.to_hash(*passcode_digests(device.state))
                if digests and self._closed:
                    self._key.hash_slowly(digests)
                elif digests:
                    self._hash_in_thread(device_id, digests)
        return set() if self._closed else set(self._hashing)

    def _hash_in_thread(self, device_id: str, digests: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, self._key.hash_slowly, digests)
        self._hashing[device_id] = work

        def done(_: asyncio.Future[None]) -> None:
            self._hashing.pop(device_id, None)
            self._schedule()

        work.add_done_callback(done)

    # -- the transaction

    def _commit(self, held: set[str]) -> None:
        db, change = self._db, 0
        db.execute("begin immediate")
        for device in self._rows.values():
            if device.id not in held:
                change += self._write_device(device)
        for row in self._outgoing:
            if row[1] not in held:
                mac = self._key.mac("outgoing", *row)
                change += int.from_bytes(mac)
                db.execute("insert into outgoing values (?, ?, ?, ?, ?)", (*row, mac))
        for mark in self._gone:
            query = "delete from outgoing where mark = ? returning mac"
            for (mac,) in db.execute(query, (mark,)).fetchall():
                change -= int.from_bytes(mac)
        self._write_about(change)
        db.execute("commit")

    def _write_device(self, device: Device) -> int:
        """Write a device's row; returns the change of the sum of all rows."""
        query = "select session, mac from device where id = ?"
        session, mac = self._db.execute(query, (device.id,)).fetchone() or (0, b"")
        session = self._sessions.get(device.id, session)
        row = (device.id, dump_state(device.state, self._key), session, FORMAT)
        new = self._key.mac("device", *row)
        self._db.execute(
            "insert into device values (?, ?, ?, ?, ?) on conflict (id) do update set"
            " state = excluded.state, session = excluded.session, form = excluded.form,"
            " mac = excluded.mac",
            (*row, new),
        )
        return int.from_bytes(new) - int.from_bytes(mac)

    def _write_about(self, change: int) -> None:
        if change:
            query = "select value from about where key = ?"
            row = self._db.execute(query, (self._sum_name,)).fetchone()
            total = (int(row[0], 16) if row else 0) + change
            put_about(self._db, self._key, self._sum_name, f"{total % SUM_LIMIT:x}")
        if self.clock is not None:
            put_about(self._db, self._key, "now", str(self.clock.now()))

    # -- the file itself

    def watch(self) -> None:
        """Look every half second for a file that was removed, replaced or truncated."""
        problem = self._watch.problem()
        if problem is not None:
            self._fail(problem)
        elif not self._closed:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(_WATCH_EVERY, self.watch)

    def _fail(self, problem: str) -> None:
        """Store nothing more, so that no command is answered or acknowledged any more."""
        if self._failure is not None:
            return
        self._failure = FileError(
            f"{problem} while the fleet was using it; the fleet takes no more commands",
            path=self._path,
            hint="commands that were not answered are still at the broker; restore the file,"
            " or name another one, and start the fleet again",
        )
        _log.error("%s", self._failure)
        if self.on_failure is not None:
            self.on_failure(self._failure)

    def close(self) -> None:
        """Commit and close. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        self.flush()
        self._unschedule()
        if self._claim is not None:
            self._claim.close()
        else:
            self._db.close()
