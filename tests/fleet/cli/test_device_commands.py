"""The operator's commands as a process: what they print where, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from broker.contract import Topics
from broker.processes import started_at
from broker.server.child_process import BrokerHandle
from broker.server.open import MOSQUITTO, open_broker
from fleet.service.run_file import RunningFleet, write
from tests.support.brokers import counting_proxy, need
from tests.support.cli_processes import ended, fleet_of, phones, run, started
from tests.support.fake_fleet import LIMIT, NEW_PASSCODE, NOW, Fake, fake_fleet

TOPICS = Topics()


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[BrokerHandle]:
    need(MOSQUITTO)
    async with open_broker(MOSQUITTO) as handle:
        yield handle


# -- commands ---------------------------------------------------------------------------------


async def test_reset_prints_what_the_portal_shows(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        ran = await run("reset", "ios-*", "android-001", "--as", "user", broker=broker)
        command = fleet.sent_to(TOPICS.device("ios-002", "commands"))[0]
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["android-001", "android", "done"],
        ["ios-001", "ios", "done"],
        ["ios-002", "ios", "done"],
    ]
    assert f"New Passcode: {NEW_PASSCODE}" in lines[1]
    assert "Passcode successfully reset" in lines[2]
    assert lines[-1].startswith("3 devices: 3 done")
    assert "\x1b" not in ran.out
    assert (command["actionName"], command["issuedBy"]) == ("resetPasscode", "user")


async def test_reset_connects_once(broker: BrokerHandle) -> None:
    async with (
        fleet_of(broker, *phones()),
        counting_proxy(broker.address.port) as (url, first_bytes),
    ):
        ran = await run("reset", "ios-001", "--broker", url)
    assert ran.code == 0, ran.err
    assert first_bytes == [0x10]  # one CONNECT packet


async def test_json_is_one_document_and_nothing_else(broker: BrokerHandle) -> None:
    fakes = (*phones(), Fake("bad", manner="failed"), Fake("mute", manner="silent"))
    async with fleet_of(broker, *fakes):
        ran = await run("reset", "--all", "--json", "--timeout", "1s", broker=broker)
    assert ran.code == 1
    document = ran.document
    assert document["actionName"] == "resetPasscode"
    assert {key: document[key] for key in ("devices", "done", "failed", "unanswered")} == {
        "devices": 5,
        "done": 3,
        "failed": 1,
        "unanswered": ["mute"],
    }
    results = {result["deviceId"]: result for result in document["results"]}
    assert results["android-001"]["newPasscode"] == NEW_PASSCODE
    assert results["bad"]["errorCode"] == "policyViolation"
    assert {result["commandId"] for result in results.values()} == {document["commandId"]}


async def test_groups_and_platforms_narrow(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        group = await run("lock", "--group", "phones", "--json", broker=broker)
        assert len(fleet.sent_to(TOPICS.group("phones"))) == 1
        platform = await run("sync", "--platform", "android", "--json", broker=broker)
        both = await run("sync", "ios-*", "--platform", "android", broker=broker)
        groups = await run("lock", "--group", "phones", "--group", "droids", broker=broker)
    assert groups.code == 0
    assert all(phone.device_id in groups.out for phone in phones())
    assert [r["deviceId"] for r in group.document["results"]] == ["ios-001", "ios-002"]
    assert [r["deviceId"] for r in platform.document["results"]] == ["android-001"]
    assert both.code == 2
    assert "no device matches every filter" in both.err


async def test_a_large_fleet_is_summed_up(broker: BrokerHandle) -> None:
    fakes = [Fake(f"ios-{number:03}") for number in range(60)]
    fakes[7].manner = "notSupported"
    async with fleet_of(broker, *fakes):
        ran = await run("reset", "--all", broker=broker)
    assert ran.code == 1
    listed = [line.split()[0] for line in ran.out.splitlines() if line.startswith("ios-")]
    assert listed == ["ios-007"]
    assert ran.out.splitlines()[1].split() == ["ios", "60", "59", "1"]


async def test_a_wait_beyond_the_calendar_expires_with_it(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        ran = await run("reset", "ios-001", "--timeout", "80000000h", broker=broker)
        (command,) = fleet.sent_to(TOPICS.device("ios-001", "commands"))
    assert ran.code == 0, ran.err
    assert command["expiresDateTime"] == "9999-12-31T23:59:59.999Z"


async def test_policy_sends_what_was_asked_for(broker: BrokerHandle) -> None:
    options = ("--min-length", "6", "--require-alphanumeric", "--no-allow-simple")
    async with fleet_of(broker, *phones()) as fleet:
        ran = await run("policy", "ios-001", *options, broker=broker)
        lifted = await run("policy", "ios-001", "--lift", broker=broker)
        first, second = fleet.sent_to(TOPICS.device("ios-001", "commands"))
    assert (ran.code, lifted.code) == (0, 0)
    given = {key: value for key, value in first["policy"].items() if value is not None}
    assert given == {"minLength": 6, "requireAlphanumeric": True, "allowSimple": False}
    assert set(second["policy"].values()) == {None}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("reset", "ios-01"), "did you mean 'ios-001'?"),
        (("reset", "windows-*"), "no device matches 'windows-*'"),
        (("reset",), "no target is given"),
        (("reset", "ios-001", "--all"), "--all cannot be combined"),
        (("reset", "--group", "phone"), "did you mean 'phones'?"),
        (("reset", "--platform", "androit"), "did you mean 'android'?"),
        (("reset", "--all", "--timeout", "soon"), "--timeout: 'soon' is not a duration"),
        (("reset", "--all", "--as", "nobody"), "nobody"),
        (("reset", "a/b"), "there is no device 'a/b'"),
        (("policy", "--all"), "no rule is given"),
        (("policy", "--all", "--lift", "--history", "3"), "--lift"),
        (("policy", "--all", "--history", "3000000000"), "--history is too large for any device"),
        (("show", "ios-01"), "did you mean 'ios-001'?"),
        (("show", "ios-*"), "'ios-*' is a pattern"),
        (("tap", "ios-001", "swipe-upp"), "did you mean 'swipeUp'?"),
        (("tap", "ios-001", "set-passcode"), "needs a passcode"),
        (("tap", "ios-001", "set-passcode", "--passcode", ""), "must be 1 to 256 characters"),
        (("tap", "ios-001", "press-key", "--key", "99"), "must be one of 0 to 9, * and #"),
        (("simulate", "ofline", "--all"), "did you mean 'offline'?"),
        (("clock", "advance"), "give either a duration or --to"),
        (("clock", "advance", "61m"), "the time of day"),
        (("clock", "advance", "--to", "yesterday"), "--to 'yesterday': not an ISO 8601"),
        (("clean",), "a fleet is running: 3 of its devices are online"),
        (("devices", "--root", "a/#"), "--root is not a topic"),
        (("devices", "--broker", "embedded"), "leave out --broker and PASSFLEET_BROKER"),
        (("reset", "--all", "--root", "elsewhere"), "there are no devices below elsewhere"),
    ],
)
async def test_wrong_usage_ends_with_2(
    broker: BrokerHandle, args: tuple[str, ...], said: str
) -> None:
    async with fleet_of(broker, *phones()):
        ran = await run(*args, broker=broker)
    assert ran.code == 2, ran.err
    assert said in " ".join(ran.err.split())
    assert ran.out == ""


# -- looking ----------------------------------------------------------------------------------


async def test_devices_lists_who_is_there(broker: BrokerHandle) -> None:
    fakes = (*phones(), Fake("away", online=False))
    async with fleet_of(broker, *fakes):
        table = await run("devices", broker=broker)
        document = (await run("devices", "--platform", "ios", "--json", broker=broker)).document
        nobody = await run("devices", "--group", "none", "--json", broker=broker)
    rows = [line.split() for line in table.out.splitlines()]
    assert [row[0] for row in rows[1:]] == ["android-001", "away", "ios-001", "ios-002"]
    assert "offline" in rows[2]
    assert [device["deviceId"] for device in document["devices"]] == ["away", "ios-001", "ios-002"]
    assert document["devices"][0]["presence"] == {"status": "offline", "session": 1}
    assert document["devices"][0]["state"]["passcode"] == "user"
    assert (nobody.code, nobody.document) == (0, {"devices": []})
    assert nobody.err.splitlines() == [
        "warning: there is no device of group 'none'",
        "hint: did you mean 'phones'?",
    ]


async def test_devices_of_a_large_fleet_are_listed_plainly(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *(Fake(f"d-{number:03}") for number in range(520))):
        ran = await run("devices", broker=broker)
    lines = ran.out.splitlines()
    assert len(lines) == 521
    assert lines[0].split()[:2] == ["Device", "Platform"]
    assert lines[520].split()[:4] == ["d-519", "ios", "phones", "online"]


async def test_show_prints_what_the_host_knows(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()):
        ran = await run("show", "android-001", broker=broker)
        document = (await run("show", "android-001", "--json", broker=broker)).document
    assert ran.code == 0
    assert "compliance  compliant" in ran.out
    assert "syncDevice done" in ran.out
    assert NEW_PASSCODE not in ran.out
    assert document["inspection"]["results"][0]["newPasscode"] == "***"
    assert document["state"]["platform"] == "android"


@pytest.mark.parametrize("shown", [False, True])
async def test_watch_masks_passcodes(broker: BrokerHandle, *, shown: bool) -> None:
    options = ["--show-passcodes"] if shown else []
    async with (
        fleet_of(broker, *phones()) as fleet,
        started("watch", "--json", "--device", "android-*", *options, broker=broker) as process,
        asyncio.timeout(LIMIT),
    ):
        assert process.stdout is not None
        seen = [json.loads(await process.stdout.readline()) for _ in range(2)]
        device = fleet.devices["android-001"]
        result = fleet.result(device, {"commandId": "c-9", "actionName": "resetPasscode"})
        await fleet.say(device, "results", b"{not json")
        await fleet.say(device, "results", result)
        await fleet.say(device, "escrow", {"commandId": "c-9", "newPasscode": NEW_PASSCODE})
        seen += [json.loads(await process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        ran = await ended(process)
    assert ran.code == 130
    assert [line["retained"] for line in seen] == [True, True, False, False, False]
    assert seen[2]["payload"] is None
    told = NEW_PASSCODE if shown else "***"
    assert [line["payload"]["newPasscode"] for line in seen[3:]] == [told, told]
    assert {line["payload"].get("passcode") for line in seen[:2]} == {"user", None}


NOT_THE_CONTRACTS = {
    "results": (b'{"actionState": NaN}', b'{"newPasscode": null}', b"[1]"),
    "presence": (b"Infinity", b'{"status": "online"}', b"0"),
}


@pytest.mark.parametrize("as_json", [True, False])
async def test_watch_of_what_is_not_the_contracts(broker: BrokerHandle, *, as_json: bool) -> None:
    options = ["--json"] if as_json else []
    wanted = ("--device", "odd")
    async with (
        fleet_of(broker, *phones()) as fleet,
        started("watch", *wanted, *options, broker=broker) as process,
        asyncio.timeout(LIMIT),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        await process.stderr.readline()  # that it is not there: the watch is on
        odd = Fake("odd")
        for leaf, payloads in NOT_THE_CONTRACTS.items():
            for payload in payloads:
                await fleet.say(odd, leaf, payload)
        await fleet.say(odd, "results", b'{"seconds": 1e999}')
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(7)]
    if as_json:
        read = [json.loads(line, parse_constant=pytest.fail)["payload"] for line in lines]
        assert read[:3] == [None, {"newPasscode": None}, [1]]
        assert read[3:] == [None, {"status": "online"}, 0, {"seconds": None}]
    else:
        told = [line.split("odd")[1].strip() for line in lines]
        assert told == [
            *("results: not JSON", *["results: not a valid message"] * 2),
            *("presence: not JSON", *["presence: not a valid message"] * 2),
            "results: not a valid message",
        ]


async def test_watch_in_words_stops_by_itself(broker: BrokerHandle) -> None:
    async with (
        fleet_of(broker, *phones()) as fleet,
        started("watch", "--for", "3s", broker=broker) as process,
    ):
        device = fleet.devices["android-001"]
        result = fleet.result(device, {"commandId": "c", "actionName": "resetPasscode"})
        result["message"] = "Fine \x1b[31m[bold]"

        async def keep_saying() -> None:
            # Published repeatedly: messages before the subscription are lost.
            while True:
                await fleet.say(device, "results", result)
                await asyncio.sleep(0.1)

        saying = asyncio.create_task(keep_saying())
        ran = await ended(process)
        saying.cancel()
    assert ran.code == 0
    line = ran.out.splitlines()[0]
    assert "android-001" in line
    assert "resetPasscode done: Fine" in line
    assert "[bold]" in line
    assert "New Passcode: ***" in line
    assert "\x1b" not in ran.out
    assert NEW_PASSCODE not in ran.out


# -- the thumb, the world, time ---------------------------------------------------------------


async def test_tap_ends_by_its_answer(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        done = await run("tap", "ios-001", "swipe_up", broker=broker)
        wrong = await run(
            "tap", "ios-001", "enterPasscode", "--passcode", "0000", "--json", broker=broker
        )
        presses = fleet.sent_to(TOPICS.device("ios-001", "inputs"))
    assert done.code == 0, done.err
    assert wrong.code == 1
    assert wrong.document["results"][0]["errorCode"] == "wrongPasscode"
    assert "0000" not in wrong.out + wrong.err
    assert [press["action"] for press in presses] == ["swipeUp", "enterPasscode"]


async def test_tap_reads_a_passcode_from_standard_input_or_the_environment(
    broker: BrokerHandle,
) -> None:
    command = ("tap", "ios-001", "enter-passcode")
    async with fleet_of(broker, *phones()) as fleet:
        async with started(
            *command, "--passcode", "-", broker=broker, stdin=subprocess.PIPE
        ) as process:
            typed = await ended(process, b"7310\n")
        async with started(*command, broker=broker, PASSFLEET_PASSCODE="7311") as process:
            set_before = await ended(process)
        presses = fleet.sent_to(TOPICS.device("ios-001", "inputs"))
    assert [press["passcode"] for press in presses] == ["7310", "7311"]
    assert "731" not in typed.out + typed.err + set_before.out + set_before.err


async def test_simulate_ends_by_what_was_seen(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones(), Fake("mute", manner="silent")):
        seen = await run("simulate", "drop-connection", "ios-*", "--json", broker=broker)
        unseen = await run("simulate", "crash", "mute", "--timeout", "300ms", broker=broker)
    assert seen.code == 0, seen.err
    assert seen.document["seen"] == 2
    assert unseen.code == 1
    assert "no effect of crash" in unseen.out


async def test_clock_moves_virtual_time(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        await fleet.set_clock(NOW)
        moved = await run("clock", "advance", "61m", "--json", broker=broker)
        now = await run("clock", "now", broker=broker)
    assert moved.document == {"now": "2015-12-10T21:20:07Z", "clock": "virtual"}
    assert now.out.strip() == "2015-12-10T21:20:07Z (virtual)"


async def test_clean_takes_the_fleet_files_devices_too(
    broker: BrokerHandle, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[[group]]\nname = "more"\nplatform = "ios"\ncount = 3\n')
    async with fleet_of(broker, *phones()):
        forced = await run("clean", "--force", "--json", broker=broker)
    ran = await run("clean", "--fleet", str(file), "--json", broker=broker)
    assert forced.document == {"retained": 6, "sessions": 3}
    assert ran.document == {"retained": 0, "sessions": 3}


# -- finding the fleet, and losing it ---------------------------------------------------------


async def test_no_fleet_found_ends_with_3(tmp_path: Path) -> None:
    ran = await run("reset", "--all", cwd=tmp_path)
    assert ran.code == 3
    assert "no running fleet was found" in ran.err
    assert ran.out == ""


async def test_the_running_fleet_is_found_from_below(broker: BrokerHandle, tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    running = RunningFleet(broker=broker.address.url, root="other/root", pid=os.getpid(), devices=1)
    running = replace(running, started=started_at(os.getpid()))
    write(tmp_path, running)
    async with fake_fleet(broker, Fake("ios-001"), topics=Topics("other/root")):
        ran = await run("reset", "ios-001", "--json", cwd=below)
    assert ran.code == 0, ran.err
    assert ran.document["done"] == 1


async def test_clean_reaches_the_broker_of_a_fleet_that_died(
    broker: BrokerHandle, tmp_path: Path
) -> None:
    async with started("--help") as process:
        pid = process.pid
    write(tmp_path, RunningFleet(broker=broker.address.url, root=TOPICS.root, pid=pid, devices=1))
    async with fake_fleet(broker, Fake("ios-001", online=False)):
        pass
    assert (await run("devices", cwd=tmp_path)).code == 3
    ran = await run("clean", "--json", cwd=tmp_path)
    assert ran.document == {"retained": 2, "sessions": 1}


async def test_ctrl_c_ends_with_130_and_prints_the_results_so_far(broker: BrokerHandle) -> None:
    fakes = (*phones(), Fake("mute", manner="silent"))
    async with (
        fleet_of(broker, *fakes) as fleet,
        started("reset", "--all", "--timeout", "1h", "--json", broker=broker) as process,
    ):
        await fleet.reached(TOPICS.group("all"))
        process.send_signal(signal.SIGINT)
        ran = await ended(process)
    assert ran.code == 130
    assert "answered so far, of 4: " in ran.err
    assert ran.out == ""


async def test_a_broker_gone_in_mid_wait_ends_with_3(broker: BrokerHandle) -> None:
    assert broker.pid is not None
    async with started("reset", "mute", "--timeout", "1h", broker=broker) as process:
        try:
            async with fleet_of(broker, Fake("mute", manner="silent")) as fleet:
                await fleet.reached(TOPICS.device("mute", "commands"))
                os.kill(broker.pid, signal.SIGKILL)
        finally:
            ran = await ended(process)
    assert ran.code == 3
    assert "was lost" in ran.err


@pytest.mark.parametrize(
    "command",
    ["reset", "lock", "sync", "policy", "devices", "show", "watch", "tap", "simulate", "clean"],
)
async def test_every_help_has_an_example(command: str) -> None:
    ran = await run(command, "--help")
    assert ran.code == 0
    assert f"Example: passfleet {command}" in " ".join(ran.out.split())
