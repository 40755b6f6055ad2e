"""The generator: sends each command at its instant, hears every answer, keeps the books.

A few connections for all devices: one listens, the others send, so that what is on its way out does
not wait behind what comes in.
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
from broker.contract import DeviceCommand, Topics
from broker.operator.readers import read_json
from fleet.load.ledger import Ledger, SentCommand
from fleet.load.measurements import Measurements
from fleet.load.presence import LoadedDevices
from fleet.load.schedule import ACTIONS, Schedule, ScheduledCommand

__all__ = ["Generator", "LoadPlan"]

_SENDERS: Final = 8
"""Together they are no bottleneck at 10,000/s."""
_BURST: Final = 32
"""Commands sent without letting answers in, where the generator is behind."""
_BEHIND: Final = 1.0
"""Seconds after the end until which what is overdue is still sent."""
_TICK: Final = 0.02
_LONG: Final = 0.1
_LAST_ANSWERS: Final = 0.3
"""Seconds in which answers may still come once the run has been stopped."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """What is to be sent: `platforms` are the devices' own, `expiry` an instant of their clock.

    `expiry(seconds)` is when a command expires that is sent so many seconds after the start.
    """

    schedule: Schedule
    timeout: float
    platforms: Mapping[str, str]
    expiry: Callable[[float], int]


class _Sender(ConnectionListener):
    """A connection that only sends."""

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Nothing arrives: it subscribes to nothing."""


class Generator(ConnectionListener):
    """One run of a plan."""

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
        """Set to stop before the end: what is on its way then is unknown."""
        self.during_storm = False
        self.sending_took = 0.0
        self.last_answer = 0.0
        self.token = secrets.token_hex(6)
        self._plan = plan
        # Devices remember the ids they have seen, so a run's must be its own whatever the seed.
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

    # -- the run -------------------------------------------------------------------------

    @property
    def connections(self) -> list[Connection]:
        """Its connections, to be opened before it runs."""
        return [self._receiver, *self._senders]

    async def run(self) -> None:
        """Send everything, and wait until each command is in a column of the ledger."""
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
        """Leave the broker."""
        if not self._receiver.up:
            return
        await asyncio.gather(*(c.close() for c in self.connections))

    def now(self) -> float:
        """Seconds since the start."""
        return self.pool.loop.time() - self._start

    @property
    def unsent(self) -> int:
        """How many were due before sending ended and were never sent."""
        due = math.ceil(self._plan.schedule.due_by(self.sending_took) - 1e-9)
        return max(0, due - self.ledger.sent)

    def publish(self, number: int, message: OutgoingMessage) -> None:
        """Send something on one of the connections; `number` says on which."""
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
            # The last second belongs to the run, though nothing more is due in it.
            await self._until(schedule.duration)
        self.sending_took = min(self.now(), schedule.duration)
        if self.halt.is_set() and arrival.at > self.sending_took - _LONG:
            # What came due while it was being stopped is not overdue.
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
        command = DeviceCommand(
            command_id=f"{self._prefix}{number}",
            action_name=cast("Any", ACTIONS[arrival.action]),
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
        """Wait for the last answers; each command has its timeout, or a moment after a halt."""
        halted_at: float | None = None
        while self.ledger.in_flight:
            if self.halt.is_set():
                halted_at = halted_at or self.now()
                if self.now() > halted_at + _LAST_ANSWERS:
                    return
            await asyncio.sleep(_TICK)
        if not self.halt.is_set():
            # A second answer to the last command would come about now.
            await asyncio.sleep(_LAST_ANSWERS)

    # -- incoming messages

    def on_connected(self) -> None:
        """Remember since when answers have been heard without a gap."""
        self._listening_since = self.pool.loop.time()

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Take an answer or a presence."""
        del retained
        self._receiver.acknowledge(delivery)
        device_id, leaf = self.topics.split(topic) or ("", "")
        if leaf == "presence":
            self.loaded_devices.hear(device_id, payload, self.pool.loop.time())
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

    # -- giving up -----------------------------------------------------------------------

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.ledger.expire(self.now(), self._answer_was_receivable)

    def _answer_was_receivable(self, command: SentCommand) -> bool:
        """Whether its silence is the device's: it was there, and we have listened all the time.

        One that died after the command was sent, and came back, may have taken its answer with it.
        """
        sent = self._start + command.sent
        listened = self._receiver.up and self._listening_since <= sent
        device_id = command.device_id
        return (
            listened
            and self.loaded_devices.online(device_id)
            and self.loaded_devices.left(device_id) < sent
        )
