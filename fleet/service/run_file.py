"""Run file of a fleet: `.passfleet/up.json`, beside its fleet file.

Written by `passfleet up` with mode 0600, since it may hold the broker's credentials, and read by
every command that talks to a running fleet, searched from the current folder upwards.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.address import BrokerAddress
from broker.contract import DEFAULT_ROOT
from broker.errors import BrokerError, FileError
from broker.processes import is_alive, started_at
from broker.safe_files import is_private, open_private, refuse_foreign_link

__all__ = [
    "FOLDER",
    "RunningFleet",
    "find_running",
    "find_starting",
    "locate",
    "make_folder",
    "remove",
    "remove_starting",
    "starting_path",
    "write",
    "write_starting",
]

FOLDER = ".passfleet"
_NAME = "up.json"
_STARTING = "starting.json"


@dataclass(frozen=True, kw_only=True)
class RunningFleet:
    """Content of the run file: broker, topic root and process of a running fleet."""

    broker: str
    root: str
    pid: int
    devices: int
    fleet: str | None = None
    username: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    web: str | None = None
    """URL of the web server; None where there is none."""
    started: str | None = None
    """Start time of the process in clock ticks since boot; None if unknown."""

    def __repr__(self) -> str:
        """Without the password."""
        return f"RunningFleet(broker={self.broker!r}, root={self.root!r}, pid={self.pid})"

    @property
    def alive(self) -> bool:
        """True if the process that wrote this still runs."""
        # Without a start time, a later process with the same id could not be told apart.
        known = self.started is not None or started_at(self.pid) is None
        return known and is_alive(self.pid, self.started)

    def address(self) -> BrokerAddress:
        """The broker it runs on, with what is needed to log in."""
        paths = {k: Path(v) if (v := getattr(self, k)) else None for k in ("ca", "cert", "key")}
        return BrokerAddress.parse(
            self.broker, username=self.username, password=self.password, **paths
        )


def make_folder(folder: Path) -> Path:
    """Make `.passfleet` in `folder`. Raises FileError where that cannot be."""
    target = folder / FOLDER
    refuse_foreign_link(target)
    try:
        target.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot be made: {error.strerror}", path=target) from None
    return target


def write(folder: Path, running: RunningFleet) -> Path | None:
    """Write `.passfleet/up.json` into `folder`, readable by its owner alone.

    Returns None, and writes nothing, if another running fleet has its run file there.
    """
    path = make_folder(folder) / _NAME
    other = _read(path)
    if other is not None and other.pid != running.pid and other.alive:
        return None
    _replace(path, json.dumps(asdict(running), indent=2))
    return path


def _replace(path: Path, text: str) -> None:
    """Write a file at once, readable by its owner alone; a link in its place is replaced."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    scratch.unlink(missing_ok=True)
    with open_private(scratch) as file:
        file.write(text.encode())
    scratch.replace(path)


@dataclass(frozen=True)
class StartingFleet:
    """Process of a fleet that is not ready yet, and the file that names it."""

    path: Path
    pid: int
    started: str | None

    @property
    def alive(self) -> bool:
        """True if the process still runs."""
        known = self.started is not None or started_at(self.pid) is None
        return known and is_alive(self.pid, self.started)


def starting_path(folder: Path) -> Path:
    """Path of the file that names the process of a fleet that is not ready yet."""
    return folder / FOLDER / _STARTING


def write_starting(folder: Path, pid: int) -> Path:
    """Write `.passfleet/starting.json`, by which `passfleet down` finds a fleet before it is ready.

    The fleet of another process that still starts keeps its file. Raises FileError.
    """
    make_folder(folder)
    path = starting_path(folder)
    other = _read_starting(path)
    if other is None or not other.alive:
        _replace(path, json.dumps({"pid": pid, "started": started_at(pid)}))
    return path


def remove_starting(path: Path, pid: int) -> None:
    """Remove the file of a fleet that is ready or has ended, unless another one has written it.

    A folder that is empty then is removed as well: a fleet that did not start leaves nothing.
    """
    starting = _read_starting(path)
    if starting is None or starting.pid == pid:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def find_starting(start: Path) -> StartingFleet | None:
    """Find the nearest fleet that is not ready yet, from `start` upwards; None if there is none."""
    for folder in (start, *start.parents):
        starting = _read_starting(starting_path(folder))
        if starting is not None and starting.alive:
            return starting
    return None


def _read_starting(path: Path) -> StartingFleet | None:
    try:
        if not is_private(path):
            return None
        return StartingFleet(path, **json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def remove(path: Path, pid: int) -> None:
    """Remove the file, unless another process has written it since."""
    running = _read(path)
    if running is None or running.pid == pid:
        with contextlib.suppress(OSError):
            path.unlink()


def find_running(start: Path) -> tuple[Path, RunningFleet] | None:
    """The nearest `.passfleet/up.json` from `start` upwards, None where there is none.

    A file of another user, one that others can write, and a symbolic link are ignored.
    """
    for folder in (start, *start.parents):
        path = folder / FOLDER / _NAME
        running = _read(path)
        if running is not None:
            return path, running
    return None


def _untrusted(start: Path) -> str | None:
    """Hint that names a run file that was ignored, None where there is none."""
    for folder in (start, *start.parents):
        path = folder / FOLDER / _NAME
        if path.is_symlink() or path.exists():
            return (
                f"{path} is ignored: it has to be a file of yours that only you can write, as"
                " `passfleet up` writes it"
            )
    return None


def locate(broker: str | None, root: str | None) -> tuple[BrokerAddress, str]:
    """The broker and topic root of the fleet a command talks to.

    `broker` is the value of `--broker` or PASSFLEET_BROKER. Raises BrokerError (exit 3) if it is
    None and no run file is found from the current folder upwards, or its process has ended.
    """
    if broker is not None:
        return BrokerAddress.parse(broker), root or DEFAULT_ROOT
    found = find_running(Path.cwd())
    if found is None:
        raise BrokerError(
            "no running fleet was found from here",
            hint=_untrusted(Path.cwd())
            or "start one with `passfleet up`, or name its broker with --broker URL",
        )
    path, running = found
    if not running.alive:
        raise BrokerError(
            f"the fleet of {path} (process {running.pid}) no longer runs",
            hint="start it again with `passfleet up`, or name a broker with --broker URL",
        )
    return running.address(), root or running.root


def _read(path: Path) -> RunningFleet | None:
    try:
        if not is_private(path):
            return None
        return RunningFleet(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
