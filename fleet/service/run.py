"""`passfleet up`: a fleet from its file to its last message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from agent.storage.claim import StateClaim
from agent.storage.file import StateFile
from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import UsageError
from broker.processes import started_at
from broker.server.child_process import BrokerHandle
from broker.server.listen import ListenAddress
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from fleet.config.loader import FleetConfig
from fleet.hosting.backend import HostingBackend, LocalBackend
from fleet.hosting.probed import probed_address
from fleet.hosting.supervisor import WorkerBackend
from fleet.hosting.system_limits import check_system_limits
from fleet.plural import count_noun
from fleet.service import run_file
from fleet.service.status import progress_bar, show_lines, show_table

__all__ = ["Interrupted", "UpOptions", "run"]

_OWN_BROKERS: Final = (EMBEDDED, MOSQUITTO)
_USUAL_PORT: Final = 1883
_EMBEDDED_CARRIES: Final = 3_000
_EMBEDDED_RATE: Final = 10_000
"""Commands a second: measured with bench/broker_scaling.py on two cores."""


class Interrupted(Exception):  # noqa: N818  # not an error: the user's Ctrl-C
    """Ctrl-C ended it, in good order."""


WebServer = Callable[[BrokerAddress], contextlib.AbstractAsyncContextManager[str | None]]
"""Serves the pages and the Graph API for a broker; gives the URL, None where it serves nothing."""
WebService = Callable[[FleetConfig], contextlib.AbstractAsyncContextManager[WebServer]]
"""Takes the port of the web server before the fleet starts, and gives the server."""
View = Callable[[Console, HostingBackend], Coroutine[Any, Any, None]]
"""Shows a backend on a console until it is cancelled; what it raises ends the fleet."""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """Options of the command line that add to the fleet file.

    `broker` overrides `broker.url`; `duration` is how long to run, None until Ctrl-C; `metrics` is
    the port to serve them on, 0 for a free one, None for not at all; `view` shows the backend while
    it runs, None for a table on a terminal and lines elsewhere; `web` serves the pages
    and the Graph API, None for not at all; `coverage` is the file that the coverage of rules is
    written to at the end, None for no coverage.
    """

    broker: str | None = None
    duration: timedelta | None = None
    as_json: bool = False
    log_level: str = "warning"
    metrics: int | None = None
    view: View | None = None
    web: WebService | None = None
    coverage: Path | None = None


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
    starting = run_file.write_starting(config.folder, os.getpid())
    try:
        await _run(config, options, out, err)
    finally:
        run_file.remove_starting(starting, os.getpid())


async def _run(config: FleetConfig, options: UpOptions, out: Console, err: Console) -> None:
    url = options.broker or config.broker.url
    config.check_logins()
    workers = min(config.workers, config.device_count)
    check_system_limits(config.connection_count, workers)
    if options.metrics is not None:
        from fleet.service.metrics import check_port  # noqa: PLC0415  # paid for by those who ask

        check_port(options.metrics)
    control_url = config.control.url if config.control else None
    async with (
        _state(config, workers) as state,
        (options.web or _no_web)(config) as serve,
        open_broker(url, **config.login(url)) as broker,
        _control_broker(config) as control,
    ):
        ours = url in _OWN_BROKERS
        probed = probed_address(config, broker.address)
        if not ours:
            await probe(probed)
        if control is not None and control_url not in _OWN_BROKERS:
            await probe(control.address)
        _warn_of_limits(url, config.device_count, err)
        _warn_of_port(url, config, broker.address, err)
        _note_listening(url, config, err)
        backend = _make_backend(config, workers, options, state)
        stop = _StopSignals()
        brokers = _Brokers(broker, control, ours=ours, fresh=(control_url or url) in _OWN_BROKERS)
        with stop.listening(), _coverage_file(backend, config, options.coverage):
            await _run_backend(backend, config, options, brokers, stop, out, err, serve)
        for each in filter(None, (broker, control)):
            if each.died.done():
                raise each.died.result()
        if backend.failed.done():
            raise backend.failed.result()
        if stop.by_user:
            raise Interrupted


@contextlib.asynccontextmanager
async def _state(config: FleetConfig, workers: int) -> AsyncIterator[StateFile | StateClaim | None]:
    """State file of the fleet, checked and owned before anything starts; None without one.

    Raises FileError where it cannot be used, in the same words for any number of workers.
    """
    if config.state is None:
        yield None
        return
    opened = StateFile if workers == 1 else StateClaim
    state = opened(config.state, config.seed, power=config.survives_power_loss)
    with contextlib.closing(state):
        yield state


def _make_backend(
    config: FleetConfig,
    workers: int,
    options: UpOptions,
    state: StateFile | StateClaim | None,
) -> HostingBackend:
    coverage = options.coverage is not None
    if workers == 1:
        assert not isinstance(state, StateClaim)  # noqa: S101  # see `_state`
        return LocalBackend(config, state, coverage=coverage)
    assert not isinstance(state, StateFile)  # noqa: S101
    return WorkerBackend(config, workers, options.log_level, state, coverage=coverage)


@contextlib.contextmanager
def _coverage_file(
    backend: HostingBackend, config: FleetConfig, path: Path | None
) -> Iterator[None]:
    """Write the coverage of rules to `path` at the end, however the fleet ends."""
    try:
        yield
    finally:
        if path is not None and backend.counters.rules is not None:
            from fleet.service.coverage import coverage_of_fleet  # noqa: PLC0415  # on request only

            setups = [spec.setup for spec in config.devices()]
            document = coverage_of_fleet(setups, backend.counters.rules.counts).as_json()
            try:
                path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.asynccontextmanager
async def _control_broker(config: FleetConfig) -> AsyncIterator[BrokerHandle | None]:
    """Broker of `[control]`, None where operators use the one of the devices."""
    if config.control is None:
        yield None
        return
    async with open_broker(config.control.url, **config.control_login()) as handle:
        yield handle


@dataclass(frozen=True)
class _Brokers:
    """Brokers of a running fleet: of the devices, and of operators where that is another one.

    `ours`: the first was started for this fleet. `fresh`: the one of operators was.
    """

    devices: BrokerHandle
    control: BrokerHandle | None
    ours: bool
    fresh: bool

    @property
    def address(self) -> BrokerAddress:
        """Address for operators."""
        return (self.control or self.devices).address

    @property
    def died(self) -> list[asyncio.Future[Any]]:
        """Futures that are done when a broker has died."""
        return [each.died for each in (self.devices, self.control) if each is not None]


async def _run_backend(
    backend: HostingBackend,
    config: FleetConfig,
    options: UpOptions,
    brokers: _Brokers,
    stop: _StopSignals,
    out: Console,
    err: Console,
    serve: WebServer,
) -> None:
    """Start the backend, run until something ends it, and take it down again."""
    address = brokers.devices.address
    control = brokers.control.address if brokers.control else None
    bar, moved = progress_bar(err, f"connecting to {address.url}", backend.size)
    with bar:
        started = asyncio.ensure_future(
            backend.start(address, control=control, fresh=brokers.fresh, progress=moved)
        )
        await _first_of(started, stop.asked, *brokers.died, backend.failed)
    try:
        if await _finish_start(started):
            async with serve(brokers.address) as web:
                with _run_file(config, brokers.address, backend.size, web, err):
                    urls = {
                        "control": control.url if control else None,
                        "metrics": _metrics(backend, options),
                        "web": web,
                    }
                    _announce(out, err, brokers, config, options, urls)
                    await _until_stopped(backend, stop, brokers, options, err)
    finally:
        # Also if only some devices came up, or the start was interrupted.
        forget = not brokers.ours and config.state is None
        await _take_down(backend, err, forget=forget, leave=not brokers.ours)


@contextlib.asynccontextmanager
async def _no_web(_: FleetConfig) -> AsyncIterator[WebServer]:
    """Web service that serves nothing."""

    @contextlib.asynccontextmanager
    async def serve_nothing(_: BrokerAddress) -> AsyncIterator[None]:
        yield

    yield serve_nothing


@contextlib.contextmanager
def _run_file(
    config: FleetConfig, address: BrokerAddress, devices: int, web: str | None, err: Console
) -> Iterator[None]:
    """Write `.passfleet/up.json` for as long as the context lasts."""
    path = run_file.write(config.folder, _running(config, address, devices, web))
    run_file.remove_starting(run_file.starting_path(config.folder), os.getpid())
    if path is None:
        err.print("another fleet runs here: the commands talk to it, unless given --broker")
    try:
        yield
    finally:
        if path is not None:
            run_file.remove(path, os.getpid())


def _metrics(backend: HostingBackend, options: UpOptions) -> str | None:
    if options.metrics is None:
        return None
    from fleet.service.metrics import serve_metrics  # noqa: PLC0415  # paid for by those who ask

    return serve_metrics(backend, options.metrics)


def _warn_of_limits(url: str, devices: int, err: Console) -> None:
    if url == EMBEDDED and devices > _EMBEDDED_CARRIES:
        err.print(
            f"note: the embedded broker carries about {_EMBEDDED_RATE:,} commands a second on a"
            " core of its own, however many devices; `--broker mosquitto` carries a third more"
        )


def _warn_of_port(url: str, config: FleetConfig, address: BrokerAddress, err: Console) -> None:
    if url == EMBEDDED and not config.broker.listen and address.port != _USUAL_PORT:
        err.print(
            f"note: port {_USUAL_PORT} is taken by another program, so the embedded broker listens"
            f" on {address.port}"
        )


def _note_listening(url: str, config: FleetConfig, err: Console) -> None:
    listen = config.broker.listen
    if url == EMBEDDED and listen and not ListenAddress.parse(listen).is_loopback:
        err.print(
            f"note: the embedded broker listens on {listen}, without encryption: passcodes can be"
            " read on the network",
            markup=False,
        )


def _running(
    config: FleetConfig, address: BrokerAddress, devices: int, web: str | None
) -> run_file.RunningFleet:
    return run_file.RunningFleet(
        broker=address.url,
        root=config.root,
        pid=os.getpid(),
        started=started_at(os.getpid()),
        devices=devices,
        fleet=str(config.path.resolve()) if config.path else None,
        username=address.username,
        password=address.password,
        ca=_text(address.ca),
        cert=_text(address.cert),
        key=_text(address.key),
        web=web,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _announce(
    out: Console,
    err: Console,
    brokers: _Brokers,
    config: FleetConfig,
    options: UpOptions,
    urls: Mapping[str, str | None],
) -> None:
    """Say on stdout that the fleet is ready, and on stderr how to talk to it."""
    devices = config.device_count
    url = brokers.devices.address.url
    if options.as_json:
        ready = {
            "event": "ready",
            "devices": devices,
            "broker": url,
            "root": config.root,
            "conformance": config.known.conformance,
        }
        ready |= {name: url for name, url in urls.items() if url is not None}
        print(json.dumps(ready), file=out.file, flush=True)
        return
    print(f"ready devices={devices} broker={url}", file=out.file, flush=True)
    for name, other in urls.items():
        if other is not None:
            print(f"{name}={other}", file=out.file, flush=True)
    address = brokers.address
    first = config.devices()[0].device_id
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
    backend: HostingBackend,
    stop: _StopSignals,
    brokers: _Brokers,
    options: UpOptions,
    err: Console,
) -> None:
    url = brokers.devices.address.url
    headline = f"passfleet: {count_noun(backend.size, 'device')} on {url}"
    view = options.view or (
        partial(show_table, headline=headline) if err.is_terminal else show_lines
    )
    showing = asyncio.create_task(view(err, backend))
    limit = options.duration.total_seconds() if options.duration else None
    try:
        await _first_of(stop.asked, *brokers.died, backend.failed, showing, limit=limit)
        if showing.done():
            showing.result()
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def _first_of(*futures: asyncio.Future[Any], limit: float | None = None) -> None:
    """Wait until one of them is done, or `limit` seconds have passed. None is cancelled."""
    await asyncio.wait(futures, timeout=limit, return_when=asyncio.FIRST_COMPLETED)


async def _finish_start(started: asyncio.Future[None]) -> bool:
    """Return True if the fleet is up, else cancel the start. Raises the error of the start."""
    if started.done():
        started.result()
        return True
    started.cancel()
    await asyncio.gather(started, return_exceptions=True)
    return False


async def _take_down(backend: HostingBackend, err: Console, *, forget: bool, leave: bool) -> None:
    """Stop the fleet; without a farewell if the broker ends with this process (`leave` False)."""
    if not leave:
        await backend.abandon()
        return
    bar, moved = progress_bar(err, "leaving the broker", backend.size)
    with bar:
        await backend.stop(forget=forget, progress=moved)


class _StopSignals:
    """Ctrl-C, SIGTERM and SIGHUP, as a future. A second Ctrl-C ends the process at once."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.by_user = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over for a while."""
        loop = asyncio.get_running_loop()
        # SIGHUP: the terminal was closed.
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
