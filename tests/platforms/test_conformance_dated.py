"""Every platform under every dated table, management and policy, against golden rows.

The devices come out of a fleet file, as a user's do: once as the platform itself, once as a
platform of one's own that extends it. The rows were written by hand from the documents.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.effects import Effect, PublishEscrow, PublishNotification, PublishResult
from agent.events import Command, Input, InputAction
from agent.machine import enroll, first_state, step
from agent.passcode import reveal
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, Result
from fleet.config.loader import parse_fleet
from platforms import PLATFORMS
from platforms.conformance import CONFORMANCE
from platforms.profile import Action, Management
from tests.support.device_harness import START
from tests.support.fleet_files import group

FOLDER = Path(__file__).parents[1] / "data" / "conformance"
TABLES = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["row"]
    for path in sorted(FOLDER.glob("*.toml"))
}
ROWS = [
    pytest.param(name, row, id=f"{name}-{row['platform']}-{'-'.join(row.get('device', ()))}")
    for name, rows in TABLES.items()
    for row in rows
]
DRAWS = DeviceRandomStream(7, "d-1")
FIRST = "Gn4vQ81x"
POLICIES = {
    "no policy": ({}, r".*"),
    "short": ({"minLength": 4}, r".{4,}"),
    "letters and digits": (
        {"minLength": 8, "requireAlphanumeric": True, "allowSimple": False},
        r"(?=.*[0-9])(?=.*[A-Za-z]).{8,}",
    ),
    "history and attempts": ({"history": 3, "maxFailedAttempts": 5}, r".*"),
}

every_row = pytest.mark.parametrize(("conformance", "row"), ROWS)
every_management = pytest.mark.parametrize("management", [m.value for m in Management])
every_policy = pytest.mark.parametrize("policy", POLICIES)
as_both = pytest.mark.parametrize("own", [False, True], ids=["built-in", "own"])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool | int) else f'"{value}"'


def _device(
    conformance: str,
    row: dict[str, Any],
    management: str = "standalone",
    policy: str = "no policy",
    *,
    own: bool = False,
    passcode: str = FIRST,
) -> DeviceState:
    """A device of a fleet file, opened by its user."""
    said = {
        **row.get("device", {}),
        "management": management,
        "policy": POLICIES[policy][0],
        "passcode": passcode,
    }
    platform = "own" if own else row["platform"]
    text = f'[fleet]\nconformance = "{conformance}"\n'
    if own:
        text += f'[platforms.own]\nextends = "{row["platform"]}"\n'
    text += group("d", platform, **{key: _toml(value) for key, value in said.items()})
    (spec,) = parse_fleet(text).devices()
    enrollment = enroll(spec.device_id, spec.owner, spec.setup, spec.passcode, DRAWS)
    press = (InputAction.ENTER_PASSCODE, passcode) if passcode else (InputAction.SWIPE_UP, None)
    state = first_state(enrollment, START)
    return step(state, Input("open", press[0], passcode=press[1]), START, DRAWS)[0]


def _do(state: DeviceState, action: str) -> tuple[DeviceState, Result, tuple[Effect, ...]]:
    after, effects = step(state, Command(f"c-{state.resets}", Action(action)), START, DRAWS)
    (result,) = (e.result for e in effects if isinstance(e, PublishResult))
    return after, result, effects


def _is(state: DeviceState, result: Result, expected: list[Any]) -> None:
    """A result, its error, and the essentials of its native answer."""
    said, error, *native = expected
    assert (result.state, result.error or "") == (said, error)
    answered = result.native and state.profile.native_answer(result.action, result.native)
    for essentials in native:
        assert (answered is None) == (essentials == {})
        for key, value in essentials.items():
            assert answered is not None
            assert answered[key] == value


def test_every_table_has_golden_rows_of_every_platform_and_each_row_its_source() -> None:
    assert set(TABLES) == set(CONFORMANCE)
    for rows in TABLES.values():
        assert {row["platform"] for row in rows} == {p.id for p in PLATFORMS}
        for row in rows:
            assert {said["of"] for said in row["says"]} & {"reset", "alphabet"}
            assert all(said["source"] and said["quote"] for said in row["says"])


@as_both
@every_row
@every_management
@every_policy
def test_a_reset_ends_as_in_the_table(
    conformance: str, row: dict[str, Any], management: str, policy: str, *, own: bool
) -> None:
    before = _device(conformance, row, management, policy, own=own)
    after, result, effects = _do(before, "resetPasscode")
    _is(after, result, row["reset"])
    assert after.passcode == row["kind"]
    if result.state == "notSupported":
        assert result.message
        assert (after.secret, after.locked, after.version) == (
            before.secret,
            before.locked,
            before.version,
        )
        assert not [e for e in effects if isinstance(e, PublishEscrow | PublishNotification)]
    if row["kind"] == "temporary":
        passcode = _temporary(result, effects)
        assert re.fullmatch(POLICIES[policy][1], passcode)
        wants_letters = "requireAlphanumeric" in POLICIES[policy][0]
        assert passcode.isdigit() == (row["alphabet"] == "digits" and not wants_letters)
        opened, _ = step(
            after, Input("again", InputAction.ENTER_PASSCODE, passcode=passcode), START, DRAWS
        )
        assert not opened.locked


def _temporary(result: Result, effects: tuple[Effect, ...]) -> str:
    refs = {e.passcode for e in effects if isinstance(e, PublishEscrow)} | {result.passcode}
    (ref,) = (ref for ref in refs if ref is not None)
    return reveal(ref, DRAWS)


@as_both
@every_row
@every_management
def test_a_reset_without_a_passcode_ends_as_in_the_table(
    conformance: str, row: dict[str, Any], management: str, *, own: bool
) -> None:
    bare = _device(conformance, row, management, own=own, passcode="")
    after, result, _ = _do(bare, "resetPasscode")
    _is(after, result, row.get("reset_without", row["reset"]))
    assert (after.passcode == "none") == (result.state != "done" or row["kind"] == "none")


@as_both
@every_row
@every_management
@every_policy
@pytest.mark.parametrize("key", ["lock", "lock_without", "lock_other_user"])
def test_a_remote_lock_ends_as_in_the_table(
    conformance: str, row: dict[str, Any], management: str, policy: str, key: str, *, own: bool
) -> None:
    passcode = "" if key == "lock_without" else FIRST
    state = _device(conformance, row, management, policy, own=own, passcode=passcode)
    state, _ = step(state, Input("enter", InputAction.SWIPE_UP), START, DRAWS)
    if key == "lock_other_user":
        state, _ = step(state, Input("sign", InputAction.SIGN_IN, user="robin"), START, DRAWS)
    was_open = not state.locked
    after, result, _ = _do(state, "remoteLock")
    _is(after, result, row[key])
    assert after.locked == (result.state == "done" or not was_open)


def test_the_conditions_of_a_row_can_be_set_on_a_device() -> None:
    """Each attribute on which a limit or table depends is one that its platform has."""
    for table in CONFORMANCE.values():
        for row in table.rows:
            for profile in (p for p in PLATFORMS if p.id in row.platforms):
                for limit in (*row.limits, *profile.reset.limits):
                    has = profile.attributes
                    assert limit.from_api_level is None or has.api_level is not None
                    assert limit.below_os is None or has.os_version
                    assert limit.azure_ad_joined is None or has.azure_ad_joined is not None
