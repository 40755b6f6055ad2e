"""A worker process: hosts its slice of the fleet, as its supervisor tells it.

It is given a `Job` on stdin, then lines of orders; it answers with JSON lines on stdout. When its
stdin ends, the supervisor has died: it leaves the broker without a word, so that the Wills tell.
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
from fleet.hosting.backend import LoopLag, by_platform, clock_of
from fleet.hosting.counters import FleetCounters
from fleet.hosting.host import Host
from fleet.hosting.logging_setup import set_up_logging

__all__ = ["Job", "main"]

_REPORT_EVERY: Final = 0.5
_HEADER: Final = struct.Struct("!I")


@dataclass(frozen=True, kw_only=True)
class Job:
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

    def packed(self) -> bytes:
        """The job as it goes to the worker's stdin."""
        body = pickle.dumps(self)
        return _HEADER.pack(len(body)) + body


def main() -> None:
    """Run a worker until it is told to stop."""
    # Ctrl-C reaches the whole terminal group; the supervisor decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (size,) = _HEADER.unpack(_read(_HEADER.size))
    job: Job = pickle.loads(_read(size))  # noqa: S301  # from our own supervisor, over a pipe
    set_up_logging(job.log_level)
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


def _say(**message: Any) -> None:
    try:
        sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The supervisor has died. The end of stdin says so too, and that is what is obeyed.
        nobody = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nobody, sys.stdout.fileno())
        os.close(nobody)


class _Worker:
    def __init__(self, job: Job) -> None:
        config = job.config
        specs = config.devices()[job.index :: job.workers]
        part = (job.index, job.workers)
        self.job = job
        self.figures = FleetCounters()
        store = StateFile(config.state, config.seed, part=part) if config.state else None
        kept = store.reached if store else None
        self.host = Host(
            specs,
            Topics(config.root),
            seed=config.seed,
            clock=clock_of(config, job.since, job.reached or kept),
            store=store,
            on_effect=self.figures.on_effect,
            pace=job.pace,
            moved=lambda to: _say(moved=to),
            index=job.index,
            known=config.known,
        )

    async def run(self) -> None:
        """Start, report, obey."""
        orders = await _orders()
        lag = LoopLag()
        try:
            order = await self._start(orders)
        except PassfleetError as error:
            _say(error=str(error), hint=error.hint, code=error.exit_code)
            await self.host.abandon()
            return
        if not order:
            order = await self._obey(orders, lag)
            self._report(lag)
        lag.close()
        if order.startswith("stop"):
            await self.host.stop(forget=order == "stop forget", progress=_say_gone)
        else:
            await self.host.abandon()

    async def _obey(self, orders: asyncio.StreamReader, lag: LoopLag) -> str:
        """Report now and then; returns the order to end."""
        while True:
            try:
                async with asyncio.timeout(_REPORT_EVERY):
                    return await _ending(orders, self.host.publish_now)
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
                progress=lambda n: _say(up=n),
            )
        )
        # What has begun can be ended: a host that has not has nothing to end with.
        await asyncio.sleep(0)
        ending = asyncio.create_task(_ending(orders, lambda: early.append(True)))
        await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
        (starting if ending.done() else ending).cancel()
        await asyncio.gather(starting, ending, return_exceptions=True)
        if not ending.cancelled():
            return ending.result()
        starting.result()
        _say(ready=True)
        if early:
            self.host.publish_now()
        return ""

    def _report(self, lag: LoopLag) -> None:
        counts = by_platform(self.host.devices.values())
        _say(
            figures=self.figures.snapshot(),
            counts=counts,
            reconnects=self.host.pool.reconnects,
            lag=lag.take(),
        )


def _say_gone(gone: int) -> None:
    if gone % 100 == 0:
        _say(gone=gone)


async def _ending(orders: asyncio.StreamReader, now: Callable[[], object]) -> str:
    """Wait for the order to end: `stop`, `stop forget` or `abandon`. `now` is called when asked."""
    while True:
        order = (await orders.readline()).decode().strip()
        if order != "now":
            return order or "abandon"
        now()


async def _orders() -> asyncio.StreamReader:
    """The supervisor's orders. At the end of the pipe, an empty line: abandon."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


if __name__ == "__main__":
    main()
