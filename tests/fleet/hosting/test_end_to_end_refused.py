"""Refused commands, inputs of users, and screens of devices, over real MQTT."""

from __future__ import annotations

import json
import random  # noqa: TID251  # payloads that nobody chose
from typing import Any

import pytest

from fleet.config.loader import parse_fleet
from tests.support.brokers import until
from tests.support.fleet_processes import Server, both, fleet_text, hosted, phones
from tests.support.paho_operator import RESET, Seen, WireOperator

DONE = "Passcode successfully reset"
ALIVE = "phones-001"


# -- what is refused --------------------------------------------------------------------------

DEEP = b'{"commandId": "deep", "actionName": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
REFUSED: dict[str, tuple[bytes, str, str | None]] = {
    "an empty payload": (b"", "invalidJson", None),
    "no JSON": (b"reset, please", "invalidJson", None),
    "half a document": (b'{"commandId": "c"', "invalidJson", None),
    "not UTF-8": (b'{"commandId": "\xff\xfe"}', "invalidJson", None),
    "a number that is none": (b'{"commandId": "c", "actionName": NaN}', "invalidJson", None),
    "too deep": (DEEP, "invalidJson", None),
    "too large": (b" " * (64 * 1024 + 1), "payloadTooLarge", None),
    "a list": (b"[]", "invalidCommand", None),
    "null": (b"null", "invalidCommand", None),
    "no action": (b'{"commandId": "c"}', "invalidCommand", "c"),
    "no id": (b'{"actionName": "resetPasscode"}', "invalidCommand", None),
    "an id that is a number": (
        b'{"commandId": 7, "actionName": "resetPasscode"}',
        "invalidCommand",
        None,
    ),
    "an unknown action": (b'{"commandId": "c", "actionName": "eraseAll"}', "unknownAction", "c"),
    "an unknown key": (
        b'{"commandId": "c", "actionName": "resetPasscode", "pin": "1"}',
        "invalidCommand",
        "c",
    ),
    "an unknown issuer": (
        b'{"commandId": "c", "actionName": "resetPasscode", "issuedBy": "mum"}',
        "invalidCommand",
        "c",
    ),
    "no instant": (
        b'{"commandId": "c", "actionName": "resetPasscode", "expiresDateTime": "soon"}',
        "invalidCommand",
        "c",
    ),
    "no policy": (
        b'{"commandId": "c", "actionName": "applyPasscodePolicy"}',
        "invalidCommand",
        "c",
    ),
    "a policy out of bounds": (
        b'{"commandId":"c","actionName":"applyPasscodePolicy","policy":{"minLength":99}}',
        "policyViolation",
        "c",
    ),
}


@both
async def test_bad_commands_are_answered_and_change_nothing(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        for what, (payload, code, command_id) in REFUSED.items():
            answer = await operator.refused(ALIVE, payload)
            got = (answer["actionState"], answer["errorCode"], answer["commandId"])
            assert got == ("failed", code, command_id), what
            assert answer["deviceId"] == ALIVE
        assert len(operator.about(ALIVE, "results")) == len(REFUSED)
        assert [s["version"] for s in operator.about(ALIVE, "state")] == [1]
        at_the_limit = json.dumps(operator.command("syncDevice", "big")).encode()
        await operator.refused(ALIVE, at_the_limit.ljust(64 * 1024))
        assert operator.results("big")[0]["actionState"] == "done"


@both
async def test_a_retained_command_is_refused(server: Server) -> None:
    text = fleet_text(phones())
    root = parse_fleet(text).root
    # No device is there: what is retained now was retained before it subscribed.
    async with WireOperator.connected(server.port, root) as early:
        left = json.dumps(early.command(RESET, "left")).encode()
        await early.publish("groups/phones/commands", left, retain=True)
    async with hosted(server, text) as (operator, _):

        def refusals() -> list[Any]:
            return [r for r in operator.results("left") if r["errorCode"] == "retainedCommand"]

        await until(lambda: bool(refusals()))
        assert refusals()[0]["actionState"] == "failed"
        await operator.publish("groups/phones/commands", b"", retain=True)


async def test_a_clock_setting_that_cannot_be_taken_is_logged_with_its_reason(
    mosquitto: Server, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {
        b"soon": "The payload is not JSON.",
        b'{"to": NaN}': "The payload is not JSON.",
        b"{}": "Not a valid clock setting: to: required",
        b'{"to": "tomorrow"}': "to: must be an ISO 8601 date and time in UTC",
    }
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        for payload, reason in settings.items():
            caplog.clear()
            operator.send_raw("clock", payload)
            await until(lambda: reason in caplog.text)  # noqa: B023
        answer = await operator.move_clock("2015-12-10T20:20:00Z")
        told = [seen for seen in operator.seen if seen.topic.endswith("/clock/now")]
    assert answer["now"] == "2015-12-10T20:20:00Z"
    assert [json.loads(s.payload)["now"] for s in told if s.payload] == [
        "2015-12-10T20:19:07Z",
        "2015-12-10T20:20:00Z",
    ]
    async with hosted(mosquitto, fleet_text(phones())) as (operator, _):
        operator.send_raw("clock", b'{"to": "2099-12-10T20:20:00Z"}')
        await until(lambda: "time is not virtual; nothing moved" in caplog.text)


@both
async def test_random_payloads_on_every_topic_do_not_stop_a_device(server: Server) -> None:
    draw = random.Random(7)  # noqa: S311
    leaves = ("commands", "inputs", "messages", "simulate")
    topics = [f"devices/{ALIVE}/{leaf}" for leaf in leaves]
    topics += ["groups/phones/commands", "groups/all/commands", "clock"]
    text = fleet_text(phones("ios"), clock='"virtual"')
    async with hosted(server, text) as (operator, _):
        for topic in topics:
            for _ in range(200):
                operator.send_raw(topic, _nonsense(draw))
        result = await operator.do(ALIVE, RESET, "after all")
        assert (result["actionState"], result["message"]) == ("done", DONE)
        answers = operator.about(ALIVE, "results")
        assert len(answers) >= 200 * 5
        assert all(a["errorCode"] for a in answers if a["actionState"] == "failed")
        await operator.move_clock("2015-12-10T21:30:00Z")
        assert operator.state(ALIVE)["compliance"] == "noncompliant"


def _nonsense(draw: random.Random) -> bytes:
    """Bytes, JSON of no sense, or a proper payload with something wrong in it."""
    kind = draw.randrange(5)
    if kind == 0:
        return draw.randbytes(draw.randrange(300))
    odd: list[Any] = [None, True, -1, 1e308, 10**400, "", "\x00", "é" * 300, [], {}, [[{}]]]
    if kind == 1:
        return json.dumps(draw.choice(odd)).encode()
    keys = ["commandId", "actionName", "inputId", "action", "messageId", "kind", "to", "policy"]
    document = {key: draw.choice(odd) for key in draw.sample(keys, draw.randrange(len(keys)))}
    if kind == 2:
        return json.dumps(document, ensure_ascii=draw.random() < 0.5).encode()
    proper = {"commandId": "x", "actionName": draw.choice(["syncDevice", "nothing", "remoteLock"])}
    text = json.dumps({**proper, **document}).encode()
    if kind == 3:
        return text
    at = draw.randrange(len(text))
    return text[:at] + draw.randbytes(2) + text[at + 1 :]


# -- the thumb, and what reaches the screen ---------------------------------------------------


@both
async def test_the_user_opens_the_device_and_sets_an_own_passcode(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        temporary = (await operator.do(ALIVE))["newPasscode"]
        wrong = await operator.tap(ALIVE, "enterPasscode", passcode="0000")
        assert (wrong["actionState"], wrong["errorCode"]) == ("failed", "wrongPasscode")
        locked = await operator.tap(ALIVE, "setPasscode", passcode="4826")
        assert locked["errorCode"] == "deviceLocked"
        opened = await operator.tap(ALIVE, "enterPasscode", "i-open", passcode=temporary)
        assert opened["actionState"] == "done"
        assert opened["inputId"] == "i-open"
        assert "commandId" not in opened
        again = await operator.tap(ALIVE, "enterPasscode", "i-open", passcode=temporary)
        assert again == {**opened, "duplicate": True}
        await operator.tap(ALIVE, "setPasscode", passcode="4826")
        assert operator.state(ALIVE)["passcode"] == "user"
        assert not leaks_on_results(operator, "4826")
        bad = await operator.refused(ALIVE, b'{"inputId": "i", "action": "hug"}', "inputs")
        assert (bad["inputId"], bad["errorCode"]) == ("i", "unknownAction")


def leaks_on_results(operator: WireOperator, passcode: str) -> list[Seen]:
    """Published messages that contain a passcode which the user typed."""
    found = [s for s in operator.seen if passcode.encode() in s.payload]
    return [s for s in found if s.leaf != "inputs"]


@both
async def test_messages_and_calls_reach_the_screen_once(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, _):
        topic = f"devices/{ALIVE}/messages"
        text = {"messageId": "m-1", "kind": "text", "from": "+1 555 0100", "body": "Code 123456"}
        for _ in range(2):
            operator.send_raw(topic, json.dumps(text).encode())
        early = await operator.tap(ALIVE, "pressKey", key="#")
        assert early["errorCode"] == "notOnScreen"
        call = {**text, "messageId": "m-2", "kind": "call"}
        operator.send_raw(topic, json.dumps(call).encode())
        await until(lambda: len(operator.about(ALIVE, "notifications")) == 2)
        shown, ringing = operator.about(ALIVE, "notifications")
        assert (shown["title"], shown["body"]) == ("+1 555 0100", "Code 123456")
        assert ringing["buttons"] == ["pressKey"]
        assert (await operator.tap(ALIVE, "pressKey", key="#"))["actionState"] == "done"


@both
async def test_a_wiped_device_answers_not_enrolled_until_it_is_restored(server: Server) -> None:
    text = fleet_text(phones(policy="{ maxFailedAttempts = 2 }"))
    async with hosted(server, text) as (operator, _):
        for _ in range(2):
            await operator.tap(ALIVE, "enterPasscode", passcode="0000")
        assert operator.state(ALIVE)["wiped"] is True
        assert (await operator.do(ALIVE))["errorCode"] == "notEnrolled"
        version = operator.state(ALIVE)["version"]
        operator.simulate(ALIVE, "restore")
        await operator.shows(ALIVE, wiped=False, passcode="user", failedAttempts=0)
        assert operator.state(ALIVE)["version"] == version + 1
        assert (await operator.do(ALIVE))["actionState"] == "done"
