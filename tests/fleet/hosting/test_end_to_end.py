"""From fleet.toml to "Passcode successfully reset", on real MQTT: what each command comes to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import until
from tests.support.fleet_processes import Server, both, fleet_text, hosted, phones, running
from tests.support.paho_operator import LOCK, RESET, WireOperator

MANAGEMENTS = ("standalone", "hybrid", "exchange_activesync")
DONE = "Passcode successfully reset"
PHONES = ("windows_phone_8", "windows_phone_8_1", "windows_10_mobile")
TABLETS = ("windows_rt", "windows_rt_8_1", "windows_8_1")
ALIVE = "phones-001"


def of_platform(platform: str, **options: object) -> list[str]:
    """One device under each management: `<management>-001`."""
    return [
        phones(platform, management, management=f'"{management}"', **options)
        for management in MANAGEMENTS
    ]


async def reset_everywhere(server: Server, platform: str) -> dict[str, tuple[Any, WireOperator]]:
    """Results of a reset by the user, with their operators, under each management."""
    async with hosted(server, fleet_text(*of_platform(platform))) as (operator, _):
        results = {
            management: await operator.do(f"{management}-001", RESET, issuedBy="user")
            for management in MANAGEMENTS
        }
        return {management: (result, operator) for management, result in results.items()}


# -- the behaviour table ----------------------------------------------------------------------


@both
async def test_ios_loses_its_passcode_and_has_an_hour_to_set_a_new_one(server: Server) -> None:
    for management, (result, operator) in (await reset_everywhere(server, "ios")).items():
        device = f"{management}-001"
        assert (result["actionState"], result["message"]) == ("done", DONE)
        assert (result["newPasscode"], result["errorCode"]) == (None, None)
        assert result["native"]["status"] == "Acknowledged"
        assert result["native"]["requestType"] == "ClearPasscode"
        state = operator.state(device)
        assert (state["passcode"], state["compliance"]) == ("none", "inGracePeriod")
        assert state["passcodeDeadline"] is not None
        assert state["biometrics"]["touchId"] == "mustEnroll"
        (shown,) = operator.about(device, "notifications")
        assert shown["title"] == "Passcode Requirement"
        assert shown["body"] == "You must change your passcode within 60 minutes."
        assert shown["buttons"] == ["changeNow", "later"]
        assert operator.about(device, "escrow") == []


@both
@pytest.mark.parametrize("platform", ["android", *PHONES])
async def test_a_temporary_passcode_is_shown_only_to_those_allowed(
    server: Server, platform: str
) -> None:
    for management, (result, operator) in (await reset_everywhere(server, platform)).items():
        device = f"{management}-001"
        hidden = management == "hybrid" and platform.startswith("windows_phone")
        assert (result["actionState"], result["message"]) == ("done", DONE)
        escrow = operator.about(device, "escrow")
        passcode = escrow[0]["newPasscode"] if hidden else result["newPasscode"]
        assert (result["newPasscode"] is None) is hidden
        assert passcode.isdigit() is platform.startswith("windows_phone")
        if not passcode.isdigit():
            assert any(c.isdigit() for c in passcode)
            assert any(c.isalpha() for c in passcode)
        if hidden:
            command_id = result["commandId"]
            assert escrow == [{"commandId": command_id, "newPasscode": passcode, "resetNumber": 1}]
        else:
            assert escrow == []
        state = operator.state(device)
        assert (state["passcode"], state["compliance"]) == ("temporary", "compliant")
        assert state["passcodeDeadline"] is None
        (shown,) = operator.about(device, "notifications")
        assert ("temporary passcode" in shown["body"]) is (platform == "android")
        assert shown["buttons"] == []
        assert not leaks(operator, passcode)


def leaks(operator: WireOperator, passcode: str) -> list[str]:
    """Topics that name a passcode and should not."""
    found = [s.topic for s in operator.seen if passcode.encode() in s.payload]
    return [t for t in found if t.rpartition("/")[2] not in ("results", "escrow")]


@both
@pytest.mark.parametrize("platform", TABLETS)
async def test_windows_rt_does_not_reset_and_nothing_changes(server: Server, platform: str) -> None:
    for management, (result, operator) in (await reset_everywhere(server, platform)).items():
        device = f"{management}-001"
        assert result["actionState"] == "notSupported"
        assert result["newPasscode"] is None
        assert "IT admin" in result["message"]
        assert operator.state(device)["version"] == 1
        assert operator.state(device)["passcode"] == "user"
        assert operator.about(device, "notifications") == []
        assert operator.about(device, "escrow") == []


@both
async def test_a_reset_locks_windows_phones_and_leaves_the_lock_as_it_was_elsewhere(
    server: Server,
) -> None:
    platforms = ("ios", "android", *PHONES)
    text = fleet_text(*(phones(p, p) for p in platforms))
    async with hosted(server, text) as (operator, _):
        for platform in platforms:
            device = f"{platform}-001"
            await operator.tap(device, "enterPasscode", passcode="2580")
            assert operator.state(device)["locked"] is False
            await operator.do(device)
            assert operator.state(device)["locked"] is platform.startswith("windows")


@both
async def test_a_remote_lock_locks_every_platform(server: Server) -> None:
    platforms = ("ios", "android", *PHONES, *TABLETS)
    text = fleet_text(*(phones(p, p, owner='"alex"') for p in platforms))
    async with hosted(server, text) as (operator, _):
        for platform in platforms:
            device = f"{platform}-001"
            if platform in TABLETS:
                await operator.tap(device, "signIn", user="alex")
            else:
                await operator.tap(device, "enterPasscode", passcode="2580")
            assert operator.state(device)["locked"] is False
            result = await operator.do(device, LOCK)
            assert (result["actionState"], result["errorCode"]) == ("done", None)
            assert operator.state(device)["locked"] is True


@both
async def test_a_tablet_locks_for_the_user_who_enrolled_it_alone(server: Server) -> None:
    text = fleet_text(*(phones(p, p, owner='"alex"') for p in TABLETS))
    async with hosted(server, text) as (operator, _):
        for platform in TABLETS:
            device = f"{platform}-001"
            await operator.tap(device, "signIn", user="kim")
            result = await operator.do(device, LOCK)
            assert (result["actionState"], result["errorCode"]) == ("failed", "wrongUser")
            assert operator.state(device)["locked"] is False
            assert operator.state(device)["currentUser"] == "kim"


@both
async def test_a_remote_lock_without_a_passcode_is_each_platforms_own(server: Server) -> None:
    platforms = ("ios", "android", *PHONES, "windows_rt")
    text = fleet_text(*(phones(p, p, passcode='""') for p in platforms))
    async with hosted(server, text) as (operator, _):
        answers = {p: await operator.do(f"{p}-001", LOCK) for p in platforms}
    assert answers["ios"]["native"]["messageResult"] == "NoPasscodeSet"
    for phone in PHONES:
        assert answers[phone]["actionState"] == "failed"
        assert answers[phone]["errorCode"] == "passcodeNotSet"
        assert answers[phone]["native"]["status"] == "405"
    assert {answers[p]["actionState"] for p in ("ios", "android", "windows_rt")} == {"done"}


@both
async def test_a_reset_is_done_without_a_passcode_too(server: Server) -> None:
    platforms = ("ios", "android", *PHONES)
    text = fleet_text(*(phones(p, p, passcode='""') for p in platforms))
    async with hosted(server, text) as (operator, _):
        for platform in platforms:
            result = await operator.do(f"{platform}-001")
            assert (result["actionState"], result["message"]) == ("done", DONE)


@both
async def test_who_sees_the_result_can_read_the_state_it_left(server: Server) -> None:
    text = fleet_text(phones("windows_phone_8_1", management='"hybrid"'))
    async with hosted(server, text) as (operator, _):
        for _ in range(5):
            start = len(operator.seen)
            result = await operator.do(ALIVE)
            said = [s.leaf for s in operator.seen[start:] if s.leaf != "commands"]
            assert said == ["state", "notifications", "escrow", "results"]
            escrow = operator.about(ALIVE, "escrow")[-1]
            assert escrow["commandId"] == result["commandId"]
            # The passcode in escrow is the one that the device has now.
            opened = await operator.tap(ALIVE, "enterPasscode", passcode=escrow["newPasscode"])
            assert opened["actionState"] == "done"
        versions = [state["version"] for state in operator.about(ALIVE, "state")]
        assert versions == list(range(1, 12))  # one for the start, two a round


@both
async def test_commands_reach_a_group_and_all_devices(server: Server) -> None:
    text = fleet_text(phones(count=5), phones("ios", "others", count=3), seed=7)
    async with hosted(server, text) as (operator, host):
        to_group = operator.send("groups/phones")
        to_all = operator.send("groups/all", LOCK)
        await until(lambda: len(operator.results(to_group)) == 5)
        await until(lambda: len(operator.results(to_all)) == len(host.devices) == 8)
        assert len({r["newPasscode"] for r in operator.results(to_group)}) == 5
        assert {r["deviceId"] for r in operator.results(to_all)} == set(host.devices)
        await operator.publish("groups/all/commands", b"not json")
        wrong = [s for s in operator.seen if s.leaf == "results" and b"invalidJson" in s.payload]
        await operator.do(ALIVE, "syncDevice")
        await until(lambda: len([s for s in operator.seen if b"invalidJson" in s.payload]) == 8)
        assert len(wrong) <= 8


@both
async def test_a_command_at_qos_0_is_done_and_leaves_the_connection_alone(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        for _ in range(3):
            command = operator.command("syncDevice")
            topic = f"devices/{ALIVE}/commands"
            operator.send_raw(topic, json.dumps(command).encode(), qos=0)
            await until(lambda: bool(operator.results(command["commandId"])))  # noqa: B023
        operator.send_raw(f"devices/{ALIVE}/simulate", b'{"action":"restart"}', qos=0)
        await operator.present(ALIVE, "online", beyond=1)
        await operator.do(ALIVE)
        assert operator.about(ALIVE, "presence")[-1] == {"status": "online", "session": 2}


# -- duplicates -------------------------------------------------------------------------------


@both
async def test_the_same_command_again_gets_the_stored_result_and_changes_nothing(
    server: Server,
) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        first = await operator.do(ALIVE, RESET, "again")
        state, others = operator.state(ALIVE), [await operator.do(ALIVE, LOCK) for _ in range(30)]
        again = await operator.do(ALIVE, RESET, "again")
        assert again == {**first, "duplicate": True}
        assert first["duplicate"] is False
        assert {other["duplicate"] for other in others} == {False}
        assert operator.state(ALIVE) == state
        reused = await operator.do(ALIVE, LOCK, "again")
        assert (reused["actionState"], reused["errorCode"]) == ("failed", "commandIdReused")


@both
async def test_a_duplicate_that_comes_while_the_first_is_at_work_waits_for_its_result(
    server: Server,
) -> None:
    text = fleet_text(phones(reaction='"400ms"'))
    async with hosted(server, text) as (operator, _):
        for _ in range(3):
            operator.send(ALIVE, RESET, "same")
        operator.send(ALIVE, LOCK, "same")
        await until(lambda: len(operator.results("same")) == 4)
        first, *again, reused = operator.results("same")
        assert first["duplicate"] is False
        assert again == [{**first, "duplicate": True}] * 2
        assert reused["errorCode"] == "commandIdReused"
        assert len(operator.about(ALIVE, "notifications")) == 1
        assert operator.state(ALIVE)["version"] == 2


@both
async def test_a_refusal_is_not_stored(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        late = await operator.do(ALIVE, RESET, "late", expiresDateTime="2015-12-10T20:19:07Z")
        assert (late["actionState"], late["errorCode"]) == ("failed", "expired")
        assert operator.state(ALIVE)["version"] == 1
        assert (await operator.do(ALIVE, RESET, "late"))["actionState"] == "done"


@both
async def test_active_is_published_once_where_the_reaction_takes_long(server: Server) -> None:
    text = fleet_text(
        phones(reaction='"1500ms"'), phones(name="quick", reaction='"900ms"'), clock='"60x"'
    )
    async with hosted(server, text) as (operator, _):
        slow, quick = operator.send(ALIVE), operator.send("quick-001")
        await until(lambda: len(operator.results(slow)) == 2)
        await until(lambda: len(operator.results(quick)) == 1)
        said = [r["actionState"] for r in operator.results(slow)]
        assert said == ["active", "done"]
        assert [r["actionState"] for r in operator.results(quick)] == ["done"]
        active, done = operator.results(slow)
        assert active["startDateTime"] == done["startDateTime"] < done["lastUpdatedDateTime"]


async def test_two_hundred_devices_answer_one_command_each_once(tmp_path: Path) -> None:
    async with running("embedded", tmp_path) as server:
        text = fleet_text(phones(count=200))
        async with hosted(server, text) as (operator, _):
            command_id = operator.send("groups/all")
            await until(lambda: len(operator.results(command_id)) >= 200)
            await asyncio.gather(*(operator.do(f"phones-{n:03}", LOCK) for n in range(1, 21)))
            results = operator.results(command_id)
            assert len(results) == len({r["deviceId"] for r in results}) == 200
