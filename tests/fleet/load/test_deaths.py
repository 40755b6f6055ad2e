"""`passfleet load` when a worker or the broker dies, or a signal arrives: correct reports."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.processes import is_alive
from broker.server.open import MOSQUITTO, open_broker
from fleet.load.ledger import COLUMNS
from tests.support.brokers import need, until
from tests.support.fake_fleet import Fake, fake_fleet
from tests.support.fleet_processes import Server, fleet_text, phones
from tests.support.load_processes import (
    ConfiguredMosquitto,
    commands_flow,
    descendants,
    load,
    started,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# No answer arrives in time: each command is lost or unknown.
NEVER = {"reaction": '"1h"', "count": 1}
PAIR = (phones("ios", "phones", **NEVER), phones("android", "androids", **NEVER))
SILENT = ("--rate", "60", "--duration", "2s", "--timeout", "2s", "--json")
LOADING = r"loading \d+ devices on (mqtt://\S+): "


def write(folder: Path, *groups: str, **fleet: object) -> None:
    (folder / "fleet.toml").write_text(
        fleet_text(*groups, root="passfleet/v1", **fleet), encoding="utf-8"
    )


def workers_of(pid: int) -> list[int]:
    """The workers among the processes that a process has started, and those that they have."""
    return [
        p
        for p in descendants(pid)
        if b"fleet.hosting.worker" in Path(f"/proc/{p}/cmdline").read_bytes()
    ]


def by_platform(document: Any) -> dict[str, dict[str, int]]:
    """The ledger of each platform."""
    kinds = [
        (platform, kind)
        for action in document["actions"].values()
        for platform, kind in action["platforms"].items()
    ]
    return {
        platform: {c: sum(kind[c] for name, kind in kinds if name == platform) for c in COLUMNS}
        for platform, _ in kinds
    }


def check_one_worker_died(document: Any) -> None:
    """Commands of the killed device are unknown; unanswered ones of the other are lost."""
    assert document["sent"] == 120 == document["lost"] + document["unknown"]
    assert document["passed"] is False
    ledgers = by_platform(document)
    affected = [name for name, ledger in ledgers.items() if ledger["unknown"]]
    assert len(affected) == 1, ledgers
    assert document["dropped"]["devices"] == 1
    # Commands sent after it had reconnected are lost as well.
    assert ledgers[affected[0]]["lost"] > 0
    assert document["dropped"]["back"] == 1


async def test_a_worker_of_its_own_fleet_is_killed(tmp_path: Path) -> None:
    write(tmp_path, *PAIR)
    async with started(tmp_path, "load", "--workers", "2", *SILENT) as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran, 20)
        os.kill(workers_of(ran.process.pid)[0], signal.SIGKILL)
        await ran.says(r"worker \d of the fleet died and was started again")
        assert await ran.ended() == 1
    check_one_worker_died(ran.document)
    assert ran.document["workerRestarts"] == 1
    assert ran.document["run"]["workers"] == 2


async def test_a_worker_of_a_running_fleet_is_killed(tmp_path: Path) -> None:
    write(tmp_path, *PAIR, workers=2)
    async with started(tmp_path, "up") as up:
        url = (await up.says(r"ready devices=2 broker=(\S+)"))[1]
        async with started(tmp_path, "load", *SILENT) as ran:
            await commands_flow(url, ran, 20)
            os.kill(workers_of(up.process.pid)[0], signal.SIGKILL)
            assert await ran.ended() == 1
        assert "died (-9); its devices come back" in up.err
    check_one_worker_died(ran.document)
    assert ran.document["workerRestarts"] is None
    assert ran.document["fleetLag"] is None


async def test_answers_of_a_restarted_worker_count_and_the_restart_is_reported(
    tmp_path: Path,
) -> None:
    write(tmp_path, phones("ios", "phones", count=4))
    what = ("--workers", "2", "--rate", "80", "--duration", "2s", "--timeout", "20s")
    async with started(tmp_path, "load", *what, "--html", "run.html") as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran, 20)
        os.kill(workers_of(ran.process.pid)[0], signal.SIGKILL)
        assert await ran.ended() == 0
    assert "sent 160 = done 160 + failed 0" in ran.out
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    for remark in (
        "a worker of the fleet died and was started again: 1 time",
        "2 devices lost the connection meanwhile, all of them back",
    ):
        assert remark in ran.out
        assert remark in page


async def test_a_stopped_worker_shows_in_the_loop_lag_of_the_fleet_only(
    tmp_path: Path,
) -> None:
    write(tmp_path, phones("ios", "phones", count=4))
    what = ("--workers", "2", "--rate", "40", "--duration", "4s", "--json")
    async with started(tmp_path, "load", *what, "fleetLag.max<1s") as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran, 40)
        worker = workers_of(ran.process.pid)[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            await commands_flow(url, ran, 60)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert await ran.ended() == 1
    document = ran.document
    assert document["fleetLag"]["max"] > 1000 > document["lag"]["p50"]
    assert document["slowest"] != "no part was slow"
    assert [t["metric"] for t in document["thresholds"] if not t["passed"]] == ["fleetLag.max"]


async def test_a_killed_broker_is_reported_as_the_reason(tmp_path: Path) -> None:
    what = ("--devices", "3", "--rate", "50", "--duration", "5m")
    async with started(tmp_path, "load", *what) as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran)
        brokers = [p for p in descendants(ran.process.pid) if _is_broker(p)]
        for pid in brokers:
            os.kill(pid, signal.SIGKILL)
        assert await ran.ended() == 1
    assert "(the embedded broker ended while in use" in ran.out
    assert "what became of the commands on their way then is unknown" in ran.out


def _is_broker(pid: int) -> bool:
    return b"embedded_process" in Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_the_broker_of_a_running_fleet_killed_leaves_what_is_sent_unknown(
    mosquitto: Server, tmp_path: Path
) -> None:
    write(tmp_path, phones(count=3))
    async with started(tmp_path, "up", "--broker", mosquitto.url) as up:
        await up.says("ready devices=3")
        what = ("--rate", "40", "--duration", "3s", "--timeout", "1s")
        async with started(tmp_path, "load", *what) as ran:
            await commands_flow(mosquitto.url, ran, 20)
            mosquitto.kill()
            assert await ran.ended() == 1
    assert re.search(r"sent 120 = done \d+ \+ failed 0 \+ notSupported 0 \+ lost 0", ran.out)
    assert "✗ unknown" in ran.out
    assert "not all came back: the broker was down" in ran.out


# -- who gives up ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_before_anything_runs_it_leaves_nothing_behind(
    number: int, tmp_path: Path
) -> None:
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    async with started(tmp_path, "load", "--devices", "300", TMPDIR=str(scratch)) as ran:
        await ran.says("starting 300 devices")
        await until(lambda: any(scratch.iterdir()))
        ran.process.send_signal(number)
        assert await ran.ended() == 130
    assert "interrupted" in ran.err
    assert ran.out == ""
    assert list(scratch.iterdir()) == []


async def test_a_second_ctrl_c_ends_it_without_a_summary(tmp_path: Path) -> None:
    what = ("--devices", "3", "--rate", "50", "--duration", "5m", "--timeout", "5m", "--json")
    async with started(tmp_path, "load", *what) as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran)
        fleet = descendants(ran.process.pid)
        # Stopped, it takes both at once when it goes on.
        ran.process.send_signal(signal.SIGSTOP)
        ran.process.send_signal(signal.SIGINT)
        ran.process.send_signal(signal.SIGTERM)
        ran.process.send_signal(signal.SIGCONT)
        assert await ran.ended() == 130
    assert "interrupted" in ran.err
    assert ran.out == ""
    await until(lambda: not any(map(is_alive, fleet)))


async def test_its_fleet_ends_with_it_even_where_it_is_killed(tmp_path: Path) -> None:
    what = ("--devices", "4", "--workers", "2", "--rate", "50", "--duration", "5m")
    async with started(tmp_path, "load", *what, TMPDIR=str(tmp_path)) as ran:
        url = (await ran.says(LOADING))[1]
        await commands_flow(url, ran)
        fleet = descendants(ran.process.pid)
        assert len(fleet) >= 4
        ran.process.kill()
        await until(lambda: not any(map(is_alive, fleet)))


# -- brokers with too little room --------------------------------------------------------------


async def test_a_mosquitto_that_refuses_half_the_connections_is_reported(tmp_path: Path) -> None:
    need(MOSQUITTO)
    server = ConfiguredMosquitto(MOSQUITTO, tmp_path, "max_connections 6")
    await server.start()
    try:
        async with open_broker(server.url) as broker, fake_fleet(broker, Fake("ios-001")):
            ran = await load(tmp_path, "--broker", server.url, "--rate", "5", "--duration", "1s")
    finally:
        server.kill()
    assert ran.process.returncode == 3
    assert re.search(r"\d of 11 connections to mqtt://\S+ came up, then no more", ran.err)
    assert "it closes the connection before it accepts it" in ran.err
    assert "its limits on connections" in ran.err
    assert ran.out == ""


async def test_a_mosquitto_that_collects_small_packets_slows_no_command(tmp_path: Path) -> None:
    """Without `set_tcp_nodelay`, as Mosquitto is by itself, 40 ms would be the simulator's."""
    need(MOSQUITTO)
    server = ConfiguredMosquitto(MOSQUITTO, tmp_path)
    await server.start()
    write(tmp_path, phones(count=3))
    try:
        async with started(tmp_path, "up", "--broker", server.url) as up:
            await up.says("ready devices=3")
            ran = await load(tmp_path, "--rate", "20", "--duration", "3s", "--json")
    finally:
        server.kill()
    assert ran.process.returncode == 0, ran.err
    assert ran.document["simulatorPass"]["p50"] < 20
