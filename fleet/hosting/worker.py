"""Worker process: hosts one slice of the fleet for the supervisor.

It reads a `WorkerJob` from stdin, then one order per line, and writes JSON lines to stdout. The end
of stdin means that the supervisor has died: the worker then drops its connections without a
DISCONNECT, so that the broker publishes the Wills.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from agent.coverage import RuleRecorder
from agent.storage.file import StateFile
from broker.address import BrokerAddress
from broker.client.pace import ConnectionPace
from broker.contract import Topics
from broker.errors import PassfleetError
from fleet.config.loader import FleetConfig
from fleet.hosting.backend import LoopLag, make_clock
from fleet.hosting.counters import DeviceCounts, FleetCounters
from fleet.hosting.host import Host
from fleet.logging_setup import configure_logging

__all__ = ["WorkerJob", "main"]

_REPORT_EVERY: Final = 0.5
_HEADER: Final = struct.Struct("!I")


@dataclass(frozen=True, kw_only=True)
class WorkerJob:
    """Job of a worker: host slice `index` of `workers`.

    `control` is the broker that operators use, None for `address`.
    `since` is the start of the fleet's clock by `time.time()`. `reached` is the fleet's virtual
    time, None at the start. `pace` is this worker's share of the fleet's connection rate. `fresh`
    and `again` are passed to `Host.start`. `coverage` counts the rules that devices exercise.
    """

    config: FleetConfig
    address: BrokerAddress
    control: BrokerAddress | None
    index: int
    workers: int
    fresh: bool
    again: bool
    since: float
    reached: int | None
    log_level: str
    pace: ConnectionPace
    coverage: bool = False

    def to_bytes(self) -> bytes:
        """Serialize the job for the worker's stdin: length, then pickle."""
        body = pickle.dumps(self)
        return _HEADER.pack(len(body)) + body


def main() -> None:
    """Run a worker until an order to end."""
    # Ctrl-C reaches the whole process group; only the supervisor handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (size,) = _HEADER.unpack(_read(_HEADER.size))
    job: WorkerJob = pickle.loads(_read(size))  # noqa: S301  # from the supervisor, over a pipe
    configure_logging(job.log_level)
    try:
        worker = _Worker(job)
    except PassfleetError as error:
        _send_error(error)
        sys.exit(error.exit_code)
    asyncio.run(worker.run())


def _read(size: int) -> bytes:
    """Read exactly `size` bytes of stdin: orders may already follow them."""
    data = b""
    while len(data) < size:
        part = os.read(sys.stdin.fileno(), size - len(data))
        if not part:
            sys.exit(1)  # the supervisor died before it had sent the job
        data += part
    return data


def _send(**message: Any) -> None:
    try:
        sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The supervisor has died. The end of stdin, which signals the same, ends the worker.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _send_error(error: PassfleetError) -> None:
    _send(error=str(error), hint=error.hint, code=error.exit_code)


def _open_state(job: WorkerJob) -> StateFile | None:
    config = job.config
    if config.state is None:
        return None
    part = (job.index, job.workers)
    return StateFile(config.state, config.seed, part, power=config.survives_power_loss)


class _Worker:
    """Host of one slice. Raises FileError where the state file cannot be used."""

    def __init__(self, job: WorkerJob) -> None:
        config = job.config
        specs = config.devices()[job.index :: job.workers]
        self.job = job
        rules = RuleRecorder() if job.coverage else None
        self.counters = FleetCounters(rules=rules)
        self.counts = DeviceCounts()
        store = _open_state(job)
        kept = store.reached if store else None
        if store is not None:
            store.on_failure = _send_error
        self.host = Host(
            specs,
            Topics(config.root),
            seed=config.seed,
            clock=make_clock(config, job.since, job.reached or kept),
            store=store,
            on_effect=self.counters.on_effect,
            on_event=rules.on_event if rules else None,
            on_dialect_event=self.counters.on_dialect_event,
            pace=job.pace,
            on_clock_moved=lambda to: _send(moved=to),
            counts=self.counts,
            index=job.index,
            known=config.known,
        )

    async def run(self) -> None:
        """Start the host, report, and end when ordered."""
        orders = await _open_orders()
        lag = LoopLag()
        try:
            order = await self._start(orders)
        except PassfleetError as error:
            _send_error(error)
            await self.host.abandon()
            return
        if not order:
            order = await self._report_until_end_order(orders, lag)
            self._report(lag)
        lag.close()
        if order.startswith("stop"):
            await self.host.stop(forget=order == "stop forget", progress=_send_gone)
        else:
            await self.host.abandon()

    async def _report_until_end_order(self, orders: asyncio.StreamReader, lag: LoopLag) -> str:
        """Report every 0.5 s until an order to end arrives; return the order."""
        while True:
            try:
                async with asyncio.timeout(_REPORT_EVERY):
                    return await _wait_for_end_order(orders, self.host.publish_now)
            except TimeoutError:
                self._report(lag)

    async def _start(self, orders: asyncio.StreamReader) -> str:
        """Connect the devices. Return the order to end that cancelled it, or an empty string."""
        early: list[bool] = []
        starting = asyncio.create_task(
            self.host.start(
                self.job.address,
                control=self.job.control,
                fresh=self.job.fresh,
                again=self.job.again,
                progress=lambda n: _send(up=n),
            )
        )
        # Let `Host.start` create its connection pool first: `stop` and `abandon` need it.
        await asyncio.sleep(0)
        ending = asyncio.create_task(_wait_for_end_order(orders, lambda: early.append(True)))
        await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
        (starting if ending.done() else ending).cancel()
        await asyncio.gather(starting, ending, return_exceptions=True)
        if not ending.cancelled():
            return ending.result()
        starting.result()
        _send(ready=True)
        if early:
            self.host.publish_now()
        return ""

    def _report(self, lag: LoopLag) -> None:
        _send(
            counters=self.counters.snapshot(),
            counts=self.counts.by_platform(),
            reconnects=self.host.pool.reconnects,
            lag=lag.read_and_reset(),
        )


def _send_gone(gone: int) -> None:
    if gone % 100 == 0:
        _send(gone=gone)


async def _wait_for_end_order(orders: asyncio.StreamReader, now: Callable[[], object]) -> str:
    """Wait for `stop`, `stop forget` or `abandon`; call `now` for each order `now`."""
    while True:
        order = (await orders.readline()).decode().strip()
        if order != "now":
            return order or "abandon"
        now()


async def _open_orders() -> asyncio.StreamReader:
    """Stream of the supervisor's orders; the end of the pipe reads as `abandon`."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


if __name__ == "__main__":
    main()
