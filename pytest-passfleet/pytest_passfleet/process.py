"""`passfleet up` as a child process: start, readiness, and stop by process id."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pytest_passfleet.address import Address, address_of
from pytest_passfleet.errors import FleetError
from pytest_passfleet.fleet import Fleet
from pytest_passfleet.message import Device
from pytest_passfleet.settings import Settings, Spec
from pytest_passfleet.wire import FleetConnection

__all__ = ["PLATFORMS", "Running"]

PLATFORMS: Final = (
    "android",
    "ios",
    "windows_10_mobile",
    "windows_8_1",
    "windows_phone_8",
    "windows_phone_8_1",
    "windows_rt",
    "windows_rt_8_1",
)
"""Platforms of the default fleet, which has one device of each."""
_OWN_BROKERS: Final = ("embedded", "mosquitto")
_GUARD: Final = Path(__file__).with_name("_guard.py")
_STOP_LIMIT: Final = 30.0
_LAST_LINES: Final = 12


class Running:
    """A running `passfleet up` and the connection to its broker."""

    def __init__(self, settings: Settings, spec: Spec, folder: Path) -> None:
        self._broker = spec.broker or settings.broker
        self._file = spec.fleet or settings.fleet_file or _write_default(folder, self._broker)
        self._err = folder / "up.err"
        self._limit = settings.start_limit
        self._child = self._start(settings.command(), spec, folder)
        self._wire: FleetConnection | None = None
        try:
            self.fleet = self._open(settings.limit)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the fleet and wait until its process has ended."""
        if self._wire is not None:
            self._wire.close()
        assert self._child.stdin is not None  # noqa: S101  # opened below
        assert self._child.stdout is not None  # noqa: S101
        with contextlib.suppress(OSError):
            # The guard stops the fleet when its stdin is closed.
            self._child.stdin.close()
        try:
            self._child.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def _start(self, command: Sequence[str], spec: Spec, folder: Path) -> subprocess.Popen[str]:
        if not self._file.is_file():
            raise FleetError(f"there is no fleet file {self._file}")
        asked = {"--devices": spec.devices, "--platform": spec.platform, "--broker": self._broker}
        options = [word for name, value in asked.items() if value for word in (name, str(value))]
        guard = [sys.executable, "-I", "-S", str(_GUARD)]
        with self._err.open("wb") as err:
            return subprocess.Popen(  # noqa: S603  # the command that the user's settings name
                [*guard, *command, "up", str(self._file.resolve()), *options, "--json"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                encoding="utf-8",
                # Ctrl-C must reach pytest only, which then stops the fleet.
                start_new_session=True,
            )

    def _open(self, limit: float) -> Fleet:
        pid, ready = self._first_lines()
        address = address_of(ready["broker"], self._file, self._broker)
        self._wire = wire = FleetConnection(address, ready["root"], self._why_lost)
        wire.start()
        return _fleet(wire, address, pid, ready["devices"], limit)

    def _first_lines(self) -> tuple[int, dict[str, Any]]:
        """Read the fleet's process id and its ready line. Raises FleetError if it does not come."""
        assert self._child.stdin is not None  # noqa: S101  # opened below
        assert self._child.stdout is not None  # noqa: S101
        # Close stdin instead of killing the guard: the guard then stops the fleet.
        with _limited(self._limit, self._child.stdin.close) as is_late:
            lines = [self._child.stdout.readline() for _ in range(2)]
        try:
            return int(lines[0]), json.loads(lines[1])
        except ValueError:
            late = f" within {self._limit:g} s" if is_late() else ""
            raise FleetError(f"the fleet did not start{late}: {self._ended()}") from None

    def _why_lost(self) -> str:
        return f"the fleet has ended: {self._ended()}"

    def _ended(self) -> str:
        """Describe the end of the fleet: exit code and last lines of stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        code = self._child.returncode
        words = self._err.read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        how = "the broker was lost" if code is None else f"exit code {code}"
        return "\n".join([how, *words])


@contextlib.contextmanager
def _limited(seconds: float, end: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Call `end` if the context lasts longer than `seconds`; yields a function: True if it did."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        end()

    timer = threading.Timer(seconds, give_up)
    timer.start()
    try:
        yield late.is_set
    finally:
        timer.cancel()
        timer.join()


def _write_default(folder: Path, broker: str | None) -> Path:
    lines = ["[fleet]", 'clock = "virtual"']
    if broker is not None and broker not in _OWN_BROKERS:
        # Other test runs may use the same broker, such as the other xdist workers of this run.
        lines.append(f'root = "passfleet/v1/tests/{uuid4().hex[:12]}"')
    for platform in PLATFORMS:
        lines += ["", "[[group]]", f'name = "{platform}"', f'platform = "{platform}"']
    path = folder / "fleet.toml"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def _fleet(wire: FleetConnection, address: Address, pid: int, count: int, limit: float) -> Fleet:
    """Return the fleet after the retained states of all its devices have been received."""

    def all_there() -> bool | None:
        kinds = [leaf for _, leaf in wire.retained]
        return min(kinds.count("state"), kinds.count("presence")) >= count or None

    wire.do(wire.until(all_there, limit, f"the states of {count} devices"))
    states = (wire.retained[key] for key in sorted(wire.retained) if key[1] == "state")
    devices = [
        Device(s["deviceId"], s["platform"], s["management"], s["group"], s["owner"])
        for s in states
    ]
    return Fleet(address, pid, wire, devices, limit)
