"""pytest-passfleet, in projects of other people."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from broker_help import until
from scratch_project import INI, PLUGIN, ROOT, environment, named_blocks, ran, run_pytest, write

from fleet.runfile import is_alive
from platforms import PLATFORMS_BY_ID

OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
# What nothing but a kill leaves: tests write down which process their fleet is.
NOTE = """
import os
from pathlib import Path


def note(fleet):
    with Path("fleets.txt").open("a") as file:
        file.write(f"{os.getpid()} {fleet.pid} {fleet.port}\\n")
"""
GOOD = """
name: An administrator resets a phone
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
steps:
  - console.select: {devices: [phone]}
  - console.reset_passcode
  - expect.console: {actionState: done, within: 5m}
  - expect.device: {compliance: inGracePeriod}
"""


def noted(folder: Path) -> list[tuple[int, int, int]]:
    """(pytest's process, the fleet's process, its port) for every note, each once."""
    lines = (folder / "fleets.txt").read_text().splitlines()
    found = (tuple(int(word) for word in line.split()) for line in dict.fromkeys(lines))
    return [(pytest_pid, fleet, port) for pytest_pid, fleet, port in found]


def none_left(folder: Path) -> bool:
    return not any(is_alive(fleet) for _, fleet, _ in noted(folder))


# -- the example, and every way to run it -----------------------------------------------------


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
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "pytest_passfleet", "--help"],
        cwd=PLUGIN,
        env=environment(PYTHONPATH=str(PLUGIN)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    settings = {line.split()[0] for line in told.splitlines() if line.startswith("  passfleet_")}
    assert len(settings) == 8
    assert all(f"| `{name}`" in page for name in settings)


def test_fleet_has_every_platform_and_goes_after_a_failed_test(tmp_path: Path) -> None:
    text = f"""
import pytest
from note import note
from pytest_passfleet import UnmetError


def test_platforms(passfleet_fleet):
    note(passfleet_fleet)
    assert {{d.platform for d in passfleet_fleet.devices}} == {set(PLATFORMS_BY_ID)!r}
    assert passfleet_fleet.broker == f"mqtt://127.0.0.1:{{passfleet_fleet.port}}"
    assert passfleet_fleet.device(platform="ios").device_id == "ios-001"


def test_world(passfleet_fleet):
    fleet = passfleet_fleet
    for action in ("crash", "restart", "dropConnection", "restore"):
        fleet.simulate("ios-001", action)
    assert fleet.online("ios-001")
    assert len(fleet.command_group("all", "remoteLock")) == {len(PLATFORMS_BY_ID)}
    assert fleet.sync("ios-001")["actionState"] == "done"
    # The same command again gets the stored result, not the one that was heard before.
    results = [fleet.lock("ios-001", commandId="c-1") for _ in range(2)]
    assert [result["duplicate"] for result in results] == [False, True]


def test_only_what_came_since_the_test_began(passfleet_fleet):
    assert passfleet_fleet.messages() == []
    with pytest.raises(UnmetError, match="no message has come"):
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
        "test_platforms", "test_world", "test_only_what_came_since_the_test_began", "test_fails",
        "test_fails_by_itself",
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


def test_beside_pytest_asyncio(tmp_path: Path) -> None:
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


async def test_time_and_thumb(passfleet_fleet):
    phones = passfleet_fleet.aio
    before = await phones.clock_now()
    waiting = asyncio.create_task(phones.wait_for("state", "ios-001", compliance="noncompliant"))
    await phones.reset("ios-001")
    assert await phones.clock_advance(timedelta(minutes=61)) == before + timedelta(minutes=61)
    assert (await waiting)["passcode"] == "none"
    assert (await phones.tap("ios-001", "setPasscode", passcode="4826"))["actionState"] == "done"
    with pytest.raises(PluginError, match="time never goes back"):
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


def test_every_xdist_worker_has_a_fleet_of_its_own(tmp_path: Path) -> None:
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


# -- which fleet ------------------------------------------------------------------------------


def test_marker_parameter_and_scope_say_which_fleet(tmp_path: Path) -> None:
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
        ("devices='3'", "", "the marker passfleet: devices='3' is not right"),
        ("fleet='gone.toml'", "", "FleetError: there is no fleet file"),
        ("platform='iso'", "", "there is no platform 'iso'"),
        ("platform='ios'", "passfleet_scope = week", "passfleet_scope is 'week'; one of session"),
        ("platform='ios'", "passfleet_limit = long", "passfleet_limit is to be a number of"),
    ],
)
def test_what_is_not_right_is_said(tmp_path: Path, marker: str, ini: str, says: str) -> None:
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


# -- scenario files ---------------------------------------------------------------------------


def test_failed_scenario_shows_where_what_and_the_last_messages(tmp_path: Path) -> None:
    late = GOOD.replace("inGracePeriod", "noncompliant")
    wrong = GOOD.replace("console.select", "console.selekt")
    write(tmp_path, {"pytest.ini": INI, "good.passfleet.yaml": GOOD, "other.yaml": "a: 1\n"})
    write(tmp_path, {"below/late.passfleet.yml": late, "wrong.passfleet.yaml": wrong})
    ran = run_pytest(tmp_path)
    assert ran.code == 1
    assert ran.tests == {"good": "passed", "late": "failed", "wrong": "failed"}
    assert "below/late.passfleet.yml:8:5: step 4, expect.device: {compliance: n" in ran.output
    assert "expected: compliance: noncompliant\nseen:     compliance: inGracePeriod" in ran.output
    assert "last messages:\n  2015-12-10T20:19:0" in ran.output
    assert "phone notifications: Passcode Requirement" in ran.output
    assert "wrong.passfleet.yaml:5:5" in ran.output
    assert "did you mean 'console.select'?" in ran.output
    assert "Traceback" not in ran.output
    assert "scenarios.py" not in ran.output


def test_play_takes_further_arguments(tmp_path: Path) -> None:
    ini = f"{INI}passfleet_play = --broker nonsense://\n"
    write(tmp_path, {"pytest.ini": ini, "good.passfleet.yaml": GOOD})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"good": "failed"}
    assert "error: " in ran.output


# -- the command ------------------------------------------------------------------------------

BOTH = {
    "good.passfleet.yaml": GOOD,
    "test_fleet.py": "def test_fleet(passfleet_fleet):\n    assert passfleet_fleet.devices\n",
}


def test_missing_command_is_an_error_with_a_hint(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_command = no-passfleet\n", **BOTH})
    ran = run_pytest(tmp_path)
    assert (ran.code, ran.tests) == (1, {"good": "failed", "test_fleet": "error"})
    assert "there is no command 'no-passfleet'; install it from a checkout" in ran.output
    assert "PASSFLEET_COMMAND" in ran.output


def test_missing_command_can_be_a_skip(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_missing = skip\n", **BOTH})
    ran = run_pytest(tmp_path, PASSFLEET_COMMAND="no-passfleet")
    assert ran.code == 0
    assert "2 skipped" in ran.output
    assert "there is no command 'no-passfleet'" in ran.output


def test_command_with_arguments_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, {"pytest.ini": f"{INI}passfleet_command = no-passfleet\n", **BOTH})
    ran = run_pytest(tmp_path, PASSFLEET_COMMAND=f"{sys.executable} -m fleet.cli")
    assert ran.tests == {"good": "passed", "test_fleet": "passed"}, ran.output


# -- the end ----------------------------------------------------------------------------------


def test_fleet_that_dies_is_told_at_once(tmp_path: Path) -> None:
    text = """
import os, signal


def test_dies(passfleet_fleet):
    os.kill(passfleet_fleet.pid, signal.SIGKILL)
    passfleet_fleet.wait_for("notifications", "ios-001", limit=60)
"""
    write(tmp_path, {"pytest.ini": INI, "test_dies.py": text})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"test_dies": "failed"}
    assert "FleetError: the fleet has gone: exit code 137" in ran.output


async def test_no_fleet_outlives_a_pytest_that_is_killed(tmp_path: Path) -> None:
    text = """
import threading
from note import note


def test_hangs(passfleet_fleet):
    note(passfleet_fleet)
    threading.Event().wait()
"""
    write(tmp_path, {"pytest.ini": INI, "note.py": NOTE, "test_hangs.py": text})
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "pytest", "-p", "pytest_passfleet"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(PLUGIN)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        notes = tmp_path / "fleets.txt"
        await until(lambda: notes.exists() and notes.read_text().endswith("\n"), 30)
        assert not none_left(tmp_path)
    finally:
        child.kill()
        child.wait()
    try:
        await until(lambda: none_left(tmp_path), 20)
    finally:
        for _, fleet, _ in noted(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(fleet, signal.SIGKILL)


# -- installed --------------------------------------------------------------------------------


def test_installed_distribution_needs_no_option(tmp_path: Path) -> None:
    # A copy: a build leaves its folders in the source.
    source = tmp_path / "source"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    packages = next(home.glob("lib/python*/site-packages"))
    # pytest, aiomqtt and setuptools of our own; passfleet's rooms stay out of it.
    ours = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages / "ours.pth").write_text(f"{ours}\n")
    subprocess.run(
        [python, "-m", "pip", "install", *OFFLINE, str(source)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    project = tmp_path / "project"
    write(project, {"pytest.ini": INI, **BOTH})
    ended = subprocess.run(
        [python, "-m", "pytest", "-rA", "-p", "no:asyncio"],
        cwd=project,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran(ended).tests == {"good": "passed", "test_fleet": "passed"}, ended.stdout
    assert (packages / "pytest_passfleet" / "py.typed").is_file()
    twice = subprocess.run(
        [python, "-m", "pytest", "-p", "no:asyncio", "-p", "pytest_passfleet", "--co"],
        cwd=project,
        env=environment(PYTEST_DISABLE_PLUGIN_AUTOLOAD=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert twice.returncode == 0, twice.stdout + twice.stderr
