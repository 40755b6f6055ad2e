"""Helpers for tests that run `passfleet load` as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiomqtt

from tests.support.fleet_processes import Server

LIMIT = 40.0
"""Seconds that anything may take before a test gives up."""
_NOT_OURS = {"FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "PASSFLEET_BROKER"}


@dataclass
class Command:
    """Running command with its output so far."""

    process: asyncio.subprocess.Process
    err: str = ""
    out: str = ""
    _silent: int = 0
    _readers: list[asyncio.Task[None]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def follow(self) -> None:
        """Start to read its output."""
        for name, stream in (("out", self.process.stdout), ("err", self.process.stderr)):
            assert stream is not None
            self._readers.append(asyncio.create_task(self._read(name, stream)))

    async def _read(self, name: str, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            async with self._news:
                setattr(self, name, getattr(self, name) + line.decode())
                self._news.notify_all()
        async with self._news:
            self._silent += 1
            self._news.notify_all()

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait until its output matches `pattern`."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.out + self.err)

        def settled() -> bool:
            return found() is not None or self._silent == len(self._readers)

        try:
            async with asyncio.timeout(LIMIT), self._news:
                await self._news.wait_for(settled)
        except TimeoutError:
            pass  # the assertion below shows the output
        match = found()
        assert match is not None, f"{pattern!r} is not in {self.err}{self.out}"
        return match

    async def ended(self) -> int:
        """Wait for its end; returns the exit code."""
        try:
            async with asyncio.timeout(LIMIT):
                code = await self.process.wait()
                await asyncio.gather(*self._readers)
        except TimeoutError:
            raise AssertionError(f"it does not end: {self.err}{self.out}") from None
        assert "Traceback" not in self.err, self.err
        return code

    @property
    def document(self) -> Any:
        """JSON document that it printed."""
        return json.loads(self.out)


@contextlib.asynccontextmanager
async def started(folder: Path, *arguments: str, **more: str) -> AsyncIterator[Command]:
    """`passfleet` as a process, killed at the end if it is still there; `more` is environment."""
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_OURS} | more
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fleet.cli", *arguments),
        cwd=folder,
        env=environment | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    command = Command(process)
    command.follow()
    try:
        yield command
    finally:
        if process.returncode is None:
            process.kill()
        await command.process.wait()


async def load(folder: Path, *arguments: str) -> Command:
    """Run `passfleet load` to its end."""
    async with started(folder, "load", *arguments) as command:
        await command.ended()
    return command


async def commands_flow(url: str, sender: Command, count: int = 5) -> None:
    """Wait until so many commands have been sent on this broker."""
    flowing = asyncio.ensure_future(_commands(url, count))
    ended = asyncio.ensure_future(sender.process.wait())
    done, _ = await asyncio.wait(
        [flowing, ended], timeout=LIMIT, return_when=asyncio.FIRST_COMPLETED
    )
    for task in (flowing, ended):
        task.cancel()
    await asyncio.gather(flowing, ended, return_exceptions=True)
    assert flowing in done, f"no commands on {url}: {sender.err}{sender.out}"
    flowing.result()


async def _commands(url: str, count: int) -> None:
    host, _, port = url.removeprefix("mqtt://").partition(":")
    async with aiomqtt.Client(host, int(port)) as client:
        await client.subscribe("passfleet/v1/devices/+/commands")
        async for _ in client.messages:
            count -= 1
            if not count:
                return


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


class ConfiguredMosquitto(Server):
    """Mosquitto with default limits, and configuration lines of the test."""

    def __init__(self, name: str, folder: Path, *lines: str) -> None:
        super().__init__(name, folder)
        self._lines = lines

    def _argv(self, port: int) -> list[str]:
        argv = super()._argv(port)
        config = Path(argv[-1])
        written = config.read_text(encoding="utf-8").splitlines()
        kept = [line for line in written if not line.startswith(("max_", "set_"))]
        config.write_text("\n".join([*kept, *self._lines, ""]), encoding="utf-8")
        return argv


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


class ConnectionLimitProxy:
    """Proxy to a broker that accepts `places` connections and closes all others at once."""

    def __init__(self, host: str, port: int, places: int) -> None:
        self._to = (host, port)
        self._places = places
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """URL of the proxy."""
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._places <= 0:
            writer.close()
            return
        self._places -= 1
        inner_reader, inner_writer = await asyncio.open_connection(*self._to)
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(_pass_on(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(4096):
            sink.write(data)
            await sink.drain()
    sink.close()
