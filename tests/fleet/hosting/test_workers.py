"""Fleets hosted by several worker processes, which behave as with one process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import urllib.request
from pathlib import Path

from broker.server.open import MOSQUITTO
from tests.support.brokers import need, until
from tests.support.fleet_processes import (
    Process,
    Server,
    Start,
    both,
    fleet_text,
    phones,
    terminal,
    write_fleet,
)
from tests.support.load_processes import ConfiguredMosquitto
from tests.support.paho_operator import LOCK, RESET, WireOperator, retained


def workers_of(process: Process) -> list[int]:
    """The worker processes of `passfleet up`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process.popen.pid and b"fleet.hosting.worker" in command:
            found.append(int(stat.parent.name))
    return found


def leave_no_room(process: Process) -> None:
    """Take from a process the descriptors that the pipes of another one need."""
    pid = process.popen.pid
    few = len(list(Path(f"/proc/{pid}/fd").iterdir())) - 2
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, few))


def is_there(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@both
async def test_workers_share_the_fleet_and_leave_nothing_behind(
    server: Server, tmp_path: Path, start: Start
) -> None:
    root = f"workers/{os.getpid()}"
    write_fleet(tmp_path, fleet_text(phones(count=20), root=root, workers=2), server.url)
    async with WireOperator.connected(server.port, root) as operator:
        up = start("up")
        assert await up.ready() == f"ready devices=20 broker={server.url}"
        assert len(workers_of(up)) == 2
        command = operator.send("groups/all", RESET)
        await until(lambda: len(operator.results(command)) == 20)
        assert len({r["deviceId"] for r in operator.results(command)}) == 20
        assert await up.signalled(signal.SIGTERM) == 0
        await until(lambda: not workers_of(up))
    assert await retained(server.port, root) == {}


async def test_the_command_line_sets_the_number_of_workers(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    text = fleet_text(phones(count=6), root=f"asked/{os.getpid()}", workers=2)
    write_fleet(tmp_path, text, mosquitto.url)
    up = start("up", "--workers", "3")
    await up.ready()
    assert len(workers_of(up)) == 3
    assert await up.signalled(signal.SIGTERM) == 0
    wrong = start("up", "--workers", "many")
    assert await wrong.ended() == 2
    assert "--workers" in wrong.err


async def test_a_worker_that_is_killed_comes_back_with_its_devices_and_their_state(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"killed/{os.getpid()}"
    text = fleet_text(phones("ios", count=10), root=root, workers=2, state='"fleet.db"')
    write_fleet(tmp_path, text, mosquitto.url)
    async with WireOperator.connected(mosquitto.port, root) as operator:
        up = start("up")
        await up.ready()
        first = operator.send("groups/all", RESET, "c-1")
        await until(lambda: len(operator.results(first)) == 10)
        for pid in workers_of(up):
            os.kill(pid, signal.SIGKILL)
        for n in range(1, 11):
            await operator.present(f"phones-{n:03}", "online", beyond=1)
        again = operator.send("groups/all", RESET, "c-1")
        await until(lambda: sum(r["duplicate"] for r in operator.results(again)) == 10)
        assert all(operator.state(f"phones-{n:03}")["version"] == 2 for n in range(1, 11))
        assert await up.signalled(signal.SIGINT) == 130


async def test_a_worker_that_cannot_be_started_again_ends_the_fleet(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"no-room/{os.getpid()}"
    write_fleet(tmp_path, fleet_text(phones(count=4), root=root, workers=2), mosquitto.url)
    up = start("up")
    await up.ready()
    leave_no_room(up)
    os.kill(workers_of(up)[0], signal.SIGKILL)
    assert await up.ended() == 1
    assert "cannot be started again: Too many open files" in up.err
    assert "Traceback" not in up.err
    assert not workers_of(up)


async def test_a_worker_of_devices_behind_a_shared_connection_comes_back(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"shared/{os.getpid()}"
    text = fleet_text(phones(count=6, connection='"shared"'), root=root, workers=2)
    write_fleet(tmp_path, text, mosquitto.url)
    async with WireOperator.connected(mosquitto.port, root) as operator:
        up = start("up")
        await up.ready()
        for pid in workers_of(up):
            os.kill(pid, signal.SIGKILL)
        # The broker has received no disconnect of the killed workers.
        for n in range(1, 7):
            await operator.present(f"phones-{n:03}", "online", beyond=1)
        command = operator.send("groups/all", RESET)
        await until(lambda: len(operator.results(command)) == 6)
        assert await up.signalled(signal.SIGTERM) == 0


async def test_workers_whose_fleet_is_killed_end_without_a_word(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"orphans/{os.getpid()}"
    write_fleet(tmp_path, fleet_text(phones(count=4), root=root, workers=2), mosquitto.url)
    async with WireOperator.connected(mosquitto.port, root) as operator:
        up = start("up")
        await up.ready()
        workers = workers_of(up)
        up.popen.kill()
        await up.ended()
        await until(lambda: not any(map(is_there, workers)))
        for n in range(1, 5):
            await operator.present(f"phones-{n:03}", "offline")
        assert "Error" not in up.err


async def test_a_worker_that_keeps_dying_ends_the_fleet_with_words(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"dying/{os.getpid()}"
    write_fleet(tmp_path, fleet_text(phones(count=2), root=root, workers=2), mosquitto.url)
    up = start("up")
    await up.ready()

    def kill_and_see() -> bool:
        for pid in workers_of(up):
            os.kill(pid, signal.SIGKILL)
        return up.popen.poll() is not None

    await until(kill_and_see, 60.0)
    assert await up.ended() == 1
    assert "keeps dying" in up.err


async def test_virtual_time_is_published_once_all_workers_have_reached_it(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"time/{os.getpid()}"
    text = fleet_text(phones("ios", count=6), root=root, workers=3, clock='"virtual"')
    write_fleet(tmp_path, text, mosquitto.url)
    async with WireOperator.connected(mosquitto.port, root) as operator:
        up = start("up")
        await up.ready()
        await until(lambda: any(s.topic == f"{root}/clock/now" for s in operator.seen))
        command = operator.send("groups/all", RESET)
        await until(lambda: len(operator.results(command)) == 6)
        answer = await operator.move_clock("2015-12-10T21:30:00Z")
        assert answer["now"] == "2015-12-10T21:30:00Z"
        states = [operator.state(f"phones-{n:03}") for n in range(1, 7)]
        assert {state["compliance"] for state in states} == {"noncompliant"}
        await up.signalled(signal.SIGTERM)


async def test_metrics_count_what_all_workers_did(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"metrics/{os.getpid()}"
    write_fleet(tmp_path, fleet_text(phones(count=8), root=root, workers=2), mosquitto.url)
    async with WireOperator.connected(mosquitto.port, root) as operator:
        up = start("up", "--metrics", "0", "--json")
        url = json.loads(await up.ready())["metrics"]

        def metrics() -> str:
            with urllib.request.urlopen(url) as answer:  # noqa: S310  # our own, on loopback
                return str(answer.read().decode())

        command = operator.send("groups/all", LOCK)
        await until(lambda: len(operator.results(command)) == 8)
        operator.send("groups/all", LOCK, command)
        counted = (
            'passfleet_commands_total{action="remoteLock",outcome="done",platform="android"} 8.0'
        )
        await until(lambda: counted in metrics() or counted.replace(",", ", ") in metrics())
        text = metrics()
        assert 'passfleet_devices{platform="android",state="online"} 8.0' in text
        assert 'passfleet_devices{platform="android",state="inGracePeriod"} 0.0' in text
        assert 'passfleet_loop_lag_seconds{worker="1"}' in text
        assert "passfleet_command_duration_seconds_bucket" in text
        assert "passfleet_reconnects_total" in text
        assert "phones-001" not in text
        page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
        served = re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)
        assert served == re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
        await up.signalled(signal.SIGTERM)


async def test_metrics_tell_of_a_worker_that_stood_still_and_of_one_that_died(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=4), workers=2), mosquitto.url)
    up = start("up", "--metrics", "0", "--json")
    url = json.loads(await up.ready())["metrics"]

    def told(name: str) -> list[float]:
        with urllib.request.urlopen(url) as answer:  # noqa: S310  # our own, on loopback
            lines = answer.read().decode().splitlines()
        return [float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{")]

    assert told("passfleet_worker_deaths_total") == [0.0, 0.0]
    worker = workers_of(up)[0]
    os.kill(worker, signal.SIGSTOP)
    await asyncio.sleep(1.5)
    os.kill(worker, signal.SIGCONT)
    # Long after it went on, as who asks every quarter of a minute would.
    await asyncio.sleep(2.0)
    assert max(told("passfleet_loop_lag_seconds")) > 1.0
    await until(lambda: max(told("passfleet_loop_lag_seconds")) < 1.0)
    os.kill(worker, signal.SIGKILL)
    await until(lambda: sorted(told("passfleet_worker_deaths_total")) == [0.0, 1.0])
    await up.signalled(signal.SIGTERM)


async def test_a_port_for_metrics_that_is_taken_is_refused(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=1)), mosquitto.url)
    up = start("up", "--metrics", str(mosquitto.port))
    assert await up.ended() == 2
    assert "cannot be used" in up.err
    assert up.out == ""
    # Nobody waits for ten thousand devices to hear of it: not even the broker is asked before.
    nowhere = start("up", "--metrics", str(mosquitto.port), "--broker", "mqtt://127.0.0.1:1")
    assert await nowhere.ended() == 2
    assert "cannot be used" in nowhere.err


async def test_on_a_narrow_terminal_a_worker_death_is_shown_and_no_figure_is_cut(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=4), workers=2), mosquitto.url)
    with terminal(columns=60) as (theirs, shown):
        up = start("up", terminal=theirs, TERM="xterm-256color")
        # On a busy machine a device may have connected a second time.
        await until(lambda: re.search(r"reconnects \d", shown()) is not None, seen=shown)
        os.kill(workers_of(up)[0], signal.SIGKILL)
        await until(lambda: "deaths 1" in shown(), seen=shown)
        # Its line stands above the table: what follows begins with a new headline.
        assert re.search(r"WARNING passfleet\.supervisor: worker \d died", shown())
        after = shown().partition(" died")[2]
        assert "\x1b[1A" not in after.partition("passfleet: 4 devices")[0]
        assert await up.signalled(signal.SIGINT) == 130


async def test_a_broker_that_refuses_one_worker_is_reported_with_the_fleets_figures(
    tmp_path: Path, start: Start
) -> None:
    need(MOSQUITTO)
    server = ConfiguredMosquitto(MOSQUITTO, tmp_path, "max_connections 6")
    await server.start()
    try:
        write_fleet(tmp_path, fleet_text(phones(count=20), workers=2), server.url)
        up = start("up")
        assert await up.ended(60.0) == 3
    finally:
        server.kill()
    assert re.search(r"\(worker [01] of 2, \d+ of all 20 devices being up\)", up.err)


async def test_ctrl_c_while_devices_connect_does_not_wait_for_the_rest(
    tmp_path: Path, start: Start
) -> None:
    need(MOSQUITTO)
    server = ConfiguredMosquitto(MOSQUITTO, tmp_path)
    await server.start()
    try:
        write_fleet(
            tmp_path, fleet_text(phones(count=3000), workers=2, state='"fleet.db"'), server.url
        )
        with terminal(columns=80) as (theirs, shown):
            up = start("up", terminal=theirs, TERM="xterm-256color")
            await until(lambda: re.search(r"[1-9]\d\d/3000", shown()) is not None)
            assert await up.signalled(signal.SIGINT) == 130
    finally:
        server.kill()
    log = (tmp_path / f"{MOSQUITTO}.log").read_text()
    assert 100 <= len(set(re.findall(r"New client connected from \S+ as (\S+)", log))) < 3000
