"""Load generator: sends each command when it is due and records each answer in the ledger.

One connection receives and several send, so that outgoing commands do not wait behind incoming
answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import DeviceCommand, LockCommand, Topics
from broker.operator.readers import read_json
from fleet.load.ledger import Ledger, SentCommand
from fleet.load.loaded_devices import LoadedDevices
from fleet.load.measurements import Measurements
from fleet.load.schedule import ACTIONS, Schedule, ScheduledCommand

__all__ = ["Generator", "LoadPlan"]

_LOCKS: Final = frozenset({"remoteLock", "enableLostMode"})
_SENDERS: Final = 8
"""Number of sending connections, enough for 10,000 commands per second."""
_BURST: Final = 32
"""Commands sent in a row without handling answers, when the generator is behind."""
_BEHIND: Final = 1.0
"""Seconds after the end during which overdue commands are still sent."""
_TICK: Final = 0.02
_LONG: Final = 0.1
_LAST_ANSWERS: Final = 0.3
"""Seconds to wait for answers after the run was stopped."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """Commands to send. `platforms` maps each device to its platform; `timeout` is in seconds.

    `expiry(seconds)` returns the expiry in fleet time of a command sent `seconds` after the start.
    """

    schedule: Schedule
    timeout: float
    platforms: Mapping[str, str]
    expiry: Callable[[float], int]


class _Sender(ConnectionListener):
    """Listener of a connection that only sends."""

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Ignore messages: the connection has no subscriptions."""


class Generator(ConnectionListener):
    """Generator for one run of a plan."""

    def __init__(
        self,
        pool: ConnectionPool,
        topics: Topics,
        plan: LoadPlan,
        measurements: Measurements,
        loaded_devices: LoadedDevices,
    ) -> None:
        self.pool = pool
        self.topics = topics
        self.ledger = Ledger(plan.timeout)
        self.measurements = measurements
        self.loaded_devices = loaded_devices
        self.halt = asyncio.Event()
        """Set to stop early: commands in flight then count as unknown."""
        self.during_storm = False
        self.sending_took = 0.0
        self.last_answer = 0.0
        self.token = secrets.token_hex(6)
        self._plan = plan
        # Devices remember command ids, so ids must differ between runs with the same seed.
        self._prefix = f"load-{self.token}-"
        self._marker = self._prefix.encode()
        self._start = 0.0
        self._listening_since = math.inf
        self._sent_without_pause = 0
        leaves = [topics.device("+", "results"), topics.device("+", "presence")]
        self._receiver = self._connection("ear", leaves)
        self._senders = [self._connection(f"{n}", []) for n in range(_SENDERS)]

    def _connection(self, name: str, filters: list[str]) -> Connection:
        listener = self if filters else _Sender()
        client_id = f"pf-load-{self.token}-{name}"
        connection = Connection(self.pool, client_id, filters, listener, clean_session=True)
        self.pool.add(connection)
        return connection

    # -- run ----------------------------------------------------------------------------

    @property
    def connections(self) -> list[Connection]:
        """Connections to open before the run."""
        return [self._receiver, *self._senders]

    async def run(self) -> None:
        """Send every command and wait until each has an outcome in the ledger."""
        self._start = self.pool.loop.time()
        expiring = asyncio.create_task(self._expire(), name="load.expire")
        try:
            await self._send_all()
            await self._drain()
        finally:
            expiring.cancel()
            await asyncio.gather(expiring, return_exceptions=True)
            self.ledger.close()

    async def close(self) -> None:
        """Close the connections."""
        if not self._receiver.up:
            return
        await asyncio.gather(*(c.close() for c in self.connections))

    def now(self) -> float:
        """Return the seconds since the start."""
        return self.pool.loop.time() - self._start

    @property
    def unsent(self) -> int:
        """Number of commands that were due before sending ended and were never sent."""
        due = math.ceil(self._plan.schedule.due_by(self.sending_took) - 1e-9)
        return max(0, due - self.ledger.sent)

    def publish(self, number: int, message: OutgoingMessage) -> None:
        """Publish on one of the sending connections, chosen by `number`."""
        self._senders[number % _SENDERS].publish(message)

    # -- sending -------------------------------------------------------------------------

    async def _send_all(self) -> None:
        schedule = self._plan.schedule
        for arrival in schedule.arrivals():
            await self._until(arrival.at)
            if self.halt.is_set():
                break
            if self.now() > schedule.duration + _BEHIND:
                break
            self._send(arrival)
        else:
            # The run lasts until the end of its duration, even if no more commands are due.
            await self._until(schedule.duration)
        self.sending_took = min(self.now(), schedule.duration)
        if self.halt.is_set() and arrival.at > self.sending_took - _LONG:
            # A command that became due during the stop does not count as unsent.
            self.sending_took = min(self.sending_took, arrival.at)

    async def _until(self, at: float) -> None:
        wait = at - self.now()
        if wait <= 0:
            self._sent_without_pause += 1
            if self._sent_without_pause % _BURST == 0:
                await asyncio.sleep(0)
            return
        self._sent_without_pause = 0
        if wait < _LONG:
            await asyncio.sleep(wait)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self.halt.wait()

    def _send(self, arrival: ScheduledCommand) -> None:
        now = self.now()
        number, device_id = arrival.number, arrival.device_id
        name = ACTIONS[arrival.action]
        kind = LockCommand if name in _LOCKS else DeviceCommand
        command = kind(
            command_id=f"{self._prefix}{number}",
            action_name=cast("Any", name),
            expires_date_time=self._plan.expiry(now),
        )
        platform = self._plan.platforms[device_id]
        self.ledger.send(
            SentCommand(
                number, arrival.action, platform, device_id, arrival.at, now, self.during_storm
            )
        )
        self.measurements.record_sent(arrival.at, now)
        topic = self.topics.device(device_id, "commands")
        accepted = partial(self.ledger.accept, number)
        self.publish(number, OutgoingMessage(topic, command.to_bytes(), accepted=accepted))

    async def _drain(self) -> None:
        """Wait for the last answers: the timeout of each command, or a moment after a halt."""
        halted_at: float | None = None
        while self.ledger.in_flight:
            if self.halt.is_set():
                halted_at = halted_at or self.now()
                if self.now() > halted_at + _LAST_ANSWERS:
                    return
            await asyncio.sleep(_TICK)
        if not self.halt.is_set():
            # Wait for duplicate answers to the last command.
            await asyncio.sleep(_LAST_ANSWERS)

    # -- incoming messages

    def on_connected(self) -> None:
        """Store the time since which answers have been received without a gap."""
        self._listening_since = self.pool.loop.time()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Handle an answer or a presence message."""
        del retained
        self._receiver.acknowledge(delivery)
        device_id, leaf = self.topics.split(topic) or ("", "")
        if leaf == "presence":
            self.loaded_devices.on_presence(device_id, payload, self.pool.loop.time())
        elif leaf == "results" and self._marker in payload:
            self._on_result(payload)

    def _on_result(self, payload: bytes) -> None:
        document = read_json(payload)
        if not isinstance(document, dict):
            return
        command_id, state = document.get("commandId"), document.get("actionState")
        if not isinstance(command_id, str) or not isinstance(state, str):
            return
        number = command_id.removeprefix(self._prefix)
        if not number.isascii() or not number.isdecimal():
            return
        now = self.now()
        command = self.ledger.answer(int(number), state)
        if command is None:
            return
        self.last_answer = now
        kind = (command.action, command.platform)
        self.measurements.record_answered(
            kind, command.due, command.sent, now, during_storm=command.during_storm
        )

    # -- timeouts -----------------------------------------------------------------------

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.ledger.expire(self.now(), self._answer_was_receivable)

    def _answer_was_receivable(self, command: SentCommand) -> bool:
        """Return True if device and generator were connected since the command was sent.

        A device that disconnected after that may have lost its answer.
        """
        sent = self._start + command.sent
        listened = self._receiver.up and self._listening_since <= sent
        device_id = command.device_id
        return (
            listened
            and self.loaded_devices.online(device_id)
            and self.loaded_devices.disconnected_at(device_id) < sent
        )
