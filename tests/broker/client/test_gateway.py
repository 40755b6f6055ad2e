"""Devices behind a gateway behave like devices with separate connections."""

from __future__ import annotations

from typing import Any

import pytest

from agent.runner import Device
from broker.client.client_ids import device_client_id, gateway_client_id
from tests.support.brokers import until
from tests.support.fleet_processes import Server, both, fleet_text, hosted, phones
from tests.support.paho_operator import LOCK, RESET, retained, session_present

PHONE = "phones-001"


def behind(**options: Any) -> str:
    return phones(connection='"shared"', **options)


@both
async def test_devices_behind_a_gateway_answer_device_and_group_commands(server: Server) -> None:
    text = fleet_text(behind(count=30), phones("ios", "own"))
    async with hosted(server, text) as (operator, host):
        result = await operator.do(PHONE)
        assert result["newPasscode"]
        answer = await operator.tap(PHONE, "enterPasscode", passcode=result["newPasscode"])
        assert answer["actionState"] == "done"
        for where, count in (("groups/phones", 30), ("groups/all", 31)):
            command = operator.send(where, LOCK)
            await until(lambda: len(operator.results(command)) == count)  # noqa: B023
            assert {r["deviceId"] for r in operator.results(command)} <= set(host.devices)
        assert not await session_present(server.port, device_client_id(operator.root, PHONE))


@both
async def test_bad_payloads_behind_a_gateway_are_answered(server: Server) -> None:
    async with hosted(server, fleet_text(behind(count=2))) as (operator, _):
        assert (await operator.refused(PHONE, b""))["errorCode"] == "invalidJson"
        assert (await operator.refused(PHONE, b"[" * 70_000))["errorCode"] == "payloadTooLarge"
        assert (await operator.do(PHONE))["actionState"] == "done"


@both
async def test_a_command_for_a_device_without_network_waits_at_the_gateway(server: Server) -> None:
    async with hosted(server, fleet_text(behind(count=2))) as (operator, _):
        operator.simulate(PHONE, "offline")
        session = await operator.present(PHONE, "offline")
        waiting = operator.send(PHONE, RESET)
        group = operator.send("groups/phones", LOCK)
        await until(lambda: len(operator.results(group)) == 1)
        assert operator.results(waiting) == []
        operator.simulate(PHONE, "online")
        assert await operator.present(PHONE, "online", beyond=session) > session
        await until(
            lambda: len(operator.results(waiting)) == 1 and len(operator.results(group)) == 2
        )


@both
async def test_a_crash_behind_a_gateway_loses_no_command(server: Server) -> None:
    text = fleet_text(behind(count=1, reaction='"1500ms"'))
    async with hosted(server, text) as (operator, _):
        command = operator.send(PHONE, RESET)
        await until(lambda: len(operator.results(command)) == 1)
        assert operator.results(command)[0]["actionState"] == "active"
        operator.simulate(PHONE, "crash")
        await operator.present(PHONE, "online", beyond=1)
        await until(lambda: any(r["actionState"] == "done" for r in operator.results(command)))
        assert operator.state(PHONE)["version"] == 2


@both
async def test_reconnected_gateway_continues_with_its_devices(server: Server) -> None:
    async with hosted(server, fleet_text(behind(count=5))) as (operator, host):
        gateway = host.devices[PHONE].connection._gateway.connection  # type: ignore[union-attr]
        gateway.drop()
        for device in host.devices:
            await operator.present(device, "online", beyond=1)
        assert (await operator.do(PHONE))["actionState"] == "done"


@both
async def test_a_gateway_leaves_nothing_behind(server: Server) -> None:
    async with hosted(server, fleet_text(behind(count=5))) as (operator, _):
        root = operator.root
        await operator.do(PHONE)
    assert await retained(server.port, root) == {}
    assert not await session_present(server.port, gateway_client_id(root, 0))


@both
async def test_failing_device_stops_no_other_device_behind_the_gateway(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = Device.on_message

    def fails(device: Device, topic: str, *rest: Any) -> None:
        if device.id == PHONE:
            raise LookupError
        arrived(device, topic, *rest)

    monkeypatch.setattr(Device, "on_message", fails)
    async with hosted(server, fleet_text(behind(count=3))) as (operator, host):
        operator.send(PHONE, LOCK)
        for _ in range(2):
            command = operator.send("groups/phones", LOCK)
            await until(lambda: len(operator.results(command)) == 2)  # noqa: B023
        assert (await operator.do("phones-002"))["actionState"] == "done"
        # It is done with what it failed at, which does not come again for ever.
        failed: list[str] = []
        monkeypatch.setattr(Device, "on_message", lambda device, *_: failed.append(device.id))
        operator.simulate(PHONE, "dropConnection")
        await operator.present(PHONE, "online", beyond=1)
        await host.settle()
        assert failed == []
