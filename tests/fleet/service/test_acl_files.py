"""Access files of Mosquitto: a hostile device neither reads nor writes topics of other devices."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path

import pytest

from agent.clock import RealClock
from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import FileError, UsageError
from broker.server.mosquitto import find_mosquitto
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from fleet.config.loader import FleetConfig, load_fleet
from fleet.hosting.host import Host
from fleet.service.acl_files import access_files, write_access_files
from tests.support.brokers import need
from tests.support.fleet_files import group
from tests.support.fleet_processes import Server
from tests.support.raw_mqtt_client import RawClient

DEVICES = 100
HOSTILE = f"phones-{DEVICES + 1:03}"
TOPICS = Topics("acl")
LEAVES = ("commands", "inputs", "messages", "simulate", "results", "state", "presence", "escrow")


class Guarded(Server):
    """Mosquitto with the files that were written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MOSQUITTO, folder)
        self.folder = folder

    def _argv(self, port: int) -> list[str]:
        lines = [f"listener {port} 127.0.0.1", (self.folder / "out/mosquitto.conf").read_text()]
        lines += ["max_queued_messages 0", *(["user root"] if os.geteuid() == 0 else [])]
        config = self.folder / "guarded.conf"
        config.write_text("\n".join([*lines, ""]))
        return [str(find_mosquitto()), "-c", str(config)]


def fleet_of(folder: Path, url: str, count: int) -> FleetConfig:
    text = f'[fleet]\nroot = "acl"\n[broker]\nurl = "{url}"\nusername = "fleet"\n'
    text += 'password = { file = "fleet.pw" }\n'
    login = {"username": '"{id}"', "password": '{ file = "secrets/{id}" }'}
    (folder / "fleet.toml").write_text(text + group("phones", count=count, **login))
    return load_fleet(folder / "fleet.toml")


def password_of(folder: Path, name: str) -> tuple[str, str]:
    return name, (folder / "secrets" / name).read_text().strip()


async def attack(client: RawClient, number: int) -> None:
    """Publish forged messages of one kind for a device; the broker may end the connection."""
    topic = TOPICS.device(f"phones-{number:03}", LEAVES[number % len(LEAVES)])
    forged = json.dumps({"commandId": "forged", "actionName": "wipe", "status": "offline"})
    client.publish_soon(topic, forged.encode(), qos=number % 2, retain=number % 3 == 0)
    client.send(b"\xc0\x00")
    with contextlib.suppress(OSError, EOFError):
        while (await client.read())[0] != 0xD0:
            pass
    await client.drop()


async def exercise(config: FleetConfig, address: BrokerAddress, operator_login: str) -> None:
    """Send a command to each device while one device attacks all others."""
    folder, port = config.folder, address.port
    login = password_of(folder, HOSTILE)
    host = Host(config.devices()[:DEVICES], TOPICS, seed=7, clock=RealClock())
    await host.start(address, fresh=False)
    if operator_login == "operator":
        own = password_of(folder / "out", operator_login)
    else:
        own = (operator_login, (folder / "fleet.pw").read_text().strip())
    operator = await RawClient.connect(port, "operator-1", login=own)
    spy = await RawClient.connect(port, "spy", login=login)
    try:
        await operator.subscribe(*(TOPICS.device("+", leaf) for leaf in ("results", "state")))
        every = [f"phones-{n:03}" for n in range(1, DEVICES + 1)]
        await spy.subscribe("#", "acl/#", "acl/devices/+/commands", "+/+/+/+", "$SYS/#")
        await spy.subscribe(*(TOPICS.device(name, leaf) for name in every for leaf in LEAVES))
        await spy.subscribe(TOPICS.device(HOSTILE, "commands"))
        for number in range(1, DEVICES + 1):
            await attack(await RawClient.connect(port, f"attack-{number}", login=login), number)
        for name in every:
            command = {"commandId": f"c-{name}", "actionName": "resetPasscode"}
            topic = TOPICS.device(name, "commands")
            operator.publish_soon(topic, json.dumps(command).encode(), qos=0)
        results: list[dict[str, object]] = []
        while len(results) < DEVICES:
            message = await operator.message()
            assert b"forged" not in message.data
            if message.topic.endswith("/results"):
                results.append(json.loads(message.data))
        assert {(each["deviceId"], each["actionState"]) for each in results} == {
            (name, "done") for name in every
        }
        operator.publish_soon(TOPICS.device(HOSTILE, "commands"), b"its own", qos=0)
        seen = await spy.message()
        assert (seen.topic, seen.data) == (TOPICS.device(HOSTILE, "commands"), b"its own")
    finally:
        await operator.drop()
        await spy.drop()
        await host.stop(forget=True)


async def test_a_hostile_device_at_mosquitto(tmp_path: Path) -> None:
    need(MOSQUITTO)
    config = fleet_of(tmp_path, "mqtt://127.0.0.1:1", DEVICES + 1)
    files = access_files(config, tmp_path / "out")
    assert not files.missing
    written = write_access_files(files, tmp_path / "out", force=False)
    secret_files = [*written, tmp_path / "fleet.pw", *(tmp_path / "secrets").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret_files} == {0o600}
    server = Guarded(tmp_path)
    await server.start()
    try:
        password = (tmp_path / "fleet.pw").read_text().strip()
        url = f"mqtt://127.0.0.1:{server.port}"
        address = BrokerAddress.parse(url, username="fleet", password=password)
        await exercise(config, address, "operator")
    finally:
        server.kill()


@pytest.mark.parametrize("url", [EMBEDDED, MOSQUITTO])
async def test_a_hostile_device_at_a_broker_that_passfleet_starts(tmp_path: Path, url: str) -> None:
    need(url)
    config = fleet_of(tmp_path, url, DEVICES + 1)
    access_files(config, tmp_path / "out")  # creates the passwords
    async with open_broker(url, **config.login(url)) as broker:
        await exercise(config, broker.address, "fleet")


def test_without_a_folder_nothing_is_created(tmp_path: Path) -> None:
    config = fleet_of(tmp_path, EMBEDDED, 2)
    files = access_files(config, None)
    assert files.missing == ["fleet", "operator", "phones-001", "phones-002"]
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.toml"]
    assert "topic read acl/devices/phones-001/commands\n" in files.acl


def test_passwords_are_kept_and_files_are_not_overwritten(tmp_path: Path) -> None:
    config = fleet_of(tmp_path, EMBEDDED, 2)
    first = access_files(config, tmp_path / "out")
    write_access_files(first, tmp_path / "out", force=False)
    again = access_files(config, tmp_path / "out")
    assert [each.password for each in again.identities] == [
        each.password for each in first.identities
    ]
    with pytest.raises(FileError, match="exists already"):
        write_access_files(again, tmp_path / "out", force=False)
    write_access_files(again, tmp_path / "out", force=True)


def test_a_user_name_that_mosquitto_cannot_store_is_refused(tmp_path: Path) -> None:
    text = group("phones", count=1, username='"a:{id}"', password='{ env = "X" }')
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(UsageError, match="cannot be written into Mosquitto's files"):
        access_files(load_fleet(tmp_path / "fleet.toml"), None)


def test_a_device_may_not_have_the_operators_name(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(group("phones", count=1, id='"operator"'))
    with pytest.raises(UsageError, match="user name of the fleet or of the operator"):
        access_files(load_fleet(tmp_path / "fleet.toml"), None)
