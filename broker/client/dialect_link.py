"""Connection of a device that speaks a dialect: to its back-end, and over the contract for control.

A `DialectLink` has the interface of `Connection`. It translates what arrives from the back-end into
the contract, and what the device publishes into the dialect. Operators control the device over the
contract, on the `control` connection: it is up while the back-end's is, receives commands, inputs
and messages, and gets a copy of all that the device publishes. The result of an operator's command
is published there alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from broker import contract
from broker.client.connection import Connection
from broker.client.gateway import GatewayMember
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.contract import PayloadModel, Refusal, Topics
from broker.dialects.dialect import Dialect
from broker.dialects.names import Outgoing
from broker.dialects.sections import Arrival
from broker.dialects.template import MisfitError, Values

__all__ = ["ControlListener", "DialectDevice", "DialectLink"]

_log = logging.getLogger("passfleet.dialect")

_KEPT: Final = 64
"""Commands of a device whose carried values, or whose origin, are kept."""
_SECTIONS: Final[Mapping[str, Outgoing]] = {
    "results": "result",
    "state": "state",
    "notifications": "notification",
    "escrow": "escrow",
}
_NOTHING: Final[Values] = {}
_PARSERS: Final[Mapping[str, Any]] = {
    "command": contract.parse_command,
    "input": contract.parse_input,
    "message": contract.parse_message,
}


class DialectDevice(Protocol):
    """Services that the link needs of a device (`agent.runner.Device`)."""

    @property
    def id(self) -> str:
        """The device id."""

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage]:
        """Return the online and the offline message of a session, in the contract."""

    def on_connected(self) -> None:
        """Publish the state."""

    def on_disconnected(self) -> None:
        """Report the change to the counters."""

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Handle a message of the contract."""

    def take(self, parsed: Any, delivery: Delivery) -> None:
        """Handle a parsed message, or its refusal."""


@dataclass(frozen=True, slots=True)
class _FromControl:
    """Delivery of the control connection."""

    delivery: Delivery


class DialectLink(ConnectionListener):
    """Connection of one device that speaks a dialect. `own` and `control` are set by its maker.

    `control` is None if the dialect is the contract itself, on the broker that operators use.
    `on_event` is called with the dialect's name and `accepted`, `rejected`, `refused`, `unanswered`
    or `unmatched`.
    """

    __slots__ = (
        "_bouncing",
        "_carried",
        "_constants",
        "_controlled",
        "_device",
        "_generated",
        "_leaving",
        "_on_event",
        "_refused",
        "_topics",
        "control",
        "dialect",
        "own",
    )

    own: Connection | GatewayMember
    control: Connection | GatewayMember | None

    def __init__(
        self,
        dialect: Dialect,
        device: DialectDevice,
        topics: Topics,
        constants: Mapping[str, str],
        on_event: Callable[[str, str], None],
    ) -> None:
        self.dialect = dialect
        self._device = device
        self._topics = topics
        self._constants = constants
        self._on_event = on_event
        self._carried: dict[str, Values] = {}
        self._controlled: dict[str, None] = {}
        self._refused: Values | None = None
        self._bouncing: list[OutgoingMessage] | None = None
        self._generated = 0
        self._leaving = False
        self.control = None

    # -- interface of a connection -------------------------------------------------------

    @property
    def client_id(self) -> str:
        """Client id of the back-end's connection."""
        return self.own.client_id

    @property
    def up(self) -> bool:
        """True if the device is connected to its back-end, and can be controlled."""
        return self.own.up and (self.control is None or self.control.up)

    @property
    def number(self) -> int:
        """Session number, as operators see it."""
        return self.own.number if self.control is None else self.control.number

    @property
    def highest_number(self) -> int:
        """Highest number of a connection; later ones have higher numbers."""
        return max(self.own.number, self.number)

    def filters(self) -> dict[str, int]:
        """Return the QoS of each topic filter of the dialect."""
        return dict(self.dialect.filters(self._constants))

    def open(self) -> None:
        """Connect to the back-end, and connect again whenever the connection is lost."""
        self.own.open()

    async def until_up(self, limit: float) -> bool:
        """Wait until connected to the back-end; False after `limit` seconds."""
        return await self.own.until_up(limit)

    def publish(self, message: OutgoingMessage) -> None:
        """Publish a message of the contract to operators."""
        (self.control or self.own).publish(message)

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a message on the connection on which it arrived."""
        origin = delivery.shared
        if isinstance(origin, _FromControl):
            if self.control is not None:
                self.control.acknowledge(origin.delivery)
        else:
            self.own.acknowledge(delivery)

    def drop(self, *, stay_away: bool = False) -> None:
        """Lose the connection without DISCONNECT; see `Connection.drop`."""
        self.own.drop(stay_away=stay_away)

    def reconnect(self, *, last: Iterable[OutgoingMessage] = ()) -> None:
        """Disconnect and connect again: a restart. `last` is for operators."""
        if self.control is None:
            self.own.reconnect(last=last)
            return
        self._bouncing = list(last)
        self.own.reconnect(last=self._offline())

    async def leave(self, last: Iterable[OutgoingMessage], *, forget: bool) -> None:
        """Disconnect and do not reconnect; `last` is for operators.

        `forget` removes the retained messages of the dialect.
        """
        self._leaving = True
        if self.control is None:
            await self.own.close(last=last)
            return
        await self.own.close(last=self.blank() if forget else self._offline())
        await self.control.close(last=last)

    def blank(self) -> list[OutgoingMessage]:
        """Return empty retained messages that remove those of the dialect."""
        found: dict[str, OutgoingMessage] = {}
        for each in self.dialect.outgoing:
            if each.retain:
                try:
                    topic = each.topic.render(self._constants)
                except MisfitError:
                    continue  # it depends on a command or a status and cannot be known
                found[topic] = OutgoingMessage(topic, b"", retain=True)
        return list(found.values())

    def _offline(self) -> list[OutgoingMessage]:
        presence = self.presence(self.own.number)
        return [] if presence is None else [presence[1]]

    # -- ConnectionListener, of the back-end's connection ------------------------------------

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage] | None:
        """Return the dialect's online and offline messages, if it has them."""
        online = self._presence("online", number)
        offline = self._presence("offline", number)
        return (online, offline) if online is not None and offline is not None else None

    def _presence(self, status: Any, number: int) -> OutgoingMessage | None:
        payload = contract.Presence(status=status, session=number)
        return self.dialect.render("presence", payload, self._constants, _NOTHING)

    def on_connected(self) -> None:
        """Publish the messages of `connect`, then let operators control the device."""
        for message in self.dialect.render_all("connect", self._constants):
            self.own.publish(message)
        if self.control is None:
            self._device.on_connected()
        else:
            self.control.open()

    def on_disconnected(self) -> None:
        """Take the control connection down with the back-end's."""
        if self.control is None or self._leaving:
            self._device.on_disconnected()
            return
        last, self._bouncing = self._bouncing, None
        if last is None:
            self.control.drop(stay_away=True)
        else:
            self.control.reconnect(last=last)

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Translate a message of the back-end, and hand it to the device."""
        arrival = self.dialect.read(topic, payload)
        if arrival is None or arrival.ignored:
            if arrival is None:
                self._event("unmatched", f"a message on {topic} fits no section")
            self.own.acknowledge(delivery)
        elif (parse := _PARSERS.get(arrival.section)) is None:
            self._answered(arrival)
            self.own.acknowledge(delivery)
        elif arrival.plain:
            parsed = parse(payload, retained=retained)
            self._hand_over(parsed, arrival.carried, delivery)
        else:
            self._complete(arrival)
            parsed = arrival.refusal or parse.from_values(arrival.values, retained=retained)
            self._hand_over(parsed, arrival.carried, delivery)

    def _complete(self, arrival: Arrival) -> None:
        """Give a command without an id a new one; it cannot be recognized when it comes again."""
        if arrival.section == "command" and "commandId" not in arrival.values:
            self._generated += 1
            arrival.values["commandId"] = f"d-{self.own.number}-{self._generated}"

    def _hand_over(self, parsed: Any, carried: Values, delivery: Delivery) -> None:
        if isinstance(parsed, Refusal):
            self._event("refused", parsed.message)
            self._refused = carried
            try:
                self._device.take(parsed, delivery)
            finally:
                self._refused = None
            return
        command_id = getattr(parsed, "command_id", None)
        if command_id is not None:
            self._controlled.pop(command_id, None)
            if carried:
                _remember(self._carried, command_id, carried)
        self._device.take(parsed, delivery)

    def _answered(self, arrival: Arrival) -> None:
        """Log and count the back-end's answer to a result."""
        values = arrival.values
        reason = ": ".join(str(values[k]) for k in ("code", "message") if values.get(k))
        command_id = values.get("commandId")
        text = f"the back-end {arrival.section} the result of {command_id or 'a command'}"
        self._event(arrival.section, f"{text}: {reason}" if reason else text)

    def _event(self, event: str, text: str) -> None:
        level = logging.DEBUG if event == "accepted" else logging.WARNING
        _log.log(level, "%s: %s: %s", self._device.id, self.dialect.name, text)
        self._on_event(self.dialect.name, event)

    # -- publishing ----------------------------------------------------------------------

    def note_operator_command(self, command_id: str) -> None:
        """Remember that an operator sent a command, so that its result does not leave passfleet."""
        if self.control is not None:
            _remember(self._controlled, command_id, None)

    def publish_payload(
        self, leaf: str, payload: PayloadModel, *, retain: bool, accepted: Callable[[], None] | None
    ) -> None:
        """Publish a payload of the contract: to the back-end in the dialect, and to operators."""
        translated = self._translated(leaf, payload)
        if translated is not None:
            self.own.publish(replace(translated, accepted=accepted) if accepted else translated)
            accepted = None
        if self.control is not None:
            topic = self._topics.device(self._device.id, leaf)
            self.control.publish(OutgoingMessage(topic, payload.to_bytes(), retain, accepted))
        elif accepted is not None:
            accepted()

    def _translated(self, leaf: str, payload: PayloadModel) -> OutgoingMessage | None:
        section = _SECTIONS[leaf]
        if not self.dialect.publishes(section):
            return None
        carried = _NOTHING
        if section == "result":
            if isinstance(payload, contract.InputResult):
                if not self.dialect.is_contract:
                    return None
            elif isinstance(payload, contract.ActionResult):
                if payload.command_id in self._controlled:
                    return None
                carried = self._carried_for(payload.command_id)
        try:
            message = self.dialect.render(section, payload, self._constants, carried)
        except MisfitError as misfit:
            self._event("unanswered", f"a {section} cannot be published: {misfit}")
            return None
        for name in self.dialect.counting if carried and message is not None else ():
            if isinstance(carried.get(name), int):
                carried[name] += 1
        return message

    def _carried_for(self, command_id: str | None) -> Values:
        if self._refused is not None:
            return self._refused
        return self._carried.get(command_id or "", _NOTHING)


class ControlListener(ConnectionListener):
    """Listener of the control connection of a device."""

    __slots__ = ("_device",)

    def __init__(self, device: DialectDevice) -> None:
        self._device = device

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage]:
        """Return the presence messages of the contract."""
        return self._device.presence(number)

    def on_connected(self) -> None:
        """Let the device publish its state."""
        self._device.on_connected()

    def on_disconnected(self) -> None:
        """Let the device report the change."""
        self._device.on_disconnected()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Hand a message of the contract to the device."""
        from_control = replace(delivery, shared=_FromControl(delivery))
        self._device.on_message(topic, payload, retained, from_control)


def _remember(kept: dict[str, Any], key: str, value: Any) -> None:
    """Store a value under a key, as the newest of a limited number."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
