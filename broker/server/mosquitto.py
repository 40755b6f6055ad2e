"""Mosquitto as a child process: found on this machine, started and stopped.

It listens on loopback for one fleet. So it writes nothing to disk and has queues without a limit.
It accepts every client without a login, unless it is started with logins.
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
from broker.server.mosquitto_files import login_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from broker.access import Login

__all__ = ["find_mosquitto", "mosquitto_broker"]

_NAME = "Mosquitto"
_HOST = "127.0.0.1"
# Seconds per attempt to start, and number of attempts: another program may take the chosen port
# before Mosquitto does.
_START_LIMIT = 10.0
_ATTEMPTS = 5
_POLL = 0.005  # seconds between two connection attempts
_EXIT_LIMIT = 0.1  # seconds within which a Mosquitto that cannot listen ends
_PORT_TAKEN = "Address already in use"
_RUNNING = " running"  # part of the line that Mosquitto 2 logs once it listens


def find_mosquitto() -> Path:
    """Return the path of the mosquitto program. Raises BrokerError if it is not installed."""
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    # Packages install it into sbin, which is not on the PATH of every user.
    beside = [str(Path(f).with_name("sbin")) for f in folders if Path(f).name == "bin"]
    found = shutil.which("mosquitto", path=os.pathsep.join([*folders, *beside]))
    if found is None:
        raise BrokerError(
            "Mosquitto is not installed",
            hint="apt-get install mosquitto, or brew install mosquitto; or use the "
            "embedded broker: --broker embedded",
        )
    return Path(found)


@asynccontextmanager
async def mosquitto_broker(logins: Sequence[Login] = ()) -> AsyncIterator[BrokerHandle]:
    """Run Mosquitto on a free port of 127.0.0.1 for as long as the context lasts.

    With `logins`, it refuses other clients and enforces their rules; the first is the fleet's own.
    Raises BrokerError if it is not installed or does not start.
    """
    program = find_mosquitto()
    # The watchdog removes the folder too, in case this process is killed.
    with tempfile.TemporaryDirectory(
        prefix="passfleet-mosquitto-", ignore_cleanup_errors=True
    ) as folder:
        child, handle = await _start(program, Path(folder), logins)
        try:
            yield handle
        finally:
            await child.stop()


async def _start(
    program: Path, folder: Path, logins: Sequence[Login]
) -> tuple[ChildProcess, BrokerHandle]:
    own = logins[0] if logins else None
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        child = ChildProcess(_argv(program, port, folder, logins), name=_NAME)
        try:
            pid = int(await child.first_line(_START_LIMIT))
            await _wait_until_listening(child, port)
        except BrokerError:
            taken = _PORT_TAKEN in child.log()
            await child.stop()
            if not taken or attempt == _ATTEMPTS:
                raise
        except BaseException:
            await child.stop()
            raise
        else:
            address = BrokerAddress(
                scheme="mqtt",
                host=_HOST,
                port=port,
                username=own.username if own else None,
                password=own.password if own else None,
            )
            return child, BrokerHandle(address=address, pid=pid, died=child.died)
    raise AssertionError("the last attempt returns or raises")


def _argv(program: Path, port: int, folder: Path, logins: Sequence[Login]) -> list[str]:
    folder.mkdir(mode=0o700, exist_ok=True)  # the watchdog of an earlier attempt has removed it
    config = folder / "mosquitto.conf"
    lines = [*_config(port), *_write_logins(folder, logins)]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    watchdog = Path(__file__).with_name("watchdog.py")
    python = [sys.executable, "-I", "-S", "-W", "ignore", str(watchdog)]
    return [*python, str(folder), str(program), "-c", str(config)]


def _write_logins(folder: Path, logins: Sequence[Login]) -> list[str]:
    """Write the files with the logins; return the lines of the configuration that name them."""
    if not logins:
        return ["allow_anonymous true"]
    files = {"acl_file": folder / "acl", "password_file": folder / "passwords"}
    for path, lines in zip(files.values(), login_lines(logins), strict=True):
        # The folder is readable by its owner alone.
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["allow_anonymous false", *(f"{option} {path}" for option, path in files.items())]


def _config(port: int) -> list[str]:
    lines = [
        f"listener {port} {_HOST}",
        "persistence false",
        "max_inflight_messages 0",
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        "sys_interval 0",
        # ChildProcess redirects stderr to a file.
        "log_dest stderr",
        *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information")),
        "connection_messages false",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Otherwise Mosquitto switches to its own user, which cannot read the configuration.
        lines.append("user root")
    return lines


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.bind((_HOST, 0))
        port: int = bound.getsockname()[1]
        return port


async def _wait_until_listening(child: ChildProcess, port: int) -> None:
    """Wait until Mosquitto listens. Raises BrokerError if it ends or the time is up."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_LIMIT
    confirmed: float | None = None
    while not child.ended and loop.time() < deadline:
        if confirmed is None and await _accepts(port):
            # Another program may have taken the port and accept connections there.
            confirmed = loop.time() + _EXIT_LIMIT
        if confirmed is not None and (_RUNNING in child.log() or loop.time() > confirmed):
            return
        await asyncio.sleep(_POLL)
    raise child.error("did not start" if child.ended else "does not listen")


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
