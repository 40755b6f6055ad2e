"""An operator on plain paho-mqtt, as an outsider would write one: topics and JSON, no more."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.brokers import until

RESET = "resetPasscode"
LOCK = "remoteLock"
_numbers = count(1)


@dataclass(frozen=True)
class Seen:
    """A message as it came."""

    topic: str
    payload: bytes
    retained: bool

    @property
    def device(self) -> str:
        """The device it is about, empty for none."""
        levels = self.topic.split("/devices/")
        return levels[1].split("/")[0] if len(levels) > 1 else ""

    @property
    def leaf(self) -> str:
        """The last level of the topic."""
        return self.topic.rpartition("/")[2]

    @property
    def document(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


class WireOperator:
    """MQTT client of an operator that stores all messages below the root."""

    def __init__(self, port: int, root: str) -> None:
        self.root = root
        self.seen: list[Seen] = []
        self._accepted: set[int] = set()
        self._subscribed = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"operator-{next(_numbers)}"
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(1000)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._port = port

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int, root: str) -> AsyncIterator[WireOperator]:
        """An operator who sees everything below `root`, retained messages first."""
        operator = cls(port, root)
        operator._client.connect("127.0.0.1", port)
        operator._client.loop_start()
        try:
            await until(lambda: operator._subscribed > 0)
            yield operator
        finally:
            operator._client.disconnect()
            operator._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"{self.root}/#", 1)

    def _on_subscribe(self, *_: Any) -> None:
        self._subscribed += 1

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.seen.append(Seen(message.topic, bytes(message.payload), message.retain))

    def _on_publish(self, _client: Any, _data: Any, mid: int, *_: Any) -> None:
        self._accepted.add(mid)

    # -- sending -------------------------------------------------------------------------------

    def send_raw(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> int:
        """Publish below the root and do not wait."""
        return self._client.publish(f"{self.root}/{topic}", payload, qos=qos, retain=retain).mid

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish below the root; returns once the broker has it."""
        mid = self.send_raw(topic, payload, qos=qos, retain=retain)
        await until(lambda: mid in self._accepted)

    def command(self, action: str = RESET, command_id: str | None = None, **more: Any) -> Any:
        """A command as a document."""
        return {"commandId": command_id or f"c-{next(_numbers)}", "actionName": action, **more}

    def send(self, device: str, action: str = RESET, *args: str, **more: Any) -> str:
        """Send a command to a device, or to a group as `groups/<name>`; returns its id."""
        command = self.command(action, *args, **more)
        where = device if device.startswith("groups/") else f"devices/{device}"
        self.send_raw(f"{where}/commands", json.dumps(command).encode())
        return str(command["commandId"])

    async def do(self, device: str, action: str = RESET, *args: str, **more: Any) -> Any:
        """Send a command to a device and return its last result."""
        already = len(self.about(device, "results"))
        command_id = self.send(device, action, *args, **more)

        def final() -> list[Any]:
            results = self.about(device, "results")[already:]
            return [r for r in results if r.get("commandId") == command_id and not_active(r)]

        await until(lambda: bool(final()))
        return final()[-1]

    async def tap(self, device: str, action: str, input_id: str | None = None, **more: Any) -> Any:
        """Press on a device and return the answer."""
        already = len(self.about(device, "results"))
        press = {"inputId": input_id or f"i-{next(_numbers)}", "action": action, **more}
        self.send_raw(f"devices/{device}/inputs", json.dumps(press).encode())

        def answers() -> list[Any]:
            results = self.about(device, "results")[already:]
            return [r for r in results if r.get("inputId") == press["inputId"]]

        await until(lambda: bool(answers()))
        return answers()[-1]

    async def refused(self, device: str, payload: bytes, leaf: str = "commands") -> Any:
        """Send a payload to a device and return the next thing on its results."""
        already = len(self.about(device, "results"))
        self.send_raw(f"devices/{device}/{leaf}", payload)
        await until(lambda: len(self.about(device, "results")) > already)
        return self.about(device, "results")[already]

    def simulate(self, device: str, action: str) -> None:
        """Let the world do something to a device."""
        self.send_raw(f"devices/{device}/simulate", json.dumps({"action": action}).encode())

    async def move_clock(self, to: str) -> Any:
        """Move virtual time; returns the answer, given once all that was due is published."""
        already = len([s for s in self.seen if s.topic == f"{self.root}/clock/now"])
        self.send_raw("clock", json.dumps({"to": to}).encode())

        def answers() -> list[Seen]:
            return [s for s in self.seen if s.topic == f"{self.root}/clock/now"][already:]

        await until(lambda: bool(answers()))
        return answers()[-1].document

    # -- looking -------------------------------------------------------------------------------

    def about(self, device: str, leaf: str) -> list[Any]:
        """Documents that a device has published on one of its topics, in order."""
        topic = f"{self.root}/devices/{device}/{leaf}"
        return [s.document for s in list(self.seen) if s.topic == topic and s.payload]

    def results(self, command_id: str, device: str | None = None) -> list[Any]:
        """The results of a command so far, `active` among them."""
        found = [s for s in list(self.seen) if s.leaf == "results" and s.payload]
        documents = [s.document for s in found if device in (None, s.device)]
        return [d for d in documents if d.get("commandId") == command_id]

    def state(self, device: str) -> Any:
        """The last state of a device."""
        return self.about(device, "state")[-1]

    async def shows(self, device: str, **expected: Any) -> Any:
        """Wait until a device's state has these values, and return it."""

        def fits() -> bool:
            states = self.about(device, "state")
            return bool(states) and expected.items() <= states[-1].items()

        await until(fits)
        return self.state(device)

    async def present(self, device: str, status: str, beyond: int = 0) -> int:
        """Wait until a device is online or offline in a session beyond one; returns which."""

        def fits() -> bool:
            said = self.about(device, "presence")
            return bool(said) and said[-1]["status"] == status and said[-1]["session"] > beyond

        await until(fits)
        return int(self.about(device, "presence")[-1]["session"])

    async def heard(self, what: Callable[[Seen], bool]) -> Seen:
        """Wait for a message and return it."""
        await until(lambda: any(what(s) for s in list(self.seen)))
        return next(s for s in self.seen if what(s))


def not_active(result: Any) -> bool:
    """Return True if a result is final."""
    return bool(result["actionState"] != "active")


async def retained(port: int, root: str) -> dict[str, bytes]:
    """Retained payloads below `root` by topic; a message of our own marks the end of them."""
    async with WireOperator.connected(port, root) as operator:
        await operator.publish("fence", b"")
        await operator.heard(lambda s: s.topic == f"{root}/fence")
        return {s.topic: s.payload for s in operator.seen if s.retained}


async def session_present(port: int, client_id: str) -> bool:
    """Return True if the broker keeps a session for a client id, and end that session."""
    present = []
    loop = asyncio.get_running_loop()
    for clean in (False, True):
        answered = asyncio.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)

        def on_connect(_c: Any, _d: Any, flags: Any, *_: Any, seen: Any = answered) -> None:
            present.append(bool(flags.session_present))
            loop.call_soon_threadsafe(seen.set)

        client.on_connect = on_connect
        client.connect("127.0.0.1", port)
        client.loop_start()
        await asyncio.wait_for(answered.wait(), 60)
        client.disconnect()
        client.loop_stop()
    return present[0]
