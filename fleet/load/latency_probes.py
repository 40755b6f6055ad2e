"""Who is slow, the broker or the simulator: asked a few times a second while the load runs.

Two messages leave at once. One comes straight back from the broker: its time is one pass through
the broker. The other asks the process that hosts a device what it knows of it (`inspect`), which
takes two passes and the host's own turn; what is left after taking the passes off is how long the
simulator took. It works for every fleet, wherever it runs and however many workers it has: nothing
is asked of a process that a loop which is busy would not answer late.
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
from fleet.load.measurements import Measurements
from fleet.load.presence import LoadedDevices

__all__ = ["LatencyProbes"]

_EVERY: Final = 0.1
_LIMIT: Final = 5.0


class LatencyProbes(ConnectionListener):
    """Two connections of its own, so that probes do not wait behind commands in this process.

    One asks and one hears: a broker that collects small packets (Nagle's algorithm, which Mosquitto
    leaves on unless told) would hold an answer back behind its acknowledgement of the question,
    for the 40 ms in which the system may delay the TCP acknowledgement of that.
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
        heard = [self._echo, topics.device("+", "inspection")]
        self._receiver = Connection(pool, f"pf-load-{token}-echo", heard, self, clean_session=True)
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
        """Leave the broker."""
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
        # A fleet that is none of ours need not answer at all: then nothing is said of it.
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
        """Take an echo or an inspection; what answers no probe of ours is passed over."""
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
