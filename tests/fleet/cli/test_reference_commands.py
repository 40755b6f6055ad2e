"""`platforms`, `explain` and `schema`, as a process sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.reference.asyncapi import SCHEMA_NAMES, asyncapi, json_schema
from fleet.reference.rules import reachable_cases
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.profile import Action, Management

ROOT = Path(__file__).parents[3]


# What makes rich or typer take a pipe for a terminal.
TERMINAL_WISHES = {"FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE"}


def _run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in TERMINAL_WISHES}
    return subprocess.run(
        [sys.executable, "-m", "fleet.cli", *arguments],
        cwd=folder,
        env={**env, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _json(*arguments: str, folder: Path = ROOT) -> Any:
    ran = _run(*arguments, folder=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def test_platforms_prints_a_row_for_every_platform() -> None:
    ran = _run("platforms")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert all(profile.id in ran.stdout for profile in PLATFORMS)
    assert "New Passcode: <passcode>" in ran.stdout
    assert "[changeNow, later]" in ran.stdout


def test_platforms_json_is_a_list_with_the_facts_of_each() -> None:
    told = _json("platforms", "--json")

    assert [platform["platform"] for platform in told] == [profile.id for profile in PLATFORMS]
    by_id = {platform["platform"]: platform for platform in told}
    assert by_id["ios"]["resetPasscode"]["graceSeconds"] == 3600
    assert by_id["windows_phone_8_1"]["passcodeRules"]["minLength"] == [4, 18]
    assert by_id["windows_rt"]["remoteLock"]["enrollingUserOnly"] is True


def test_explain_prints_rule_portal_device_answers_source_and_assumption() -> None:
    ran = _run("explain", "ios", "reset")
    rule = PLATFORMS_BY_ID["ios"].reset

    assert (ran.returncode, ran.stderr) == (0, "")
    assert rule.rule in ran.stdout
    assert rule.source.cite in ran.stdout
    assert f"assumption: {rule.source.assumption}" in ran.stdout
    assert "Passcode successfully reset" in ran.stdout
    assert "[changeNow, later]" in ran.stdout
    assert '"requestType": "ClearPasscode"' in ran.stdout


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("reset", Action.RESET_PASSCODE),
        ("resetPasscode", Action.RESET_PASSCODE),
        ("reset-passcode", Action.RESET_PASSCODE),
        ("lock", Action.REMOTE_LOCK),
        ("remote-lock", Action.REMOTE_LOCK),
        ("syncDevice", Action.SYNC_DEVICE),
        ("policy", Action.APPLY_PASSCODE_POLICY),
        ("apply-passcode-policy", Action.APPLY_PASSCODE_POLICY),
    ],
)
def test_explain_takes_every_name_of_an_action(word: str, action: Action) -> None:
    assert _json("explain", "ios", word, "--json")["action"] == action


@pytest.mark.parametrize("name", ["windows_phone_8_1", "windows-phone-8-1", "Windows Phone 8.1"])
def test_explain_takes_a_platform_by_id_or_title(name: str) -> None:
    assert _json("explain", name, "lock", "--json")["platform"] == "windows_phone_8_1"


def test_explain_links_the_scenarios_that_exercise_an_answer() -> None:
    ran = _run("explain", "ios", "lock")
    answers = _json("explain", "ios", "lock", "--json")["answers"]
    (bare,) = (answer for answer in answers if answer["case"] == "noPasscode")

    assert "scenarios: " in ran.stdout
    assert "portal_remote_lock.yaml" in ran.stdout
    files = {scenario["file"] for scenario in bare["scenarios"]}
    assert "ios_grace_over.yaml" in files
    assert "portal_remote_lock.yaml" not in files


def test_explain_rules_lists_every_rule_of_a_platform() -> None:
    ran = _run("explain", "ios", "--rules")
    explained = _json("explain", "ios", "--rules", "--json")
    scenarios = {
        (rule["kind"], rule["name"], rule["answer"]): rule["scenarios"]
        for rule in explained["rules"]
    }

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\nTimers\n" in ran.stdout
    assert explained["platform"] == "ios"
    assert set(scenarios) == {
        (case.kind, case.name, case.answer) for case in reachable_cases(PLATFORMS_BY_ID["ios"])
    }
    assert {
        "name": "iOS, sixty minutes over",
        "file": "ios_grace_over.yaml",
        "management": "standalone",
    } in scenarios["timer", "grace", "fired"]
    hybrid = _json("explain", "ios", "--rules", "--management", "hybrid", "--json")["rules"]
    found = [scenario for rule in hybrid for scenario in rule["scenarios"]]
    assert {scenario["management"] for scenario in found} == {"hybrid"}


@pytest.mark.parametrize("management", Management)
def test_explain_management_leaves_that_part_of_the_portal(management: Management) -> None:
    told = _json("explain", "windows_phone_8_1", "reset", "--management", management, "--json")

    assert [view["management"] for view in told["portal"]] == [management]


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (("explain", "androd", "reset"), "did you mean 'android'?"),
        (("explain", "ios", "rset"), "did you mean 'reset'?"),
        (("explain", "ios", "reset", "--management", "hybird"), "did you mean 'hybrid'?"),
        (("explain", "--statement", "001.99"), "did you mean '001.31'?"),
        (("explain", "--rules"), "as in: passfleet explain ios --rules"),
        (("explain", "ios", "reset", "--rules"), "as in: passfleet explain ios --rules"),
        (("explain", "--rules", "--statement", "001.1"), "--statement takes no"),
        (("explain", "--statement", "ios"), "from 000.1 to 004.40"),
        (("explain", "ios", "--statement", "001.27"), "--statement takes no platform"),
        (("explain", "--statement", "001.27", "--fleet", "x"), "--statement takes no platform"),
        (("schema", "notificaton"), "did you mean 'notification'?"),
    ],
)
def test_unknown_name_is_wrong_usage_and_names_the_nearest(
    arguments: tuple[str, ...], guess: str
) -> None:
    ran = _run(*arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert guess in ran.stderr
    assert "Traceback" not in ran.stderr


def test_name_near_nothing_lists_all_without_a_guess() -> None:
    ran = _run("explain", "[bold]", "reset")

    assert ran.returncode == 2
    assert "'[bold]'" in ran.stderr
    assert "did you mean" not in ran.stderr
    assert "known are: ios, android" in ran.stderr


def test_explain_prints_a_statement_its_document_and_its_scenarios() -> None:
    ran = _run("explain", "--statement", "001.26")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "001.26" in ran.stdout
    assert "Reset passcode via the Company Portal website" in ran.stdout
    assert "scenarios/library/windows_phone_8_1_hybrid.yaml" in ran.stdout


def test_explain_gives_the_reason_for_a_statement_that_is_not_simulated() -> None:
    told = _json("explain", "--statement", "001.31", "--json")

    assert told["status"] == "notSimulated"
    assert told["reason"]
    assert told["provedBy"] == []
    assert told["document"]["date"] == "2015-12"


@pytest.mark.parametrize("arguments", [(), ("ios",)])
def test_missing_argument_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    ran = _run("explain", *arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "passfleet explain ios reset" in ran.stderr


def test_schema_prints_asyncapi_by_default() -> None:
    assert _json("schema") == asyncapi()
    assert _json("schema", "asyncapi", "--root", "lab") == asyncapi("lab")


@pytest.mark.parametrize("name", ["command", "input-result"])
def test_schema_prints_the_json_schema_of_a_payload(name: str) -> None:
    assert _json("schema", name) == json_schema(name)
    assert _json("schema", name, "--json") == json_schema(name)


def test_schema_list_prints_every_name() -> None:
    names = ["asyncapi", "fleet", "scenario", *SCHEMA_NAMES]

    assert _run("schema", "--list").stdout.split() == names
    assert _json("schema", "--list", "--json") == names


@pytest.mark.parametrize("command", ["platforms", "explain", "schema"])
def test_help_has_an_example(command: str) -> None:
    ran = _run(command, "--help")

    assert ran.returncode == 0
    assert f"Example: passfleet {command}" in ran.stdout


@pytest.mark.parametrize("command", [("platforms",), ("explain", "android", "lock")])
def test_no_colour_where_there_is_no_terminal(command: tuple[str, ...]) -> None:
    assert "\x1b" not in _run(*command).stdout


# --- dated tables and platforms of one's own -----------------------------------------------------

KIOSK = """\
[fleet]
conformance = "azure-2018-02"
[platforms.kiosk]
extends = "android"
title = "Kiosk"
[platforms.kiosk.reset]
default_length = 9
[[group]]
name = "kiosks"
platform = "kiosk"
"""


@pytest.fixture
def kiosk(tmp_path: Path) -> Path:
    """A folder with a fleet file that has a platform of its own."""
    (tmp_path / "fleet.toml").write_text(KIOSK, encoding="utf-8")
    return tmp_path


def test_platforms_under_another_table() -> None:
    ran = _run("platforms", "--conformance", "azure-2018-02")
    told = {
        p["platform"]: p for p in _json("platforms", "--conformance", "azure-2018-02", "--json")
    }

    assert "azure-2018-02" in ran.stdout
    assert {p["table"] for p in told.values()} == {"azure-2018-02"}
    assert told["windows_phone_8"]["resetPasscode"]["supported"] is False
    assert told["windows_phone_8_1"]["resetPasscode"]["supported"] is True


def test_diff_prints_row_by_row_what_differs_with_both_sources() -> None:
    ran = _run("platforms", "--diff", "intune-2016-07", "hybrid-2017-10")
    rows = _json("platforms", "--diff", "intune-2016-07", "hybrid-2017-10", "--json")

    assert ran.returncode == 0
    assert "Intune documentation 2016-07-21" in ran.stdout
    assert "System Center Configuration Manager documentation" in ran.stdout
    assert rows[0]["platform"] == "android"
    assert rows[0]["one"]["table"] == "intune-2016-07"
    assert "earlier than 7.0" in rows[0]["other"]["says"]
    assert all(row["one"]["cite"] and row["other"]["cite"] for row in rows)


def test_diff_of_equal_tables_reports_no_difference() -> None:
    assert "do not differ" in _run("platforms", "--diff", "intune-2015-12", "intune-2016-07").stdout
    assert _json("platforms", "--diff", "intune-2016-07", "intune-2016-07", "--json") == []


def test_explain_prints_the_table_and_the_tables_that_differ() -> None:
    ran = _run("explain", "android", "reset")
    told = _json("explain", "android", "reset", "--json")

    assert "Other tables differ" in ran.stdout
    assert "hybrid-2017-10: supported on versions earlier than 7.0" in ran.stdout
    assert told["says"]["table"] == "intune-2015-12"
    assert [dated["table"] for dated in told["otherwise"]] == ["hybrid-2017-10", "azure-2018-02"]
    assert "Other tables" not in _run("explain", "windows_phone_8_1", "reset").stdout


def test_platforms_of_ones_own_stand_beside_the_others(kiosk: Path) -> None:
    told = {p["platform"]: p for p in _json("platforms", "--json", folder=kiosk)}
    ran = _run("explain", "Kiosk", "reset", folder=kiosk)

    assert list(told) == [*PLATFORMS_BY_ID, "kiosk"]
    assert told["kiosk"]["like"] == "android"
    assert told["kiosk"]["table"] == "azure-2018-02"
    assert "default_length 9" in ran.stdout
    assert "the fleet file, [platforms.kiosk], reset" in ran.stdout
    assert "versions earlier than 7" in ran.stdout
    assert "kiosk" in _run("platforms", folder=kiosk).stdout


def test_fleet_names_a_file_elsewhere(kiosk: Path) -> None:
    file = str(kiosk / "fleet.toml")
    told = _json("explain", "kiosk", "lock", "--fleet", file, "--json")
    default = _json(
        "explain", "kiosk", "lock", "--fleet", file, "--conformance", "intune-2015-12", "--json"
    )

    assert (told["table"], default["table"]) == ("azure-2018-02", "intune-2015-12")
    assert told["answers"][1]["errorCode"] == "passcodeNotSet"
    assert default["answers"][1]["errorCode"] is None


def test_check_prints_the_table_in_force_and_the_users_platforms(kiosk: Path) -> None:
    told = _json("check", "--json", folder=kiosk)

    assert told["conformance"].startswith("azure-2018-02")
    assert "kiosk (android)" in told["platforms"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("platforms", "--conformance", "azure-2018"), "did you mean 'azure-2018-02'?"),
        (("platforms", "--diff", "intune-2015-12", "nope"), "known are: intune-2015-12"),
        (
            ("platforms", "--conformance", "azure-2018-02", "--diff", "a", "b"),
            "cannot be combined",
        ),
        (("explain", "ios", "reset", "--conformance", "x"), "known are"),
        (("explain", "ios", "reset", "--fleet", "nowhere.toml"), "no such file"),
    ],
)
def test_unknown_table_or_file_is_wrong_usage(arguments: tuple[str, ...], says: str) -> None:
    ran = _run(*arguments)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", [("check",), ("platforms",), ("explain", "ios", "reset")])
def test_a_circle_of_platforms_is_refused_with_its_line(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    text = '[platforms.a]\nextends = "b"\n[platforms.b]\nextends = "a"\n'
    (tmp_path / "fleet.toml").write_text(text + '[[group]]\nname = "g"\nplatform = "ios"\n')
    ran = _run(*command, folder=tmp_path)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert "fleet.toml:2: platforms.a.extends: the platforms extend each other" in ran.stderr
