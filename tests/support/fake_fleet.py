"""Minimal fleet that follows the contract, for tests of operators.

One connection plays all devices and their host; a test sets the behaviour of each device.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt

from broker.contract import Biometrics, ClockNow, DeviceState, Inspection, Presence, Topics
from broker.operator.connect import open_client
from broker.server.child_process import BrokerHandle
from broker.timestamps import format_timestamp, parse_timestamp

LIMIT = 40.0
"""Seconds that anything may take before a test gives up."""
NOW = parse_timestamp("2015-12-10T20:19:07Z")
NEW_PASSCODE = "k3Wq9T"


@dataclass
class Fake:
    """One device. `manner`: `done`, `failed`, `notSupported`, `silent`, `slow` or `duplicate`."""

    device_id: str
    platform: str = "ios"
    group: str = "phones"
    manner: str = "done"
    online: bool = True
    session: int = 1
    version: int = 1
    new_passcode: str | None = None

    def state(self) -> bytes:
        return DeviceState(
            device_id=self.device_id,
            platform=self.platform,
            management="standalone",
            group=self.group,
            owner="alex",
            current_user="alex",
            locked=True,
            passcode="user",
            passcode_deadline=None,
            compliance="compliant",
            biometrics=Biometrics(touch_id="none", face="none"),
            failed_attempts=0,
            wiped=False,
            enrolled=True,
            lost_mode=False,
            last_check_in=None,
            version=self.version,
        ).to_bytes()

    def presence(self) -> bytes:
        status = "online" if self.online else "offline"
        return Presence(status=status, session=self.session).to_bytes()  # type: ignore[arg-type]


@dataclass
class FakeFleet:
    """Fake devices and the messages that they received."""

    client: aiomqtt.Client
    topics: Topics
    devices: dict[str, Fake]
    heard: list[tuple[str, Any]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def announce(self) -> None:
        for device in self.devices.values():
            await self.say(device, "state", device.state(), retain=True)
            await self.say(device, "presence", device.presence(), retain=True)

    async def say(
        self, device: Fake, leaf: str, payload: bytes | Mapping[str, Any], *, retain: bool = False
    ) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        topic = self.topics.device(device.device_id, leaf)
        await self.client.publish(topic, data, qos=1, retain=retain)

    async def set_clock(self, now: int, clock: str = "virtual", *, real: int = NOW) -> None:
        message = ClockNow(now=now, clock=clock, real_date_time=real)
        await self.client.publish(self.topics.clock_now, message.to_bytes(), qos=1, retain=True)

    async def reached(self, topic: str) -> Any:
        """The first message on a topic, within the limit."""

        def found() -> bool:
            return any(name == topic for name, _ in self.heard)

        async with asyncio.timeout(LIMIT), self._changed:
            await self._changed.wait_for(found)
        return next(document for name, document in self.heard if name == topic)

    def sent_to(self, topic: str) -> list[Any]:
        return [document for name, document in self.heard if name == topic]

    async def live(self) -> None:
        async for message in self.client.messages:
            topic = message.topic.value
            document = json.loads(message.payload)
            # Recorded before the answer: a test that has the answer finds the request here.
            async with self._changed:
                self.heard.append((topic, document))
                self._changed.notify_all()
            await self._take(topic, document)

    async def _take(self, topic: str, document: dict[str, Any]) -> None:
        if topic == self.topics.clock:
            await self.set_clock(parse_timestamp(document["to"]))
        elif topic.startswith(f"{self.topics.root}/groups/"):
            group = topic.split("/")[-2]
            for device in self.devices.values():
                if group in ("all", device.group):
                    await self._obey(device, document)
        elif parts := self.topics.split(topic):
            device = self.devices.get(parts[0], Fake(parts[0], manner="silent"))
            if parts[1] == "commands":
                await self._obey(device, document)
            elif parts[1] == "inputs":
                await self._press(device, document)
            elif parts[1] == "simulate":
                await self._simulate(device, document["action"])
            elif parts[1] == "inspect":
                inspection = Inspection(
                    device_id=device.device_id,
                    policy=None,
                    results=[self.result(device, {"commandId": "c-1", "actionName": "syncDevice"})],
                    notifications=[],
                )
                await self.say(device, "inspection", inspection.to_bytes())

    def result(self, device: Fake, command: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        failed = device.manner == "failed"
        state = device.manner if device.manner in ("failed", "notSupported") else "done"
        return {
            "commandId": command["commandId"],
            "deviceId": device.device_id,
            "actionName": command["actionName"],
            "actionState": state,
            "message": "Passcode successfully reset" if state == "done" else "It did not work.",
            "newPasscode": device.new_passcode,
            "errorCode": "policyViolation" if failed else None,
            "startDateTime": format_timestamp(NOW),
            "lastUpdatedDateTime": format_timestamp(NOW),
            "duplicate": device.manner == "duplicate",
            "native": None,
            **more,
        }

    async def _obey(self, device: Fake, command: Mapping[str, Any]) -> None:
        if device.manner == "silent":
            return
        if device.manner == "slow":
            active = self.result(device, command, actionState="active", message="In progress")
            await self.say(device, "results", active)
        # What others send to the same topic must not disturb.
        await self.say(device, "results", b"not JSON")
        await self.say(device, "results", {"commandId": command["commandId"], "surprise": True})
        await self.say(device, "results", self.result(device, command, laterKey=1))

    async def _press(self, device: Fake, press: Mapping[str, Any]) -> None:
        if device.manner == "silent":
            return
        wrong = press.get("passcode") == "0000"
        answer = self.result(device, {"commandId": None, "actionName": press["action"]})
        del answer["commandId"]
        answer["inputId"] = press["inputId"]
        answer["newPasscode"] = None
        if wrong:
            answer |= {"actionState": "failed", "errorCode": "wrongPasscode"}
        await self.say(device, "results", answer)

    async def _simulate(self, device: Fake, action: str) -> None:
        if device.manner == "silent":
            return
        if action == "restore":
            await self.say(device, "state", device.state(), retain=True)
            return
        if action != "online" and device.online:
            device.online = False
            await self.say(device, "presence", device.presence(), retain=True)
        if action != "offline":
            late = device.presence()
            device.online = True
            device.session += 1
            await self.say(device, "presence", device.presence(), retain=True)
            # The Last Will of the connection before, late as it may be.
            await self.say(device, "presence", late, retain=True)
            await self.say(device, "presence", device.presence(), retain=True)


@asynccontextmanager
async def fake_fleet(
    broker: BrokerHandle, *devices: Fake, topics: Topics | None = None
) -> AsyncIterator[FakeFleet]:
    """The devices, announced, subscribed and answering."""
    topics = topics or Topics()
    client = open_client(broker.address, "fake-fleet")
    async with client:
        fleet = FakeFleet(client, topics, {device.device_id: device for device in devices})
        for leaf in ("commands", "inputs", "simulate", "inspect"):
            await client.subscribe(topics.device("+", leaf), qos=1)
        await client.subscribe(topics.group("+"), qos=1)
        await client.subscribe(topics.clock, qos=1)
        await fleet.announce()
        task = asyncio.create_task(fleet.live(), name="fake fleet")
        try:
            yield fleet
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
