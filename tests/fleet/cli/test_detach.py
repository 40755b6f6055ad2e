"""`up --detach` and `down` while a fleet starts, and Ctrl-C at any moment of a command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.processes import is_alive
from fleet.service import run_file
from tests.support.brokers import until
from tests.support.distributions import ROOT
from tests.support.fleet_processes import Server, Start, fleet_text, phones, write_fleet

LIMIT = 30
CONNACK = bytes((0x20, 2, 0, 0))


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Fleet file for a broker that accepts clients and no subscription; its connections."""
    connections: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read(1)
        writer.write(CONNACK)
        while await reader.read(1024):
            pass

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    write_fleet(tmp_path, fleet_text(phones()), f"mqtt://127.0.0.1:{port}")
    yield connections
    for connection in connections:
        connection.close()
    server.close()


def starting_pid(folder: Path) -> int:
    """Process id of the fleet that starts in a folder, 0 if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads((folder / ".passfleet" / "starting.json").read_text())["pid"])
    return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["started", "connecting"])
async def test_interrupted_detach_leaves_nothing(
    moment: str,
    number: signal.Signals,
    tmp_path: Path,
    start: Start,
    silent: list[asyncio.StreamWriter],
) -> None:
    up = start("up", "--detach")
    await until(lambda: starting_pid(tmp_path) > 0)
    pid = starting_pid(tmp_path)
    if moment == "connecting":
        await until(lambda: bool(silent))
    assert await up.signalled(number) == 128 + number
    assert not is_alive(pid)
    assert "Traceback" not in up.err + (tmp_path / ".passfleet" / "up.log").read_text()
    assert not (tmp_path / ".passfleet" / "starting.json").exists()
    assert "no fleet runs" in await output(start, "down")


async def output(start: Start, *arguments: str) -> str:
    """Return what a command that succeeds prints."""
    process = start(*arguments)
    assert await process.ended() == 0, process.err
    return process.out


@pytest.mark.parametrize("options", [(), ("--detach",)])
async def test_down_finds_a_fleet_that_starts(
    options: tuple[str, ...], tmp_path: Path, start: Start, silent: list[asyncio.StreamWriter]
) -> None:
    up = start("up", *options)
    await until(lambda: bool(silent) and starting_pid(tmp_path) > 0)
    pid = starting_pid(tmp_path)
    assert f"stopped the fleet of process {pid}" in await output(start, "down")
    assert not is_alive(pid)
    await up.ended()
    assert not (tmp_path / ".passfleet" / "starting.json").exists()


async def test_second_fleet_is_refused_while_the_first_starts(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones()))
    run_file.write_starting(tmp_path, os.getpid())
    second = start("up", "--detach")
    assert await second.ended() == 2
    assert f"a fleet already starts here, as process {os.getpid()}" in second.err


async def test_ready_fleet_no_longer_counts_as_starting(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones()))
    up = start("up")
    await up.ready()
    assert starting_pid(tmp_path) == 0
    assert f"process {up.popen.pid}" in await output(start, "down")


# -- Ctrl-C while the interpreter imports, or shuts down ----------------------------------------

INTERRUPT = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
AT_EXIT = "import atexit, os, signal\natexit.register(os.kill, os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize(
    ("module", "text", "arguments"),
    [
        ("typer", INTERRUPT, ["devices"]),
        ("aiomqtt", INTERRUPT, ["devices", "--broker", "mqtt://127.0.0.1:1"]),
        ("sitecustomize", AT_EXIT, ["--version"]),
    ],
    ids=["imports of every command", "imports of one command", "end of a command"],
)
def test_interrupt_at_any_moment_is_no_traceback(
    module: str, text: str, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / f"{module}.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    ended = subprocess.run(
        [sys.executable, "-m", "passfleet", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr


# -- messages about the broker ------------------------------------------------------------------


async def test_taken_port_is_reported(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones()))
    port = "1883"
    while port == "1883":
        with socket.socket() as other:
            # Another program may have the port, and may give it up before the fleet starts.
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", 1883))
                other.listen()
            up = start("up", "--for", "100ms")
            assert await up.ended() == 0
        port = up.out.split()[2].rpartition(":")[2]
    assert (
        f"note: port 1883 is taken by another program, so the embedded broker listens on {port}"
        in up.err
    )


async def test_lost_broker_is_reported_with_reason_and_time(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3)), mosquitto.url)
    up = start("up")
    await up.ready()
    mosquitto.kill()
    await until(lambda: f"the broker at {mosquitto.url} is gone since " in up.err)
    assert re.search(r"since \d\d:\d\d:\d\d: .*refused; \d connections try again", up.err)
    await mosquitto.start()
    await until(lambda: f"the broker at {mosquitto.url} is back after " in up.err)
    assert up.err.count("is gone since") == 1
    assert await up.signalled(signal.SIGINT) == 130
