"""Custom platforms and conformance tables in scenarios and in fleet files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.definition.platforms import Platforms
from broker.errors import FileError
from fleet.config.loader import parse_fleet
from platforms.conformance import CONFORMANCE
from platforms.profile import ResetOutcome
from scenarios.parsing.parser import parse_scenario
from tests.support.fleet_processes import Start
from tests.support.scratch_project import INI, run_pytest
from tests.support.scratch_project import write as write_project

KIOSK = """\
platforms:
  kiosk:
    extends: android
    reset: {default_length: 8, grace: 30m, message: "Ask at the desk"}
    native: {resetPasscode: {done: {protocol: kiosk, status: ok}}}
"""
HEAD = """\
name: Own
devices:
  phone: {platform: kiosk, owner: alex}
steps:
  - command: {commandId: c, actionName: resetPasscode}
  - expect.result: {message: "Ask at the desk", newPasscode: {matches: "^.{8}$"}, within: 1m}
  - expect.result: {native: {protocol: kiosk, status: ok}}
  - expect.device: {platform: kiosk, compliance: noncompliant, within: 30m}
"""
FLEET = """\
[fleet]
conformance = "hybrid-2017-10"
[platforms.kiosk]
extends = "android"
reset = { default_length = 8, grace = "30m", message = "Ask at the desk" }
native = { resetPasscode = { done = { protocol = "kiosk", status = "ok" } } }
[platforms.kiosk.attributes]
os_version = "6.0"
[[group]]
name = "kiosks"
platform = "kiosk"
"""


# -- what is read -----------------------------------------------------------------------------


def test_a_scenario_defines_platforms_of_its_own() -> None:
    scenario = parse_scenario(KIOSK + HEAD, "play.yaml")
    (device,) = scenario.devices
    rule = device.setup.profile.reset
    assert (rule.default_length, rule.grace, rule.message) == (8, 1800, "Ask at the desk")
    assert scenario.platforms.like("kiosk") == "android"


def test_a_scenario_takes_the_platforms_and_the_table_of_a_fleet_file() -> None:
    known = parse_fleet(FLEET).known
    scenario = parse_scenario(HEAD, "play.yaml", known)
    assert scenario.devices[0].setup.profile == known.profiles["kiosk"]
    assert scenario.platforms.conformance == "hybrid-2017-10"


def test_the_scenarios_own_table_goes_before_the_fleet_files() -> None:
    head = "conformance: azure-2018-02\n" + HEAD
    scenario = parse_scenario(head, "play.yaml", parse_fleet(FLEET).known)
    assert scenario.platforms.conformance == "azure-2018-02"
    alone = parse_scenario(f"conformance: azure-2018-02\n{HEAD}".replace("kiosk", "ios"), "x.yaml")
    under = Platforms("azure-2018-02").profiles["ios"]
    assert alone.devices[0].setup.profile == under


@pytest.mark.parametrize("table", CONFORMANCE)
def test_a_platform_of_a_scenario_is_that_of_a_fleet_file(table: str) -> None:
    attributes = '[platforms.kiosk.attributes]\nos_version = "6.0"\n'
    text = FLEET.replace("hybrid-2017-10", table).replace(attributes, "")
    theirs = parse_fleet(text).known.profiles["kiosk"]
    ours = parse_scenario(f"conformance: {table}\n{KIOSK}{HEAD}", "play.yaml").devices[0]
    assert ours.setup.profile == theirs


def test_a_platform_may_extend_one_of_the_fleet_file() -> None:
    booth = "platforms:\n  booth: {extends: kiosk, reset: {outcome: removes}}\n"
    scenario = parse_scenario(
        booth + HEAD.replace("platform: kiosk", "platform: booth"),
        "play.yaml",
        parse_fleet(FLEET).known,
    )
    rule = scenario.devices[0].setup.profile.reset
    assert (rule.outcome, rule.message) == (ResetOutcome.REMOVES, "Ask at the desk")
    assert list(scenario.platforms.definitions(["booth"])) == ["kiosk", "booth"]
    assert list(scenario.platforms.definitions(["kiosk", "ios"])) == ["kiosk"]


# -- what is refused --------------------------------------------------------------------------


@dataclass(frozen=True)
class Bad:
    text: str
    line: int
    column: int
    key: str
    says: str
    hint: str | None = None


BAD = {
    "unknown": Bad(HEAD, 3, 11, "devices.phone.platform", 'got "kiosk"', "play --fleet"),
    "misspelt": Bad(
        KIOSK + HEAD.replace("platform: kiosk", "platform: kisok"),
        8,
        11,
        "devices.phone.platform",
        "windows_8_1, kiosk",
        "did you mean 'kiosk'?",
    ),
    "key": Bad(
        KIOSK.replace("default_length", "defaultLength") + HEAD,
        4,
        13,
        "platforms.kiosk.reset.defaultLength",
        "unknown key",
        "'default_length'",
    ),
    "value": Bad(
        KIOSK.replace("30m", "soon") + HEAD, 4, 32, "platforms.kiosk.reset.grace", 'got "soon"'
    ),
    "base": Bad(
        KIOSK.replace("extends: android", "extends: adroid") + HEAD,
        3,
        5,
        "platforms.kiosk.extends",
        'got "adroid"',
        "did you mean 'android'?",
    ),
    "no table": Bad(f"platforms: [kiosk]\n{HEAD}", 1, 1, "platforms", "got a list; expected a tab"),
    "nothing": Bad(f"platforms:\n{HEAD}", 1, 1, "platforms", "got nothing; expected a table"),
    "no table for one": Bad(
        f"platforms:\n  kiosk:\n{HEAD}", 2, 3, "platforms.kiosk", "a table with the key extends"
    ),
    "built-in": Bad(
        f"platforms:\n  ios: {{extends: android}}\n{HEAD.replace('kiosk', 'ios')}",
        2,
        3,
        "platforms.ios",
        "built-in platform",
    ),
    "table": Bad(
        f"conformance: azure-2018\n{KIOSK}{HEAD}",
        1,
        1,
        "conformance",
        'got "azure-2018"; expected one of intune-2015-12',
        "did you mean 'azure-2018-02'?",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_an_invalid_platform_is_refused_with_its_position(bad: Bad) -> None:
    with pytest.raises(FileError) as refused:
        parse_scenario(bad.text, "play.yaml")
    error = refused.value
    assert (error.line, error.column, error.key) == (bad.line, bad.column, bad.key)
    assert bad.says in str(error)
    assert (bad.hint or "") in (error.hint or "")
    # An invalid platform is reported once, not once per device.
    assert "more problem" not in (error.hint or "")


def test_a_name_of_the_fleet_file_is_not_defined_again() -> None:
    with pytest.raises(FileError) as refused:
        parse_scenario(KIOSK + HEAD, "play.yaml", parse_fleet(FLEET).known)
    assert str(refused.value) == (
        'play.yaml:2:3: platforms.kiosk: "kiosk" is a platform of the fleet file already;'
        " expected an id of its own"
    )


# -- on the command line ----------------------------------------------------------------------


async def test_play_and_check_on_the_command_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(KIOSK + HEAD)
    (tmp_path / "theirs.yaml").write_text(HEAD)
    (tmp_path / "kiosks.toml").write_text(FLEET)
    assert await start("play", "own.yaml").ended() == 0
    alone = start("play", "theirs.yaml")
    assert await alone.ended() == 2
    assert 'theirs.yaml:3:11: devices.phone.platform: got "kiosk"' in alone.err
    assert "--fleet" in alone.err
    played = start("play", "theirs.yaml", "--fleet", "kiosks.toml", "--json")
    assert await played.ended() == 0, played.out + played.err
    assert json.loads(played.out)["scenarios"][0]["status"] == "passed"
    assert await start("check", "theirs.yaml").ended() == 2
    checked = start("check", "theirs.yaml", "kiosks.toml")
    assert await checked.ended() == 0, checked.err
    assert "scenarios: 1 file, 4 steps\n" in checked.out
    assert "fleet: kiosks.toml: 1 device in 1 group\n" in checked.out


async def test_a_wrong_fleet_file_is_refused_before_anything_is_played(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "theirs.yaml").write_text(HEAD)
    (tmp_path / "kiosks.toml").write_text(FLEET.replace("grace", "grece"))
    wrong = start("play", "theirs.yaml", "--fleet", "kiosks.toml")
    assert await wrong.ended() == 2
    assert "kiosks.toml:5: platforms.kiosk.reset.grece: unknown key" in wrong.err
    assert await start("play", "theirs.yaml", "--fleet", "none.toml").ended() == 2


def test_pytest_plays_scenarios_with_the_platforms_of_its_fleet_file(tmp_path: Path) -> None:
    ini = f"{INI}passfleet_fleet_file = fleets/kiosks.toml\n"
    files = {"fleets/kiosks.toml": FLEET, "below/kiosk.passfleet.yaml": HEAD}
    write_project(tmp_path, {"pytest.ini": ini, **files})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"kiosk": "passed"}, ran.output
    # A fleet file in the arguments of `play` takes precedence.
    write_project(tmp_path, {"pytest.ini": f"{ini}passfleet_play = --fleet none.toml\n"})
    ran = run_pytest(tmp_path)
    assert ran.tests == {"kiosk": "failed"}
    assert "none.toml" in ran.output
