"""Refusals of `passfleet` as a process: exit code and message, without a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

from broker.server.open import MOSQUITTO
from tests.support.brokers import free_port, need
from tests.support.fleet_processes import (
    Server,
    Start,
    both,
    fleet_text,
    phones,
    processes,
    up_json,
    write_fleet,
)
from tests.support.load_processes import ConfiguredMosquitto
from tests.support.paho_operator import WireOperator


@both
async def test_the_same_fleet_twice_on_one_broker_is_refused(
    server: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(count=3), root="twice"), server.url)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_fleet(elsewhere, fleet_text(phones(count=3), root="twice"), server.url)
    first = start("up")
    await first.ready()
    with processes(elsewhere) as start_elsewhere:
        here, there = start("up"), start_elsewhere("up")
        for again in (here, there):
            assert await again.ended() == 2
            assert "phones-001 is online" in again.err
            assert "and 2 more" in again.err
            assert "passfleet down" in again.err
            assert again.out == ""
    async with WireOperator.connected(server.port, "twice") as operator:
        done = await operator.do("phones-001")
        assert done["actionState"] == "done"
        assert operator.about("phones-001", "presence") == [{"status": "online", "session": 1}]
    assert up_json(tmp_path)["pid"] == first.popen.pid


async def test_devices_behind_a_shared_connection_are_not_taken_from_a_fleet_that_lives(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    text = fleet_text(phones(count=3, connection='"shared"'), root="shared/twice")
    write_fleet(tmp_path, text, mosquitto.url)
    first = start("up")
    await first.ready()
    again = start("up")
    assert await again.ended() == 2
    assert "phones-001 is online" in again.err
    assert "and 2 more" in again.err
    async with WireOperator.connected(mosquitto.port, "shared/twice") as operator:
        await operator.do("phones-001")
        first.popen.kill()
        await first.ended()
        after = start("up")
        assert (await after.ready()).startswith("ready devices=3 ")
        await operator.present("phones-001", "online", beyond=1)
        assert (await operator.do("phones-001"))["actionState"] == "done"


async def test_presence_of_other_devices_does_not_keep_a_shared_fleet_from_starting_again(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    text = fleet_text(phones(count=2, connection='"shared"'), root="shared/beside")
    write_fleet(tmp_path, text, mosquitto.url)
    first = start("up")
    await first.ready()
    first.popen.kill()
    await first.ended()
    async with WireOperator.connected(mosquitto.port, "shared/beside") as operator:

        async def told() -> None:
            # As the host of another fleet below the root answers a load's probes.
            while True:
                await operator.publish("devices/elsewhere-001/inspection", b"{}")

        telling = asyncio.create_task(told())
        try:
            again = start("up")
            assert (await again.ready()).startswith("ready devices=2 ")
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def test_a_fleet_that_waits_for_another_to_go_can_be_interrupted(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones(), root="taken"), mosquitto.url)
    first = start("up")
    await first.ready()
    (tmp_path / ".passfleet" / "up.json").unlink()
    async with WireOperator.connected(mosquitto.port, "taken") as operator:
        second = start("up")
        await operator.heard(lambda s: "/hosts/" in s.topic)  # it reads the retained host presence
        assert await second.signalled(signal.SIGINT) == 130
        assert (await operator.do("phones-001"))["actionState"] == "done"


async def test_an_unreachable_broker_is_reported_in_time(tmp_path: Path, start: Start) -> None:
    port = free_port()
    write_fleet(tmp_path, fleet_text(phones()), f"mqtt://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        deaf = silent.getsockname()[1]
        runs = [
            start("up"),
            start("check"),
            start("devices", "--broker", f"mqtt://127.0.0.1:{port}"),
            start("up", "--broker", f"mqtt://127.0.0.1:{deaf}"),
            start("up", "--broker", "mqtt://no-such-host.invalid:1883"),
        ]
        for run in runs:
            assert await run.ended() == 3, run.popen.args
            assert run.err.startswith("error: ")
            assert run.out == ""
    assert "nothing listens at" in runs[0].err
    assert "did not answer within" in runs[3].err
    assert not (tmp_path / ".passfleet").exists()


async def test_a_broker_that_forwards_nothing_is_reported(tmp_path: Path, start: Start) -> None:
    need(MOSQUITTO)
    rules = tmp_path / "rules"
    rules.write_text("topic write #\n", encoding="utf-8")
    rules.chmod(0o600)
    server = ConfiguredMosquitto(MOSQUITTO, tmp_path, f"acl_file {rules}")
    await server.start()
    try:
        up = start("up", "--devices", "5", "--broker", server.url)
        assert await up.ended() == 3
    finally:
        server.kill()
    assert "does not deliver what is published below passfleet/v1" in up.err
    assert "access rules" in up.err


async def test_a_missing_mosquitto_is_reported_with_the_remedy(
    tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones()), MOSQUITTO)
    for run in (start("up", PATH=""), start("check", PATH=""), start("up", PATH=str(tmp_path))):
        assert await run.ended() == 3
        assert "error: Mosquitto is not installed" in run.err
        assert "apt-get install mosquitto" in run.err
        assert run.out == ""


BAD_FILES: dict[str, tuple[str, str]] = {
    "unknown key": (
        '[[group]]\nname = "phones"\nplatform = "ios"\ncolour = "red"\n',
        r"fleet\.toml:4: group\[?.*colour.*unknown key",
    ),
    "unknown platform": (
        '[[group]]\nname = "phones"\n\nplatform = "iso"\n',
        r"fleet\.toml:4: .*platform.*expected one of ios, android",
    ),
    "bad count": (
        '[[group]]\nname = "phones"\nplatform = "ios"\ncount = 0\n',
        r"fleet\.toml:4: .*count.*expected",
    ),
    "duplicate id": (
        """[[group]]
name = "a"
platform = "ios"
id = "x-{n}"
[[group]]
name = "b"
platform = "ios"
id = "x-{n}"
""",
        r"fleet\.toml:8: .*id.*x-1",
    ),
    "no TOML": ("[[group\n", r"fleet\.toml:1: "),
    "no group": ("[fleet]\nseed = 7\n", r"fleet\.toml.*group"),
}


async def test_a_bad_fleet_file_is_refused_with_file_line_and_key(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        runs = []
        for number, (text, expected) in enumerate(BAD_FILES.values()):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "fleet.toml").write_text(text)
            start = stack.enter_context(processes(folder))
            runs.append((start("check" if number % 2 else "up"), expected))
        for run, expected in runs:
            assert await run.ended() == 2
            assert re.search(expected, run.err), run.err
            assert run.out == ""


async def test_a_login_that_is_not_whole_is_refused_with_file_line_and_key(
    tmp_path: Path, start: Start
) -> None:
    (tmp_path / "fleet.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    logins = {
        'cert = "fleet.pem"': r'fleet\.toml:7: broker\.cert: "fleet\.pem" holds no private key;',
        'key = "fleet.pem"': r"fleet\.toml:7: broker\.key: a client key needs its certificate",
        'password = { env = "PF_NO" }': r"fleet\.toml:7: broker\.password\.env: .* PF_NO, which",
        'password = { file = "no" }': r"fleet\.toml:7: broker\.password\.file: .*no: No such file",
    }
    for line, expected in logins.items():
        login = f'[broker]\nurl = "mqtts://127.0.0.1:1"\n{line}\nusername = "me"\n'
        (tmp_path / "fleet.toml").write_text(phones() + login)
        for run in (start("up"), start("check")):
            assert await run.ended() == 2, run.err
            assert re.search(expected, run.err), run.err
            assert run.out == ""
    # A broker that is started demands the login as well: it is never ignored.
    own = start("up", "--broker", "embedded", "--for", "100ms"), start("check", "--broker=embedded")
    for run in own:
        assert await run.ended() == 2
        assert "fleet.toml:7: broker.password.file" in run.err


async def test_wrong_usage_ends_with_exit_2(tmp_path: Path, start: Start) -> None:
    cases = {
        ("up", "nowhere.toml"): "passfleet init",
        ("up", "--devices", "5", "--platform", "iso"): "ios",
        ("up", "--devices", "5", "--for", "soon"): "200us",
        ("up", "--devices", "5", "--for", "0s"): "--for must be more than 0s",
        ("up", "--devices", "5", "--broker", ""): "--broker is empty",
        ("check", "--broker", ""): "--broker is empty",
        ("init", "--force", "."): ".: this is a folder",
        ("up", "--devices", "5", "--log-level", "loud"): "debug",
        ("up", "--devices", "5", "--broker", "http://localhost"): "mqtt",
        ("up", "--devices", "5", "--broker", "embeded"): "did you mean 'embedded'?",
        ("up", "--colour"): "--colour",
        ("simulate", "explode", "--all"): "restart",
        ("fly",): "fly",
    }
    runs = {arguments: start(*arguments) for arguments in cases}
    for arguments, run in runs.items():
        assert await run.ended() == 2, (arguments, run.err)
        assert cases[arguments] in run.err
        assert run.out == ""
    assert not (tmp_path / ".passfleet").exists()


ROOTS = ("", "a/#", "a/+/b", "$SYS/x", "/a", "a/", "a//b", "a\nb", "a\udcff", "a" * 1025)


async def test_a_root_that_topics_cannot_start_with_is_refused_by_every_command(
    start: Start,
) -> None:
    one_mqtt = ("--broker", "mqtt://127.0.0.1:1")
    commands = [
        ("devices",), ("show", "x"), ("watch",), ("reset", "--all"), ("tap", "x", "later"),
        ("simulate", "crash", "--all"), ("clock", "now"), ("clean",), ("load",),
        ("record", "-o", "trace"), ("schema",), ("schema", "command"),
    ]  # fmt: skip
    cases: list[tuple[str, ...]] = [("schema", "--root", root) for root in ROOTS]
    cases += [("devices", *one_mqtt, "--root", root) for root in ROOTS]
    cases += [(*command, "--root", "a/#") for command in commands]
    for at in range(0, len(cases), 8):
        for run in [start(*case) for case in cases[at : at + 8]]:
            assert await run.ended() == 2, run.popen.args
            assert "--root is not a topic root; expected topic levels such as" in run.err
            assert run.out == ""


async def test_too_many_devices_for_the_descriptors_are_refused_with_the_remedy(
    start: Start,
) -> None:
    up = start("up", "--devices", "1000", before=_few_descriptors)
    assert await up.ended() == 2
    assert "1000 devices need" in up.err
    assert "ulimit" in up.err
    assert "--devices" in up.err
    fewer = start("up", "--devices", "50", "--for", "100ms", before=_few_descriptors)
    assert await fewer.ended() == 0


def _few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


async def test_a_low_soft_limit_is_raised(start: Start) -> None:
    up = start("up", "--devices", "300", "--for", "100ms", before=_low_soft_limit)
    assert await up.ended() == 0
    assert up.out.startswith("ready devices=300 ")


def _low_soft_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))


async def test_a_second_fleet_in_the_background_of_one_folder_is_refused(
    tmp_path: Path, start: Start
) -> None:
    write_fleet(tmp_path, fleet_text(phones()))
    assert await start("up", "--detach").ended() == 0
    again = start("up", "--detach")
    assert await again.ended() == 2
    assert "already runs here" in again.err
    assert await start("down").ended() == 0


async def test_down_leaves_a_stranger_with_the_fleets_old_number_alone(
    tmp_path: Path, start: Start
) -> None:
    stranger = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220
    try:
        left = {"broker": "mqtt://127.0.0.1:1", "root": "r", "devices": 1, "started": "1"}
        (tmp_path / ".passfleet").mkdir()
        for pid in (stranger.pid, 1):
            up = tmp_path / ".passfleet" / "up.json"
            up.write_text(json.dumps({**left, "pid": pid}))
            down = start("down")
            assert await down.ended() == 0
            assert "no fleet runs" in down.out
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_files_that_cannot_be_written_are_reported(tmp_path: Path, start: Start) -> None:
    picture = start("demo", "--picture", str(tmp_path / "nowhere" / "x.svg"))
    (tmp_path / ".passfleet").touch()
    folder = start("up", "--devices", "1", "--for", "1s")
    for refused, words in ((picture, "nowhere"), (folder, ".passfleet: cannot be made")):
        assert await refused.ended() == 2
        assert words in refused.err
    with Path("/dev/full").open("w") as full:  # noqa: ASYNC230  # a device, not a disk
        schema = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "fleet.cli", "schema"),
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await schema.communicate()
    assert schema.returncode == 2
    assert b"No space left" in err
    assert b"Traceback" not in err


async def test_virtual_time_beyond_the_calendar_is_refused(tmp_path: Path, start: Start) -> None:
    write_fleet(tmp_path, fleet_text(phones(), clock='"virtual"'))
    await start("up").ready()
    beyond = start("clock", "advance", "100000000h")
    assert await beyond.ended() == 2
    assert "9999" in beyond.err
