"""Traces: recorded from any broker, without secrets, and the same when played again."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platforms import PLATFORMS
from scenarios.traces.reader import read_trace
from tests.support.fleet_processes import Server, Start, both, fleet_text, hosted, phones
from tests.support.trace_recordings import OWN, answered, recording, replayed, say, session_of

CANARY = "Kanari3!vogel"


def every_platform() -> str:
    groups = [phones(profile.id, profile.id.replace("_", "-")) for profile in PLATFORMS]
    hybrid = phones("windows_phone_8_1", "hybrid", management='"hybrid"')
    return fleet_text(*groups, hybrid, clock='"virtual"')


@both
async def test_a_session_of_every_platform_replays_without_difference(
    server: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(server, every_platform()) as (operator, host):
        recorded = await recording(start, server, tmp_path, operator.root)
        for device in host.devices:
            await session_of(operator, device)
        await operator.move_clock("2015-12-10T21:20:07Z")
        lines = await recorded.ended()
    assert len(lines[0]["devices"]) == len(PLATFORMS) + 1
    text = recorded.path.read_text()
    assert '"passcode":"2580"' not in text
    assert OWN not in text
    for broker in ("embedded", "mosquitto"):
        code, report, err = await replayed(start, "--broker", broker)
        assert report["differences"] == [], err
        assert code == 0
        assert report["published"] > 100


@both
async def test_real_time_reactions_networks_and_policies(
    server: Server, start: Start, tmp_path: Path
) -> None:
    text = fleet_text(
        phones("android", "slow", reaction='"5ms..60ms"', count=2),
        phones("ios", policy="{ minLength = 4, maxFailedAttempts = 10 }"),
    )
    async with hosted(server, text) as (operator, host):
        recorded = await recording(start, server, tmp_path, operator.root)
        for number in range(3):
            command: dict[str, Any] = {"commandId": f"c-{number}", "actionName": "resetPasscode"}
            say(operator, "groups/all/commands", command)
        for device in host.devices:
            await answered(operator, device, 3)
        policy = {"minLength": 6, "requireAlphanumeric": True}
        command = {"commandId": "p", "actionName": "applyPasscodePolicy", "policy": policy}
        say(operator, "devices/phones-001/commands", command)
        await answered(operator, "phones-001", 4)
        press = {"inputId": "i", "action": "setPasscode", "passcode": CANARY}
        say(operator, "devices/phones-001/inputs", press)
        await answered(operator, "phones-001", 5)
        for action in ("offline", "online", "dropConnection", "restart"):
            session = host.devices["phones-001"].connection.number
            status = "offline" if action == "offline" else "online"
            say(operator, "devices/phones-001/simulate", {"action": action})
            await operator.present("phones-001", status, session - (status == "offline"))
        await recorded.ended()
    assert CANARY not in recorded.path.read_text()
    code, report, err = await replayed(start)
    assert report.get("differences") == [], json.dumps(report, indent=1) + err
    assert code == 0


@pytest.fixture
async def small(mosquitto: Server, start: Start, tmp_path: Path) -> Path:
    """A small trace of an Android phone, recorded with --for."""
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        say(
            operator,
            "devices/phones-001/commands",
            {"commandId": "c", "actionName": "resetPasscode"},
        )
        await answered(operator, "phones-001", 1)
        await recorded.ended()
    return recorded.path


def change(path: Path, edit: Callable[[dict[str, Any]], None], leaf: str) -> int:
    """Edit the first message of a kind; returns its line."""
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        document = json.loads(line)
        if document.get("topic", "").endswith(leaf):
            edit(document)
            lines[number] = json.dumps(document)
            path.write_text("\n".join([*lines, ""]))
            return number + 1
    pytest.fail(f"no {leaf}")


async def test_a_changed_line_is_a_diff_and_exit_1(small: Path, start: Start) -> None:
    line = change(small, lambda d: d["payload"].update(actionState="failed"), "results")
    process = start("replay", small.name)
    assert await process.ended() == 1
    assert f"phones-001 results differs (trace.jsonl:{line})" in process.out
    assert '- actionState: "failed"\n+ actionState: "done"\n' in process.out
    assert process.out.endswith("1 difference\n")


@pytest.mark.parametrize(
    ("leaf", "edit", "kind"),
    [
        (
            "state",
            lambda d: d["payload"].update(passcodeDeadline="2015-12-10T21:19:08Z"),
            "changed",
        ),
        ("results", lambda d: d["payload"]["newPasscode"].update(like="9999"), "changed"),
        ("results", lambda d: d["payload"].update(startDateTime="2015-12-10T20:19:08Z"), "changed"),
        ("commands", lambda d: d["payload"].update(actionName="remoteLock"), "missing"),
    ],
)
async def test_every_change_is_seen(
    small: Path, start: Start, leaf: str, edit: Callable[[dict[str, Any]], None], kind: str
) -> None:
    change(small, edit, leaf)
    code, report, _ = await replayed(start)
    assert code == 1
    assert kind in {difference["kind"] for difference in report["differences"]}


def keep(path: Path, count: int, cut: str = "") -> list[str]:
    """Leave so many lines and a part of the next; returns what was there."""
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:count], cut]))
    return lines


@pytest.mark.parametrize("kept", [3, 2, 1])
async def test_a_trace_that_breaks_off_is_refused_with_its_line(
    small: Path, start: Start, kept: int
) -> None:
    lines = keep(small, kept)
    process = start("replay", small.name)
    assert await process.ended() == 2
    assert f"trace.jsonl:{kept}: the trace is incomplete" in process.err
    keep(small, kept, lines[kept][:20])
    process = start("replay", small.name)
    assert await process.ended() == 2
    assert f"trace.jsonl:{kept + 1}: the line is not JSON: the trace is incomplete" in process.err


async def test_ctrl_c_ends_a_recording_in_good_order(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones())) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        assert await recorded.process.signalled(signal.SIGINT) == 130
    assert read_trace(recorded.path).messages == ()


async def test_what_cannot_be_recorded_or_replayed(start: Start, tmp_path: Path) -> None:
    assert await start("record", "-o", "t.jsonl").ended() == 3
    assert await start("record", "-o", "t.jsonl", "--broker", "embedded").ended() == 2
    assert await start("replay", "none.jsonl").ended() == 2
    (tmp_path / "t.jsonl").write_text("{}")
    assert await start("replay", "t.jsonl", "--broker", "mqtt://localhost").ended() == 2


async def test_nothing_invalid_is_kept_but_its_size(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        broken = f'{{"inputId": "i", "action": "setPasscode", "passcode": "{CANARY}'
        odd = {"inputId": "j", "action": "setPasscode", "passcode": {"text": CANARY}}
        extra = {"commandId": "k", "actionName": "remoteLock", "password": CANARY}
        nearly = f'{{"commandId": "n", "x": NaN, "word": "{CANARY}"}}'
        payloads = [("inputs", broken.encode()), ("inputs", b""), ("commands", b"x" * 70_000)]
        # Not an object, but perhaps a passcode: somebody took the topic for a field.
        payloads += [("inputs", f'"{CANARY}"'.encode()), ("inputs", b"90210"), ("inputs", b"[1]")]
        empty = {"inputId": "e", "action": "setPasscode", "passcode": ""}
        payloads += [("inputs", json.dumps(empty).encode())]
        # As deep as JSON may be for a device.
        payloads += [("commands", b'{"a":' * 200 + b"1" + b"}" * 200), ("commands", b"[" * 199)]
        payloads += [("inputs", json.dumps(odd).encode()), ("commands", json.dumps(extra).encode())]
        payloads += [("commands", nearly.encode())]
        # JSON, and too large for Python.
        payloads += [("commands", b'{"commandId": "h", "actionName": "remoteLock", "x": 1e999}')]
        for key in ("passCode", "new_passcode", "Password "):
            misspelt = {"inputId": f"m-{key}", "action": "swipeUp", key: CANARY}
            payloads += [("inputs", json.dumps(misspelt).encode())]
        for number, (leaf, payload) in enumerate(payloads, 1):
            operator.send_raw(f"devices/phones-001/{leaf}", payload)
            await answered(operator, "phones-001", number)
        await recorded.ended()
    assert CANARY not in recorded.path.read_text()
    assert "90210" not in recorded.path.read_text()
    assert "Infinity" not in recorded.path.read_text()
    code, report, err = await replayed(start)
    assert (code, report.get("differences")) == (0, []), err


async def test_the_fastest_time_is_recorded_as_it_passes(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(mosquitto, fleet_text(phones(), clock='"1000000x"')) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        for _ in range(2):
            await operator.do("phones-001", "syncDevice")
        lines = await recorded.ended()
    first, second = (line["at"] for line in lines if str(line.get("topic")).endswith("/commands"))
    assert first < second


async def test_what_is_on_no_devices_topic_is_passed_over(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    """A device that cannot be, a topic of nobody's: the trace can be read all the same."""
    async with hosted(mosquitto, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        state = json.dumps(operator.about("phones-001", "state")[0])
        await operator.publish("devices/my phone/state", state.encode(), retain=True)
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        for topic in ("devices/my phone/commands", "devices/ä/state", "groups/a b/commands"):
            await operator.publish(topic, b"{}")
        await operator.publish("devices/phone-7/state", state.encode())
        say(operator, "devices/phones-001/commands", operator.command("syncDevice"))
        await answered(operator, "phones-001", 1)
        await recorded.ended()
        await operator.publish("devices/my phone/state", b"", retain=True)
    assert list(read_trace(recorded.path).devices) == ["phones-001"]
    process = start("replay", "trace.jsonl")
    code = await process.ended()
    assert (code, process.out) == (1, process.out), process.err
    assert process.out.startswith("phone-7 state is missing")
    assert process.out.endswith("1 device, 1 message sent, 2 received: 1 difference\n")


async def test_work_that_is_not_done_when_the_trace_ends(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    """Some of it had expired by the time that it would have been done."""
    text = fleet_text(phones(reaction='"500ms"'), clock='"virtual"')
    async with hosted(mosquitto, text) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        late = operator.command("remoteLock", "late", expiresDateTime="2015-12-10T20:19:07.2Z")
        say(operator, "devices/phones-001/commands", late)
        say(operator, "devices/phones-001/commands", operator.command("syncDevice"))
        await operator.move_clock("2015-12-10T20:19:12Z")
        await answered(operator, "phones-001", 2)
        say(operator, "devices/phones-001/commands", operator.command("remoteLock"))
        assert (await operator.move_clock("2015-12-10T20:19:12.4Z"))["now"].endswith("12.400Z")
        await recorded.ended()
    errors = [d["errorCode"] for d in operator.about("phones-001", "results")]
    assert errors[0] == "expired"
    code, report, err = await replayed(start)
    assert (code, report.get("differences")) == (0, []), err
