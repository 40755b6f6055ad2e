"""Runner of one device: connection -> payload -> event -> effects -> payload -> connection.

A device is passive: it reacts to messages of its connection, to the shared timers, and to
simulated events of the host. Each is one event and one `step`, whose effects are carried out in
order.

With a state file, effects wait until the step that made them has been stored, so that a command is
answered and acknowledged only after its outcome would survive a `kill -9`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from agent import effects, events, payloads
from agent.clock import Clock, Timers
from agent.machine import step, timers
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState
from broker import contract
from broker.client.connection import Connection
from broker.client.dialect_link import DialectLink
from broker.client.gateway import GatewayMember
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.contract import Refusal, Topics
from platforms.profile import NativeCase

__all__ = ["Device", "DeviceContext", "Store"]

ParsedCommand = contract.AnyCommand | Refusal

_RECENT: Final = 5
"""Maximum number of notifications, and of results, in an inspection."""


class Store(Protocol):
    """Storage of states and publications, written before they are sent: see `agent.storage`."""

    def keep(
        self,
        device: Device,
        publications: Sequence[effects.Publication],
        then: Callable[[Sequence[int | None]], None],
    ) -> None:
        """Store the device's state and its next publications.

        Then call `then` with a mark for each publication, None for one that is not stored: a state
        snapshot, which is published again after every restart.
        """

    def accepted(self, device: Device, mark: int) -> None:
        """Delete a publication that the broker has acknowledged."""

    def connected(self, device: Device, number: int) -> None:
        """Store the session number of the device; later sessions have higher numbers."""


@dataclass(kw_only=True)
class DeviceContext:
    """Objects shared by the devices of one process."""

    topics: Topics
    clock: Clock
    timers: Timers
    store: Store | None = None
    on_effect: Callable[[Device, effects.Effect], None] | None = None
    """Called with every effect carried out, for the live table and the counters."""
    on_event: Callable[[Device, events.Event], None] | None = None
    """Called with every event before its step, for the coverage of rules."""
    on_changed: Callable[[Device], object] | None = None
    """Called after a step of a device and after its connection came up or ended, for counters."""
    on_dialect_event: Callable[[str, str], None] = lambda _dialect, _event: None
    """Called with the name of a dialect and an event (`broker.client.dialect_link`)."""
    _last_group: tuple[bytes, ParsedCommand | None] = field(default=(b"", None), repr=False)

    def parse_group_command(self, payload: bytes, *, retained: bool) -> ParsedCommand:
        """Parse a group's command once, however many devices of this process it reaches."""
        if retained:
            return contract.parse_command(payload, retained=True)
        known, parsed = self._last_group
        if parsed is None or known != payload:
            parsed = contract.parse_command(payload)
            self._last_group = (payload, parsed)
        return parsed


class Device(ConnectionListener):
    """One virtual phone and its connection."""

    __slots__ = ("_recent", "_shared", "connection", "dialect", "draws", "online", "state")

    connection: Connection | GatewayMember | DialectLink

    def __init__(
        self, state: DeviceState, draws: DeviceRandomStream, shared: DeviceContext
    ) -> None:
        self.state = state
        self.online = True
        """False while the simulated network is off."""
        self.draws = draws
        self._shared = shared
        self.dialect: DialectLink | None = None
        """The connection, if the device speaks a dialect."""
        self._recent: tuple[effects.PublishNotification, ...] = ()

    @property
    def id(self) -> str:
        """The device id."""
        return self.state.enrollment.device_id

    @property
    def operator_connection(self) -> Connection | GatewayMember:
        """Connection that operators see."""
        connection = self.connection
        return (
            connection.control or connection.own
            if isinstance(connection, DialectLink)
            else connection
        )

    def filters(self) -> list[str]:
        """Topics of this device alone."""
        topics, device_id = self._shared.topics, self.id
        return [topics.device(device_id, leaf) for leaf in ("commands", "inputs", "messages")]

    def group_filters(self) -> list[str]:
        """Topics shared with other devices of the group."""
        groups = (self.state.enrollment.setup.name, "all")
        return [self._shared.topics.group(group) for group in groups]

    def start(self, unsent: Sequence[tuple[int, effects.Publication]] = ()) -> None:
        """Arm the timers of the state, queue unacknowledged publications, and connect."""
        for timer, at in timers(self.state).items():
            self._arm(timer, at)
        if unsent:
            # Publish the state before the results that led to it, also after a restart.
            self._send_state()
        for mark, publication in unsent:
            self._publish(publication, mark)
        self.connection.open()

    # -- ConnectionListener

    def presence(self, number: int) -> tuple[OutgoingMessage, OutgoingMessage]:
        """Return the online and the offline message of this session."""
        topic = self._shared.topics.device(self.id, "presence")
        online = contract.Presence(status="online", session=number).to_bytes()
        offline = contract.Presence(status="offline", session=number).to_bytes()
        return (
            OutgoingMessage(topic, online, retain=True),
            OutgoingMessage(topic, offline, retain=True),
        )

    def on_connected(self) -> None:
        """Publish the state again: a broker may have lost the retained one."""
        self._send_state()
        if self._shared.store is not None:
            link = self.dialect
            number = self.connection.number if link is None else link.highest_number
            self._shared.store.connected(self, number)
        if self._shared.on_changed is not None:
            self._shared.on_changed(self)

    def on_disconnected(self) -> None:
        """Report the change to the counters."""
        if self._shared.on_changed is not None:
            self._shared.on_changed(self)

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Parse and handle a message."""
        leaf = topic[topic.rindex("/") + 1 :]
        if leaf == "commands":
            command = self._parse_command(topic, payload, retained=retained)
            if self.dialect is not None and not isinstance(command, Refusal):
                self.dialect.note_operator_command(command.command_id)
            self.take(command, delivery)
        elif leaf == "inputs":
            self.take(contract.parse_input(payload, retained=retained), delivery)
        else:
            self.take(contract.parse_message(payload, retained=retained), delivery)

    def _parse_command(self, topic: str, payload: bytes, *, retained: bool) -> ParsedCommand:
        if topic.startswith(self._shared.topics.root + "/groups/"):
            return self._shared.parse_group_command(payload, retained=retained)
        return contract.parse_command(payload, retained=retained)

    def take(self, parsed: contract.FromOperator | Refusal, delivery: Delivery) -> None:
        """Handle a parsed message; acknowledges `delivery` once it has been dealt with."""
        match parsed:
            case contract.DeviceCommand() | contract.LockCommand() | contract.PolicyCommand():
                self.apply(payloads.command_event(parsed, delivery))
            case Refusal():
                self.refuse(parsed)
                self.connection.acknowledge(delivery)
            case contract.Message():
                self.apply(payloads.message_event(parsed), delivery)
            case _:
                self.apply(payloads.input_event(parsed), delivery)

    def refuse(self, refusal: Refusal) -> None:
        """Publish the answer to an invalid message; the state does not change."""
        self._send("results", self._answer_to(refusal))

    def _answer_to(self, refusal: Refusal) -> contract.ActionResult | contract.InputResult:
        return payloads.refusal_payload(refusal, self.id, self._shared.clock.now())

    def refusal_message(self, refusal: Refusal) -> OutgoingMessage:
        """Return the answer to an invalid message, for operators."""
        topic = self._shared.topics.device(self.id, "results")
        return OutgoingMessage(topic, self._answer_to(refusal).to_bytes())

    # -- one event -----------------------------------------------------------------------

    def apply(self, event: events.Event, delivery: Delivery | None = None) -> None:
        """Apply an event; acknowledges `delivery` after its effects are carried out."""
        if self._shared.on_event is not None:
            self._shared.on_event(self, event)
        self.state, done = step(self.state, event, self._shared.clock.now(), self.draws)
        if self._shared.on_changed is not None:
            self._shared.on_changed(self)
        store = self._shared.store
        if store is None or not done:
            self._carry_out(done, delivery, ())
            return
        publications = [effect for effect in done if isinstance(effect, effects.Publication)]
        store.keep(self, publications, partial(self._carry_out, done, delivery))

    def _carry_out(
        self,
        done: Sequence[effects.Effect],
        delivery: Delivery | None,
        marks: Sequence[int | None],
    ) -> None:
        left = iter(marks)
        on_effect = self._shared.on_effect
        for effect in done:
            match effect:
                case effects.ArmTimer(timer, at):
                    self._arm(timer, at)
                case effects.CancelTimer(timer):
                    self._shared.timers.cancel(self.id, timer)
                case effects.AcknowledgeDelivery(mark):
                    if isinstance(mark, Delivery):
                        self.connection.acknowledge(mark)
                case effects.Reboot(abrupt):
                    self._reboot(abrupt=abrupt)
                case _:
                    self._publish(effect, next(left, None))
            if on_effect is not None:
                on_effect(self, effect)
        if delivery is not None:
            self.connection.acknowledge(delivery)

    def _arm(self, timer: str, at: int) -> None:
        fire = partial(self.apply, events.TimerFired(timer))
        self._shared.timers.arm(self.id, timer, at, fire)

    # -- publishing ----------------------------------------------------------------------

    def _publish(self, effect: effects.Publication, mark: int | None = None) -> None:
        if isinstance(effect, effects.PublishNotification):
            self._recent = (*self._recent[1 - _RECENT :], effect)
        leaf, payload, retain = payloads.publication(effect, self.state, self.draws)
        store = self._shared.store
        accepted = partial(store.accepted, self, mark) if store and mark is not None else None
        self._send(leaf, payload, retain=retain, accepted=accepted)

    def _send_state(self) -> None:
        self._send("state", payloads.state_payload(self.state), retain=True)

    def _send(
        self,
        leaf: str,
        payload: contract.PayloadModel,
        *,
        retain: bool = False,
        accepted: Callable[[], None] | None = None,
    ) -> None:
        if self.dialect is not None:
            self.dialect.publish_payload(leaf, payload, retain=retain, accepted=accepted)
            return
        topic = self._shared.topics.device(self.id, leaf)
        self.connection.publish(OutgoingMessage(topic, payload.to_bytes(), retain, accepted))

    # -- simulated events ----------------------------------------------------------------

    def script_refusal(self, case: str, count: int) -> None:
        """Let the next `count` commands that a refusal concerns fail: see `contract.REFUSALS`."""
        self.apply(events.Refuse(NativeCase(case), count))

    def simulate(self, action: str) -> None:
        """Simulate an event: one of `contract.SIMULATIONS`."""
        match action:
            case "offline":
                self.online = False
                self.connection.drop(stay_away=True)
            case "online":
                self.online = True
                self.connection.open()
            case "dropConnection":
                self.connection.drop()
            case _:
                self.apply(events.Simulate(events.Simulation(action)))

    def _reboot(self, *, abrupt: bool) -> None:
        if abrupt:
            self.connection.drop()
        elif self.online:
            self.connection.reconnect(last=[self._offline()])

    def _offline(self) -> OutgoingMessage:
        return self.presence(self.connection.number)[1]

    async def stop(self, *, forget: bool) -> None:
        """Publish offline and disconnect; `forget` removes the retained messages instead."""
        last = self.clearing_messages() if forget else [self._offline()]
        if self.dialect is not None:
            await self.dialect.leave(last, forget=forget)
        elif not isinstance(self.connection, DialectLink):
            await self.connection.close(last=last)

    def clearing_messages(self) -> list[OutgoingMessage]:
        """Return empty retained messages that remove those of the device."""
        names = ("state", "presence")
        topics = [self._shared.topics.device(self.id, name) for name in names]
        return [OutgoingMessage(topic, b"", retain=True) for topic in topics]

    def inspection(self) -> contract.Inspection:
        """Return the data of the device beyond its state; results without passcodes."""
        state = self.state
        results = [
            payloads.result_payload(result, state, None, False).model_dump(
                mode="json", by_alias=True
            )
            for result in state.results[-_RECENT:]
        ]
        notifications = [
            payloads.notification_payload(shown, state).model_dump(mode="json", by_alias=True)
            for shown in self._recent
        ]
        return contract.Inspection(
            device_id=self.id,
            policy=payloads.policy_payload(state.policy) if state.policy else None,
            results=results,
            notifications=notifications,
        )
