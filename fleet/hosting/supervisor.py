"""Supervisor of worker processes, each of which hosts one slice of the fleet.

A worker that dies is restarted with its slice; its devices reconnect, with their state if `state`
is set. A worker that keeps dying ends the fleet. The supervisor merges the workers' counters and
has the fleet's time published once all workers have reached it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from agent.coverage import RuleRecorder
from agent.storage.claim import StateClaim
from broker.address import BrokerAddress
from broker.child_command import module_command
from broker.client.pace import ConnectionPace
from broker.errors import BrokerError, PassfleetError, UsageError
from fleet.config.loader import FleetConfig
from fleet.hosting.counters import FleetCounters
from fleet.hosting.worker import WorkerJob

__all__ = ["WorkerBackend"]

_log = logging.getLogger("passfleet.supervisor")

_RESTARTS: Final = 5
"""Deaths of a worker allowed within `_RESTARTS_WITHIN` seconds; one more ends the fleet."""
_RESTARTS_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 30.0
_LINE_LIMIT: Final = 1 << 20


class WorkerBackend:
    """Backend that hosts the devices in worker processes."""

    def __init__(
        self,
        config: FleetConfig,
        workers: int,
        log_level: str,
        claim: StateClaim | None = None,
        *,
        coverage: bool = False,
    ) -> None:
        """Make the workers' jobs; with `coverage`, they count the rules that devices exercise.

        `claim` is the state file, which this process owns and the workers open.
        """
        if claim is not None:
            claim.share()
        self.inherited = () if claim is None else (claim.handle,)
        self.size = config.device_count
        self.counters = FleetCounters(rules=RuleRecorder() if coverage else None)
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._config = config
        self._log_level = log_level
        self._since = time.time()
        self._workers = [_Worker(self, index) for index in range(workers)]
        self._progress: Callable[[int], None] = lambda _: None
        self._published_time = 0
        self.leaving = False
        self.address: BrokerAddress
        self.control: BrokerAddress | None = None
        self.fresh = False

    async def start(
        self,
        address: BrokerAddress,
        *,
        control: BrokerAddress | None,
        fresh: bool,
        progress: Callable[[int], None],
    ) -> None:
        """Start the workers; return once all devices are connected."""
        self.address, self.control = address, control
        self.fresh, self._progress = fresh, progress
        await asyncio.gather(*(worker.start() for worker in self._workers))
        all_ready = asyncio.gather(*(worker.ready for worker in self._workers))
        either: list[asyncio.Future[Any]] = [all_ready, self.failed]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.failed.done():
            all_ready.cancel()
            # Unless it is awaited, asyncio logs the cancellation as an exception never retrieved.
            with contextlib.suppress(asyncio.CancelledError):
                await all_ready
            raise self.failed.result()
        self._publish_time()

    async def stop(self, *, forget: bool, progress: Callable[[int], None]) -> None:
        """Disconnect every device and end the workers."""
        self._progress = progress
        await self._end("stop forget" if forget else "stop")

    async def abandon(self) -> None:
        """End the workers without DISCONNECT."""
        await self._end("abandon")

    async def _end(self, order: str) -> None:
        self.leaving = True
        await asyncio.gather(*(worker.end(order) for worker in self._workers))

    def job(self, index: int, *, again: bool) -> WorkerJob:
        """Job of worker `index`; `again` if it replaces a worker whose devices were connected."""
        workers = len(self._workers)
        whole = ConnectionPace()
        return WorkerJob(
            config=self._config,
            address=self.address,
            control=self.control,
            index=index,
            workers=workers,
            fresh=self.fresh,
            again=again,
            since=self._since,
            reached=self._published_time or None,
            log_level=self._log_level,
            pace=replace(
                whole, rate=whole.rate / workers, in_flight=max(1, whole.in_flight // workers)
            ),
            coverage=self.counters.rules is not None,
        )

    # -- messages of workers -------------------------------------------------------------------

    def on_progress(self) -> None:
        """Report the devices connected or disconnected so far."""
        self._progress(sum(worker.progress for worker in self._workers))

    def on_counters(self) -> None:
        """Merge the counters of all workers."""
        self.counters.merge(worker.counters for worker in self._workers)

    def on_clock_moved(self) -> None:
        """Publish the fleet's time: the time that the slowest worker has reached."""
        moved = [worker.moved for worker in self._workers]
        if min(moved) > self._published_time:
            self._published_time = min(moved)
            self._publish_time()

    def _publish_time(self) -> None:
        self._workers[0].send_order("now")

    def describe_worker(self, index: int) -> str:
        """Name of a worker and the devices of the whole fleet that are up, for error messages."""
        up = sum(worker.progress for worker in self._workers)
        return f"worker {index} of {len(self._workers)}, {up} of all {self.size} devices being up"

    def fail(self, error: BaseException) -> None:
        """End the fleet with an error."""
        if not self.failed.done():
            self.failed.set_result(error)

    # -- figures for the live table and the metrics ----------------------------------------------

    def counts(self) -> Mapping[str, Counter[str]]:
        """Number of devices by platform and state."""
        merged: dict[str, Counter[str]] = {}
        for worker in self._workers:
            for platform, counts in worker.counts.items():
                merged.setdefault(platform, Counter()).update(counts)
        return merged

    def reconnects(self) -> int:
        """Number of connections lost or closed since the start."""
        return sum(worker.reconnects for worker in self._workers)

    def lag(self) -> Mapping[str, float]:
        """Longest loop lag of each worker, in seconds, since the previous call."""
        return {str(worker.index): worker.read_and_reset_lag() for worker in self._workers}

    def deaths(self) -> Mapping[str, int]:
        """Number of restarts after a death, by worker."""
        return {str(worker.index): worker.deaths for worker in self._workers}


class _Worker:
    """One worker process, and its latest report."""

    def __init__(self, backend: WorkerBackend, index: int) -> None:
        self.index = index
        self.progress = 0
        self.counters: dict[str, Any] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.reconnects = 0
        self._reconnects_before = 0
        self.deaths = 0
        self.moved = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._backend = backend
        self._lag = 0.0
        self._died_at: list[float] = []
        self._earlier: dict[str, Any] = {}
        self._process: asyncio.subprocess.Process
        self._watching: asyncio.Task[None]

    async def start(self) -> None:
        """Start the process and write its job to its stdin."""
        self._process = await asyncio.create_subprocess_exec(
            *module_command("fleet.hosting.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            pass_fds=self._backend.inherited,
        )
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # asked for above
        stdin.write(self._backend.job(self.index, again=self.ready.done()).to_bytes())
        self._watching = asyncio.create_task(self._watch(), name=f"passfleet.worker[{self.index}]")

    def send_order(self, order: str) -> None:
        """Write an order to the worker's stdin; ignored if the worker has ended."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            with contextlib.suppress(OSError):
                stdin.write(order.encode() + b"\n")

    def read_and_reset_lag(self) -> float:
        """Longest reported lag, in seconds, since the previous call."""
        longest, self._lag = self._lag, 0.0
        return longest

    async def end(self, order: str) -> None:
        """Order the process to end and wait for it, also if it is being restarted; then kill it."""
        self.progress = 0
        ended = None
        while ended is not self._process:
            ended = self._process
            self.send_order(order)
            try:
                async with asyncio.timeout(_STOP_WITHIN):
                    await ended.wait()
            except TimeoutError:
                ended.kill()
                await ended.wait()
            await self._watching

    async def _watch(self) -> None:
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None  # noqa: S101, PT018  # asked for in start
        copying = asyncio.create_task(_copy_stderr(stderr))
        try:
            while line := await stdout.readline():
                with contextlib.suppress(json.JSONDecodeError):
                    self._on_message(json.loads(line))
        except ValueError:  # a line longer than the stream's limit
            self._backend.fail(
                PassfleetError(f"worker {self.index} sent a line longer than {_LINE_LIMIT} bytes")
            )
            self._process.kill()
        await copying
        code = await self._process.wait()
        if not self._backend.leaving and not self._backend.failed.done():
            await self._died(code)

    def _on_message(self, message: dict[str, Any]) -> None:
        backend = self._backend
        if "up" in message or "gone" in message:
            self.progress = int(message["up"] if "up" in message else message["gone"])
            backend.on_progress()
        elif "ready" in message:
            if not self.ready.done():
                self.ready.set_result(None)
            _log.info("worker %s is ready", self.index)
        elif "moved" in message:
            self.moved = message["moved"]
            backend.on_clock_moved()
        elif "error" in message:
            backend.fail(_error(message, backend.describe_worker(self.index)))
        else:
            self.counters = FleetCounters.add(self._earlier, message["counters"])
            self.counts, self._lag = message["counts"], max(self._lag, message["lag"])
            self.reconnects = self._reconnects_before + message["reconnects"]
            backend.on_counters()

    async def _died(self, code: int) -> None:
        """Restart the worker and keep its counts."""
        now = time.monotonic()
        self._died_at = [at for at in self._died_at if now - at < _RESTARTS_WITHIN] + [now]
        if len(self._died_at) > _RESTARTS:
            self._backend.fail(
                PassfleetError(f"worker {self.index} keeps dying (last with {code})")
            )
            return
        _log.warning("worker %s died (%s); its devices come back", self.index, code)
        self.deaths += 1
        self._earlier = self.counters
        self._reconnects_before = self.reconnects
        self.counts = {}
        # The broker has sessions of the devices by now; they continue.
        self._backend.fresh = False
        try:
            await self.start()
        except OSError as error:
            self._backend.fail(
                PassfleetError(f"worker {self.index} cannot be started again: {error.strerror}")
            )


async def _copy_stderr(stderr: asyncio.StreamReader) -> None:
    """Copy a worker's log to sys.stderr, through rich if a live table is shown."""
    while data := await stderr.read(_LINE_LIMIT):
        sys.stderr.write(data.decode(errors="replace"))
        sys.stderr.flush()


def _error(message: dict[str, Any], by: str) -> PassfleetError:
    """The worker's error, with the class that matches its exit code.

    An error about a broker counts only the worker's connections, so `by` is added to it.
    """
    classes = {2: UsageError, 3: BrokerError}
    kind = classes.get(message["code"], PassfleetError)
    text = f"{message['error']} ({by})" if kind is BrokerError else message["error"]
    return kind(text, hint=message["hint"])
