"""State file in SQLite: the states of devices and the publications not yet accepted.

Written before anything is published or acknowledged, many devices in one transaction a turn of the
loop. With a write-ahead log, a committed transaction survives a kill -9 of the process.

The file holds no passcode in clear: a set one is a digest keyed by the fleet's seed, a temporary
one is the number of the draw that made it. The seed is in fleet.toml only, so a file that was made
with another seed is refused.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from struct import error as StructError  # noqa: N812  # a class, by any name
from time import monotonic, sleep
from typing import Annotated, Any, Final, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    create_model,
)

from agent import effects
from agent.clock import Clock
from agent.events import Command
from agent.runner import Device
from agent.state import DeviceState, Enrollment, InputAnswer, PastAnswers, PastResults, Result
from broker.client.connection import run_guarded
from broker.errors import FileError

__all__ = ["StateFile"]

_log = logging.getLogger("passfleet.store")

_RETRY_AFTER: Final = 1.0
_OPEN_LIMIT: Final = 10.0
"""Seconds that a worker tries to open a file that other workers are opening."""
_OPEN_PAUSE: Final = 0.02
_FORMAT: Final = "3"
_READABLE: Final = {"1", "2", _FORMAT}
_ADDED: Final[dict[str, Any]] = {
    "enrolled": True,
    "lost_mode": False,
    "last_check_in": None,
    "waiting": (),
    "push_at": None,
    "check_in_at": None,
    "open_until": None,
    "refusals": (),
}
"""Fields that format 3 added, with the values of a device stored before."""
_NOT_KEPT: Final = {"enrollment"}
"""Fields that come from the fleet file."""


def _in_short(remembered: PastResults | PastAnswers) -> dict[str, Any]:
    """Columns as they are written: words that many results share, once."""
    words = list(dict.fromkeys(remembered.words))
    which = [words.index(each) for each in remembered.words]
    numbers = remembered.numbers.hex()
    return {"ids": remembered.ids, "words": words, "which": which, "numbers": numbers}


def _at_length(written: Any) -> Any:
    if not isinstance(written, dict):
        return written  # format 1: a list of records
    words, which = written.pop("words"), written.pop("which")
    return {**written, "words": [words[each] for each in which]}


def _joined(written: Any) -> Any:
    return "".join(written) if isinstance(written, list) else written  # format 1: a list


_IN_THE_FILE: Final = {
    "history": Annotated[bytes, BeforeValidator(_joined)],
    "results": Annotated[
        PastResults | tuple[Result, ...],
        BeforeValidator(_at_length),
        AfterValidator(PastResults.of),
        PlainSerializer(_in_short),
    ],
    "answers": Annotated[
        PastAnswers | tuple[InputAnswer, ...],
        BeforeValidator(_at_length),
        AfterValidator(PastAnswers.of),
        PlainSerializer(_in_short),
    ],
}
_hints = get_type_hints(DeviceState) | _IN_THE_FILE
_Kept: type[BaseModel] = create_model(
    "_Kept",
    # Digests are hexadecimal digits.
    __config__=ConfigDict(ser_json_bytes="hex", val_json_bytes="hex"),
    **{
        f.name: (_hints[f.name], _ADDED.get(f.name, ...))
        for f in fields(DeviceState)
        if f.name not in _NOT_KEPT
    },
)  # type: ignore[call-overload]
_OUTGOING: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        effects.PublishNotification,
        effects.PublishEscrow,
        effects.PublishResult,
        effects.PublishAnswer,
    )
}
_SCHEMA: Final = """
create table if not exists about (key text primary key, value text not null);
create table if not exists device (
    id text primary key, state text not null, session integer not null default 0);
create table if not exists outgoing (
    mark integer primary key, device text not null, kind text not null, body text not null);
"""


class StateFile:
    """A fleet's state file, open. One process at a time."""

    def __init__(self, path: Path, seed: int, part: tuple[int, int] = (0, 1)) -> None:
        """Open or make the file; `part` is (index, count) where several workers share it.

        Raises FileError where it cannot be written, is no state file, is in use by another process,
        or was made with another seed.
        """
        self._path = path
        self._db = self._open(seed, shared=part[1] > 1)
        # Worker i of n uses the marks i, i + n, i + 2n, ...: no two workers give the same mark.
        index, self._step = part
        highest = self._one("select coalesce(max(mark), 0) from outgoing")
        self._next_mark = (highest // self._step + 1) * self._step + index
        self._pending: list[tuple[str, Callable[[], None]]] = []
        self._rows: dict[str, Device] = {}
        self._outgoing: list[tuple[int, str, str, str]] = []
        self._gone: list[tuple[int]] = []
        self._sessions: dict[str, int] = {}
        self._scheduled: asyncio.Handle | None = None
        self.clock: Clock | None = None
        """Clock whose time is stored with each commit."""

    def _open(self, seed: int, *, shared: bool) -> sqlite3.Connection:
        """Connection to the file, checked; waits for other workers where the file is shared.

        SQLite reports a new file as locked, without waiting, to all but one of the processes that
        switch it to a write-ahead log at the same time: the others have to try again.
        """
        give_up_at = monotonic() + (_OPEN_LIMIT if shared else 0)
        while True:
            try:
                return self._open_once(seed, shared=shared)
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0)
                busy = code & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or monotonic() >= give_up_at:
                    hint = "another fleet may be using it" if busy else None
                    raise FileError(
                        f"cannot be used as a state file: {error}", path=self._path, hint=hint
                    ) from None
            sleep(_OPEN_PAUSE)

    def _open_once(self, seed: int, *, shared: bool) -> sqlite3.Connection:
        timeout = 30 if shared else 0.5
        db = sqlite3.connect(self._path, isolation_level=None, timeout=timeout)
        try:
            if not shared:
                db.execute("pragma locking_mode = exclusive")
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = normal")
            db.executescript(_SCHEMA)
            db.execute("begin immediate")
            self._check(db, seed)
            db.execute("commit")
        except BaseException:
            db.close()
            raise
        return db

    @property
    def reached(self) -> int | None:
        """Instant of the fleet's clock at the last commit; None where unknown."""
        row = self._db.execute("select value from about where key = 'now'").fetchone()
        return int(row[0]) if row else None

    def tick(self) -> None:
        """Store the time: it was moved."""
        self._schedule()

    def _check(self, db: sqlite3.Connection, seed: int) -> None:
        print_of_seed = blake2b(f"seed/{seed}".encode(), digest_size=8).hexdigest()
        about = dict(db.execute("select key, value from about"))
        if about and about.get("format") not in _READABLE:
            raise FileError("is a state file of another version of passfleet", path=self._path)
        if about and about.get("seed") != print_of_seed:
            raise FileError(
                "was made by a fleet with another seed",
                path=self._path,
                hint="give fleet.toml the seed it had, or name another state file",
            )
        rows = [("format", _FORMAT), ("seed", print_of_seed)]
        db.executemany("insert or replace into about values (?, ?)", rows)

    def _one(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])

    # -- reading, at the start -----------------------------------------------------------------

    def load(self, enrollment: Enrollment) -> DeviceState | None:
        """The state a device had, None where the file does not know it.

        Raises FileError where it cannot be read.
        """
        row = self._db.execute(
            "select state from device where id = ?", (enrollment.device_id,)
        ).fetchone()
        if row is None:
            return None
        try:
            kept = _Kept.model_validate_json(row[0])
        except (ValueError, LookupError, TypeError, StructError):
            raise FileError(
                f"has no readable state of {enrollment.device_id}", path=self._path
            ) from None
        return DeviceState(enrollment=enrollment, **dict(kept))

    def session(self, device_id: str) -> int:
        """The last session of a device that the file knows of, 0 for none."""
        row = self._db.execute("select session from device where id = ?", (device_id,)).fetchone()
        return int(row[0]) if row else 0

    def unsent(self, device_id: str) -> list[tuple[int, effects.Publication]]:
        """Stored publications that the broker has not accepted, in order, each with its mark.

        Raises FileError where it cannot be read.
        """
        rows = self._db.execute(
            "select mark, kind, body from outgoing where device = ? order by mark", (device_id,)
        )
        try:
            return [(mark, _OUTGOING[kind].validate_json(body)) for mark, kind, body in rows]
        except (ValueError, LookupError):
            raise FileError(f"has no readable message of {device_id}", path=self._path) from None

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
        kind = type(publication).__name__
        if kind not in _OUTGOING:
            return None
        mark = self._next_mark
        self._next_mark += self._step
        body = _OUTGOING[kind].dump_json(publication).decode()
        self._outgoing.append((mark, device.id, kind, body))
        return mark

    def accepted(self, device: Device, mark: int) -> None:
        """The broker has a publication."""
        del device
        self._gone.append((mark,))
        self._schedule()

    def connected(self, device: Device, number: int) -> None:
        """Remember how many sessions a device has had."""
        self._rows[device.id] = device
        self._sessions[device.id] = number
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled is None:
            self._scheduled = asyncio.get_running_loop().call_soon(self.flush)

    def _unschedule(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def flush(self) -> None:
        """Commit what has gathered, then let what waited for it go on.

        Where the file takes nothing (a full disk), all of it waits and is tried again:
        no answer is published that could be lost.
        """
        self._unschedule()
        try:
            self._commit()
        except sqlite3.Error as error:
            _log.error("%s: %s; trying again", self._path, error)
            if self._db.in_transaction:
                self._db.execute("rollback")
            self._scheduled = asyncio.get_running_loop().call_later(_RETRY_AFTER, self.flush)
            return
        self._rows.clear()
        self._outgoing.clear()
        self._gone.clear()
        self._sessions.clear()
        pending, self._pending = self._pending, []
        for device_id, then in pending:
            run_guarded(device_id, then)

    def _commit(self) -> None:
        rows = [(device.id, _dump(device.state)) for device in self._rows.values()]
        self._db.execute("begin immediate")
        self._db.executemany(
            "insert into device (id, state) values (?, ?)"
            " on conflict (id) do update set state = excluded.state",
            rows,
        )
        self._db.executemany("insert into outgoing values (?, ?, ?, ?)", self._outgoing)
        self._db.executemany("delete from outgoing where mark = ?", self._gone)
        self._db.executemany(
            "update device set session = ? where id = ?",
            [(session, device_id) for device_id, session in self._sessions.items()],
        )
        if self.clock is not None:
            self._db.execute(
                "insert or replace into about values ('now', ?)", (str(self.clock.now()),)
            )
        self._db.execute("commit")

    def close(self) -> None:
        """Commit and close."""
        self.flush()
        self._unschedule()
        self._db.close()


def _dump(state: DeviceState) -> str:
    values = {name: getattr(state, name) for name in _Kept.model_fields}
    # Work in progress goes on after a restart. Its delivery does not: it belongs to a connection
    # that is closed. The broker has no acknowledgement and sends the command again.
    if state.work is not None:
        values["work"] = replace(state.work, command=_unmarked(state.work.command))
    values["inbox"] = tuple(map(_unmarked, state.inbox))
    values["waiting"] = tuple(map(_unmarked, state.waiting))
    return _Kept.model_construct(**values).model_dump_json()


def _unmarked(command: Command) -> Command:
    return replace(command, delivery=None)
