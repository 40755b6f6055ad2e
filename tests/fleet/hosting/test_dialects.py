"""Devices that speak a dialect, on real brokers: the back-end's side and the operators' side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.clock import RealClock
from broker.contract import Topics
from broker.server.open import EMBEDDED
from fleet.config.loader import parse_fleet
from fleet.hosting.counters import FleetCounters
from fleet.hosting.host import Host
from tests.support.brokers import until
from tests.support.fleet_files import group
from tests.support.fleet_processes import Server, both, fleet_text, running
from tests.support.paho_operator import WireOperator

ACME = """\
[dialects.acme.command]
topic = "acme/{deviceId}/cmd/{commandId}"
payload = { op = "{actionName}", by = "{issuedBy=admin}", ticket = "{ticket?}" }
[dialects.acme.result]
topic = "acme/{deviceId}/ack/{commandId}"
payload.status = "{actionState}"
payload.text = "{message}"
payload.code = "{errorCode?}"
payload.ticket = "{ticket?}"
[dialects.acme.presence]
topic = "acme/{deviceId}/up"
payload = "{status}"
[dialects.acme.state]
topic = "acme/{deviceId}/state"
payload = { code = "{passcode}" }
retain = true
[dialects.acme.connect]
topic = "acme/{deviceId}/hello"
qos = 0
payload = { who = "{owner}" }
[dialects.acme.rejected]
topic = "acme/{deviceId}/no/{commandId}"
payload = { code = "{code?}" }
[dialects.acme.words]
actionName = { resetPasscode = "PIN_RESET", remoteLock = "LOCK" }
actionState = { active = "RUNNING", done = "OK", failed = "ERROR", notSupported = "REJECTED" }
"""
HUB = """\
[dialects.hub.command]
topic = "hub/rpc"
only_with = "data.method"
payload = { device = "{deviceId}", data = { id = "{rid}", method = "{actionName}" } }
[dialects.hub.result]
topic = "hub/rpc"
states = ["done", "failed", "notSupported"]
payload = { device = "{deviceId}", id = "{rid}", data = { state = "{actionState}" } }
[[dialects.hub.connect]]
topic = "hub/connect"
payload = { device = "{deviceId}" }
"""


@dataclass
class Rig:
    """A back-end, an operator, and the hosted devices."""

    backend: WireOperator
    operator: WireOperator
    host: Host
    counters: FleetCounters

    async def published(self, topic: str, count: int = 1) -> list[Any]:
        """Wait for messages on a topic of the back-end; their payloads as text."""
        full = f"{self.backend.root}/{topic}"

        def found() -> list[str]:
            return [s.payload.decode() for s in list(self.backend.seen) if s.topic == full]

        await until(lambda: len(found()) >= count)
        return found()


@contextlib.asynccontextmanager
async def hosted(
    server: Server, text: str, prefix: str, control: Server | None = None
) -> AsyncIterator[Rig]:
    config = parse_fleet(text)
    counters = FleetCounters()
    port = (control or server).port
    async with (
        WireOperator.connected(server.port, prefix) as backend,
        WireOperator.connected(port, config.root) as operator,
    ):
        host = Host(
            config.devices(),
            Topics(config.root),
            seed=config.seed,
            clock=RealClock(),
            known=config.known,
            on_effect=counters.on_effect,
            on_dialect_event=counters.on_dialect_event,
        )
        address = None if control is None else control.address
        await host.start(server.address, control=address, fresh=False)
        try:
            yield Rig(backend, operator, host, counters)
        finally:
            await host.stop(forget=True)


def acme(**options: Any) -> str:
    return fleet_text(ACME, group("phones", **{"dialect": '"acme"', "count": 2, **options}))


@both
async def test_a_command_of_the_back_end_is_answered_there_and_seen_by_operators(
    server: Server,
) -> None:
    async with hosted(server, acme(), "acme") as rig:
        assert await rig.published("phones-001/up") == ["online"]
        assert json.loads((await rig.published("phones-001/hello"))[0]) == {"who": "user1"}
        payload = b'{"op":"PIN_RESET","ticket":17,"more":1}'
        await rig.backend.publish("phones-001/cmd/c-1", payload)
        (answer,) = await rig.published("phones-001/ack/c-1")
        assert json.loads(answer) == {
            "status": "OK",
            "text": "Passcode successfully reset",
            "ticket": 17,
        }
        assert '{"code":"temporary"}' in await rig.published("phones-001/state", 2)
        await rig.operator.shows("phones-001", passcode="temporary")
        await until(lambda: bool(rig.operator.results("c-1")))
        assert rig.operator.results("c-1")[0]["newPasscode"]
        # Exactly once: the same command again is answered from memory.
        await rig.backend.publish("phones-001/cmd/c-1", payload)
        assert len(await rig.published("phones-001/ack/c-1", 2)) == 2
        assert rig.counters.commands == 1


@both
async def test_operators_control_devices_and_their_results_stay_with_them(server: Server) -> None:
    async with hosted(server, acme(), "acme") as rig:
        result = await rig.operator.do("phones-002")
        assert result["actionState"] == "done"
        assert (await rig.operator.tap("phones-002", "swipeUp"))["actionState"] == "failed"
        assert not [s for s in rig.backend.seen if "/ack/" in s.topic]
        rig.operator.simulate("phones-002", "offline")
        session = await rig.operator.present("phones-002", "offline")
        assert (await rig.published("phones-002/up", 2))[-1] == "offline"
        await rig.backend.publish("phones-002/cmd/c-2", b'{"op":"LOCK"}')
        rig.operator.simulate("phones-002", "online")
        await rig.operator.present("phones-002", "online", beyond=session)
        assert await rig.published("phones-002/ack/c-2")
        rig.operator.simulate("phones-002", "restart")
        await rig.operator.present("phones-002", "online", beyond=session + 1)
        assert (await rig.published("phones-002/up", 5))[-2:] == ["offline", "online"]


@pytest.mark.parametrize("server", [EMBEDDED], indirect=True)
async def test_a_message_that_does_not_fit_is_answered_or_counted(server: Server) -> None:
    async with hosted(server, acme(), "acme") as rig:
        for number, (payload, code) in enumerate(
            [
                (b'{"op":"DANCE"}', "unknownAction"),
                (b'{"op":"resetPasscode"}', "unknownAction"),
                (b"{", "invalidJson"),
                (b"{}", "invalidCommand"),
                (b"[]", "invalidCommand"),
                (b'{"op":{}}', "invalidCommand"),
                (b'{"op":"PIN_RESET","by":"dog"}', "invalidCommand"),
                (b"[" * 5_000, "invalidJson"),
            ]
        ):
            await rig.backend.publish(f"phones-001/cmd/bad-{number}", payload)
            (answer,) = await rig.published(f"phones-001/ack/bad-{number}")
            assert json.loads(answer)["code"] == code
            assert json.loads(answer)["status"] == "ERROR"
        await rig.backend.publish("phones-001/cmd/kept", b'{"op":"PIN_RESET"}', retain=True)
        await rig.backend.publish("phones-001/no/c-9", b'{"code":"VersionMismatch"}')
        await until(lambda: rig.counters.dialect_events["acme", "rejected"] == 1)
        assert rig.counters.dialect_events["acme", "refused"] >= 8
        assert (await rig.operator.do("phones-001"))["actionState"] == "done"


@both
async def test_devices_share_a_connection_to_the_back_end(server: Server) -> None:
    text = fleet_text(HUB, group("phones", dialect='"hub"', count=3, connection='"shared"'))
    async with hosted(server, text, "hub") as rig:
        await rig.published("connect", 3)
        request = {"device": "phones-002", "data": {"id": 5, "method": "resetPasscode"}}
        await rig.backend.publish("rpc", json.dumps(request).encode())
        answer = json.loads((await rig.published("rpc", 2))[-1])
        assert answer == {"device": "phones-002", "id": 5, "data": {"state": "done"}}
        await rig.operator.shows("phones-002", passcode="temporary")
        await rig.operator.shows("phones-001", passcode="user")
        request["device"] = "nobody"
        await rig.backend.publish("rpc", json.dumps(request).encode())
        await until(lambda: rig.counters.dialect_events["hub", "unmatched"] == 1)
        assert rig.counters.commands == 1


@both
async def test_operators_use_a_broker_of_their_own(server: Server, tmp_path: Path) -> None:
    async with running(EMBEDDED, tmp_path) as control:
        text = acme() + '\n[control]\nurl = "embedded"\n' + group("plain", "ios")
        async with hosted(server, text, "acme", control) as rig:
            assert (await rig.operator.do("phones-001"))["actionState"] == "done"
            assert (await rig.operator.do("plain-001"))["actionState"] == "done"
            await rig.backend.publish("phones-001/cmd/c-1", b'{"op":"PIN_RESET"}')
            await rig.published("phones-001/ack/c-1")
            await until(lambda: bool(rig.operator.results("c-1")))
            assert {s.topic.split("/")[0] for s in rig.backend.seen} == {"acme"}


@both
async def test_nothing_retained_is_left_behind(server: Server) -> None:
    async with hosted(server, acme(), "acme") as rig:
        await rig.published("phones-001/state")
    async with WireOperator.connected(server.port, "acme") as later:
        await later.publish("marker", b"1")
        await until(lambda: any(s.leaf == "marker" for s in later.seen))
        assert [s.topic for s in later.seen if s.retained] == []
