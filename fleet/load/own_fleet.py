"""Fleet that a load starts: its configuration, and the child process that hosts it.

The child runs in a temporary folder, so that it changes no files of the user. It ends with the load
in every case (see `fleet.load.fleet_process`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from broker.address import BrokerAddress
from broker.child_command import module_command
from broker.errors import PassfleetError, PeerError
from fleet.config.loader import FleetConfig, load_fleet
from fleet.config.sample import default_config
from fleet.config.sections import BrokerSection
from fleet.load.fleet_process import FleetJob
from fleet.load.options import LoadOptions
from fleet.load.worker_stats import WorkerStats
from fleet.service import run_file

__all__ = ["OwnFleet", "OwnFleetError", "fleet_file", "fleet_for", "own_fleet"]

_FLEET_FILE: Final = Path("fleet.toml")
_DEVICES: Final = 100
"""Default number of devices without --devices and without a fleet file."""
_READY_WITHIN: Final = 60.0
_READY_PER_DEVICE: Final = 0.02
_STOP_WITHIN: Final = 20.0
_OUTPUT_GRACE: Final = 1.0
_LAST_LINES: Final = 5
_EVENT: Final = b'{"event":'


class OwnFleetError(PassfleetError):
    """Failed start of the fleet; the load exits with its exit code."""

    def __init__(self, exit_code: int, message: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code if exit_code > 0 else 1


@dataclass(frozen=True)
class OwnFleet:
    """Fleet that is ready. `died` completes when its process has ended, with its error if any."""

    address: BrokerAddress
    root: str
    died: asyncio.Future[str | None]
    worker_stats: WorkerStats


def fleet_file(options: LoadOptions) -> Path | None:
    """Return the fleet file: --fleet, else fleet.toml if it exists, else None."""
    return options.fleet or (_FLEET_FILE if _FLEET_FILE.is_file() else None)


def fleet_for(options: LoadOptions) -> FleetConfig:
    """Return the fleet to start: the groups of the fleet file or the sample, resized.

    [platforms] and [fleet] of the file apply, except `state`; [broker] does not. Raises FileError
    for an invalid file, UsageError for an unknown platform or an invalid number of devices.
    """
    path = fleet_file(options)
    config = default_config() if path is None else load_fleet(path)
    devices = _DEVICES if path is None and options.devices is None else options.devices
    given = {"root": options.root, "workers": options.workers}
    section = {key: value for key, value in given.items() if value is not None}
    config = replace(
        config,
        path=None,
        fleet=config.fleet.model_copy(update={**section, "state": None}),
        broker=BrokerSection(),
    )
    return config.resized(devices, options.platforms)


@asynccontextmanager
async def own_fleet(
    config: FleetConfig, broker: str, log: Callable[[str], None]
) -> AsyncIterator[OwnFleet]:
    """Start a fleet on `broker` ("embedded" or "mosquitto").

    Raises OwnFleetError with the child's error if it does not become ready.
    """
    workers = min(config.workers, config.device_count)
    with tempfile.TemporaryDirectory(prefix="passfleet-load-") as name:
        child = _Child(Path(name), WorkerStats(workers, log))
        await child.start(FleetJob(config=config, broker=broker))
        try:
            ready = await child.ready(_READY_WITHIN + config.device_count * _READY_PER_DEVICE)
            yield OwnFleet(child.address(ready), config.root, child.ended, child.worker_stats)
        finally:
            await child.stop()


@dataclass
class _Child:
    """Child process and its events."""

    folder: Path
    worker_stats: WorkerStats
    ended: asyncio.Future[str | None] = field(init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _ready: asyncio.Future[dict[str, Any]] = field(init=False)
    _error: dict[str, Any] = field(default_factory=dict)

    async def start(self, job: FleetJob) -> None:
        with self._err.open("wb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *module_command("fleet.load.fleet_process"),
                cwd=self.folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C must not reach the fleet: it has to run until the load has its result.
                start_new_session=True,
            )
        self._ready = asyncio.get_running_loop().create_future()
        self.ended = asyncio.ensure_future(self._watch_until_exit())
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # asked for above
        stdin.write(job.packed())
        stdin.close()

    async def ready(self, limit: float) -> dict[str, Any]:
        """Wait for the event `ready`. Raises PeerError or OwnFleetError."""
        either: list[asyncio.Future[Any]] = [self._ready, self.ended]
        await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if not self.ended.done():
            raise PeerError(
                f"the fleet was not ready within {limit:.0f} s",
                hint="load fewer devices (--devices)",
            )
        if self._error:
            raise OwnFleetError(self._error["code"], self._error["message"], self._error["hint"])
        lines = self._err.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = "\n".join(lines[-_LAST_LINES:]) or "the fleet ended without an error message"
        raise OwnFleetError(self._process.returncode or 1, words, None)

    def address(self, ready: dict[str, Any]) -> BrokerAddress:
        """Return the broker's address, with the login if it needs one."""
        found = run_file.find_running(self.folder)
        if found is not None and found[0].parent.parent == self.folder.resolve():
            return found[1].address()
        return BrokerAddress.parse(str(ready["broker"]))

    async def stop(self) -> None:
        """Stop the process with SIGTERM, then with SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)
                await asyncio.wait([self.ended], timeout=_STOP_WITHIN)

    async def _watch_until_exit(self) -> str | None:
        """Read events until the process exits. Returns its error message, if any."""
        reading = asyncio.ensure_future(self._read_events())
        await self._process.wait()
        # A child of the process may keep the pipe open for longer.
        await asyncio.wait([reading], timeout=_OUTPUT_GRACE)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return self._error.get("message")

    async def _read_events(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  # asked for in start
        async for line in stdout:
            if not line.startswith(_EVENT):
                continue  # output of a library
            event = json.loads(line)
            if event["event"] == "ready":
                self._ready.set_result(event)
            elif event["event"] == "loops":
                self.worker_stats.record_report(event["lag"], event["deaths"])
            else:
                self._error = event

    @property
    def _err(self) -> Path:
        return self.folder / "err"
