"""Devices over TLS and WebSocket at an unmodified amqtt broker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from broker.address import BrokerAddress
from tests.support.brokers import free_port, listens, until
from tests.support.certificates import Certificates
from tests.support.fleet_processes import Server, fleet_text, hosted, phones
from tests.support.paho_operator import RESET

PHONE = "phones-001"
BURST = 300


class Stock(Server):
    """amqtt command with a listener for each scheme. Operators use plain TCP."""

    def __init__(self, folder: Path, scheme: str) -> None:
        super().__init__("amqtt", folder)
        self._folder = folder
        self._scheme = scheme
        self._other = free_port()

    @property
    def address(self) -> BrokerAddress:
        """Return the address of the listener under test."""
        ca = self._folder / "ca.pem" if self._scheme in {"mqtts", "wss"} else None
        return BrokerAddress.parse(f"{self._scheme}://127.0.0.1:{self._other}", ca=ca)

    def _argv(self, port: int) -> list[str]:
        other: dict[str, object] = {"bind": f"127.0.0.1:{self._other}", "type": "tcp"}
        if self._scheme in {"ws", "wss"}:
            other["type"] = "ws"
        if self._scheme in {"mqtts", "wss"}:
            certificates = Certificates(self._folder)
            certificates.server()
            other["ssl"] = True
            other["certfile"] = str(self._folder / "server.pem")
            other["keyfile"] = str(self._folder / "server.key")
        config = self._folder / "amqtt.yaml"
        plain = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        config.write_text(
            yaml.safe_dump({"listeners": {"default": plain, "other": other}, "plugins": plugins})
        )
        return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
async def test_fleet_runs_over_every_scheme(scheme: str, tmp_path: Path) -> None:
    server = Stock(tmp_path, scheme)
    await server.start()
    try:
        await until(lambda: listens(server.address.port))
        async with hosted(server, fleet_text(phones(count=2))) as (operator, host):
            sent = [operator.send(PHONE, RESET) for _ in range(BURST)]
            await until(lambda: len(operator.about(PHONE, "results")) >= BURST, limit=30)
            results = operator.about(PHONE, "results")
            assert [r["commandId"] for r in results] == sent
            assert {r["actionState"] for r in results} == {"done"}
            session = operator.about(PHONE, "presence")[-1]["session"]
            operator.simulate(PHONE, "dropConnection")
            await operator.present(PHONE, "online", beyond=session)
            operator.send("groups/phones", RESET, "after")
            await until(lambda: len(operator.results("after")) == len(host.devices))
            assert operator.state(PHONE)["version"] == BURST + 2
    finally:
        server.kill()
