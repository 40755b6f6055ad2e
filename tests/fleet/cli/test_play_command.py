"""`passfleet play` and `passfleet check` as processes: output, reports, exit codes, speed."""

from __future__ import annotations

import json
import signal
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from broker.server.open import EMBEDDED, MOSQUITTO
from tests.support.brokers import free_port, need, until
from tests.support.fleet_processes import Start
from tests.support.http_backend import running_backend

HEAD = """\
name: {name}
source: a test
devices:
  phone: {{platform: ios, passcode: "25801", owner: alex, biometrics: [touchId]}}
steps:
"""
# The iOS self-service flow with every kind of step: portal, time, user and expectations.
IOS = """\
name: iOS self-service reset
source: "Company Portal documentation, 2017-01"
devices:
  phone: {platform: ios, passcode: "2580", owner: alex, biometrics: [touchId]}
steps:
  - portal.sign_in: {user: alex}
  - portal.select_device: {device: phone}
  - portal.reset_passcode: {}
  - expect.portal: {screen: signInAgain}
  - portal.sign_out: {}
  - wait: 2m
  - portal.sign_in: {user: alex}
  - portal.reset_passcode: {}
  - expect.portal: {status: pending}
  - expect.portal: {status: done, message: "Passcode successfully reset", newPasscode: absent, \
within: 5m}
  - expect.device: {device: phone, passcode: none, compliance: inGracePeriod}
  - user.swipe_up: {device: phone}
  - wait: 61m
  - expect.device: {device: phone, compliance: noncompliant}
  - user.set_passcode: {device: phone, passcode: "4826"}
  - expect.device: {device: phone, passcode: user, compliance: compliant}
"""
_SCENARIOS = 50
_TIMES_REAL = 10_000


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.yaml"
    body = "".join(f"  - {line}\n" for line in lines)
    path.write_text(HEAD.format(name=name) + body)
    return path


async def test_the_library_plays_without_an_argument(start: Start) -> None:
    process = start("play")
    assert await process.ended() == 0, process.out + process.err
    assert process.out.count("✓") >= 24
    assert "failed" not in process.out.splitlines()[-1]
    assert process.err == ""


async def test_a_failed_step_shows_where_what_and_the_last_messages(
    start: Start, tmp_path: Path
) -> None:
    write(tmp_path, "good", "wait: 1h")
    write(tmp_path, "bad", "user.swipe_up", "expect.device: {locked: false}", "wait: 1h")
    process = start("play", ".", "-j", "1")
    assert await process.ended() == 1
    assert process.out.splitlines()[:5] == [
        "✗ bad  0:00:00 in " + process.out.split("in ", 1)[1].split(" s")[0] + " s",
        "    bad.yaml:7:5  expect.device: {locked: false}",
        "      expected  locked: false",
        "      seen      locked: true",
        "      2015-12-10T20:19:07Z  phone presence: online, session 1",
    ]
    assert "1 passed, 1 failed: 1:00:00 of scenario time" in process.out


@pytest.mark.parametrize("broker", [EMBEDDED, MOSQUITTO])
async def test_two_runs_print_the_same_json(start: Start, tmp_path: Path, broker: str) -> None:
    need(broker)
    (tmp_path / "ios.yaml").write_text(IOS)
    write(tmp_path, "bad", "network.offline", "user.swipe_up")
    printed = set()
    for jobs in ("1", "2"):
        process = start("play", "ios.yaml", "bad.yaml", "--json", "--broker", broker, "-j", jobs)
        assert await process.ended() == 1, process.err
        printed.add(process.out)
    (out,) = printed
    document = json.loads(out)
    assert (document["passed"], document["failed"]) == (1, 1)
    assert [each["status"] for each in document["scenarios"]] == ["passed", "failed"]
    assert document["scenarios"][0]["ended"] == "2015-12-10T21:22:09Z"


async def test_k_chooses_by_name_and_file(start: Start, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write(tmp_path, name, "wait: 1s")
    process = start("play", ".", "-k", "TW", "-k", "thr", "--json")
    assert await process.ended() == 0, process.err
    names = [each["name"] for each in json.loads(process.out)["scenarios"]]
    assert names == ["three", "two"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("play", "wrong.yaml"), "wrong.yaml:6:5: steps[1].wiat: unknown step"),
        (("check", "wrong.yaml"), "wrong.yaml:6:5: steps[1].wiat: unknown step"),
        (("play", "right.yaml", "wrong.yaml"), "wrong.yaml:6:5"),
        (("play", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
        (("play", "right.yaml", "-k", "nobody"), "none of 1 scenarios is called nobody"),
        (("play", "right.yaml", "--clock", "soon"), "is not a clock"),
        (("play", "right.yaml", "--junit", "nowhere/x.xml"), "there is no folder nowhere"),
        (("play", "right.yaml", "--broker", "elsewhere"), "broker"),
        (("check", "a.toml", "b.toml"), "more than one fleet file is given"),
    ],
)
async def test_wrong_usage_or_file_ends_with_2_before_anything_runs(
    start: Start, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    write(tmp_path, "right", "wait: 1s")
    write(tmp_path, "wrong", "wiat: 1s")
    process = start(*arguments)
    assert await process.ended() == 2
    assert said in process.err
    assert process.out == ""


async def test_no_broker_ends_with_3(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "right", "wait: 1s")
    process = start("play", "right.yaml", "--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert await process.ended() == 3
    assert "nothing listens" in process.err


async def test_ctrl_c_ends_with_130(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "long", "wait: 1ms", "wait: 1h")
    write(tmp_path, "short", "wait: 1ms")
    process = start("play", "long.yaml", "short.yaml", "--clock", "real")
    await until(lambda: "short" in process.out)
    assert await process.signalled(signal.SIGINT) == 130


async def test_reports_are_written_beside_the_list(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "bad", "expect.device: {locked: false}")
    reports = ("--junit", "j.xml", "--html", "h.html", "--record", "r.jsonl")
    process = start("play", "bad.yaml", *reports)
    assert await process.ended() == 1, process.err
    suite = ET.parse(tmp_path / "j.xml").getroot()  # noqa: S314  # our own file
    assert suite.find(".//failure") is not None
    assert "locked: false" in (tmp_path / "h.html").read_text()
    assert "passfleet-trace" in (tmp_path / "r.jsonl").read_text()
    for name in ("j.xml", "h.html", "r.jsonl"):
        assert "25801" not in (tmp_path / name).read_text()


async def test_check_takes_scenarios_and_a_fleet(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "right", "wait: 1s", "wait: 2s")
    (tmp_path / "fleet.toml").write_text('[[group]]\nname = "phones"\nplatform = "ios"\n')
    process = start("check", "right.yaml", "fleet.toml", "--json")
    assert await process.ended() == 0, process.err
    found = json.loads(process.out)
    assert found["scenarios"] == "1 file, 2 steps"
    assert found["fleet"] == "fleet.toml: 1 device in 1 group"


async def test_fifty_scenarios_of_an_hour_run_ten_thousand_times_as_fast(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    lasting = IOS.replace("wait: 61m", "wait: 64m")
    for number in range(_SCENARIOS):
        (folder / f"s{number:02}.yaml").write_text(lasting)
    began = time.perf_counter()
    process = start("play", "many", "--json")
    assert await process.ended() == 0, process.err
    took = time.perf_counter() - began
    assert json.loads(process.out)["passed"] == _SCENARIOS
    assert _SCENARIOS * 66 * 60 / took >= _TIMES_REAL


async def test_http_steps_run_on_the_real_clock_alone(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_backend() as backend:
        monkeypatch.setenv("BACKEND", backend.url)
        steps = ["http.request: {url: '${env.BACKEND}/text'}", "expect.http: {status: 200}"]
        path = write(tmp_path, "http", *steps)
        write(tmp_path, "hour", "wait: 1h")
        refused = start("play", str(tmp_path), "--clock", "virtual")
        assert await refused.ended() == 2
        assert f'{path}:6:5: steps[1]."http.request": a scenario with http steps' in refused.err
        assert backend.requests == []
        played = start("play", str(tmp_path), "--json")
        assert await played.ended() == 0, played.out + played.err
    assert [each["path"] for each in backend.requests] == ["/text"]
    hour, http = json.loads(played.out)["scenarios"]
    assert http["ended"] > http["began"], "time passes by itself"
    assert hour["ended"] == "2015-12-10T21:19:07Z"


async def test_check_reports_a_variable_that_is_not_set(start: Start, tmp_path: Path) -> None:
    path = write(tmp_path, "http", "http.request: {url: '${env.PASSFLEET_UNSET}/text'}")
    process = start("check", str(path))
    assert await process.ended() == 2
    assert f'{path}:6:20: steps[1]."http.request".url' in process.err
    assert "more problem" not in process.err
    assert "the environment variable PASSFLEET_UNSET is not set" in process.err
