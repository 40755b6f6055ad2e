"""The operator's commands as processes against a fake fleet, and on a terminal of a given width."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.server.child_process import BrokerHandle
from tests.support.fake_fleet import LIMIT, NEW_PASSCODE, Fake, FakeFleet, fake_fleet

HOME = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-m", "fleet.cli")


@dataclass
class Ran:
    """Exit code and output of a command. `out` may hold a passcode, so repr omits it."""

    code: int
    out: str = field(repr=False)
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def _environment(broker: BrokerHandle | None) -> dict[str, str]:
    said = ("PASSFLEET_", "COLUMNS", "PYTHONIOENCODING")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(said)}
    environment |= {"PYTHONPATH": str(HOME), "NO_COLOR": "1"}
    if broker is not None:
        environment["PASSFLEET_BROKER"] = broker.address.url
    return environment


@asynccontextmanager
async def started(
    *args: str,
    cwd: Path | None = None,
    broker: BrokerHandle | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    **environment: str,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a command; kill it if it still runs at the end."""
    process = await asyncio.create_subprocess_exec(
        *(*_COMMAND, *args),
        cwd=cwd or HOME / "tests" / "data",
        env=_environment(broker) | {"COLUMNS": "200"} | environment,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process, typed: bytes | None = None) -> Ran:
    async with asyncio.timeout(LIMIT):
        out, err = await process.communicate(typed)
    assert b"Traceback" not in err
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def run(*args: str, broker: BrokerHandle | None = None, cwd: Path | None = None) -> Ran:
    async with started(*args, broker=broker, cwd=cwd) as process:
        return await ended(process)


@asynccontextmanager
async def fleet_of(broker: BrokerHandle, *devices: Fake) -> AsyncIterator[FakeFleet]:
    async with fake_fleet(broker, *devices) as fleet:
        yield fleet


PHONES = (
    Fake("ios-001"),
    Fake("ios-002"),
    Fake("android-001", platform="android", group="droids", new_passcode=NEW_PASSCODE),
)


def phones() -> tuple[Fake, ...]:
    return tuple(Fake(**vars(phone)) for phone in PHONES)


async def on_a_terminal(
    *args: str, columns: int, broker: BrokerHandle | None = None, cwd: Path | None = None
) -> list[str]:
    """Return the lines that a command prints on a terminal, without control sequences."""
    return await asyncio.to_thread(_shown, args, columns, broker, cwd)


def _shown(
    args: tuple[str, ...], columns: int, broker: BrokerHandle | None, cwd: Path | None
) -> list[str]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        [*_COMMAND, *args],
        cwd=cwd or HOME / "tests" / "data",
        env=_environment(broker) | {"TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # raised once no process has the terminal open
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        assert process.wait(LIMIT) in (0, 1)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "").splitlines()


async def unread(*args: str, broker: BrokerHandle | None = None) -> tuple[int, str]:
    """Return exit code and stderr of a command whose stdout is a pipe without a reader."""
    ours, theirs = os.pipe()
    os.close(ours)
    process = await asyncio.create_subprocess_exec(
        *(*_COMMAND, *args),
        cwd=HOME / "tests" / "data",
        env=_environment(broker),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(LIMIT):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, err.decode()
