"""Processes of this machine: if one still runs, and since when."""

from __future__ import annotations

import os
import signal
from pathlib import Path

__all__ = ["end_process", "is_alive", "started_at"]


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


def end_process(pid: int, started: str | None) -> None:
    """Send SIGTERM to the process that started at `started`, and to no later one with its id."""
    if not hasattr(os, "pidfd_open"):
        if is_alive(pid, started):
            os.kill(pid, signal.SIGTERM)
        return
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return  # it has ended
    try:
        # With the handle open, the process that is compared is the one that gets the signal.
        if is_alive(pid, started):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


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
