"""`passfleet` as a process: what it prints, how it ends, and what is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from broker.processes import is_alive
from broker.server.open import EMBEDDED, MOSQUITTO
from tests.support.brokers import free_port, listens, until
from tests.support.fleet_processes import (
    Server,
    Start,
    fleet_text,
    phones,
    processes,
    running,
    up_json,
    write_fleet,
)
from tests.support.paho_operator import WireOperator, retained

COMMANDS = (
    "up", "down", "init", "check", "demo", "reset", "lock", "sync", "policy", "devices", "show",
    "watch", "tap", "simulate", "wipe", "retire", "reboot", "clean", "platforms", "explain",
    "schema", "clock now", "clock advance",
)  # fmt: skip


def port_of(ready: str) -> int:
    return int(ready.rpartition(":")[2])


# -- up ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [EMBEDDED, MOSQUITTO])
async def test_up_prints_ready_once_all_are_online_and_cleans_up(
    name: str, tmp_path: Path, start: Start
) -> None:
    async with running(name, tmp_path):  # skips where it is missing
        pass
    write_fleet(tmp_path, fleet_text(phones(count=30), root="house/phones"), name)
    up = start("up")
    ready = await up.ready()
    assert re.fullmatch(r"ready devices=30 broker=mqtt://127\.0\.0\.1:\d+", ready)
    async with WireOperator.connected(port_of(ready), "house/phones") as operator:
        # What a subscriber who comes now finds is retained: all are there already.
        await until(lambda: len([s for s in operator.seen if s.leaf == "state"]) == 30)
        online = [s.document["status"] for s in operator.seen if s.leaf == "presence"]
        assert online == ["online"] * 30
        done = await operator.do("phones-030")
        assert done["message"] == "Passcode successfully reset"
    path = tmp_path / ".passfleet" / "up.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    running_fleet = up_json(tmp_path)
    assert running_fleet["broker"] == ready.rpartition("=")[2]
    assert (running_fleet["pid"], running_fleet["devices"]) == (up.popen.pid, 30)
    assert running_fleet["root"] == "house/phones"
    assert await up.signalled(signal.SIGTERM) == 0
    assert not path.exists()
    assert up.out == ready + "\n"
    await until(lambda: not listens(port_of(ready)))


async def test_up_as_json_prints_a_document_and_nothing_else(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=2)))
    up = start("up", "--json", "--for", "200ms")
    assert await up.ended() == 0
    (line,) = up.out.splitlines()
    ready = json.loads(line)
    assert (ready["event"], ready["devices"]) == ("ready", 2)
    assert ready["broker"].startswith("mqtt://127.0.0.1:")


async def test_up_runs_for_so_long_and_ends_well(tmp_path: Path, start: Start) -> None:
    up = start("up", "--devices", "20", "--platform", "android", "--for", "1s")
    ready = await up.ready()
    began = time.monotonic()
    assert ready.startswith("ready devices=20 broker=")
    assert await up.ended() == 0
    assert 0.5 < time.monotonic() - began < 5
    assert not (tmp_path / "fleet.toml").exists()


async def test_devices_without_a_fleet_file_are_of_the_platform_asked_for(start: Start) -> None:
    up = start("up", "--devices", "20", "--platform", "android")
    ready = await up.ready()
    async with WireOperator.connected(port_of(ready), "passfleet/v1") as operator:
        await until(lambda: len([s for s in operator.seen if s.leaf == "state"]) == 20)
        assert {s.document["platform"] for s in operator.seen if s.leaf == "state"} == {"android"}
    devices = start("devices", "--json")
    assert await devices.ended() == 0
    assert len(json.loads(devices.out)["devices"]) == 20


async def test_a_warning_names_the_remedy_for_the_limits_of_the_embedded_broker(
    start: Start,
) -> None:
    small = start("up", "--devices", "20", "--for", "100ms")
    large = start("up", "--devices", "3001", "--for", "100ms")
    assert await small.ended() == 0
    assert await large.ended() == 0
    assert large.out.startswith("ready devices=3001 ")
    assert "--broker mosquitto" in large.err
    assert "commands a second" in large.err
    assert "--broker mosquitto" not in small.err


@pytest.mark.parametrize("where", [EMBEDDED, MOSQUITTO, "external"])
async def test_ctrl_c_ends_a_big_fleet_within_two_seconds_with_130(
    where: str, mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    url = mosquitto.url if where == "external" else where
    write_fleet(tmp_path, fleet_text(phones(count=250), root="big"), url)
    up = start("up")
    ready = await up.ready()
    async with WireOperator.connected(port_of(ready), "big") as operator:
        command_id = operator.send("groups/all")
        await until(lambda: len(operator.results(command_id)) == 250)
    began = time.monotonic()
    assert await up.signalled(signal.SIGINT) == 130
    assert time.monotonic() - began < 2
    assert not (tmp_path / ".passfleet" / "up.json").exists()
    if where == "external":
        assert await retained(mosquitto.port, "big") == {}


async def test_ctrl_c_while_the_fleet_is_still_coming_leaves_the_broker_clean(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3000), root="half"), mosquitto.url)
    async with WireOperator.connected(mosquitto.port, "half") as operator:
        up = start("up")
        await until(lambda: any(s.leaf == "presence" for s in operator.seen))
        assert await up.signalled(signal.SIGINT) == 130
    assert up.out == ""
    assert await retained(mosquitto.port, "half") == {}


async def test_the_embedded_broker_is_gone_after_a_kill_9(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3)))
    up = start("up")
    ready = await up.ready()
    assert listens(port_of(ready))
    up.popen.kill()
    await until(lambda: not listens(port_of(ready)))
    lost = start("devices")
    assert await lost.ended() == 3
    assert "no longer runs" in lost.err
    again = start("up", "--for", "100ms")
    assert await again.ended() == 0


def _children(pid: int) -> set[int]:
    """The processes that a process has started."""
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        pytest.skip("missing: a list of a process's children in /proc")
    lists = [(thread / "children").read_text() for thread in threads.iterdir()]
    return {int(child) for found in lists for child in found.split()}


async def test_a_broker_that_dies_ends_the_fleet_that_started_it(
    tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3)))
    up = start("up")
    await up.ready()
    for pid in _children(up.popen.pid):
        os.kill(pid, signal.SIGKILL)
    assert await up.ended() == 3
    assert "error: the embedded broker ended while in use" in up.err


async def test_detach_leaves_a_fleet_that_down_ends(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3)))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    up = start("up", "--detach", "--metrics", "0")
    assert await up.ended() == 0
    pid = up_json(tmp_path)["pid"]
    try:
        ready, metrics = up.out.splitlines()
        assert re.fullmatch(r"ready devices=3 broker=mqtt://127\.0\.0\.1:\d+", ready)
        assert re.fullmatch(r"metrics=http://127\.0\.0\.1:\d+/metrics", metrics)
        with processes(below) as start_below:
            reset = start_below("reset", "--all", "--json")
            assert await reset.ended() == 0
            assert len(json.loads(reset.out)["results"]) == 3
            down = start_below("down")
            assert await down.ended() == 0
        assert down.out == f"stopped the fleet of process {pid}\n"
        assert not is_alive(pid)
        assert not (tmp_path / ".passfleet" / "up.json").exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    again = start("down", "--json")
    assert await again.ended() == 0
    assert json.loads(again.out) == {"stopped": None}


async def test_detach_prints_why_a_fleet_did_not_start(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones()), f"mqtt://127.0.0.1:{free_port()}")
    up = start("up", "--detach")
    assert await up.ended() == 3
    assert "nothing listens at" in up.err
    assert up.out == ""


# -- the other commands -----------------------------------------------------------------------


async def test_demo_shows_every_platform(start: Start) -> None:
    table, document = start("demo"), start("demo", "--json")
    assert await document.ended() == 0
    rows = json.loads(document.out)
    assert len({row["platform"] for row in rows}) == 8
    assert {row["ok"] for row in rows} == {True}
    assert await table.ended() == 0
    for words in (
        "Passcode successfully reset",
        "New Passcode:",
        "IT admin",
        "Passcode Requirement",
    ):
        assert words in table.out
    assert "\x1b" not in table.out


async def test_init_writes_a_file_that_check_takes_and_up_runs(
    tmp_path: Path, start: Start
) -> None:
    init = start("init")
    assert await init.ended() == 0
    assert (tmp_path / "fleet.toml").read_text().startswith("#")
    runs = start("init"), start("check"), start("check", "--json"), start("up", "--for", "100ms")
    assert [await run.ended() for run in runs] == [2, 0, 0, 0]
    again, checked, as_json, up = runs
    assert "--force" in again.err
    assert "70 devices" in checked.out
    assert "70 devices" in json.loads(as_json.out)["fleet"]
    assert up.out.startswith("ready devices=70 ")


async def test_every_command_has_help_with_an_example(start: Start) -> None:
    for at in range(0, len(COMMANDS), 5):
        runs = {c: start(*c.split(), "--help") for c in COMMANDS[at : at + 5]}
        for command, run in runs.items():
            assert await run.ended() == 0
            assert f"Example: passfleet {command.split()[0]}" in run.out, command
            assert "\x1b" not in run.out
            assert run.err == ""


async def test_the_version_is_the_distributions(start: Start) -> None:
    run = start("--version")
    assert await run.ended() == 0
    assert run.out == f"passfleet {version('passfleet')}\n"


async def test_colour_is_for_terminals_and_never_under_no_color(
    tmp_path: Path, start: Start
) -> None:
    (tmp_path / "fleet.toml").write_text("[fleet]\ncolour = 1\n")
    plain, forced = start("check"), start("check", NO_COLOR="1")
    for run in (plain, forced):
        assert await run.ended() == 2
        assert "\x1b" not in run.err
    for number, environment in enumerate(({"NO_COLOR": "1"}, {})):
        code, shown = await asyncio.to_thread(_on_a_terminal, tmp_path, environment)
        assert code == 2
        assert ("\x1b[1;31m" in shown or "\x1b[31m" in shown) is (number == 1)


def _on_a_terminal(folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run `passfleet check` on a terminal of its own."""
    ours, theirs = os.openpty()
    with processes(folder) as start:
        run = start("check", TERM="xterm-256color", terminal=theirs, **environment)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # raised once no process has the terminal open
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        return run.popen.wait(30), shown.decode()


async def test_wipe_retire_reboot_and_enroll_on_a_running_fleet(start: Start) -> None:
    fleet = start("up", "--devices", "3", "--platform", "android", "--broker", "embedded")
    broker = (await fleet.ready()).rpartition("=")[2]
    refused = start("wipe", "android-001", "--broker", broker)
    assert await refused.ended(20) == 2
    assert "--yes" in refused.err
    for command, error in (
        (("wipe", "android-001", "--yes"), None),
        (("lock", "android-001"), "notEnrolled"),
        (("retire", "android-002", "--yes"), None),
        (("lock", "android-002"), "notEnrolled"),
        (("reboot", "android-003"), None),
    ):
        process = start(*command, "--json", "--broker", broker)
        assert await process.ended(20) == (0 if error is None else 1), process.err
        assert (error or "done") in process.out
    for action, result in (("enroll", 0), ("unenroll", 1)):
        simulated = start("simulate", action, "android-001", "--broker", broker)
        assert await simulated.ended(20) == 0, simulated.err
        locked = start("lock", "android-001", "--broker", broker)
        assert await locked.ended(20) == result
