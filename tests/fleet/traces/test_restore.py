"""A trace carries what devices' behaviour hangs on: setup, memory, own platforms, the table."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import VIRTUAL_START as START
from agent.clock import RealClock
from agent.machine import enroll, first_state
from agent.passcode import traits_of
from agent.payloads import state_payload
from agent.random_stream import DeviceRandomStream
from agent.state import GroupSetup
from broker.contract import Topics
from broker.timestamps import format_timestamp
from fleet.config.loader import parse_fleet
from fleet.hosting.host import Host
from platforms import PLATFORMS_BY_ID
from scenarios.traces.device_facts import collect_device_facts
from scenarios.traces.placeholders import generate_similar_secret, pattern_from_traits
from scenarios.traces.reader import read_trace
from tests.support.brokers import until
from tests.support.fleet_processes import Server, Start, both, fleet_text, hosted, phones
from tests.support.paho_operator import WireOperator
from tests.support.trace_recordings import recording, replayed, say

OWN = "4826"
# Of each, what a platform's behaviour hangs on and its state does not tell.
KIOSK = """\
[platforms.kiosk]
extends = "android"
reset = { default_length = 8, grace = "30m", message = "Ask at the desk", limits = [] }
native = { resetPasscode = { done = { protocol = "kiosk", when = 2015-12-10 } } }
[platforms.booth]
extends = "kiosk"
lock = { without_passcode = "refused", message = "The booth is shut" }
biometrics = ["face"]
passcode = { history_counts_current = true }
[platforms.unused]
extends = "ios"
"""
GROUPS = (
    phones("android", "old", api_level=23),
    phones("android", "new", api_level=25),
    phones("windows_10_mobile", "joined", azure_ad_joined="true"),
    phones("windows_10_mobile", "alone", azure_ad_joined="false"),
    phones("ios", "apples", os_version='"16.0"', policy="{ history = 1, minLength = 4 }"),
    phones("ios", "pears", os_version='"15.7"', policy="{ history = 1, minLength = 4 }"),
    phones("ios", "plain", biometrics="[]", supervised="true"),
    phones("windows_phone_8_1", "bare", passcode='""', management='"hybrid"'),
    phones("windows_phone_8", "idle", policy="{ maxInactivityMinutes = 3, maxAgeDays = 1 }"),
    phones("kiosk", "kiosks", reaction='"200ms..3s"'),
    phones("booth", "booths"),
    phones("windows_rt", "tablets", management='"exchange_activesync"'),
)
TABLE: dict[str, Any] = {"conformance": '"hybrid-2017-10"', "seed": 11}


SECONDS = 4


def fleet(*groups: str) -> str:
    return fleet_text(KIOSK, *(groups or GROUPS), clock='"virtual"', **TABLE)


class Hand:
    """Uses one device after the other, and lets time pass after each command."""

    def __init__(self, operator: WireOperator) -> None:
        self._operator = operator
        self._now = START

    async def command(self, device: str, action: str, command_id: str, **more: Any) -> Any:
        command = {"commandId": command_id, "actionName": action, **more}
        say(self._operator, f"devices/{device}/commands", command)
        await self.wait(SECONDS)
        return await self._answer(device, "commandId", command_id)

    async def press(self, device: str, action: str, input_id: str, **more: Any) -> Any:
        press = {"inputId": input_id, "action": action, **more}
        say(self._operator, f"devices/{device}/inputs", press)
        return await self._answer(device, "inputId", input_id)

    async def wait(self, seconds: int) -> None:
        self._now += seconds * 1000
        await self._operator.move_clock(format_timestamp(self._now))

    async def _answer(self, device: str, key: str, name: str) -> Any:
        def found() -> list[Any]:
            answers = self._operator.about(device, "results")
            return [a for a in answers if a.get(key) == name and a["actionState"] != "active"]

        await until(lambda: bool(found()))
        return found()[-1]


async def used(hand: Hand, operator: WireOperator, device: str, passcode: str = "2580") -> None:
    """Do what the devices of the fleet do differently, and restore the first state in between."""
    await hand.press(device, "enterPasscode", "a-1", passcode=passcode)
    await hand.press(device, "useBiometric", "a-2")
    made = await hand.command(device, "resetPasscode", "a-3", issuedBy="user")
    if made["newPasscode"]:
        await hand.press(device, "enterPasscode", "a-4", passcode=made["newPasscode"])
    await hand.press(device, "setPasscode", "a-5", passcode=passcode)
    await hand.press(device, "setPasscode", "a-6", passcode=OWN)
    await hand.press(device, "enrollBiometric", "a-7")
    await hand.command(device, "remoteLock", "a-8")
    policy = {"minLength": 4, "allowSimple": False, "requireAlphanumeric": True}
    await hand.command(device, "applyPasscodePolicy", "a-9", policy=policy)
    say(operator, f"devices/{device}/simulate", {"action": "restore"})
    await hand.press(device, "enterPasscode", "b-1", passcode=passcode)
    await hand.press(device, "useBiometric", "b-2")
    await hand.command(device, "resetPasscode", "b-3")
    await hand.press(device, "setPasscode", "b-6", passcode=OWN)
    await hand.command(device, "remoteLock", "b-4")
    await hand.command(device, "syncDevice", "b-5")


async def nothing_lost(start: Start, *arguments: str) -> dict[str, Any]:
    code, report, err = await replayed(start, *arguments)
    assert report.get("differences") == [], json.dumps(report, indent=1) + err
    assert code == 0
    return report


@both
async def test_a_fleet_in_which_every_device_is_set_up_otherwise_replays_alike(
    server: Server, start: Start, tmp_path: Path
) -> None:
    async with hosted(server, fleet()) as (operator, host):
        recorded = await recording(start, server, tmp_path, operator.root)
        hand = Hand(operator)
        for device in host.devices:
            await used(hand, operator, device)
        await hand.wait(2 * 24 * 3600)
        lines = await recorded.ended()
    header = lines[0]
    assert (header["version"], header["conformance"]) == (2, "hybrid-2017-10")
    assert set(header["platforms"]) == {"kiosk", "booth"}
    published = [line for line in lines if "/results" in line.get("topic", "")]
    assert len(published) > 12 * len(GROUPS)
    report = await nothing_lost(start)
    assert report["devices"] == len(GROUPS)
    await nothing_lost(start, "--broker", "mosquitto")


@pytest.mark.parametrize(
    ("group", "passcode", "forget"),
    [
        (phones("android", "d", api_level=25), "2580", "attributes"),
        (phones("windows_10_mobile", "d", azure_ad_joined="true"), "2580", "attributes"),
        (phones("ios", "d", os_version='"16.0"', policy="{ history = 1 }"), "2580", "attributes"),
        (
            phones("ios", "d", policy="{ minLength = 6 }", passcode='"25802580"'),
            "25802580",
            "policy",
        ),
        (phones("ios", "d", passcode='"Wq8!xx"'), "", "passcode"),
        (phones("windows_phone_8", "d", passcode='""'), "", "passcode"),
        (phones("ios", "d"), "2580", "biometrics"),
    ],
    ids=lambda value: str(value)[-40:].strip(),
)
async def test_each_part_of_a_setup_is_needed(
    mosquitto: Server, start: Start, tmp_path: Path, group: str, passcode: str, forget: str
) -> None:
    """Without it, a replay would not be exact: the trace does not hold it for nothing."""
    async with hosted(mosquitto, fleet(group)) as (operator, _):
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        hand = Hand(operator)
        if passcode:
            await used(hand, operator, "d-001", passcode)
        else:
            await untouched(hand, operator, "d-001")
        lines = await recorded.ended()
    await nothing_lost(start)
    setup, memory = (lines[0]["devices"][0][name] for name in ("setup", "memory"))
    usual: dict[str, list[str]] = {"biometrics": []}
    setup[forget] = usual.get(forget)
    if forget == "passcode":
        # As of a trace that did not tell: the passcode that most have.
        setup["passcode"] = memory["passcode"] = {"like": "9999"}
    recorded.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, report, _ = await replayed(start)
    assert (code, bool(report["differences"])) == (1, True)


async def untouched(hand: Hand, operator: WireOperator, device: str) -> None:
    """The first passcode is never entered: the trace has only its length and kinds."""
    policy = {"minLength": 6, "requireAlphanumeric": True, "minComplexCharacters": 1}
    await hand.command(device, "applyPasscodePolicy", "u-1", policy=policy)
    await hand.command(device, "remoteLock", "u-2")
    await hand.command(device, "applyPasscodePolicy", "u-3", policy={})
    await hand.command(device, "resetPasscode", "u-4")
    await hand.press(device, "setPasscode", "u-5", passcode="4826")
    say(operator, f"devices/{device}/simulate", {"action": "restore"})
    await hand.press(device, "swipeUp", "u-6")
    await hand.press(device, "setPasscode", "u-7", passcode="4826")
    await hand.command(device, "applyPasscodePolicy", "u-8", policy={"minLength": 7})


async def test_what_a_device_remembers_when_a_recording_begins(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    """Prompts, timers, delays, counts and calls that began before."""
    groups = (
        phones("ios", "a", policy="{ maxAgeDays = 1, maxInactivityMinutes = 5 }"),
        phones("kiosk", "b"),
        phones("windows_phone_8_1", "c", management='"hybrid"'),
    )
    async with hosted(mosquitto, fleet(*groups)) as (operator, host):
        hand = Hand(operator)
        for device in host.devices:
            await hand.press(device, "enterPasscode", "m-1", passcode="2580")
            await hand.press(device, "setPasscode", "m-2", passcode=OWN)
        await hand.command("a-001", "resetPasscode", "m-3")
        await hand.press("a-001", "later", "m-4")
        await hand.command("c-001", "resetPasscode", "m-5")
        for number in range(5):
            await hand.command("b-001", "remoteLock", f"m-6{number}")
            await hand.press("b-001", "enterPasscode", f"m-7{number}", passcode="1111")
        call = {"messageId": "m-8", "kind": "call", "from": "+1", "body": "code 123456"}
        say(operator, "devices/b-001/messages", call)
        await until(lambda: len(operator.about("b-001", "notifications")) > 0)
        await hand.wait(60)
        recorded = await recording(start, mosquitto, tmp_path, operator.root)
        await hand.press("b-001", "pressKey", "n-1", key="1")
        await hand.press("b-001", "enterPasscode", "n-2", passcode=OWN)
        await hand.press("a-001", "later", "n-3")
        await hand.press("a-001", "swipeUp", "n-4")
        await hand.wait(3600)
        await hand.press("a-001", "setPasscode", "n-5", passcode="9512")
        await hand.press("b-001", "enterPasscode", "n-6", passcode=OWN)
        await hand.command("c-001", "resetPasscode", "n-7")
        await hand.wait(2 * 24 * 3600)
        lines = await recorded.ended()
    memories = {each["state"]["deviceId"]: each["memory"] for each in lines[0]["devices"]}
    assert (memories["a-001"]["prompt"], memories["a-001"]["passcode"]) == ("hidden", None)
    assert memories["b-001"]["call"] == "m-8"
    assert memories["c-001"]["resets"] == 1
    assert OWN not in recorded.path.read_text()
    await nothing_lost(start)


async def test_devices_that_join_later_tell_how_they_were_set_up(
    mosquitto: Server, start: Start, tmp_path: Path
) -> None:
    text = fleet(*GROUPS[:4], GROUPS[10])
    root = parse_fleet(text).root
    recorded = await recording(start, mosquitto, tmp_path, root)
    async with hosted(mosquitto, text) as (operator, host):
        await until(lambda: recorded.path.read_text().count('"setup":{') == len(host.devices))
        hand = Hand(operator)
        for device in host.devices:
            await used(hand, operator, device)
        lines = await recorded.ended()
    await nothing_lost(start)
    joined = [line["device"] for line in lines if "device" in line]
    report = {each["state"]["platform"]: each for each in joined if each["setup"]}
    assert report["booth"]["conformance"] == "hybrid-2017-10"
    assert set(report["booth"]["platforms"]) == {"kiosk", "booth"}
    assert "clock" in lines[0]
    trace = read_trace(recorded.path)
    assert {device.setup is None for device in trace.devices.values()} == {False}


async def test_played_scenarios_with_own_platforms_replay(start: Start, tmp_path: Path) -> None:
    scenario = """\
name: Own
conformance: hybrid-2017-10
platforms:
  kiosk: {extends: android, reset: {default_length: 8, grace: 30m, limits: []}}
devices:
  phone: {platform: kiosk, owner: alex, reaction: 500ms, policy: {history: 2}}
  tablet: {platform: android, owner: kim, api_level: 25, passcode: ""}
steps:
  - user.enter_passcode: {device: phone, passcode: "2580"}
  - command: {group: all, commandId: c, actionName: resetPasscode}
  - expect.device: {device: phone, passcode: temporary, within: 1m}
  - expect.result: {device: tablet, commandId: c, actionState: notSupported, within: 1m}
  - expect.device: {device: phone, compliance: noncompliant, within: 31m}
"""
    (tmp_path / "own.yaml").write_text(scenario)
    process = start("play", "own.yaml", "--record", "trace.jsonl")
    assert await process.ended() == 0, process.out
    await nothing_lost(start)


# -- what a trace says that is not right --------------------------------------------------------


@pytest.fixture
async def kiosk(start: Start, tmp_path: Path) -> list[dict[str, Any]]:
    """The lines of a trace of one kiosk."""
    scenario = (
        "name: K\nplatforms: {kiosk: {extends: android}}\ndevices: {phone: {platform: kiosk}}\n"
    )
    (tmp_path / "k.yaml").write_text(f"{scenario}steps: [command: {{actionName: syncDevice}}]\n")
    assert await start("play", "k.yaml", "--record", "trace.jsonl").ended() == 0
    return [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda h: h.update(platforms={}), "the device phone is of the platform 'kiosk'"),
        (
            lambda h: h["platforms"]["kiosk"].update(rest={}),
            "platforms.kiosk.rest: unknown key; expected one of title, reset,",
        ),
        (lambda h: h.update(platforms={"kiosk": 1}), "platforms.kiosk: got 1"),
        (lambda h: h.update(conformance="azure"), 'conformance: got "azure"'),
        (lambda h: h["devices"][0]["setup"].update(reaction=[-1, 0]), "devices.0.setup.reaction.0"),
        (
            lambda h: h["devices"][0]["setup"].update(attributes={"osVersion": "ten"}),
            "devices.0.setup.attributes.osVersion",
        ),
        (lambda h: h["devices"][0].update(passcode={"like": "9"}), "devices.0.passcode"),
        (lambda h: h.update(root="a/#"), "root: "),
    ],
)
async def test_what_is_not_right_is_refused_with_its_line(
    kiosk: list[dict[str, Any]],
    start: Start,
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], None],
    says: str,
) -> None:
    edit(kiosk[0])
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kiosk))
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert f"error: trace.jsonl:1: {says}" in process.err


async def test_a_device_that_joined_is_refused_in_its_own_line(
    kiosk: list[dict[str, Any]], start: Start, tmp_path: Path
) -> None:
    device = kiosk[0]["devices"].pop()
    device["platforms"] = {"kiosk": {"extends": "andriod"}}
    kiosk.insert(1, {"device": device})
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kiosk))
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert 'trace.jsonl:2: platforms.kiosk.extends: got "andriod"' in process.err
    assert "did you mean 'android'?" in process.err


async def test_a_trace_that_version_1_wrote_replays(start: Start, tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "data" / "trace-v1.jsonl", tmp_path / "trace.jsonl")
    assert (await nothing_lost(start))["published"] > 5


async def test_a_trace_of_version_1_is_still_played(
    kiosk: list[dict[str, Any]], start: Start, tmp_path: Path
) -> None:
    """Its devices are as their platform usually is; a platform of one's own it did not tell."""
    header = kiosk[0]
    header["version"] = 1
    for name in ("conformance", "platforms"):
        del header[name]
    for name in ("setup", "memory", "conformance", "platforms"):
        del header["devices"][0][name]
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in kiosk))
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert "trace.jsonl:1: the device phone is of the platform 'kiosk'" in process.err
    assert "since version 2" in process.err
    path.write_text(path.read_text().replace('"kiosk"', '"android"'))
    await nothing_lost(start)


async def test_a_trace_of_a_newer_version_is_refused(
    kiosk: list[dict[str, Any]], start: Start, tmp_path: Path
) -> None:
    kiosk[0]["version"] = 3
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kiosk))
    process = start("replay", "trace.jsonl")
    assert await process.ended() == 2
    assert "trace.jsonl:1: the trace is of version 3, which this passfleet cannot" in process.err
    assert "hint: a newer passfleet wrote it" in process.err


# -- passcodes by what they are like ------------------------------------------------------------


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=16))
def test_the_traits_of_a_passcode_give_one_like_it(passcode: str) -> None:
    traits = traits_of(passcode)
    placeholder = {"$passcode": 1, "like": pattern_from_traits(traits), "simple": traits.simple}
    assert traits_of(generate_similar_secret(placeholder, {passcode}.__contains__)) == traits


def test_no_passcode_and_no_digest_is_written() -> None:
    setup = GroupSetup(name="g", profile=PLATFORMS_BY_ID["ios"])
    draws = DeviceRandomStream(7, "d")
    enrollment = enroll("d", "alex", setup, "Kanari-3", draws)
    report = collect_device_facts(first_state(enrollment, START)).model_dump_json()
    assert "Kanari" not in report
    assert draws.digest("Kanari-3").hex() not in report
    assert '"like":"9aA9999!"' in report


async def test_a_host_describes_no_device_that_another_process_hosts(
    mosquitto: Server,
) -> None:
    config = parse_fleet(fleet_text(phones()))
    host = Host(config.devices(), Topics(config.root), seed=config.seed, clock=RealClock(1.0))
    async with WireOperator.connected(mosquitto.port, config.root) as operator:

        def report() -> list[str]:
            return [seen.leaf for seen in operator.seen if "/hosts/described/" in seen.topic]

        async def ask(number: str) -> None:
            question = json.dumps({"requestId": number}).encode()
            await operator.publish("hosts/describe", question)

        presence = "devices/phones-001/presence"
        online = b'{"status": "online", "session": 1}'
        await operator.publish(presence, online, retain=True)
        starting = asyncio.create_task(host.start(mosquitto.address, fresh=False))
        # The host listens and waits for the other process to release the device.
        await until(lambda: any(seen.leaf == "barrier" for seen in operator.seen))
        await ask("0" * 16)
        await operator.publish(presence, online.replace(b"online", b"offline"), retain=True)
        await starting
        await ask("1" * 16)
        await until(lambda: "1" * 16 in report())
        await host.stop(forget=True)
        assert report() == ["1" * 16]


def test_setup_of_a_trace_has_the_settings_of_push_and_check_in_and_the_attributes() -> None:
    ios = PLATFORMS_BY_ID["ios"]
    attributes = replace(ios.attributes, supervised=True, target_sdk=24, pin_recovery=True)
    setup = GroupSetup(
        name="phones",
        profile=ios,
        attributes=attributes,
        push_delay=(2_000, 300_000),
        push_loss=0.1,
        check_in=8 * 3_600_000,
    )
    state = first_state(enroll("d-1", "alex", setup, "2580", DeviceRandomStream(7, "d-1")), 0)
    facts = collect_device_facts(state)
    assert facts.setup.group_setup(state_payload(state), ios) == setup
    assert facts.memory.fields()["check_in_at"] == 8 * 3_600_000
