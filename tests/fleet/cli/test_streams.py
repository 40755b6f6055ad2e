"""Output streams of `passfleet`: closed pipes, closed streams, narrow terminals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from broker.contract import Topics
from broker.server.child_process import BrokerHandle
from broker.server.open import MOSQUITTO, open_broker
from tests.support.brokers import need
from tests.support.cli_processes import HOME, fleet_of, on_a_terminal, phones, run, started, unread
from tests.support.fake_fleet import LIMIT, Fake
from tests.support.fleet_files import group
from tests.support.fleet_processes import Start

LONG = "windows-phones-hybrid"


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[BrokerHandle]:
    need(MOSQUITTO)
    async with open_broker(MOSQUITTO) as handle:
        yield handle


# -- a reader who leaves ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "reset --help",
        "platforms",
        "platforms --json",
        "explain ios reset",
        "schema",
        "schema --list",
        "demo",
        "check ../../fleet.toml",
    ],
)
async def test_a_closed_output_ends_no_command(command: str) -> None:
    assert await unread(*command.split()) == (0, "")


async def test_the_exit_code_is_that_of_the_devices_if_the_output_is_closed(
    broker: BrokerHandle,
) -> None:
    fakes = (*phones(), Fake("bad", manner="failed"))
    async with fleet_of(broker, *fakes):
        for command, code in (
            ("reset ios-001", 0),
            ("reset --all --json", 1),
            ("reset bad", 1),
            ("reset nobody", 2),
            ("devices", 0),
            ("clock now", 0),
        ):
            ended, err = await unread(*command.split(), broker=broker)
            assert ended == code, (command, err)
            assert "Traceback" not in err


@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_a_watch_ends_when_its_reader_has_left(
    broker: BrokerHandle, options: Sequence[str]
) -> None:
    async with fleet_of(broker, *phones()) as fleet:
        device = fleet.devices["ios-001"]

        async def keep_saying() -> None:
            while True:
                await fleet.say(device, "state", device.state(), retain=False)
                await asyncio.sleep(0.1)

        saying = asyncio.create_task(keep_saying())
        try:
            assert await unread("watch", *options, broker=broker) == (0, "")
        finally:
            saying.cancel()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("platforms", 0), ("check nowhere.toml", 2)])
def test_a_stream_that_is_closed_is_no_trouble(closed: str, command: str, code: int) -> None:
    script = f'exec "$0" -m fleet.cli {command} {closed}'
    ran = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=HOME / "tests" / "data",
        env=os.environ | {"PYTHONPATH": str(HOME)},
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert ran.returncode == code
    assert b"Traceback" not in ran.stdout + ran.stderr


async def test_a_character_that_the_encoding_has_not_stops_nothing(start: Start) -> None:
    ascii_only = start("init", "größer.toml", PYTHONIOENCODING="ascii")
    assert await ascii_only.ended() == 0
    assert r"wrote gr\xf6\xdfer.toml" in ascii_only.out


async def test_a_file_name_that_is_no_text_stops_nothing(
    broker: BrokerHandle, tmp_path: Path
) -> None:
    # On disk a byte that is not UTF-8.
    path = tmp_path / "t\udcff.jsonl"
    async with fleet_of(broker, *phones()):
        ran = await run("record", "-o", str(path), "--for", "100ms", "--json", broker=broker)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out.splitlines()[-1])["trace"] == str(path)
    assert path.is_file()


# -- narrow terminals -------------------------------------------------------------------------


def windows_phones() -> list[Fake]:
    made = [f"{LONG}-{number:03}" for number in (1, 2)]
    return [Fake(name, platform="windows_phone_8_1", group=LONG) for name in made]


HEADERS = {
    120: "Device Platform Group Presence Screen Passcode Compliance",
    80: "Device Platform Presence Screen Passcode Compliance",
    60: "Device Presence Passcode Compliance",
}


@pytest.mark.parametrize("columns", HEADERS)
async def test_the_devices_fit_the_terminal(broker: BrokerHandle, columns: int) -> None:
    async with fleet_of(broker, *windows_phones(), Fake("ios-001", online=False)):
        shown = await on_a_terminal("devices", columns=columns, broker=broker)
    assert shown[0].split() == HEADERS[columns].split()
    assert max(map(len, shown[:4])) <= columns
    cells = shown[2].split()
    assert (cells[0], cells[-1]) == (f"{LONG}-001", "compliant")
    left_out = [line for line in shown if line.startswith("left out")]
    assert bool(left_out) is (columns < 120)
    assert all("Group" in line for line in left_out)


async def test_many_devices_fit_the_terminal_too(broker: BrokerHandle) -> None:
    fakes = [Fake(f"{LONG}-{n:03}", platform="windows_10_mobile", group=LONG) for n in range(501)]
    async with fleet_of(broker, *fakes):
        shown = await on_a_terminal("devices", columns=80, broker=broker)
    assert shown[0].split() == HEADERS[80].split()
    assert shown[501].split()[0] == f"{LONG}-500"
    assert max(map(len, shown[:502])) <= 80


async def test_off_a_terminal_and_in_json_nothing_is_left_out(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *windows_phones()):
        ran = await run("devices", broker=broker)
        document = (await run("devices", "--json", broker=broker)).document
    assert ran.out.splitlines()[0].split() == HEADERS[120].split()
    assert "left out" not in ran.out
    assert document["devices"][0]["state"]["group"] == LONG


async def test_a_message_keeps_its_room_on_a_terminal(broker: BrokerHandle) -> None:
    fakes = [*windows_phones(), Fake("ios-001", manner="failed")]
    async with fleet_of(broker, *fakes):
        shown = await on_a_terminal("reset", "--all", columns=80, broker=broker)
    assert max(map(len, shown[1:])) <= 80  # the first was a progress bar
    (failed,) = [line for line in shown if line.startswith("ios-001")]
    assert failed.split(maxsplit=2)[2].split("  ")[0] == "It did not work."
    assert failed.rstrip().endswith("policyViolation")
    assert "left out for lack of room: Platform, Time" in [line.rstrip() for line in shown]


@pytest.mark.parametrize(
    "command", ["up", "reset", "policy", "simulate", "clean", "explain", "schema", "clock advance"]
)
async def test_help_fits_the_terminal_with_the_names_of_options_whole(command: str) -> None:
    shown = await on_a_terminal(*command.split(), "--help", columns=80)
    assert max(map(len, shown)) <= 80
    assert not [line for line in shown if "…" in line and "--no-require-alpha" not in line]
    assert "]]" not in shown[1]
    assert "...]" not in shown[1]
    assert [line for line in shown if line.startswith(f" Example: passfleet {command}")]


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "explain windows_phone_8_1 reset",
        "platforms",
        "platforms --diff intune-2015-12 hybrid-2017-10",
    ],
)
async def test_lines_break_between_words(command: str) -> None:
    shown = await on_a_terminal(*command.split(), columns=80)
    table = [line for line in shown if "devices on mqtt" not in line]  # that was a progress bar
    assert max(map(len, table)) <= 80
    piped = (await run(*command.split())).out
    assert words_of("\n".join(table)) == words_of(piped)


def words_of(text: str) -> set[str]:
    return {word for word in text.split() if not re.fullmatch("[━┏┳┓┃┡╇┩│├┼┤─└┴┘]+", word)}


async def test_the_table_of_a_running_fleet_fits_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(
        "".join(group(name, name) for name in ("windows_10_mobile", "windows_phone_8_1"))
    )
    shown = await on_a_terminal("up", "--for", "200ms", columns=80, cwd=tmp_path)
    rows = [line.split() for line in shown if line.startswith("windows_")]
    assert ["windows_10_mobile", *"111100000"] in [list(row) for row in rows]
    assert "platform          devices online locked user" in "\n".join(shown)
    assert not [line for line in shown if "…" in line]


async def test_a_devices_messages_are_indented_below_it(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()):
        wide = (await run("show", "android-001", broker=broker)).out.splitlines()
        narrow = await on_a_terminal("show", "android-001", columns=70, broker=broker)
    assert wide[-2].startswith("results     2015-12-10T20:19:07Z  syncDevice done: Passcode succ")
    assert wide[-2].endswith("New Passcode: ***")
    assert narrow[:-3] == wide[:-2]
    assert [line.strip() for line in narrow[-3:-1]] == [
        "results     2015-12-10T20:19:07Z  syncDevice done: Passcode",
        "successfully reset New Passcode: ***",
    ]
    assert narrow[-2].startswith(" " * 34 + "successfully")


# -- devices that are not there ---------------------------------------------------------------


async def test_a_watch_warns_about_unknown_devices_and_goes_on(broker: BrokerHandle) -> None:
    wanted = [word for name in ("ios-01", "x-*", "ios-*", "late") for word in ("--device", name)]
    async with (
        fleet_of(broker, *phones()) as fleet,
        started("watch", "--json", *wanted, broker=broker) as process,
        asyncio.timeout(LIMIT),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        told = [(await process.stderr.readline()).decode() for _ in range(6)]
        late = Fake("late")
        await fleet.say(late, "state", late.state(), retain=True)
        seen = [json.loads(await process.stdout.readline())["topic"] for _ in range(5)]
        assert process.returncode is None
    assert told == [
        "warning: there is no device 'ios-01' yet\n",
        "hint: did you mean 'ios-001'?\n",
        "warning: no device matches 'x-*' yet\n",
        "hint: `passfleet devices` lists the devices\n",
        "warning: there is no device 'late' yet\n",
        "hint: `passfleet devices` lists the devices\n",
    ]
    assert seen[-1] == Topics().device("late", "state")


async def test_a_watch_without_devices_is_refused(broker: BrokerHandle) -> None:
    async with fleet_of(broker, *phones()):
        ran = await run("watch", "--for", "3s", "--root", "elsewhere", broker=broker)
        there = await run("watch", "--for", "3s", "--device", "ios-*", broker=broker)
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert "there are no devices below elsewhere yet" in ran.err
    assert "--root" in ran.err
    assert (there.code, there.err) == (0, "")
