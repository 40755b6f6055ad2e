"""Processes of this machine: if one still runs, and since when."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_alive", "started_at"]


def is_alive(pid: int, started: str | None = None) -> bool:
    """Return True if a process runs. A zombie process does not count.

    With `started`, a later process that was given the same id does not count either.
    """
    if pid <= 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return started is None
    state, since = _stat(pid)
    return state != "Z" and (started is None or since is None or since == started)


def started_at(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; None where unknown (only Linux has it)."""
    return _stat(pid)[1]


def _stat(pid: int) -> tuple[str | None, str | None]:
    """(state, start time) of a process; None where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None, None
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]
