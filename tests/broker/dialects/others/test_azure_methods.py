"""`azure-direct-methods` beside Microsoft's device client, on Mosquitto with TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiomqtt
import pytest

from broker.server.mosquitto import find_mosquitto
from broker.server.open import MOSQUITTO
from tests.support.brokers import free_port, listens, need, until
from tests.support.certificates import Certificates
from tests.support.dialect_packages import LineProcess, line_process
from tests.support.fleet_processes import Start
from tests.support.mqtt_recorder import Recorder, recording

HUB = "hub.azure-devices.net"
KEY = base64.b64encode(b"key of the device, 32 bytes long").decode()
DEVICE = "phone-1"
FLEET = f"""\
[broker]
url = "mqtts://localhost:PORT"
ca = "ca.pem"

[control]
url = "embedded"

[[group]]
name = "phones"
platform = "windows_10_mobile"
id = "phone-{{n}}"
count = 1
passcode = "2580"
dialect = "azure-direct-methods"
client_id = "{{id}}"
username = "{HUB}/{{id}}/?api-version=2021-04-12"
password = {{ sas_key = "secrets/{{id}}.key" }}
"""


@dataclass
class Hub:
    """Broker in the place of IoT Hub: `client` is the service, `answers` what devices publish."""

    folder: Path
    port: int
    client: aiomqtt.Client

    async def call(self, method: str, rid: str, payload: Any) -> tuple[str, Any]:
        """Call a method; return topic and payload of the answer."""
        await self.client.publish(
            f"$iothub/methods/POST/{method}/?$rid={rid}", json.dumps(payload), 1
        )
        async with asyncio.timeout(30):
            message = await anext(aiter(self.client.messages))
        return message.topic.value, json.loads(bytes(message.payload))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A broker with TLS."""
    need(MOSQUITTO)
    Certificates(tmp_path).server()
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"cafile {tmp_path}/ca.pem", "allow_anonymous true"]
    lines += [f"certfile {tmp_path}/server.pem", f"keyfile {tmp_path}/server.key"]
    lines += ["user root"] if os.geteuid() == 0 else []
    (tmp_path / "tls.conf").write_text("\n".join([*lines, ""]))
    with (tmp_path / "tls.log").open("wb") as log:
        broker = subprocess.Popen(  # noqa: ASYNC220
            [find_mosquitto(), "-c", tmp_path / "tls.conf"], stdout=log, stderr=log
        )
    try:
        await until(lambda: listens(port) or broker.poll() is not None)
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        async with aiomqtt.Client("localhost", port, tls_context=context) as client:
            await client.subscribe("$iothub/methods/res/#", 1)
            yield Hub(tmp_path, port, client)
    finally:
        broker.kill()
        broker.wait()


@contextlib.asynccontextmanager
async def reference(hub: Hub) -> AsyncIterator[tuple[Recorder, LineProcess]]:
    """Microsoft's client, connected."""
    async with recording(hub.folder, hub.port) as recorder:
        arguments = (HUB, str(recorder.port), DEVICE, KEY, str(hub.folder / "ca.pem"))
        async with line_process("azure.iot.device", "azure_device.py", *arguments) as client:
            assert await client.read() == {"connected": DEVICE}
            yield recorder, client


@contextlib.asynccontextmanager
async def virtual(hub: Hub, start: Start) -> AsyncIterator[Recorder]:
    """A virtual phone, connected."""
    (hub.folder / "secrets").mkdir()
    (hub.folder / "secrets" / f"{DEVICE}.key").write_text(KEY)
    (hub.folder / "secrets" / f"{DEVICE}.key").chmod(0o600)
    async with recording(hub.folder, hub.port) as recorder:
        (hub.folder / "fleet.toml").write_text(FLEET.replace("PORT", str(recorder.port)))
        fleet = start("up")
        assert (await fleet.ready()).startswith("ready devices=1"), fleet.err
        yield recorder


def signed(token: str) -> tuple[str, bool]:
    """(resource, whether the signature is right and lasts at least a minute) of a SAS token."""
    kind, _, rest = token.partition(" ")
    assert kind == "SharedAccessSignature"
    parts = dict(each.split("=", 1) for each in rest.split("&"))
    text = f"{parts['sr']}\n{parts['se']}".encode()
    digest = hmac.new(base64.b64decode(KEY), text, hashlib.sha256).digest()
    right = unquote(parts["sig"]) == base64.b64encode(digest).decode()
    return unquote(parts["sr"]), right and int(parts["se"]) > time.time() + 60


@pytest.mark.timeout(200)
async def test_phone_connects_as_the_reference_client_does(hub: Hub, start: Start) -> None:
    async with reference(hub) as (recorder, _):
        theirs = recorder
    async with virtual(hub, start) as ours:
        pass
    their, our = theirs.connects[0], ours.connects[-1]
    assert (our.level, our.client_id) == (their.level, their.client_id)
    # `up` first tries the broker, with the login of its first device.
    assert {each.username for each in ours.connects} == {our.username}
    assert our.clean_session == their.clean_session
    name = f"{HUB}/{DEVICE}/?api-version="
    assert our.username.startswith(name)
    assert their.username.startswith(name)
    assert signed(their.password) == (f"{HUB}/devices/{DEVICE}", True)
    assert signed(our.password) == signed(their.password)
    assert set(theirs.filters) <= set(ours.filters)
    assert quote(KEY, safe="") not in our.password


@pytest.mark.timeout(200)
async def test_phone_answers_a_method_as_the_reference_client_does(hub: Hub, start: Start) -> None:
    async with reference(hub) as (recorder, client):
        topic, payload = await hub.call("resetPasscode", "41", {"issuedBy": "user"})
        assert await client.read() == {
            "method": "resetPasscode",
            "rid": "41",
            "payload": {"issuedBy": "user"},
        }
        theirs = recorder.publishes[-1]
        assert (topic, payload) == ("$iothub/methods/res/200/?$rid=41", {"issuedBy": "user"})
    async with virtual(hub, start) as recorder:
        topic, payload = await hub.call("resetPasscode", "41", {"issuedBy": "user"})
        assert payload["message"] == "Passcode successfully reset"
        assert len(payload["newPasscode"]) >= 4
        ours = next(each for each in recorder.publishes if each.topic == topic)
        assert (ours.topic, ours.qos, ours.retain) == (theirs.topic, theirs.qos, theirs.retain)
        topic, payload = await hub.call("makeCoffee", "42", {})
        assert topic == "$iothub/methods/res/400/?$rid=42"
        assert payload["errorCode"] == "unknownAction"
        topic, payload = await hub.call("remoteLock", "43", None)
        assert topic.endswith("/?$rid=43")


@pytest.mark.timeout(200)
async def test_phone_takes_the_messages_that_the_reference_client_takes(
    hub: Hub, start: Start
) -> None:
    topic = (
        f"devices/{DEVICE}/messages/devicebound/%24.mid=m-1"
        f"&%24.to=%2Fdevices%2F{DEVICE}%2Fmessages%2FdeviceBound&kind=command"
    )
    command = json.dumps({"actionName": "remoteLock", "commandId": "c-7"})
    async with reference(hub) as (_, client):
        await hub.client.publish(topic, command, 1)
        taken = await client.read()
        assert (taken["message"], taken["id"]) == (command, "m-1")
    async with virtual(hub, start) as recorder:
        await hub.client.publish(topic, command, 1)
        events = f"devices/{DEVICE}/messages/events/"
        await until(lambda: any(each.topic == events for each in recorder.publishes))
        event = next(each for each in recorder.publishes if each.topic == events)
        answer = json.loads(event.payload)
        assert (answer["commandId"], answer["status"]) == ("c-7", 200)
