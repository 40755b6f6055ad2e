"""pytest-passfleet in separate projects: fixture, marker, settings, asyncio, xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from platforms import PLATFORMS_BY_ID
from tests.support.fleet_processes import Server
from tests.support.paho_operator import retained
from tests.support.scratch_project import (
    GOOD,
    INI,
    NOTE,
    PLUGIN,
    ROOT,
    environment,
    named_blocks,
    none_left,
    noted,
    run_pytest,
    write,
)

# -- examples, and ways to run them ------------------------------------------------------------


def test_example_of_the_readme_passes(tmp_path: Path) -> None:
    blocks = named_blocks(PLUGIN / "README.md")
    assert set(blocks) == {"test_phones.py", "android.passfleet.yaml"}
    write(tmp_path, {"pytest.ini": INI, **blocks})
    ran = run_pytest(tmp_path)
    assert ran.code == 0, ran.output
    assert len(ran.tests) == 4
    shown = (PLUGIN / "README.md").read_text().partition("```console")[2]
    assert all(f"::{name} PASSED" in shown for name in ran.tests)


def test_examples_of_the_page_pass(tmp_path: Path) -> None:
    blocks = named_blocks(ROOT / "docs" / "pytest.md")
    write(tmp_path, {"pytest.ini": INI, **blocks})
    ran = run_pytest(tmp_path)
    assert (ran.code, len(ran.tests)) == (0, 2), ran.output


def test_page_has_every_setting() -> None:
    page = (ROOT / "docs" / "pytest.md").read_text()
    printed = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_passfleet", "--help"],
        cwd=PLUGIN,
        env=environment(PYTHONPATH=str(PLUGIN)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    settings = {line.split()[0] for line in printed.splitlines() if line.startswith("  passfleet_")}
    assert len(settings) == 8
    assert all(f"| `{name}`" in page for name in settings)


def test_fleet_has_every_platform_and_stops_after_a_failed_test(tmp_path: Path) -> None:
    text = f"""
import pytest
from note import note
from pytest_passfleet import UnmetError


def test_platforms(passfleet_fleet):
    note(passfleet_fleet)
    assert {{d.platform for d in passfleet_fleet.devices}} == {set(PLATFORMS_BY_ID)!r}
    assert passfleet_fleet.broker == f"mqtt://127.0.0.1:{{passfleet_fleet.port}}"
    assert passfleet_fleet.device(platform="ios").device_id == "ios-001"


def test_simulated_events(passfleet_fleet):
    fleet = passfleet_fleet
    for action in ("crash", "restart", "dropConnection", "restore"):
        fleet.simulate("ios-001", action)
    assert fleet.online("ios-001")
    assert len(fleet.command_group("all", "remoteLock")) == {len(PLATFORMS_BY_ID)}
    assert fleet.sync("ios-001")["actionState"] == "done"
    # The same command again gets the stored result, not the one received before.
    results = [fleet.lock("ios-001", commandId="c-1") for _ in range(2)]
    assert [result["duplicate"] for result in results] == [False, True]


def test_only_what_came_since_the_test_began(passfleet_fleet):
    assert passfleet_fleet.messages() == []
    with pytest.raises(UnmetError, match="no message was received"):
        passfleet_fleet.wait_for("results", "ios-001", limit=0.05)


def test_fails(passfleet_fleet):
    passfleet_fleet.reset("android-001")
    passfleet_fleet.wait_for("results", "android-001", actionState="failed", limit=0.05)


def test_fails_by_itself(passfleet_fleet):
    passfleet_fleet.reset("android-001")
    raise RuntimeError("mine")
"""
    write(tmp_path, {"pytest.ini": INI, "note.py": NOTE, "test_fleet.py": text})
    ran = run_pytest(tmp_path)
    assert (ran.code, set(ran.tests)) == (1, {
        "test_platforms", "test_simulated_events", "test_only_what_came_since_the_test_began",
        "test_fails", "test_fails_by_itself",
    }), ran.output  # fmt: skip
    assert [name for name, how in ran.tests.items() if how == "failed"] == [
        "test_fails",
        "test_fails_by_itself",
    ]
    assert "results of android-001 actionState 'failed' did not come within 0.05 s" in ran.output
    assert '"newPasscode": "***"' in ran.output
    assert "passfleet: last messages" in ran.output
    assert "talk.py" not in ran.output
    assert none_left(tmp_path)


def test_works_with_pytest_asyncio(tmp_path: Path) -> None:
    ini = f"{INI}asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    text = """
import asyncio
from datetime import timedelta

import pytest
from pytest_passfleet import PluginError


async def test_all_at_once(passfleet_fleet):
    phones = passfleet_fleet.aio
    results = await asyncio.gather(*(phones.reset(device) for device in phones.devices))
    assert {r["actionState"] for r in results} == {"done", "notSupported"}


async def test_time_and_tap(passfleet_fleet):
    phones = passfleet_fleet.aio
    before = await phones.clock_now()
    waiting = asyncio.create_task(phones.wait_for("state", "ios-001", compliance="noncompliant"))
    await phones.reset("ios-001")
    assert await phones.clock_advance(timedelta(minutes=61)) == before + timedelta(minutes=61)
    assert (await waiting)["passcode"] == "none"
    await phones.tap("ios-001", "swipeUp")
    assert (await phones.tap("ios-001", "setPasscode", passcode="4826"))["actionState"] == "done"
    with pytest.raises(PluginError, match="virtual time cannot go back"):
        await phones.clock_advance(to=before)


async def test_network(passfleet_fleet):
    phones = passfleet_fleet.aio
    await phones.simulate("ios-001", "offline")
    command = await phones.send("ios-001", "remoteLock")
    await phones.simulate("ios-001", "online")
    assert (await phones.result("ios-001", command))["actionState"] == "done"
    assert len(await phones.command_group("ios", "syncDevice")) == 1
    assert (await phones.lock("ios-001", issuedBy="user"))["actionName"] == "remoteLock"
    assert (await phones.sync("ios-001"))["actionState"] == "done"


async def test_waiting_ends_when_it_is_cancelled(passfleet_fleet):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await passfleet_fleet.aio.wait_for("notifications", limit=60)
"""
    write(tmp_path, {"pytest.ini": ini, "test_async.py": text})
    ran = run_pytest(tmp_path, "-p", "pytest_asyncio.plugin")
    assert (ran.code, list(ran.tests.values())) == (0, ["passed"] * 4), ran.output


def test_every_xdist_worker_has_its_own_fleet(tmp_path: Path) -> None:
    # Each waits for the other: both fleets run at the same time.
    test = """
import time
from pathlib import Path
from note import note


def test_{}(passfleet_fleet):
    note(passfleet_fleet)
    end = time.monotonic() + 30
    while len(Path("fleets.txt").read_text().splitlines()) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert passfleet_fleet.reset("ios-001")["actionState"] == "done"
    assert passfleet_fleet.state("ios-001")["version"] == 2
"""
    files = {f"test_{letter}.py": test.format(letter) for letter in "ab"}
    write(tmp_path, {"pytest.ini": INI, "note.py": NOTE, "a.passfleet.yaml": GOOD, **files})
    ran = run_pytest(tmp_path, "-p", "xdist.plugin", "-n", "2", "--dist", "loadfile")
    assert (ran.code, len(ran.tests)) == (0, 3), ran.output
    workers, fleets, ports = (set(each) for each in zip(*noted(tmp_path), strict=True))
    assert len(workers) == len(fleets) == len(ports) == 2
    assert none_left(tmp_path)


# -- selection of the fleet --------------------------------------------------------------------


def test_marker_parameter_and_scope_select_the_fleet(tmp_path: Path) -> None:
    text = """
import pytest
from note import note

pytestmark = pytest.mark.passfleet(fleet="fleets/two.toml")


def test_file(passfleet_fleet):
    note(passfleet_fleet)
    assert [str(d) for d in passfleet_fleet.devices] == ["blue-001", "red-001"]
    assert passfleet_fleet.root == "house/phones"
    assert passfleet_fleet.device(group="red").owner == "kim"
    with pytest.raises(Exception, match="not virtual"):
        passfleet_fleet.clock_advance("1h")


def test_another_of_the_same_scope(passfleet_fleet):
    note(passfleet_fleet)


@pytest.mark.passfleet(devices=3, platform="ios")
def test_marked(passfleet_fleet):
    assert [d.platform for d in passfleet_fleet.devices] == ["ios"] * 3
"""
    other = """
import pytest


@pytest.mark.parametrize(
    "passfleet_fleet", [{"platform": "ios"}, {"platform": "windows_rt"}], indirect=True, ids=str
)
def test_each(passfleet_fleet):
    wanted = "notSupported" if passfleet_fleet.devices[0].platform == "windows_rt" else "done"
    assert passfleet_fleet.reset(passfleet_fleet.devices[0])["actionState"] == wanted
"""
    fleet = """
[fleet]
root = "house/phones"
[[group]]
name = "red"
platform = "ios"
owner = "kim"
[[group]]
name = "blue"
platform = "android"
"""
    ini = f"{INI}passfleet_scope = module\n"
    write(tmp_path, {"pytest.ini": ini, "note.py": NOTE, "below/fleets/two.toml": fleet})
    write(tmp_path, {"below/test_file.py": text, "test_each.py": other})
    ran = run_pytest(tmp_path, "-o", "pythonpath=.")
    assert ran.code == 0, ran.output
    assert ran.output.count("\nPASSED ") == 5
    assert "PASSED below/test_file.py::test_marked\n" in ran.output
    assert len(noted(tmp_path)) == 1


@pytest.mark.parametrize(
    ("marker", "ini", "says"),
    [
        ("colour=1", "", "the marker passfleet takes broker, devices, fleet, platform; not colour"),
        ("devices='3'", "", "the marker passfleet: devices='3' is not valid"),
        ("fleet='gone.toml'", "", "FleetError: there is no fleet file"),
        ("platform='iso'", "", "there is no platform 'iso'"),
        (
            "platform='ios'",
            "passfleet_scope = week",
            "passfleet_scope is 'week'; expected one of session",
        ),
        ("platform='ios'", "passfleet_limit = long", "passfleet_limit must be a number of"),
    ],
)
def test_invalid_marker_or_setting_is_reported(
    tmp_path: Path, marker: str, ini: str, says: str
) -> None:
    text = f"""
import pytest


@pytest.mark.passfleet({marker})
def test_marked(passfleet_fleet):
    raise AssertionError
"""
    write(tmp_path, {"pytest.ini": f"{INI}{ini}\n", "test_marked.py": text})
    ran = run_pytest(tmp_path)
    assert ran.code != 0
    assert says in ran.output


async def test_workers_share_a_broker_with_separate_roots(
    mosquitto: Server, tmp_path: Path
) -> None:
    test = """
from note import note


def test_{}(passfleet_fleet):
    note(passfleet_fleet)
    assert passfleet_fleet.root.startswith("passfleet/v1/tests/")
    assert len(passfleet_fleet.devices) == 8
    assert len(passfleet_fleet.command_group("all", "remoteLock")) == 8
"""
    files = {f"test_{letter}.py": test.format(letter) for letter in "ab"}
    ini = f"{INI}passfleet_broker = {mosquitto.url}\n"
    write(tmp_path, {"pytest.ini": ini, "note.py": NOTE, **files})
    ran = run_pytest(tmp_path, "-p", "xdist.plugin", "-n", "2", "--dist", "loadfile")
    assert (ran.code, len(ran.tests)) == (0, 2), ran.output
    assert {port for _, _, port in noted(tmp_path)} == {mosquitto.port}
    assert await retained(mosquitto.port, "passfleet/v1") == {}


def test_login_in_the_url_overrides_that_of_the_fleet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGIN)
    from pytest_passfleet.address import address_of  # noqa: PLC0415

    path = tmp_path / "fleet.toml"
    path.write_text(
        '[broker]\nusername = "kim"\npassword = { env = "PF_PW" }\nca = "ca.pem"\n', "utf-8"
    )
    monkeypatch.setenv("PF_PW", "secret")
    ours = address_of("mqtts://broker.example:8884", path, None)
    assert (ours.host, ours.port, ours.tls, ours.websocket) == ("broker.example", 8884, True, None)
    assert (ours.username, ours.password) == ("kim", "secret")
    assert ours.ca == str(tmp_path / "ca.pem")
    assert "secret" not in repr(ours)
    theirs = address_of("ws://[::1]:8080/mqtt", path, "ws://alex:a%40b@[::1]:8080/mqtt")
    assert (theirs.username, theirs.password) == ("alex", "a@b")
    assert (theirs.host, theirs.websocket, theirs.tls) == ("::1", "/mqtt", False)
    (tmp_path / "pw").write_text("from a file\n")
    path.write_text('[broker]\nusername = "kim"\npassword = { file = "pw" }\n', "utf-8")
    assert address_of("mqtt://127.0.0.1:1883", path, None).password == "from a file"
