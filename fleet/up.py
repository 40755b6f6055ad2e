"""`passfleet up`: a fleet from its file to its last message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from agent.clock import Clock, RealClock, VirtualClock
from agent.store import StateFile
from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import BrokerError, UsageError
from broker.server import EMBEDDED, MOSQUITTO, open_broker, probe
from fleet import runfile
from fleet.config import FleetConfig
from fleet.figures import Figures
from fleet.host import Host
from fleet.live import progress_bar, show_lines, show_table
from fleet.preflight import check_room

__all__ = ["Interrupted", "UpOptions", "run"]

_OWN_BROKERS: Final = (EMBEDDED, MOSQUITTO)


class Interrupted(Exception):  # noqa: N818  # not an error: the user's Ctrl-C
    """Ctrl-C ended it, in good order."""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What the command line adds to the fleet file.

    `broker` overrides `broker.url`; `duration` is how long to run, None until Ctrl-C.
    """

    broker: str | None = None
    duration: timedelta | None = None
    as_json: bool = False


async def run(config: FleetConfig, options: UpOptions, out: Console, err: Console) -> None:
    """Run the fleet until Ctrl-C, SIGTERM or the end of its time.

    Raises BrokerError where the broker is not there or the one that was started dies, UsageError
    where the machine has no room or the devices are hosted elsewhere, Interrupted after Ctrl-C.
    """
    if sys.platform == "win32":
        raise UsageError(
            "a fleet cannot run on Windows' own event loop, which does not watch sockets",
            hint="run it under WSL; commands that talk to a running fleet work here",
        )
    url = options.broker or config.broker.url
    specs = config.devices()
    check_room(len(specs), None)
    folder = config.folder
    store = StateFile(config.state, config.seed) if config.state else None
    figures = Figures()
    host = Host(
        specs,
        Topics(config.root),
        seed=config.seed,
        clock=_clock(config),
        store=store,
        heard=figures.heard,
    )
    async with open_broker(url, **_login(config)) as broker:
        fresh = url in _OWN_BROKERS
        if not fresh:
            await probe(broker.address)
            _refuse_twice(folder, broker.address, config.root)
        stop = _StopSignals()
        with stop.listening():
            bar, moved = progress_bar(err, f"connecting to {broker.address.url}", len(specs))
            with bar:
                started = asyncio.ensure_future(
                    host.start(broker.address, fresh=fresh, progress=moved)
                )
                await _first_of(started, stop.asked, broker.died)
            try:
                if await _came_up(started):
                    path = runfile.write(folder, _running(config, broker.address, len(specs)))
                    try:
                        _announce(out, err, broker.address, config, specs[0].device_id, options)
                        await _until_stopped(host, figures, stop, broker.died, options, err)
                    finally:
                        runfile.remove(path, os.getpid())
            finally:
                # Also where only some came up, or somebody lost patience before all did.
                await _take_down(host, err, forget=not fresh and store is None, leave=not fresh)
            if broker.died.done():
                raise broker.died.result()
            if stop.by_user:
                raise Interrupted


def _clock(config: FleetConfig) -> Clock:
    return VirtualClock() if config.speed is None else RealClock(config.speed)


def _login(config: FleetConfig) -> dict[str, Any]:
    return {
        "username": config.broker.username,
        "password": config.password(),
        "ca": config.ca,
        "cert": config.cert,
        "key": config.key,
    }


def _refuse_twice(folder: Path, address: BrokerAddress, root: str) -> None:
    found = runfile.find_running(folder)
    if found is None or found[0].parent.parent != folder:
        return
    running = found[1]
    if running.alive and (running.broker, running.root) == (address.url, root):
        raise UsageError(
            f"this fleet already runs here, as process {running.pid}",
            hint="stop it with `passfleet down`",
        )


def _running(config: FleetConfig, address: BrokerAddress, devices: int) -> runfile.RunningFleet:
    return runfile.RunningFleet(
        broker=address.url,
        root=config.root,
        pid=os.getpid(),
        devices=devices,
        fleet=str(config.path.resolve()) if config.path else None,
        username=address.username,
        password=address.password,
        ca=_text(address.ca),
        cert=_text(address.cert),
        key=_text(address.key),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _announce(
    out: Console,
    err: Console,
    address: BrokerAddress,
    config: FleetConfig,
    first: str,
    options: UpOptions,
) -> None:
    """Say on stdout that the fleet is ready, and how to talk to it."""
    devices = config.device_count
    if options.as_json:
        ready = {"event": "ready", "devices": devices, "broker": address.url, "root": config.root}
        print(json.dumps(ready), file=out.file, flush=True)
        return
    print(f"ready devices={devices} broker={address.url}", file=out.file, flush=True)
    command = json.dumps({"commandId": "c-1", "actionName": "resetPasscode"})
    login = f" -u {address.username} -P …" if address.username else ""
    tls = f" --cafile {address.ca}" if address.ca else ""
    topic = Topics(config.root).device(first, "commands")
    err.print(
        f"try: passfleet reset {first}\n"
        f"or:  mosquitto_pub -h {address.host} -p {address.port}{login}{tls} -q 1"
        f" -t '{topic}' -m '{command}'",
        markup=False,
    )


async def _until_stopped(
    host: Host,
    figures: Figures,
    stop: _StopSignals,
    died: asyncio.Future[BrokerError],
    options: UpOptions,
    err: Console,
) -> None:
    headline = f"passfleet: {len(host.devices)} devices on {host.pool.address.url}"
    if err.is_terminal:
        showing = asyncio.create_task(show_table(err, host, figures, headline))
    else:
        showing = asyncio.create_task(show_lines(err, host, figures))
    limit = options.duration.total_seconds() if options.duration else None
    try:
        await _first_of(stop.asked, died, showing, limit=limit)
        if showing.done():
            showing.result()
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _first_of(*futures: asyncio.Future[Any], limit: float | None = None) -> None:
    """Wait until one of them is done, or `limit` seconds have passed. None is cancelled."""
    await asyncio.wait(futures, timeout=limit, return_when=asyncio.FIRST_COMPLETED)


async def _came_up(started: asyncio.Future[None]) -> bool:
    """Whether the fleet is up; the start is given up where it is not done. Raises what it did."""
    if started.done():
        started.result()
        return True
    started.cancel()
    await asyncio.gather(started, return_exceptions=True)
    return False


async def _take_down(host: Host, err: Console, *, forget: bool, leave: bool) -> None:
    """Stop; where the broker ends with us there is nobody to say goodbye to."""
    if not leave:
        await host.abandon()
        return
    bar, moved = progress_bar(err, "leaving the broker", len(host.devices))
    with bar:
        await host.stop(forget=forget, progress=moved)


class _StopSignals:
    """Ctrl-C and SIGTERM, as a future. A second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.by_user = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over for a while."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._ask, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _ask(self, number: int) -> None:
        if self.asked.done():
            os._exit(128 + number)
        self.by_user = number == signal.SIGINT
        self.asked.set_result(None)
