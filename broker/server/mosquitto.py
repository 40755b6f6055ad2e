"""Mosquitto, found on this machine, started and stopped for you.

Its configuration is private and permissive, because it listens on loopback for one fleet: anybody
may connect, nothing is written to disk, and no queue has an end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from broker.address import BrokerAddress
from broker.errors import BrokerError
from broker.server.child_process import BrokerHandle, ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["find_mosquitto", "mosquitto_broker"]

_NAME = "Mosquitto"
_HOST = "127.0.0.1"
# Seconds for each start, and how many: between choosing a free port and Mosquitto's taking it,
# another program may.
_START_LIMIT = 10.0
_ATTEMPTS = 5
_POLL = 0.005  # seconds between two looks at whether it listens
_SETTLE = 0.1  # seconds after which a Mosquitto that could not listen would have ended
_TAKEN = "Address already in use"
_RUNNING = " running"  # what Mosquitto 2 logs once it listens


def find_mosquitto() -> Path:
    """Return the path of the mosquitto program; raises BrokerError if there is none."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    # Packages install it into sbin, which is not on the PATH of every user.
    beside = [str(Path(f).with_name("sbin")) for f in folders if Path(f).name == "bin"]
    found = shutil.which("mosquitto", path=os.pathsep.join([*folders, *beside]))
    if found is None:
        raise BrokerError(
            "Mosquitto is not installed",
            hint="apt-get install mosquitto, or brew install mosquitto; or leave it to the "
            "embedded broker: --broker embedded",
        )
    return Path(found)


@asynccontextmanager
async def mosquitto_broker() -> AsyncIterator[BrokerHandle]:
    """Run Mosquitto on a free port of 127.0.0.1 for as long as the context lasts.

    Raises BrokerError if it is not installed or does not start.
    """
    program = find_mosquitto()
    # The guard removes the folder too, for when this process is killed.
    with tempfile.TemporaryDirectory(
        prefix="passfleet-mosquitto-", ignore_cleanup_errors=True
    ) as folder:
        child, handle = await _start(program, Path(folder))
        try:
            yield handle
        finally:
            await child.stop()


async def _start(program: Path, folder: Path) -> tuple[ChildProcess, BrokerHandle]:
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        child = ChildProcess(_argv(program, port, folder), name=_NAME)
        try:
            pid = int(await child.first_line(_START_LIMIT))
            await _listening(child, port)
        except BrokerError:
            taken = _TAKEN in child.log()
            await child.stop()
            if not taken or attempt == _ATTEMPTS:
                raise
        except BaseException:
            await child.stop()
            raise
        else:
            address = BrokerAddress(scheme="mqtt", host=_HOST, port=port)
            return child, BrokerHandle(address=address, pid=pid, died=child.died)
    raise AssertionError("the last attempt returns or raises")


def _argv(program: Path, port: int, folder: Path) -> list[str]:
    folder.mkdir(mode=0o700, exist_ok=True)  # the guard of an earlier attempt has removed it
    config = folder / "mosquitto.conf"
    config.write_text(_config(port), encoding="utf-8")
    guard = Path(__file__).with_name("watchdog.py")
    python = [sys.executable, "-I", "-S", "-W", "ignore", str(guard)]
    return [*python, str(folder), str(program), "-c", str(config)]


def _config(port: int) -> str:
    lines = [
        f"listener {port} {_HOST}",
        "allow_anonymous true",
        "persistence false",
        "max_inflight_messages 0",
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        "sys_interval 0",
        # stderr is a file of ours; see broker/server/child_process.py
        "log_dest stderr",
        *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information")),
        "connection_messages false",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Else Mosquitto changes to a user of its own, who may not read the file above.
        lines.append("user root")
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(child: ChildProcess, port: int) -> None:
    """Wait until it is this Mosquitto that listens; raises BrokerError if it ends or never does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_LIMIT
    settled: float | None = None
    while not child.ended and loop.time() < deadline:
        if settled is None and await _accepts(port):
            # A stranger may have taken the port and be what answers.
            settled = loop.time() + _SETTLE
        if settled is not None and (_RUNNING in child.log() or loop.time() > settled):
            return
        await asyncio.sleep(_POLL)
    raise child.failure("did not start" if child.ended else "does not listen")


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
