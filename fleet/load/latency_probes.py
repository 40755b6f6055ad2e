"""Latency probes: tell a slow broker from a slow simulator, ten times a second during a load.

Each probe sends two messages at once. The broker returns the first to the load: that is the time of
one pass through the broker. The second is an `inspect` request to the process that hosts a device:
two passes and the host's processing time. The host's time is that minus two passes. The method
works for every fleet, with any number of workers, and a busy event loop shows as a late answer.
"""

from __future__ import annotations

import asyncio
import json
from hashlib import blake2b
from typing import Final

from broker.client.connection import Connection
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from fleet.load.loaded_devices import LoadedDevices
from fleet.load.measurements import Measurements

__all__ = ["LatencyProbes"]

_EVERY: Final = 0.1
_LIMIT: Final = 5.0


class LatencyProbes(ConnectionListener):
    """Probes on two separate connections, so that they do not wait behind commands.

    One sends and one receives: a broker with Nagle's algorithm (Mosquitto's default) would delay an
    answer on the connection of the request by up to 40 ms, the time by which the system may delay
    the TCP acknowledgement.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        topics: Topics,
        token: str,
        measurements: Measurements,
        loaded_devices: LoadedDevices,
    ) -> None:
        self.asked = 0
        self.unanswered = 0
        self._pool = pool
        self._topics = topics
        self._measurements = measurements
        self._loaded_devices = loaded_devices
        self._token = token
        self._echo = f"{topics.root}/loads/{token}/echo"
        self._inspection = ""
        self._number = b""
        self._echoed: asyncio.Future[float]
        self._inspected: asyncio.Future[float]
        subscribed = [self._echo, topics.device("+", "inspection")]
        self._receiver = Connection(
            pool, f"pf-load-{token}-echo", subscribed, self, clean_session=True
        )
        self._probe_sender = Connection(
            pool, f"pf-load-{token}-probe", (), self, clean_session=True
        )
        self.connections = [self._receiver, self._probe_sender]
        for connection in self.connections:
            pool.add(connection)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            present = self._loaded_devices.present()
            if present and all(connection.up for connection in self.connections):
                drawn = blake2b(f"{self._token}/{self.asked}".encode(), digest_size=4).digest()
                await self._probe(present[int.from_bytes(drawn) % len(present)])

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(c.close() for c in self.connections if c.up))

    async def _probe(self, device_id: str) -> None:
        loop = self._pool.loop
        self.asked += 1
        self._echoed, self._inspected = loop.create_future(), loop.create_future()
        self._inspection = self._topics.device(device_id, "inspection")
        self._number = str(self.asked).encode()
        request = json.dumps({"requestId": f"load-{self._token}-{self.asked}"}).encode()
        asked_at = loop.time()
        self._probe_sender.publish(OutgoingMessage(self._echo, self._number))
        self._probe_sender.publish(
            OutgoingMessage(self._topics.device(device_id, "inspect"), request)
        )
        await asyncio.wait([self._echoed, self._inspected], timeout=_LIMIT)
        one_pass = self._taken(self._echoed, asked_at)
        self._measurements.broker_pass.record(one_pass)
        # Another implementation may not answer at all: then its time is not recorded.
        if self._inspected.done() or self._measurements.simulator_pass.count:
            whole = self._taken(self._inspected, asked_at)
            self._measurements.simulator_pass.record(max(0.0, whole - 2 * one_pass))
        if not self._inspected.done():
            self.unanswered += 1

    @staticmethod
    def _taken(answered: asyncio.Future[float], asked_at: float) -> float:
        return answered.result() - asked_at if answered.done() else _LIMIT

    # -- ConnectionListener

    def on_message(self, topic: str, payload: bytes, retained: bool, delivery: Delivery) -> None:  # noqa: FBT001
        """Handle an echo or an inspection; ignore messages that answer no probe."""
        del retained
        self._receiver.acknowledge(delivery)
        now = self._pool.loop.time()
        if topic == self._echo and payload == self._number:
            _resolve(self._echoed, now)
        elif topic == self._inspection:
            _resolve(self._inspected, now)


def _resolve(future: asyncio.Future[float], now: float) -> None:
    if not future.done():
        future.set_result(now)
