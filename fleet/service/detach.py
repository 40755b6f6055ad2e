"""`passfleet up --detach` and `passfleet down`: a fleet without a terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from broker.child_command import module_command
from broker.errors import PassfleetError, PeerError, UsageError
from fleet.plural import count_noun
from fleet.service import run_file

__all__ = ["start_detached", "stop_running"]

_READY_WITHIN: Final = 120.0
_DOWN_WITHIN: Final = 60.0
_POLL: Final = 0.05


class _FleetEndedError(PassfleetError):
    """The fleet in the background ended; its exit code becomes ours."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code or 1


def start_detached(folder: Path, *, announced: Sequence[str] = ()) -> None:
    """Start the same command line again without `--detach`, and wait until the fleet is ready.

    Its output goes to `.passfleet/up.log`. Its `ready` line is repeated on stdout, with the lines
    `NAME=URL` of the names in `announced`. Raises PassfleetError, with the fleet's exit code and
    last lines of output, if the fleet ends before it is ready.
    """
    found = run_file.find_running(folder)
    if found is not None and found[0].parent.parent == folder and found[1].alive:
        raise UsageError(
            f"a fleet already runs here, as process {found[1].pid}",
            hint="stop it with `passfleet down`, or start this one in another folder",
        )
    log = run_file.make_folder(folder) / "up.log"
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603  # our own command line
            module_command("fleet.cli", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until:
        ready = _ready_lines(log, announced)
        if ready:
            sys.stdout.writelines(f"{line}\n" for line in ready)
            return
        code = child.poll()
        if code is not None:
            raise _FleetEndedError(code, _last_lines(log))
        time.sleep(_POLL)
    child.terminate()
    raise PeerError(f"the fleet was not ready within {_READY_WITHIN:.0f} s", hint=f"see {log}")


def _ready_lines(log: Path, announced: Sequence[str]) -> list[str]:
    """Lines that a ready fleet writes on stdout; empty until all of them are in the log."""
    written = log.read_text(encoding="utf-8", errors="replace")
    lines = written[: written.rfind("\n") + 1].splitlines()
    ready = [line for line in lines if line.startswith(("ready ", '{"event": "ready"'))]
    addresses = [line for line in lines if line.startswith(tuple(f"{name}=" for name in announced))]
    whole = ready and (len(addresses) == len(announced) or ready[0].startswith("{"))
    return ready + addresses if whole else []


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-5:]).removeprefix("error: ") or "the fleet ended without a word"


def stop_running(start: Path, err: Console) -> int | None:
    """Stop the fleet whose run file is found from `start` upwards, and wait until it has ended.

    Returns its process id, None if no fleet runs. Raises PeerError if it does not end in time.
    """
    found = run_file.find_running(start)
    if found is None:
        return None
    path, running = found
    if not running.alive:
        path.unlink(missing_ok=True)
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    until = time.monotonic() + _DOWN_WITHIN
    with err.status(f"stopping {count_noun(running.devices, 'device')}"):
        while run_file.is_alive(running.pid, running.started):
            if time.monotonic() > until:
                raise PeerError(
                    f"process {running.pid} did not end within {_DOWN_WITHIN:.0f} s",
                    hint=f"end it with `kill -9 {running.pid}`, then run `passfleet clean`",
                )
            time.sleep(_POLL)
    return running.pid
