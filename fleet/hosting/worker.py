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

from agent.state_file import StateFile
from broker.address import BrokerAddress
from broker.client.pace import ConnectionPace
from broker.contract import Topics
from broker.errors import PassfleetError
from fleet.config.loader import FleetConfig
from fleet.hosting.backend import LoopLag, count_by_platform, make_clock
from fleet.hosting.counters import FleetCounters
from fleet.hosting.host import Host
from fleet.logging_setup import configure_logging

__all__ = ["WorkerJob", "main"]

_REPORT_EVERY: Final = 0.5
_HEADER: Final = struct.Struct("!I")


@dataclass(frozen=True, kw_only=True)
class WorkerJob:
    """What a worker is to do: slice `index` of `workers`. `since` is when the fleet's clock began.

    `reached` is where virtual time stands, None at the start. `pace` is this worker's share of the
    fleet's rate of connections. `fresh` and `again` are as for `Host.start`.
    """

    config: FleetConfig
    address: BrokerAddress
    index: int
    workers: int
    fresh: bool
    again: bool
    since: float
    reached: int | None
    log_level: str
    pace: ConnectionPace

    def to_bytes(self) -> bytes:
        """The job as it goes to the worker's stdin."""
        body = pickle.dumps(self)
        return _HEADER.pack(len(body)) + body


def main() -> None:
    """Run a worker until it is copying to stop."""
    # Ctrl-C reaches the whole terminal group; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (size,) = _HEADER.unpack(_read(_HEADER.size))
    job: WorkerJob = pickle.loads(_read(size))  # noqa: S301  # from our own supervisor, over a pipe
    configure_logging(job.log_level)
    asyncio.run(_Worker(job).run())


def _read(size: int) -> bytes:
    """So many bytes of stdin and none beyond them: an order may stand there already."""
    data = b""
    while len(data) < size:
        part = os.read(sys.stdin.fileno(), size - len(data))
        if not part:
            sys.exit(1)  # the supervisor died before it had said anything
        data += part
    return data


def _send(**message: Any) -> None:
    try:
        sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The supervisor has died. The end of stdin says so too, and that is what is obeyed.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


class _Worker:
    def __init__(self, job: WorkerJob) -> None:
        config = job.config
        specs = config.devices()[job.index :: job.workers]
        part = (job.index, job.workers)
        self.job = job
        self.counters = FleetCounters()
        store = StateFile(config.state, config.seed, part=part) if config.state else None
        kept = store.reached if store else None
        self.host = Host(
            specs,
            Topics(config.root),
            seed=config.seed,
            clock=make_clock(config, job.since, job.reached or kept),
            store=store,
            on_effect=self.counters.on_effect,
            pace=job.pace,
            on_clock_moved=lambda to: _send(moved=to),
            index=job.index,
            known=config.known,
        )

    async def run(self) -> None:
        """Start, report, obey."""
        orders = await _open_orders()
        lag = LoopLag()
        try:
            order = await self._start(orders)
        except PassfleetError as error:
            _send(error=str(error), hint=error.hint, code=error.exit_code)
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
        """Report now and then; returns the order to end."""
        while True:
            try:
                async with asyncio.timeout(_REPORT_EVERY):
                    return await _wait_for_end_order(orders, self.host.publish_now)
            except TimeoutError:
                self._report(lag)

    async def _start(self, orders: asyncio.StreamReader) -> str:
        """Connect the devices. An order to end that comes meanwhile ends that, and is returned."""
        early: list[bool] = []
        starting = asyncio.create_task(
            self.host.start(
                self.job.address,
                fresh=self.job.fresh,
                again=self.job.again,
                progress=lambda n: _send(up=n),
            )
        )
        # What has begun can be ended: a host that has not has nothing to end with.
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
        counts = count_by_platform(self.host.devices.values())
        _send(
            counters=self.counters.snapshot(),
            counts=counts,
            reconnects=self.host.pool.reconnects,
            lag=lag.read_and_reset(),
        )


def _send_gone(gone: int) -> None:
    if gone % 100 == 0:
        _send(gone=gone)


async def _wait_for_end_order(orders: asyncio.StreamReader, now: Callable[[], object]) -> str:
    """Wait for the order to end: `stop`, `stop forget` or `abandon`. `now` is called when asked."""
    while True:
        order = (await orders.readline()).decode().strip()
        if order != "now":
            return order or "abandon"
        now()


async def _open_orders() -> asyncio.StreamReader:
    """The supervisor's orders. At the end of the pipe, an empty line: abandon."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


if __name__ == "__main__":
    main()
