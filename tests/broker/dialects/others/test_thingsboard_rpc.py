"""ThingsBoard dialects with the examples of ThingsBoard's documentation, on Mosquitto.

https://thingsboard.io/docs/reference/mqtt-api/#rpc-api
https://thingsboard.io/docs/reference/gateway-mqtt-api/#rpc-api
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from broker.server.open import MOSQUITTO
from tests.support.fleet_processes import Start, running

DEVICE = """\
[[group]]
name = "phones"
platform = "android"
count = 1
dialect = "thingsboard-rpc"
username = "token-{id}"
"""
GATEWAY = """\
[[group]]
name = "phones"
platform = "android"
count = 2
dialect = "thingsboard-gateway"
connection = "shared"
"""


async def asked(
    folder: Path, start: Start, group: str, topics: tuple[str, str], request: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Send a request on the first of `topics`; return topic and payload of the answer."""
    async with running(MOSQUITTO, folder) as server:
        text = f'[broker]\nurl = "{server.url}"\n[control]\nurl = "embedded"\n{group}'
        (folder / "fleet.toml").write_text(text)
        async with aiomqtt.Client("127.0.0.1", server.port) as client, asyncio.timeout(60):
            await client.subscribe(topics[1], 1)
            fleet = start("up")
            assert (await fleet.ready()).startswith("ready"), fleet.err
            await client.publish(topics[0], json.dumps(request), 1)
            async for message in client.messages:
                payload = json.loads(bytes(message.payload))
                if payload != request:
                    return message.topic.value, payload
    raise AssertionError


@pytest.mark.timeout(120)
async def test_documented_request_of_a_device_is_answered(tmp_path: Path, start: Start) -> None:
    topics = ("v1/devices/me/rpc/request/1", "v1/devices/me/rpc/response/+")
    request = {"method": "setGpio", "params": {"pin": "23", "value": 1}}
    topic, payload = await asked(tmp_path, start, DEVICE, topics, request)
    assert topic == "v1/devices/me/rpc/response/1"
    assert (payload["actionState"], payload["errorCode"]) == ("failed", "unknownAction")


@pytest.mark.timeout(120)
async def test_documented_request_of_a_gateway_is_answered(tmp_path: Path, start: Start) -> None:
    topics = ("v1/gateway/rpc", "v1/gateway/rpc")
    request = {
        "device": "phones-002",
        "data": {"id": 1, "method": "resetPasscode", "params": {"pin": 1}},
    }
    _, payload = await asked(tmp_path, start, GATEWAY, topics, request)
    assert (payload["device"], payload["id"]) == ("phones-002", 1)
    assert payload["data"]["message"] == "Passcode successfully reset"
