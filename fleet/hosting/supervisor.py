"""Workers: processes that each host a slice of the fleet, and the one that watches them.

A worker that dies is started again with its slice; its devices come back, with their state where
`state` is set. One that keeps dying is given up, and the fleet with it. The supervisor merges what
the workers count, and says the fleet's time once all of them have reached it.
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

from broker.address import BrokerAddress
from broker.client.pace import ConnectionPace
from broker.errors import BrokerError, PassfleetError, UsageError
from fleet.config.loader import FleetConfig
from fleet.hosting.counters import FleetCounters
from fleet.hosting.worker import WorkerJob

__all__ = ["WorkerBackend"]

_log = logging.getLogger("passfleet.supervisor")

_RESTARTS: Final = 5
"""So often a worker may die within `_RESTARTS_WITHIN` seconds before the fleet is given up."""
_RESTARTS_WITHIN: Final = 60.0
_STOP_WITHIN: Final = 30.0
_LINE_LIMIT: Final = 1 << 20


class WorkerBackend:
    """As many workers as the fleet file says host the devices."""

    def __init__(self, config: FleetConfig, workers: int, log_level: str) -> None:
        self.size = config.device_count
        self.counters = FleetCounters()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._config = config
        self._log_level = log_level
        self._since = time.time()
        self._workers = [_Worker(self, index) for index in range(workers)]
        self._progress: Callable[[int], None] = lambda _: None
        self._published_time = 0
        self.leaving = False
        self.address: BrokerAddress
        self.fresh = False

    async def start(
        self, address: BrokerAddress, *, fresh: bool, progress: Callable[[int], None]
    ) -> None:
        """Start the workers; returns once all devices of all of them are connected."""
        self.address, self.fresh, self._progress = address, fresh, progress
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
        """Take every device off the broker and end the workers."""
        self._progress = progress
        await self._end("stop forget" if forget else "stop")

    async def abandon(self) -> None:
        """End the workers without a word to the broker."""
        await self._end("abandon")

    async def _end(self, order: str) -> None:
        self.leaving = True
        await asyncio.gather(*(worker.end(order) for worker in self._workers))

    def job(self, index: int, *, again: bool) -> WorkerJob:
        """What worker `index` is to do; `again` where one before it had its devices connected."""
        workers = len(self._workers)
        whole = ConnectionPace()
        return WorkerJob(
            config=self._config,
            address=self.address,
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
        )

    # -- what workers tell ---------------------------------------------------------------------

    def on_progress(self) -> None:
        """A worker got further."""
        self._progress(sum(worker.progress for worker in self._workers))

    def on_counters(self) -> None:
        """A worker counted."""
        self.counters.merge(worker.counters for worker in self._workers)

    def on_clock_moved(self) -> None:
        """A worker moved its clock: the fleet's time is what the last of them has reached."""
        moved = [worker.moved for worker in self._workers]
        if min(moved) > self._published_time:
            self._published_time = min(moved)
            self._publish_time()

    def _publish_time(self) -> None:
        self._workers[0].send_order("now")

    def describe_worker(self, index: int) -> str:
        """Whose words those of a worker are, beside what the whole fleet has reached."""
        up = sum(worker.progress for worker in self._workers)
        return f"worker {index} of {len(self._workers)}, {up} of all {self.size} devices being up"

    def fail(self, error: BaseException) -> None:
        """Let the fleet end with an error."""
        if not self.failed.done():
            self.failed.set_result(error)

    # -- what the table and the metrics ask ----------------------------------------------------

    def counts(self) -> Mapping[str, Counter[str]]:
        """For each platform how many devices are in which state."""
        merged: dict[str, Counter[str]] = {}
        for worker in self._workers:
            for platform, counts in worker.counts.items():
                merged.setdefault(platform, Counter()).update(counts)
        return merged

    def reconnects(self) -> int:
        """How many connections were lost or closed since the start."""
        return sum(worker.reconnects for worker in self._workers)

    def lag(self) -> Mapping[str, float]:
        """The longest each worker's loop was late since asked before, in seconds."""
        return {str(worker.index): worker.read_and_reset_lag() for worker in self._workers}

    def deaths(self) -> Mapping[str, int]:
        """How often each worker died and was started again."""
        return {str(worker.index): worker.deaths for worker in self._workers}


class _Worker:
    """One worker process, and what it copying last."""

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
        """Start the process and give it its job."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fleet.hosting.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
        )
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # asked for above
        stdin.write(self._backend.job(self.index, again=self.ready.done()).to_bytes())
        self._watching = asyncio.create_task(self._watch(), name=f"passfleet.worker[{self.index}]")

    def send_order(self, order: str) -> None:
        """Write an order to the worker's stdin; one that is gone needs none."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing():
            with contextlib.suppress(OSError):
                stdin.write(order.encode() + b"\n")

    def read_and_reset_lag(self) -> float:
        """The longest lag, in seconds, that it copying of since it was taken before."""
        longest, self._lag = self._lag, 0.0
        return longest

    async def end(self, order: str) -> None:
        """Order the process to end, and see to it; also one that is just being started again."""
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
        except ValueError:  # a line longer than the stream takes
            self._backend.fail(PassfleetError(f"worker {self.index} says more than can be read"))
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
            self.counters = FleetCounters.added(self._earlier, message["counters"])
            self.counts, self._lag = message["counts"], max(self._lag, message["lag"])
            self.reconnects = self._reconnects_before + message["reconnects"]
            backend.on_counters()

    async def _died(self, code: int) -> None:
        """Start it again: what it counted stays counted."""
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
        # The broker knows its devices by now: their sessions go on.
        self._backend.fresh = False
        try:
            await self.start()
        except OSError as error:
            self._backend.fail(
                PassfleetError(f"worker {self.index} cannot be started again: {error.strerror}")
            )


async def _copy_stderr(stderr: asyncio.StreamReader) -> None:
    """Write what a worker logs to our own stderr, which may have a live table on it."""
    while data := await stderr.read(_LINE_LIMIT):
        sys.stderr.write(data.decode(errors="replace"))
        sys.stderr.flush()


def _error(message: dict[str, Any], by: str) -> PassfleetError:
    """The worker's error, of the kind that its exit code tells.

    One about a broker counts the worker's own connections, so `by` is copying with it.
    """
    kinds = {2: UsageError, 3: BrokerError}
    kind = kinds.get(message["code"], PassfleetError)
    text = f"{message['error']} ({by})" if kind is BrokerError else message["error"]
    return kind(text, hint=message["hint"])
