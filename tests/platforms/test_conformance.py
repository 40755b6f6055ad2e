"""Every platform under every management against golden rows, written by hand from the documents."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.effects import PublishEscrow
from agent.passcode import PasscodePolicy
from agent.state import Result
from platforms import PLATFORMS
from platforms.profile import Action, Management
from tests.support.device_harness import FIRST, HOUR, MINUTE, START, Rig, results, screens, unlocked

GOLDEN = Path(__file__).parents[1] / "data" / "conformance" / "intune-2015-12.toml"
ROWS: dict[str, dict[str, Any]] = {
    row["platform"]: row for row in tomllib.loads(GOLDEN.read_text(encoding="utf-8"))["row"]
}
MANAGEMENTS = [m.value for m in Management]

every_platform = pytest.mark.parametrize("platform", [p.id for p in PLATFORMS])
every_management = pytest.mark.parametrize("management", MANAGEMENTS)


def _device(platform: str, management: str, **more: Any) -> Rig:
    more.setdefault("biometrics", tuple(ROWS[platform]["biometrics"]))
    return Rig(platform, management=management, **more)


def _is(rig: Rig, result: Result, expected: list[Any]) -> None:
    """A result, its error, and the essentials of its native answer."""
    state, error, *native = expected
    assert result.state == state
    assert (result.error or "") == error
    answered = result.native and rig.profile.native_answer(Action(result.action), result.native)
    for essentials in native:
        if not essentials:
            assert answered is None
        for key, value in essentials.items():
            assert answered is not None
            assert answered[key] == value


def test_every_platform_has_a_golden_row_and_every_row_its_source() -> None:
    assert set(ROWS) == {p.id for p in PLATFORMS}
    for row in ROWS.values():
        assert set(row["told"]) == set(MANAGEMENTS)
        assert row["says"]
        for said in row["says"]:
            assert said["source"] in {"console", "portal", "blog", "guide", "design", "assumed"}
            assert said["quote"]
            assert said["of"] in row


@every_platform
@every_management
def test_a_reset_ends_as_in_the_table(platform: str, management: str) -> None:
    rig, row = _device(platform, management), ROWS[platform]
    result = rig.do("resetPasscode")
    _is(rig, result, row["reset"])
    assert rig.state.passcode == row["kind"]
    assert rig.state.compliance == row["compliance"]
    if result.state == "notSupported":
        assert rig.state.version == 1
        assert rig.press("enterPasscode", FIRST).state == "done"
    else:
        assert rig.press("enterPasscode", FIRST).state == "failed"


@every_platform
@every_management
def test_the_portal_shows_the_lines_of_the_table(platform: str, management: str) -> None:
    rig, row = _device(platform, management), ROWS[platform]
    result = rig.do("resetPasscode")
    assert (result.passcode is not None) == (row["told"][management] == "user")
    if "message" in row:
        assert result.message == row["message"]
    else:
        assert "IT admin" in result.message


@every_platform
@every_management
def test_the_console_gets_the_passcode_only_as_in_the_table(platform: str, management: str) -> None:
    rig, row = _device(platform, management), ROWS[platform]
    for number in (1, 2):
        effects = rig.send("resetPasscode", f"reset {number}")
        escrowed = [(e.command_id, e.reset_number) for e in effects if isinstance(e, PublishEscrow)]
        expected = row["told"][management] == "console"
        assert escrowed == ([(f"reset {number}", number)] if expected else [])


@every_platform
@every_management
def test_the_screen_shows_the_text_of_the_table(platform: str, management: str) -> None:
    rig, row = _device(platform, management), ROWS[platform]
    shown = screens(rig.send("resetPasscode"))
    assert len(shown) == ("title" in row)
    for screen in shown:
        assert row["title"] in screen.title
        assert all(words in screen.body for words in row["body"])
        assert list(screen.buttons) == row["buttons"]


@every_platform
@every_management
def test_the_grace_period_is_that_of_the_table(platform: str, management: str) -> None:
    rig = _device(platform, management)
    minutes = ROWS[platform].get("grace_minutes", 0)
    rig.send("resetPasscode")
    assert rig.state.passcode_deadline == (START + minutes * MINUTE if minutes else None)
    rig.advance(HOUR - 1)
    assert rig.state.compliance == ROWS[platform]["compliance"]
    rig.advance(1)
    assert rig.state.compliance == ("noncompliant" if minutes else "compliant")


@every_platform
@every_management
def test_biometrics_after_a_reset_are_those_of_the_table(platform: str, management: str) -> None:
    rig, row = _device(platform, management), ROWS[platform]
    before = {"touchId": rig.state.touch_id, "face": rig.state.face}
    assert {name for name, state in before.items() if state == "enrolled"} == set(row["biometrics"])
    rig.send("resetPasscode")
    expected = {"touchId": "none", "face": "none"} | row["biometrics"]
    assert {"touchId": rig.state.touch_id, "face": rig.state.face} == expected


@every_platform
@every_management
@pytest.mark.parametrize("open_before", [True, False])
def test_the_lock_after_a_reset_is_that_of_the_table(
    platform: str, management: str, *, open_before: bool
) -> None:
    rig = _device(platform, management)
    if open_before:
        unlocked(rig)
    rig.send("resetPasscode")
    assert rig.state.locked == (ROWS[platform]["locked_after"] == "locked" or not open_before)


@every_platform
@every_management
@pytest.mark.parametrize("seed", range(25))
def test_a_temporary_passcode_is_of_the_alphabet_and_opens(
    platform: str, management: str, seed: int
) -> None:
    rig, row = _device(platform, management, seed=seed), ROWS[platform]
    rig.send("resetPasscode")
    if row["kind"] != "temporary":
        assert [r.result.passcode for r in results(rig.effects)] == [None]
        return
    passcode = rig.temporary()
    assert passcode.isascii()
    assert any(c.isdigit() for c in passcode)
    if row["alphabet"] == "digits":
        assert passcode.isdigit()
    else:
        assert row["alphabet"] == "letters and digits"
        assert passcode.isalnum()
        assert any(c.isalpha() for c in passcode)
    assert rig.press("enterPasscode", passcode).state == "done"


@every_platform
@every_management
def test_a_remote_lock_with_a_passcode_is_that_of_the_table(platform: str, management: str) -> None:
    rig = unlocked(_device(platform, management))
    _is(rig, rig.do("remoteLock"), ROWS[platform]["lock"])
    assert rig.state.locked


@every_platform
@every_management
def test_a_remote_lock_without_a_passcode_is_that_of_the_table(
    platform: str, management: str
) -> None:
    rig = unlocked(_device(platform, management, passcode=None), None)
    result = rig.do("remoteLock")
    _is(rig, result, ROWS[platform]["lock_without"])
    assert rig.state.locked == (result.state == "done")


@every_platform
@every_management
def test_a_remote_lock_with_another_user_is_that_of_the_table(
    platform: str, management: str
) -> None:
    rig = unlocked(_device(platform, management))
    signed_in = rig.press("signIn", user="robin").state
    result = rig.do("remoteLock")
    _is(rig, result, ROWS[platform]["lock_other_user"])
    assert signed_in == ("done" if result.error == "wrongUser" else "notSupported")
    assert rig.state.locked == (result.state == "done")


@every_platform
@every_management
def test_too_many_wrong_passcodes_wipe_on_the_attempt_of_the_table(
    platform: str, management: str
) -> None:
    row = ROWS[platform]
    rig = _device(platform, management, policy=PasscodePolicy(max_failed_attempts=3))
    assert row["wipe_on"] == {"reaching": 3, "exceeding": 4}[row["wipe"]]
    for attempt in range(1, row["wipe_on"] + 1):
        assert not rig.state.wiped
        assert rig.press("enterPasscode", f"wrong {attempt}").error == "wrongPasscode"
    assert rig.state.wiped
