from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.contract import ACTIONS
from broker.operator.readers import ReceivedMessage
from fleet.web.graph.action_results import GRAPH_ACTIONS
from tests.support.brokers import until
from tests.support.fleet_files import group
from tests.support.web_fleets import LISTED, WebFleet, web_fleet

PHONES = "\n".join(
    [
        group("ios", "ios", id='"ios-1"', passcode='"2580"'),
        group("android", "android", id='"android-1"', passcode='"2580"'),
        group("wp", "windows_phone_8_1", id='"wp-1"', passcode='"2580"'),
        group("hybrid", "windows_phone_8_1", id='"hybrid-1"', management='"hybrid"'),
        group("rt", "windows_rt", id='"rt-1"', owner='"alex"'),
    ]
)


@pytest.fixture
async def fleet() -> AsyncIterator[WebFleet]:
    async with web_fleet(PHONES) as running:
        yield running


async def test_a_reset_is_a_command_of_the_administrator_over_mqtt(fleet: WebFleet) -> None:
    heard: list[ReceivedMessage] = []
    async with fleet.operator.observed(heard.append, "commands"):
        answer = await fleet.act("android-1", "resetPasscode")
        assert answer.status_code == 204
        assert answer.content == b""
        await until(lambda: any(m.leaf == "commands" for m in heard))
    command = next(m.document() for m in heard if m.leaf == "commands")
    assert isinstance(command, dict)
    assert command["actionName"] == "resetPasscode"
    assert command["issuedBy"] == "admin"
    assert command["expiresDateTime"] is None


async def test_the_result_of_a_reset_has_the_passcode_while_the_device_has_it(
    fleet: WebFleet,
) -> None:
    await fleet.act("android-1", "resetPasscode")
    result = await fleet.done("android-1")
    assert result["@odata.type"] == "#microsoft.graph.resetPasscodeActionResult"
    assert result["errorCode"] == 0
    passcode = result["passcode"]
    unlocked = await fleet.operator.tap("android-1", "enterPasscode", passcode=passcode)
    assert unlocked.done
    listed = await fleet.http.get(LISTED)
    assert passcode not in listed.text
    changed = await fleet.operator.tap("android-1", "setPasscode", passcode="4826")
    assert changed.done
    hidden = await fleet.result_when("android-1", lambda r: r["passcode"] is None)
    assert hidden["actionState"] == "done"


async def test_a_lock_does_not_hide_the_passcode_of_an_earlier_reset(fleet: WebFleet) -> None:
    await fleet.act("wp-1", "resetPasscode")
    passcode = (await fleet.done("wp-1"))["passcode"]
    await fleet.act("wp-1", "remoteLock")
    lock = await fleet.done("wp-1", "remoteLock")
    assert lock["@odata.type"] == "#microsoft.graph.remoteLockActionResult"
    assert lock["unlockPin"] is None
    assert (await fleet.result("wp-1"))["passcode"] == passcode


async def test_a_later_reset_replaces_the_passcode(fleet: WebFleet) -> None:
    await fleet.act("android-1", "resetPasscode")
    first = (await fleet.done("android-1"))["passcode"]
    await fleet.act("android-1", "resetPasscode")
    second = await fleet.result_when("android-1", lambda r: r["passcode"] not in (None, first))
    document = await fleet.get(f"{LISTED}/android-1")
    resets = [r for r in document["deviceActionResults"] if r["actionName"] == "resetPasscode"]
    assert [r["passcode"] for r in resets] == [second["passcode"]]


async def test_in_hybrid_the_passcode_is_shown_from_the_second_reset_on(fleet: WebFleet) -> None:
    await fleet.act("hybrid-1", "resetPasscode")
    assert (await fleet.done("hybrid-1"))["passcode"] is None
    await fleet.act("hybrid-1", "resetPasscode")
    again = await fleet.result_when("hybrid-1", lambda r: r["passcode"] is not None)
    assert again["passcode"].isdecimal()


async def test_on_ios_there_is_no_passcode_to_show(fleet: WebFleet) -> None:
    await fleet.act("ios-1", "resetPasscode")
    assert (await fleet.done("ios-1"))["passcode"] is None


async def test_what_a_platform_does_not_support_is_in_the_result(fleet: WebFleet) -> None:
    assert (await fleet.act("rt-1", "resetPasscode")).status_code == 204
    await fleet.result_when("rt-1", lambda r: r["actionState"] == "notSupported")


async def test_a_failure_has_its_number(fleet: WebFleet) -> None:
    await fleet.operator.tap("rt-1", "signIn", user="kim")
    await fleet.act("rt-1", "remoteLock")
    await fleet.result_when("rt-1", lambda r: r["actionState"] == "failed", "remoteLock")


async def test_a_device_that_is_offline_stays_pending_until_it_is_back(fleet: WebFleet) -> None:
    await fleet.operator.simulate("android-1", "offline")
    assert (await fleet.act("android-1", "resetPasscode")).status_code == 204
    pending = await fleet.result("android-1")
    assert pending["actionState"] == "pending"
    assert pending["passcode"] is None
    await fleet.operator.simulate("android-1", "online")
    assert (await fleet.done("android-1"))["startDateTime"]


async def test_commands_of_others_are_listed_too(fleet: WebFleet) -> None:
    await fleet.operator.send("android-1", "remoteLock", issued_by="user")
    assert (await fleet.done("android-1", "remoteLock"))["actionState"] == "done"


async def test_an_action_is_done_or_refused_by_name() -> None:
    groups = [group(name, "android", id=f'"{name}-1"') for name in GRAPH_ACTIONS]
    async with web_fleet("\n".join(groups)) as fleet:
        for action in GRAPH_ACTIONS:
            device = f"{action}-1"
            answer = await fleet.act(device, action, json={})
            if action in ACTIONS:
                assert answer.status_code == 204
                await fleet.result_when(device, answered, action)
            else:
                assert answer.status_code == 400
                assert action in answer.json()["error"]["message"]


def answered(result: dict[str, Any]) -> bool:
    return result.get("actionState") not in (None, "pending", "active")


async def test_another_action_is_refused_by_name(fleet: WebFleet) -> None:
    for action in ("applyPasscodePolicy", "locateDevice", "shutDown", "nonsense"):
        answer = await fleet.act("android-1", action)
        assert answer.status_code == 400
        assert action in answer.json()["error"]["message"]
    assert (await fleet.get(f"{LISTED}/android-1"))["deviceActionResults"] == []


async def test_what_no_device_does_is_refused(fleet: WebFleet) -> None:
    answer = await fleet.act("android-1", "resetPasscode", json={"keepUserData": True})
    assert answer.status_code == 400
    assert "keepUserData" in answer.json()["error"]["message"]


async def test_an_action_on_nothing_is_not_found(fleet: WebFleet) -> None:
    answer = await fleet.act("no-such", "resetPasscode")
    assert answer.status_code == 404
    assert "no-such" in answer.json()["error"]["message"]


async def test_namespace_and_users_path_reach_the_same_action(fleet: WebFleet) -> None:
    for path in (
        f"{LISTED}('android-1')/microsoft.graph.syncDevice",
        "/beta/users/alex/managedDevices/rt-1/syncDevice",
    ):
        assert (await fleet.http.post(path)).status_code == 204
    assert (await fleet.http.get(f"{LISTED}/android-1/syncDevice")).status_code == 405
    assert (await fleet.http.post(LISTED)).status_code == 405


async def test_a_retired_device_is_not_registered(fleet: WebFleet) -> None:
    assert (await fleet.act("android-1", "retire")).status_code == 204
    await fleet.done("android-1", "retire")
    document = await fleet.get(f"{LISTED}/android-1")
    assert document["deviceRegistrationState"] == "notRegistered"


async def test_other_methods_are_refused_in_the_form_of_graph(fleet: WebFleet) -> None:
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE"):
        answer = await fleet.http.request(method, LISTED)
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "MethodNotAllowed"
