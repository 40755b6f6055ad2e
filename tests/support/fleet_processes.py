"""Helpers of the end-to-end tests: brokers, hosted fleets, `passfleet` as a process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any

import pytest

from agent.clock import Clock, RealClock, VirtualClock
from agent.storage.file import StateFile
from broker.address import BrokerAddress
from broker.client.pace import ConnectionPace
from broker.contract import Topics
from broker.server import embedded
from broker.server.listen import LOOPBACK, ListenAddress
from broker.server.mosquitto import find_mosquitto
from broker.server.open import EMBEDDED, MOSQUITTO
from fleet.config.loader import parse_fleet
from fleet.hosting.counters import DeviceCounts
from fleet.hosting.host import Host
from tests.support.brokers import free_port, listens, need, until
from tests.support.fleet_files import group
from tests.support.paho_operator import WireOperator

both = pytest.mark.parametrize("server", [EMBEDDED, MOSQUITTO], indirect=True)
_ATTEMPTS = 5
_roots = count(1)
# What makes rich or typer take a pipe for a terminal or narrow, or passfleet a broker for its own.
_NOT_OURS = {
    "COLUMNS",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "PASSFLEET_BROKER",
    "PY_COLORS",
    "TTY_COMPATIBLE",
}


class Server:
    """A broker of somebody else's: started, killed, and started again on its port."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """URL that the broker listens on."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def address(self) -> BrokerAddress:
        """Address that the broker listens on."""
        return BrokerAddress.parse(self.url)

    async def start(self) -> None:
        """Start it, on the port it had before; returns once it listens."""
        for _ in range(_ATTEMPTS):
            port = self.port or free_port()
            with (self._folder / f"{self.name}.log").open("ab") as log:
                self._process = process = subprocess.Popen(  # noqa: ASYNC220
                    self._argv(port), stdin=subprocess.PIPE, stdout=log, stderr=log
                )
            await until(lambda: listens(port) or process.poll() is not None)  # noqa: B023
            if process.poll() is None:
                self.port = port
                return
            self._release()
        pytest.fail(f"{self.name} does not start")

    def _argv(self, port: int) -> list[str]:
        if self.name == EMBEDDED:
            return embedded._argv(ListenAddress(LOOPBACK, port), "WARNING")
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false"]
        # An operator who listens to everything must not lose what comes in a burst.
        lines += ["max_queued_messages 0", "set_tcp_nodelay true"]
        lines += ["user root"] if os.geteuid() == 0 else []
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, ""]))
        return [str(find_mosquitto()), "-c", str(config)]

    def kill(self) -> None:
        """End it at once, and all that it knew."""
        if self._process is not None:
            self._process.kill()
            self._release()

    def _release(self) -> None:
        assert self._process is not None
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None


@contextlib.asynccontextmanager
async def running(name: str, folder: Path) -> AsyncIterator[Server]:
    """A broker for as long as the context lasts."""
    need(name)
    server = Server(name, folder)
    await server.start()
    try:
        yield server
    finally:
        server.kill()


def fleet_text(*groups: str, root: str = "", **fleet: object) -> str:
    """A fleet file; `fleet` are the keys of its first table, written as TOML."""
    root = root or f"tests/{os.getpid()}/{next(_roots)}"
    lines = ["[fleet]", f'root = "{root}"', *(f"{key} = {value}" for key, value in fleet.items())]
    return "\n".join([*lines, *groups])


def phones(platform: str = "android", name: str = "phones", **options: Any) -> str:
    """A group of one device, `<name>-001`, unless `options` says otherwise."""
    return group(name, platform, **{"passcode": '"2580"', **options})


@contextlib.asynccontextmanager
async def hosted(
    server: Server,
    text: str,
    *,
    store: StateFile | None = None,
    counts: DeviceCounts | None = None,
) -> AsyncIterator[tuple[WireOperator, Host]]:
    """A fleet in this process, and an operator who has been there since before it."""
    config = parse_fleet(text)
    clock: Clock = VirtualClock() if config.speed is None else RealClock(config.speed)
    pace = ConnectionPace(backoff=(0.05, 0.5))
    topics = Topics(config.root)
    async with WireOperator.connected(server.port, config.root) as operator:
        host = Host(
            config.devices(),
            topics,
            seed=config.seed,
            clock=clock,
            store=store,
            pace=pace,
            known=config.known,
            counts=counts,
        )
        await host.start(server.address, fresh=False)
        try:
            for device in host.devices:
                await operator.shows(device)
                await operator.present(device, "online")
            yield operator, host
        finally:
            await host.stop(forget=True)


class Process:
    """`passfleet` as a process, with its output in files."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        before: Callable[[], None] | None = None,
        terminal: int | None = None,
        **environment: str,
    ) -> None:
        number = next(_roots)
        self._out = folder / f"{number}.out"
        self._err = folder / f"{number}.err"
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_OURS}
        files: list[IO[bytes]] = [self._out.open("wb"), self._err.open("wb")]
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "fleet.cli", *arguments],
            cwd=folder,
            env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=files[0] if terminal is None else terminal,
            stderr=files[1] if terminal is None else terminal,
            preexec_fn=before,  # noqa: PLW1509  # the child lowers its own limits
        )
        for file in files:
            file.close()

    @property
    def out(self) -> str:
        """Output on stdout so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """Output on stderr so far."""
        return self._err.read_text()

    async def ready(self, limit: float = 30.0) -> str:
        """Wait for the first line on stdout and return it."""
        await until(lambda: "\n" in self.out or self.popen.poll() is not None, limit)
        assert "\n" in self.out, f"exit {self.popen.returncode}: {self.err}"
        return self.out.splitlines()[0]

    async def ended(self, limit: float = 30.0) -> int:
        """Wait for its end and return its exit code."""
        await until(lambda: self.popen.poll() is not None, limit)
        assert "Traceback" not in self.err, self.err
        return int(self.popen.returncode)

    async def signalled(self, number: int, limit: float = 30.0) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self.popen.send_signal(number)
        return await self.ended(limit)


@contextlib.contextmanager
def terminal(*, columns: int) -> Iterator[tuple[int, Callable[[], str]]]:
    """A terminal for `Process`, and what has been written to it so far."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.set_blocking(ours, False)
    written = bytearray()

    def shown() -> str:
        with contextlib.suppress(OSError):  # nothing more for now
            while part := os.read(ours, 4096):
                written.extend(part)
        return written.decode(errors="replace")

    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        os.close(ours)


Start = Callable[..., Process]


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Start]:
    """Function that starts processes in a folder; those that are left are killed at the end."""
    started: list[Process] = []

    def start(*arguments: str, **more: Any) -> Process:
        started.append(Process(folder, *arguments, **more))
        return started[-1]

    try:
        yield start
    finally:
        for process in started:
            if process.popen.poll() is None:
                process.popen.kill()
            process.popen.wait()


def write_fleet(folder: Path, text: str, url: str = EMBEDDED) -> None:
    """Write a fleet file for a broker."""
    (folder / "fleet.toml").write_text(f'{text}\n[broker]\nurl = "{url}"\n')


def up_json(folder: Path) -> dict[str, Any]:
    """Content of the run file of a running fleet."""
    found: dict[str, Any] = json.loads((folder / ".passfleet" / "up.json").read_text())
    return found
