"""A fleet of the load's own: what it is made of, and the child process that hosts it.

It runs in a folder of its own, made for it, so that neither the fleet file nor the state of
whoever calls is touched. It ends with the load, however that ends (see `fleet.load.fleet_process`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from broker.address import BrokerAddress
from broker.errors import PassfleetError, PeerError
from fleet.config.loader import FleetConfig, load_fleet
from fleet.config.sample import default_config
from fleet.config.tables import BrokerSection
from fleet.load.fleet_process import FleetJob
from fleet.load.options import LoadOptions
from fleet.load.worker_stats import WorkerStats
from fleet.service import run_file

__all__ = ["OwnFleet", "OwnFleetError", "fleet_file", "fleet_for", "own_fleet"]

_FLEET_FILE: Final = Path("fleet.toml")
_DEVICES: Final = 100
"""How many devices there are where nothing is said, and no fleet file says it."""
_READY_WITHIN: Final = 60.0
_READY_PER_DEVICE: Final = 0.02
_STOP_WITHIN: Final = 20.0
_OUTPUT_GRACE: Final = 1.0
_LAST_LINES: Final = 5
_EVENT: Final = b'{"event":'


class OwnFleetError(PassfleetError):
    """The fleet did not come up; its exit code becomes ours."""

    def __init__(self, exit_code: int, message: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code if exit_code > 0 else 1


@dataclass(frozen=True)
class OwnFleet:
    """The child, up and ready. `died` is done once it has ended, with what it said of it."""

    address: BrokerAddress
    root: str
    died: asyncio.Future[str | None]
    worker_stats: WorkerStats


def fleet_file(options: LoadOptions) -> Path | None:
    """The fleet file that a fleet is started from: the one asked for, else the one that is here."""
    return options.fleet or (_FLEET_FILE if _FLEET_FILE.is_file() else None)


def fleet_for(options: LoadOptions) -> FleetConfig:
    """The fleet to start: the groups of the fleet file, else the sample's, at the size asked for.

    Of the file's other tables [platforms] and [fleet] hold, all but `state`; the broker is the
    load's own. Raises FileError for a file that is not right, UsageError for a platform that is
    unknown to it or a number of devices that cannot be.
    """
    path = fleet_file(options)
    config = default_config() if path is None else load_fleet(path)
    devices = _DEVICES if path is None and options.devices is None else options.devices
    said = {"root": options.root, "workers": options.workers}
    section = {key: value for key, value in said.items() if value is not None}
    config = replace(
        config,
        path=None,
        fleet=config.fleet.model_copy(update={**section, "state": None}),
        broker=BrokerSection(),
    )
    return config.resized(devices, options.platform)


@asynccontextmanager
async def own_fleet(
    config: FleetConfig, broker: str, say: Callable[[str], None]
) -> AsyncIterator[OwnFleet]:
    """Start a fleet on `broker` ("embedded" or "mosquitto").

    Raises OwnFleetError, with what the child said, where it does not come up.
    """
    workers = min(config.workers, config.device_count)
    with tempfile.TemporaryDirectory(prefix="passfleet-load-") as name:
        child = _Child(Path(name), WorkerStats(workers, say))
        await child.start(FleetJob(config=config, broker=broker))
        try:
            ready = await child.ready(_READY_WITHIN + config.device_count * _READY_PER_DEVICE)
            yield OwnFleet(child.address(ready), config.root, child.ended, child.worker_stats)
        finally:
            await child.stop()


@dataclass
class _Child:
    """The process, and what it says."""

    folder: Path
    worker_stats: WorkerStats
    ended: asyncio.Future[str | None] = field(init=False)
    _process: asyncio.subprocess.Process = field(init=False)
    _ready: asyncio.Future[dict[str, Any]] = field(init=False)
    _error: dict[str, Any] = field(default_factory=dict)

    async def start(self, job: FleetJob) -> None:
        with self._err.open("wb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fleet.load.fleet_process"),
                cwd=self.folder,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                # A terminal's Ctrl-C is for us: the fleet has to last until the books are closed.
                start_new_session=True,
            )
        self._ready = asyncio.get_running_loop().create_future()
        self.ended = asyncio.ensure_future(self._watch_until_exit())
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # asked for above
        stdin.write(job.packed())
        stdin.close()

    async def ready(self, limit: float) -> dict[str, Any]:
        """What it says once it is ready. Raises what keeps it from that."""
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
        words = "\n".join(lines[-_LAST_LINES:]) or "the fleet ended without a word"
        raise OwnFleetError(self._process.returncode or 1, words, None)

    def address(self, ready: dict[str, Any]) -> BrokerAddress:
        """With the login that the broker wants, where it wants one."""
        found = run_file.find_running(self.folder)
        if found is not None and found[0].parent.parent == self.folder.resolve():
            return found[1].address()
        return BrokerAddress.parse(str(ready["broker"]))

    async def stop(self) -> None:
        """End it: asked first, killed where that does not help."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, number)
                await asyncio.wait([self.ended], timeout=_STOP_WITHIN)

    async def _watch_until_exit(self) -> str | None:
        """Hear it to its end; returns why it ended, where it said so."""
        hearing = asyncio.ensure_future(self._read_events())
        await self._process.wait()
        # What it started itself may hold the pipe open for longer.
        await asyncio.wait([hearing], timeout=_OUTPUT_GRACE)
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        return self._error.get("message")

    async def _read_events(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101  # asked for in start
        async for line in stdout:
            if not line.startswith(_EVENT):
                continue  # a library of its own has something to say
            said = json.loads(line)
            if said["event"] == "ready":
                self._ready.set_result(said)
            elif said["event"] == "loops":
                self.worker_stats.record_report(said["lag"], said["deaths"])
            else:
                self._error = said

    @property
    def _err(self) -> Path:
        return self.folder / "err"
