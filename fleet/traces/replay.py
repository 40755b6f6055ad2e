"""`passfleet replay`: a trace on fresh devices, in virtual time, on a broker of its own.

The operator's messages are sent again at their instants; whatever falls due between them happens
first. What the devices publish meanwhile is compared with the trace (`scenarios.traces.diff`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.clock import VirtualClock
from agent.runner import Device
from broker.client.connection import Connection
from broker.contract import ClockTo, Topics
from broker.errors import PeerError
from broker.operator.link import OperatorLink
from broker.operator.readers import ReceivedMessage, read_clock_now
from broker.server.open import open_broker
from broker.timestamps import parse_timestamp
from fleet.hosting.host import Host
from fleet.hosting.system_limits import check_system_limits
from fleet.traces.restore import SEED, RestoredDevice, restore_devices
from fleet.traces.schedule import ScheduledMessage, build_schedule
from scenarios.traces.diff import Difference, PlaceholderBindings, PublishedMessage, compare
from scenarios.traces.format import PUBLISHED_LEAVES, Trace
from scenarios.traces.placeholders import generate_similar_secret, is_placeholder, restore_payload

__all__ = ["ReplayResult", "replay"]

_LIMIT: Final = 15.0
"""Seconds of real time within which a fleet on this machine must have answered."""
_POLL_INTERVAL: Final = 0.005
_CONNECTION_ACTIONS: Final = frozenset({"offline", "online", "dropConnection", "crash", "restart"})


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Outcome of a replay. `sent` and `published` count messages."""

    devices: int
    sent: int
    published: int
    differences: list[Difference]


async def replay(
    trace: Trace, broker: str, progress: Callable[[], None] = lambda: None
) -> ReplayResult:
    """Replay a trace on a broker that is started for it: "embedded" or "mosquitto".

    `progress` is called after each message that was sent. Raises FileError for a trace whose
    devices cannot be restored, UsageError if file descriptors do not suffice, BrokerError and
    PeerError if the broker or the fleet fails.
    """
    bindings = PlaceholderBindings()
    devices = restore_devices(trace, _placeholder_resolver(bindings))
    topics = Topics(trace.header.root)
    host = Host(
        [restored_device.spec for restored_device in devices],
        topics,
        seed=SEED,
        clock=VirtualClock(trace.header.start),
        restored={each.spec.device_id: (each.state, each.draws) for each in devices},
    )
    check_system_limits(len(devices))
    # The link connects first, so that it gets a low file descriptor: the devices use many.
    async with open_broker(broker) as handle, OperatorLink(handle.address, topics) as link:
        session = _ReplaySession(trace, host, link, bindings)
        try:
            await host.start(handle.address, fresh=True)
            await session.open(devices)
            for message in build_schedule(trace):
                await session.send(message)
                progress()
            await session.close()
        finally:
            await host.abandon()
    differences = compare(trace, session.published, bindings)
    return ReplayResult(len(devices), session.sent, len(session.published), differences)


def _placeholder_resolver(bindings: PlaceholderBindings) -> Callable[[Mapping[str, Any]], str]:
    """Function from a placeholder to its value: as the devices drew it, else generated once."""

    def resolve_placeholder(placeholder: Mapping[str, Any]) -> str:
        value = bindings.value(placeholder)
        if value is None:
            value = generate_similar_secret(placeholder, bindings.taken)
            bindings.bind(placeholder, value)
        return value

    return resolve_placeholder


class _ReplaySession:
    """One replay under way."""

    def __init__(
        self, trace: Trace, host: Host, link: OperatorLink, bindings: PlaceholderBindings
    ) -> None:
        self.published: list[PublishedMessage] = []
        self.sent = 0
        self._trace = trace
        self._host = host
        self._link = link
        self._bindings = bindings
        self._now = trace.header.start
        self._offline: set[str] = set()
        self._recorded_passcodes = {
            (
                message.device_id,
                message.leaf,
                str(message.payload.get("commandId")),
            ): message.payload
            for message in reversed(trace.messages)
            if isinstance(message.payload, dict)
            and is_placeholder(message.payload.get("newPasscode"))
        }

    async def open(self, devices: Iterable[RestoredDevice]) -> None:
        """Listen, and take the network from those that had none."""
        topics = self._link.topics
        filters = [(topics.device("+", leaf), 1) for leaf in PUBLISHED_LEAVES]
        await self._link.subscribe([*filters, (topics.clock_now, 1)])
        self._link.listeners.append(self._on_message)
        for restored_device in devices:
            if not restored_device.online:
                device_id = restored_device.spec.device_id
                self._host.devices[device_id].simulate("offline")
                self._offline.add(device_id)
                await self._until_seen(device_id, gone=1, back=None)
        await self._settle()
        self.published.clear()

    async def send(self, message: ScheduledMessage) -> None:
        """Send what an operator sent, once its instant has come."""
        if message.leaf == "clock":
            await self._move_clock(message)
            return
        await self._advance(message.at)
        sessions = {name: device.connection.number for name, device in self._host.devices.items()}
        payload = restore_payload(message.payload, _placeholder_resolver(self._bindings))
        await self._link.publish(f"{self._link.topics.root}/{message.topic}", payload)
        self.sent += 1
        await self._settle()
        await self._network_settled(message, sessions)

    async def close(self) -> None:
        """Let pass what the trace lasted after its last message."""
        await self._advance(self._trace.end)
        await self._settle()

    async def _move_clock(self, message: ScheduledMessage) -> None:
        """Virtual time that the operator moved."""
        try:
            to = parse_timestamp(message.document.get("to") or "")
        except (TypeError, ValueError):
            return
        self.sent += 1
        await self._advance(to)

    async def _advance(self, to: int) -> None:
        if to <= self._now:
            return
        topics = self._link.topics

        def accept(message: ReceivedMessage) -> bool | None:
            published = (
                read_clock_now(message.payload) if message.topic == topics.clock_now else None
            )
            return True if published is not None and published.now >= to else None

        with self._link.expecting(accept) as moved:
            await self._link.publish(topics.clock, ClockTo(to=to).to_bytes())
            await self._patiently(self._link.wait(moved, _LIMIT))
        self._now = to
        await self._settle()

    async def _settle(self) -> None:
        """Wait until the devices have handled what was sent and their messages have arrived."""
        await self._host.settle()
        if any(map(self._reconnects, self._host.devices.values())):
            await self._until_reconnected()
            await self._host.settle()
        await self._patiently(self._link.pass_barrier(_LIMIT))

    def _reconnects(self, device: Device) -> bool:
        """Return True while a device that was restarted by a command is not connected again."""
        connection = device.connection
        return device.online and isinstance(connection, Connection) and connection.restarting

    async def _until_reconnected(self) -> None:
        """Wait for restarted devices: a reconnect takes real time, even if time is virtual."""
        try:
            async with asyncio.timeout(_LIMIT):
                while any(map(self._reconnects, self._host.devices.values())):
                    await self._link.pause(_POLL_INTERVAL)
        except TimeoutError:
            raise PeerError(f"a restarted device did not reconnect within {_LIMIT:g} s") from None

    async def _patiently(self, answer: Awaitable[Any]) -> None:
        try:
            await answer
        except TimeoutError:
            raise PeerError(f"the replayed fleet did not answer within {_LIMIT:g} s") from None

    async def _network_settled(
        self, message: ScheduledMessage, sessions: Mapping[str, int]
    ) -> None:
        """Wait for the presence messages of a connection that ends or begins.

        A Last Will and a reconnect take real time, even if the fleet's time is virtual.
        """
        device_id, action = message.device_id, self._connection_action(message)
        if device_id is None or device_id not in sessions or action is None:
            return
        before = sessions[device_id]
        away = device_id in self._offline
        gone = not away and action != "online"
        back = action == "online" if away else action not in ("online", "offline")
        if action == "offline":
            self._offline.add(device_id)
        elif action == "online":
            self._offline.discard(device_id)
        await self._until_seen(
            device_id, gone=before if gone else None, back=before + 1 if back else None
        )
        await self._settle()

    async def _until_seen(self, device_id: str, *, gone: int | None, back: int | None) -> None:
        """Wait until a session was seen to end, and a later one to begin; None for neither."""
        try:
            async with asyncio.timeout(_LIMIT):
                while not (
                    (gone is None or self._seen(device_id, "offline", gone))
                    and (back is None or self._seen(device_id, "online", back))
                ):
                    await self._link.pause(_POLL_INTERVAL)
        except TimeoutError:
            raise PeerError(
                f"{device_id} did not disconnect or reconnect as recorded within {_LIMIT:g} s"
            ) from None

    def _connection_action(self, message: ScheduledMessage) -> str | None:
        """Effect of a message on a device's connection, or None."""
        action = str(message.document.get("action"))
        if message.leaf == "simulate":
            return action if action in _CONNECTION_ACTIONS else None
        if message.leaf != "inputs" or action != "restart":
            return None
        for published in reversed(self.published):
            answer = published.document if isinstance(published.document, dict) else {}
            if answer.get("inputId") == message.document.get("inputId"):
                done = answer.get("actionState") == "done" and not answer.get("duplicate")
                return "restart" if done else None
        return None

    def _seen(self, device_id: str, status: str, session: int) -> bool:
        return any(
            published.leaf == "presence"
            and published.device_id == device_id
            and isinstance(published.document, dict)
            and published.document.get("status") == status
            and published.document.get("session", 0) >= session
            for published in self.published
        )

    def _on_message(self, message: ReceivedMessage) -> None:
        if message.retained or message.device_id is None or message.leaf not in PUBLISHED_LEAVES:
            return
        document = message.document()
        self.published.append(PublishedMessage(message.device_id, message.leaf, document))
        if isinstance(document, dict) and isinstance(document.get("newPasscode"), str):
            recorded = self._recorded_passcodes.get(
                (message.device_id, message.leaf, str(document.get("commandId")))
            )
            if recorded is not None:
                self._bindings.bind(recorded["newPasscode"], document["newPasscode"])
