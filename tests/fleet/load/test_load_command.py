"""`passfleet load` as a process: on both brokers, refused, interrupted, and robbed of its fleet."""

from __future__ import annotations

import csv
import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from fleet.load.ledger import COLUMNS
from fleet.load.result import CSV_HEADER
from fleet.load.schedule import ActionMix, Schedule
from tests.support.brokers import need
from tests.support.fake_fleet import Fake, fake_fleet
from tests.support.fleet_processes import fleet_text, phones
from tests.support.load_processes import (
    ConnectionLimitProxy,
    children,
    commands_flow,
    load,
    started,
)

QUICK = ("--devices", "15", "--rate", "40", "--duration", "2s")
KEYS = {"passed", "unit", "p50", "p90", "p95", "p99", "p999", "max", "mean", "sent", *COLUMNS}
MORE_KEYS = {"duplicate", "late", "unsent", "thresholds", "actions", "lag", "rateReached", "run"}


@pytest.mark.parametrize("broker", [EMBEDDED, MOSQUITTO])
async def test_a_fleet_of_its_own_is_loaded_and_judged(broker: str, tmp_path: Path) -> None:
    need(broker)
    files = ("--csv", "run.csv", "--html", "run.html")
    checks = ("--threshold", "reset.p99<1m", "lost==0", "reset.ios.p50>0us")
    ran = await load(tmp_path, "--broker", broker, *QUICK, "--json", *files, *checks)
    assert ran.process.returncode == 0, ran.err
    document = ran.document
    assert document.keys() >= KEYS | MORE_KEYS
    assert document["passed"] is True
    assert document["unit"] == "ms"
    assert document["sent"] == sum(document[name] for name in COLUMNS) == 80
    assert (document["lost"], document["unknown"], document["duplicate"]) == (0, 0, 0)
    assert 0 < document["p50"] <= document["p99"] <= document["max"]
    by_platform = [
        kind for action in document["actions"].values() for kind in action["platforms"].values()
    ]
    assert sum(kind["sent"] for kind in by_platform) == 80
    shown = [(t["metric"], t["implied"], t["passed"]) for t in document["thresholds"]]
    assert shown[:3] == [(n, False, True) for n in ("reset.p99", "lost", "reset.ios.p50")]
    assert document["brokerPass"]["p50"] is not None
    assert document["simulatorPass"]["p50"] is not None
    assert 0 < document["fleetLag"]["p50"] <= document["fleetLag"]["max"]
    assert (document["run"]["workers"], document["workerRestarts"]) == (1, 0)
    assert document["dropped"] == {"devices": 0, "back": 0}
    _check_files(tmp_path)


def _check_files(folder: Path) -> None:
    # No other file in the caller's folder changes.
    assert sorted(path.name for path in folder.iterdir()) == ["run.csv", "run.html"]
    text = (folder / "run.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == CSV_HEADER
    assert sum(int(row["sent"]) for row in rows) == 80
    page = (folder / "run.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert "prefers-color-scheme: dark" in page
    for outside in ("http://", "https://", "<script", "<link", "@import", "url("):
        assert outside not in page


async def test_people_get_a_table_and_ticks(tmp_path: Path) -> None:
    ran = await load(tmp_path, *QUICK, "--threshold", "lock.p99<1us", "done>0")
    assert ran.process.returncode == 1
    assert "✗ lock.p99" in ran.out
    assert "✓ done" in ran.out
    assert "sent 80 = done" in ran.out
    assert "starting 15 devices on the embedded broker" in ran.err


async def test_on_a_narrow_terminal_every_name_is_whole(tmp_path: Path) -> None:
    what = ("--rate", "60", "--duration", "1s", "--mix", "reset", "--seed", "1", "--devices", "20")
    narrow = {"TTY_COMPATIBLE": "1", "COLUMNS": "80"}
    async with started(tmp_path, "load", *what, **narrow) as ran:
        assert await ran.ended() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ran.out).splitlines()
    rows = [line.split() for line in lines if line.startswith("reset")]
    platforms = {row[1] for row in rows}
    assert platforms >= {"ios", "windows_10_mobile", "windows_phone_8_1", "all"}
    assert any("left out for lack of room: service p50, service p99" in line for line in lines)
    assert max(len(line) for line in lines) <= 80


async def test_a_file_that_cannot_be_written_is_not_all_well(tmp_path: Path) -> None:
    ran = await load(tmp_path, *QUICK, "--csv", "/dev/full")
    assert ran.process.returncode == 2
    assert "error: /dev/full: cannot be written: No space left on device" in ran.err
    assert "sent 80 = done" in ran.out


async def test_a_fleet_file_of_its_own_is_loaded_by_as_many_workers_as_asked_for(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "shop.toml").write_text(
        fleet_text(
            '[platforms.kiosk]\nextends = "android"\nreset = { outcome = "notSupported" }',
            phones("kiosk", "kiosks", count=2),
            phones("ios", "phones", count=2),
            state='"shop.db"',
        ),
        encoding="utf-8",
    )
    what = ("--workers", "2", "--rate", "40", "--duration", "1s", "--mix", "reset", "--json")
    checks = ("reset.kiosk.p99<1m", "reset.ios.p99<1m", "fleetLag.max<1m")
    ran = await load(tmp_path, "-f", "elsewhere/shop.toml", *what, *checks)
    assert ran.process.returncode == 0, ran.err
    assert "starting 4 devices of elsewhere/shop.toml on the embedded broker" in ran.err
    document = ran.document
    assert document["run"]["platforms"] == {"ios": 2, "kiosk": 2}
    assert document["run"]["workers"] == 2
    kinds = document["actions"]["reset"]["platforms"]
    assert kinds["kiosk"]["notSupported"] == kinds["kiosk"]["sent"] > 0
    assert kinds["ios"]["done"] == kinds["ios"]["sent"] > 0
    assert [path.name for path in folder.iterdir()] == ["shop.toml"]


async def test_a_fleet_file_is_refused_beside_a_running_fleet(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(fleet_text(phones()), encoding="utf-8")
    async with started(tmp_path, "up") as up:
        await up.says("ready devices=1")
        for option in (("--fleet", "fleet.toml"), ("--workers", "2")):
            ran = await load(tmp_path, *option)
            assert ran.process.returncode == 2
            assert f"{option[0]} is for a fleet that the load starts" in ran.err
            assert "--broker embedded" in ran.err


async def test_each_device_is_judged_by_what_it_does(tmp_path: Path) -> None:
    need(MOSQUITTO)
    devices = (
        Fake("a-1"),
        Fake("b-1", manner="failed"),
        Fake("c-1", manner="notSupported", platform="windows_rt"),
        Fake("d-1", manner="silent"),
        Fake("e-1", manner="silent", online=False),
        Fake("f-1", manner="slow", platform="android"),
    )
    plan = Schedule(
        rate=100,
        duration=1,
        ramp=0,
        mix=ActionMix.parse("sync"),
        seed=3,
        device_ids=[device.device_id for device in devices],
    )
    drawn = Counter(arrival.device_id for arrival in plan.arrivals())
    async with open_broker(MOSQUITTO) as broker, fake_fleet(broker, *devices):
        where = ("--broker", broker.address.url, "--timeout", "1500ms")
        what = ("--rate", "100", "--duration", "1s", "--mix", "sync", "--seed", "3", "--json")
        ran = await load(tmp_path, *where, *what)
    document = ran.document
    assert ran.process.returncode == 1
    assert document["passed"] is False
    assert {name: document[name] for name in COLUMNS} == {
        "done": drawn["a-1"] + drawn["f-1"],
        "failed": drawn["b-1"],
        "notSupported": drawn["c-1"],
        "lost": drawn["d-1"],
        "unknown": drawn["e-1"],
    }
    assert document["run"]["offlineBefore"] == 1
    failed = {t["metric"] for t in document["thresholds"] if not t["passed"]}
    assert failed == {"failed", "lost", "unknown"}


async def test_after_a_storm_every_device_is_back(tmp_path: Path) -> None:
    ran = await load(tmp_path, *QUICK, "--profile", "storm", "--json", "back.missing==0")
    assert ran.process.returncode == 0, ran.err
    storm = ran.document["storm"]
    assert (storm["thrownOut"], storm["missing"]) == (15, 0)
    # The storm disconnected them: they do not count as dropped.
    assert ran.document["dropped"] == {"devices": 0, "back": 0}
    # A percentile is that of a histogram with three digits.
    assert 0 < storm["back"]["p50"] <= storm["allBack"] * 1.01
    meanwhile = storm["meanwhile"]
    assert meanwhile["sent"] == sum(meanwhile[name] for name in COLUMNS)


async def test_a_running_fleet_killed_meanwhile_leaves_its_commands_unknown(
    tmp_path: Path,
) -> None:
    (tmp_path / "fleet.toml").write_text(
        '[[group]]\nname = "phones"\nplatform = "ios"\ncount = 3\nreaction = "30s"\n',
        encoding="utf-8",
    )
    async with started(tmp_path, "up") as up:
        url = (await up.says(r"ready devices=3 broker=(\S+)"))[1]
        what = ("--rate", "50", "--duration", "5m", "--timeout", "5m", "--json")
        async with started(tmp_path, "load", *what) as ran:
            await commands_flow(url, ran)
            up.process.kill()
            assert await ran.ended() == 1
    document = ran.document
    assert document["ending"] == "fleetGone"
    assert document["passed"] is False
    assert document["unknown"] == document["sent"] >= 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_its_own_fleet_killed_meanwhile_ends_it(tmp_path: Path) -> None:
    what = ("--devices", "3", "--rate", "50", "--duration", "5m", "--json")
    async with started(tmp_path, "load", *what) as ran:
        url = (await ran.says(r"loading 3 devices on (mqtt://\S+):? "))[1].removesuffix(":")
        await commands_flow(url, ran)
        for child in children(ran.process.pid):
            os.kill(child, signal.SIGKILL)
        assert await ran.ended() == 1
    document = ran.document
    assert document["ending"] == "fleetGone"
    assert document["sent"] == sum(document[name] for name in COLUMNS)


async def test_ctrl_c_ends_with_a_summary(tmp_path: Path) -> None:
    what = ("--devices", "3", "--rate", "50", "--duration", "5m", "--json")
    async with started(tmp_path, "load", *what) as ran:
        url = (await ran.says(r"loading 3 devices on (mqtt://\S+):? "))[1].removesuffix(":")
        await commands_flow(url, ran)
        ran.process.send_signal(signal.SIGINT)
        assert await ran.ended() == 130
    document = ran.document
    assert document["ending"] == "interrupted"
    assert document["sent"] == sum(document[name] for name in COLUMNS) >= 5


async def test_a_broker_that_refuses_half_the_connections_is_reported(tmp_path: Path) -> None:
    need(MOSQUITTO)
    async with open_broker(MOSQUITTO) as broker, fake_fleet(broker, Fake("ios-001")):
        address = broker.address
        async with ConnectionLimitProxy(address.host, address.port, places=6) as proxy:
            ran = await load(tmp_path, "--broker", proxy.url, "--rate", "5", "--duration", "1s")
    assert ran.process.returncode == 3
    assert "connections to mqtt://127.0.0.1" in ran.err
    assert "came up, then no more" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--rate", "0"), 2, "--rate 0 sends nothing"),
        (("--duration", "-5s"), 2, "is not a duration"),
        (("--mix", "rest=1"), 2, "did you mean 'reset'?"),
        (("--threshold", "reset.p98<1s"), 2, "did you mean 'reset.p99'?"),
        (("--devices", "900000", "--duration", "1s"), 2, "900000 devices need"),
        (("--broker", "mqtt://127.0.0.1:1"), 3, "nothing listens at"),
        (("--html", "nowhere/x.html"), 2, "cannot be written"),
        (("--html", "x", "--csv", "./x"), 2, "name the same file x"),
        (("--workers", "0"), 2, '--workers: got "0"; expected a whole number from 1 to 1024'),
        (("--fleet", "nowhere.toml"), 2, "nowhere.toml: there is no such file"),
        (("--platform", "iso"), 2, "did you mean 'ios'?"),
        (("--platform", "ios", "reset.android.p99<1s"), 2, "no metric 'reset.android.p99'"),
    ],
)
async def test_what_cannot_be_is_refused(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    ran = await load(tmp_path, *arguments)
    assert ran.process.returncode == code
    assert said in ran.err
    assert ran.out == ""
