"""Where a running fleet is: `.passfleet/up.json`, beside its fleet file.

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
from broker.errors import BrokerError

__all__ = ["FOLDER", "RunningFleet", "find_running", "is_alive", "locate", "remove", "write"]

FOLDER = ".passfleet"
_NAME = "up.json"


@dataclass(frozen=True, kw_only=True)
class RunningFleet:
    """What `up` writes down about itself."""

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

    def __repr__(self) -> str:
        """Without the password."""
        return f"RunningFleet(broker={self.broker!r}, root={self.root!r}, pid={self.pid})"

    @property
    def alive(self) -> bool:
        """Whether the process that wrote this still runs."""
        return is_alive(self.pid)

    def address(self) -> BrokerAddress:
        """The broker it runs on, with what is needed to log in."""
        paths = {k: Path(v) if (v := getattr(self, k)) else None for k in ("ca", "cert", "key")}
        return BrokerAddress.parse(
            self.broker, username=self.username, password=self.password, **paths
        )


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for a parent to notice (known on Linux alone)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"


def write(folder: Path, running: RunningFleet) -> Path | None:
    """Write `.passfleet/up.json` into `folder`, readable by its owner alone.

    None where another fleet that still runs has written one there: its commands must reach it.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    path = target / _NAME
    other = _read(path)
    if other is not None and other.pid != running.pid and other.alive:
        return None
    scratch = path.with_suffix(f".{running.pid}.tmp")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(running), file, indent=2)
    scratch.replace(path)
    return path


def remove(path: Path, pid: int) -> None:
    """Remove the file, unless another process has written it since."""
    running = _read(path)
    if running is None or running.pid == pid:
        with contextlib.suppress(OSError):
            path.unlink()


def find_running(start: Path) -> tuple[Path, RunningFleet] | None:
    """The nearest `.passfleet/up.json` from `start` upwards, None where there is none."""
    for folder in (start, *start.parents):
        path = folder / FOLDER / _NAME
        running = _read(path)
        if running is not None:
            return path, running
    return None


def locate(broker: str | None, root: str | None) -> tuple[BrokerAddress, str]:
    """The broker and topic root of the fleet a command talks to.

    `broker` is what `--broker` or PASSFLEET_BROKER said. Raises BrokerError (exit 3) where nothing
    is said and no fleet runs from here, or the one that did has died.
    """
    if broker is not None:
        return BrokerAddress.parse(broker), root or DEFAULT_ROOT
    found = find_running(Path.cwd())
    if found is None:
        raise BrokerError(
            "no running fleet was found from here",
            hint="start one with `passfleet up`, or name its broker with --broker URL",
        )
    path, running = found
    if not running.alive:
        raise BrokerError(
            f"the fleet that {path} tells of (process {running.pid}) no longer runs",
            hint="start it again with `passfleet up`, or name a broker with --broker URL",
        )
    return running.address(), root or running.root


def _read(path: Path) -> RunningFleet | None:
    try:
        return RunningFleet(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
