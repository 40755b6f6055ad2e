"""`passfleet up --detach` and `passfleet down`: a fleet without a terminal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console

from broker.child_command import module_command
from broker.errors import PassfleetError, PeerError, UsageError
from broker.processes import end_process, is_alive
from broker.safe_files import open_private
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
    `NAME=URL` of the names in `announced`. Ctrl-C, SIGTERM and SIGHUP stop the fleet as well.
    Raises PassfleetError, with the fleet's exit code and last lines of output, if the fleet ends
    before it is ready; SystemExit after a signal.
    """
    _refuse_second(folder)
    log = run_file.make_folder(folder) / "up.log"
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    with _Signals() as signals:
        with open_private(log) as output:
            child = subprocess.Popen(  # noqa: S603  # our own command line
                module_command("fleet.cli", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        starting = run_file.write_starting(folder, child.pid)
        try:
            ready = _wait_until_ready(child, log, announced, signals)
        except BaseException:
            _stop_child(child, signals)
            run_file.remove_starting(starting, child.pid)
            raise
        sys.stdout.writelines(f"{line}\n" for line in ready)


def _refuse_second(folder: Path) -> None:
    """Raise UsageError if a fleet runs, or starts, in this very folder."""
    found, starting = run_file.find_running(folder), run_file.find_starting(folder)
    if starting is not None and starting.path == run_file.starting_path(folder):
        pid, verb = starting.pid, "starts"
    elif found is not None and found[0].parent.parent == folder and found[1].alive:
        pid, verb = found[1].pid, "runs"
    else:
        return
    raise UsageError(
        f"a fleet already {verb} here, as process {pid}",
        hint="stop it with `passfleet down`, or start this one in another folder",
    )


class _Signals:
    """Signals that end the command, noted instead of obeyed while the context lasts."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.received.append(number)


def _wait_until_ready(
    child: subprocess.Popen[bytes], log: Path, announced: Sequence[str], signals: _Signals
) -> list[str]:
    """Return the lines that the fleet writes when it is ready."""
    until = time.monotonic() + _READY_WITHIN
    while time.monotonic() < until:
        ready = _ready_lines(log, announced)
        code = child.poll()
        if signals.received:
            raise SystemExit(128 + signals.received[0])
        if ready:
            return ready
        if code is not None:
            raise _FleetEndedError(code, _last_lines(log))
        time.sleep(_POLL)
    raise PeerError(f"the fleet was not ready within {_READY_WITHIN:.0f} s", hint=f"see {log}")


def _stop_child(child: subprocess.Popen[bytes], signals: _Signals) -> None:
    """End the fleet that was started; kill it after a further signal, or if it takes too long."""
    before = len(signals.received)
    until = time.monotonic() + _DOWN_WITHIN
    if child.poll() is None:
        child.terminate()
    while child.poll() is None:
        if len(signals.received) > before or time.monotonic() > until:
            child.kill()
        time.sleep(_POLL)


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
    last = "\n".join(lines[-5:]).removeprefix("error: ")
    return last or "the fleet ended without an error message"


def stop_running(start: Path, err: Console) -> int | None:
    """Stop the fleet that is found from `start` upwards, and wait until it has ended.

    A fleet that is not ready yet is found as well. Returns its process id, None if there is no
    fleet. Raises PeerError if it does not end in time.
    """
    # First the one that starts: it has its run file before this one is removed.
    starting = run_file.find_starting(start)
    if starting is not None:
        _end(starting.pid, starting.started, "the fleet that starts", err)
        run_file.remove_starting(starting.path, starting.pid)
    found = run_file.find_running(start)
    if found is None:
        return starting.pid if starting else None
    path, running = found
    if running.alive:
        _end(running.pid, running.started, count_noun(running.devices, "device"), err)
        return running.pid
    path.unlink(missing_ok=True)
    return starting.pid if starting else None


def _end(pid: int, started: str | None, what: str, err: Console) -> None:
    """Send SIGTERM to a process and wait for its end. Raises PeerError if it takes too long."""
    end_process(pid, started)
    until = time.monotonic() + _DOWN_WITHIN
    with err.status(f"stopping {what}"):
        while is_alive(pid, started):
            if time.monotonic() > until:
                raise PeerError(
                    f"process {pid} did not end within {_DOWN_WITHIN:.0f} s",
                    hint=f"end it with `kill -9 {pid}`, then run `passfleet clean`",
                )
            time.sleep(_POLL)
