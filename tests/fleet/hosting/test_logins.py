"""Devices with certificates of their own, at a broker that lets each use its own topics only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.clock import RealClock
from broker.address import BrokerAddress
from broker.contract import Topics
from broker.server.mosquitto import find_mosquitto
from broker.server.open import EMBEDDED, MOSQUITTO
from fleet.config.loader import load_fleet
from fleet.hosting.host import Host
from fleet.hosting.probed import probed_address
from tests.support.brokers import free_port, listens, need, until
from tests.support.certificates import Certificates
from tests.support.fleet_files import group
from tests.support.fleet_processes import Server, running
from tests.support.paho_operator import WireOperator

DIALECT = """\
[fleet]
root = "logins"
[control]
url = "embedded"
[dialects.acme.command]
topic = "acme/{deviceId}/cmd/{commandId}"
payload = { op = "{actionName}" }
[dialects.acme.result]
topic = "acme/{deviceId}/ack/{commandId}"
payload = { status = "{actionState}" }
"""


class Strict(Server):
    """Mosquitto: TLS with client certificates and an ACL; the back-end uses another listener."""

    def __init__(self, folder: Path) -> None:
        super().__init__(MOSQUITTO, folder)
        self.folder = folder
        self.tls = free_port()

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress.parse(f"mqtts://127.0.0.1:{self.tls}", ca=self.folder / "ca.pem")

    def _argv(self, port: int) -> list[str]:
        (self.folder / "acl").write_text("pattern readwrite acme/%u/#\n")
        lines = [
            "per_listener_settings true",
            f"listener {port} 127.0.0.1",
            "allow_anonymous true",
            f"listener {self.tls} 127.0.0.1",
            f"cafile {self.folder}/ca.pem",
            f"certfile {self.folder}/server.pem",
            f"keyfile {self.folder}/server.key",
            "require_certificate true",
            "use_identity_as_username true",
            f"acl_file {self.folder}/acl",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        config = self.folder / "strict.conf"
        config.write_text("\n".join([*lines, ""]))
        return [str(find_mosquitto()), "-c", str(config)]


async def test_each_device_has_its_certificate_and_operators_their_broker(tmp_path: Path) -> None:
    need(MOSQUITTO)
    certificates = Certificates(tmp_path)
    certificates.server()
    for name in ("phones-001", "phones-002"):
        certificates.signed(name, "extendedKeyUsage=clientAuth")
    options: dict[str, Any] = {"count": 2, "dialect": '"acme"', "client_id": '"{id}"'}
    options |= {"cert": '"{id}.pem"', "key": '"{id}.key"'}
    (tmp_path / "fleet.toml").write_text(DIALECT + group("phones", **options))
    config = load_fleet(tmp_path / "fleet.toml")
    config.check_logins()
    server = Strict(tmp_path)
    await server.start()
    control_folder = tmp_path / "control"
    control_folder.mkdir()
    try:
        await until(lambda: listens(server.tls))
        assert probed_address(config, server.address).cert == tmp_path / "phones-001.pem"
        async with (
            running(EMBEDDED, control_folder) as control,
            WireOperator.connected(server.port, "acme") as backend,
            WireOperator.connected(control.port, "logins") as operator,
        ):
            host = Host(config.devices(), Topics("logins"), seed=7, clock=RealClock())
            await host.start(server.address, control=control.address, fresh=False)
            try:
                for name in ("phones-001", "phones-002"):
                    await backend.publish(f"{name}/cmd/c-1", b'{"op":"resetPasscode"}')
                    await operator.shows(name, passcode="temporary")
                await until(lambda: sum("/ack/" in s.topic for s in backend.seen) == 2)
                answers = [s.payload for s in backend.seen if "/ack/" in s.topic]
                assert [json.loads(each) for each in answers] == [{"status": "done"}] * 2
                assert (await operator.do("phones-001"))["actionState"] == "done"
                session = operator.about("phones-001", "presence")[-1]["session"]
                operator.simulate("phones-001", "dropConnection")
                await operator.present("phones-001", "online", beyond=session)
            finally:
                await host.stop(forget=True)
    finally:
        server.kill()


@pytest.mark.parametrize("server", [EMBEDDED], indirect=True)
async def test_a_client_id_of_its_own(server: Server, tmp_path: Path) -> None:
    text = '[fleet]\nroot = "own"\n' + group("phones", client_id='"dev-{n}"')
    (tmp_path / "fleet.toml").write_text(text)
    host = Host(
        load_fleet(tmp_path / "fleet.toml").devices(), Topics("own"), seed=7, clock=RealClock()
    )
    async with WireOperator.connected(server.port, "own") as operator:
        await host.start(server.address, fresh=False)
        try:
            assert host.devices["phones-001"].connection.client_id == "dev-1"
            assert (await operator.do("phones-001"))["actionState"] == "done"
        finally:
            await host.stop(forget=True)
