"""MQTT connections by the thousand on one event loop.

Shared by all of them, so that a device costs no task, no timer and no thread: one paced queue for
connecting and reconnecting, one sweep for keep-alive, one flush a loop turn for writing, and a few
threads for what paho does blocking (opening a socket, the TLS and WebSocket handshakes).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from broker.address import BrokerAddress
from broker.client.connection import Connection
from broker.client.login import DeviceLogin
from broker.client.messages import ConnectionListener
from broker.client.pace import ConnectionPace
from broker.client.paho_client import PahoClient
from broker.client.paho_factory import new_paho_client
from broker.errors import BrokerError

__all__ = ["ConnectionPool"]

_log = logging.getLogger("passfleet.connections")

_THREADS: Final = 16
_SWEEPS_A_KEEPALIVE: Final = 8
_BURST: Final = 0.05
"""Seconds of the rate that may be caught up at once: sleeping is not exact."""


class _Outage:
    """Time without any connection to the broker, reported in the log once, and its end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._since: tuple[float, str] | None = None
        self._reported = False

    def begin(self) -> None:
        """Note the time: the last connection has ended."""
        self._since = (time.monotonic(), time.strftime("%H:%M:%S"))

    def report(self, reason: str, connections: int) -> None:
        """Log that the broker takes no connection any more; once for each outage."""
        if self._since is not None and not self._reported:
            self._reported = True
            _log.warning(
                "the broker at %s is gone since %s: %s; %d connections try again",
                *(self._url, self._since[1], reason, connections),
            )

    def end(self) -> None:
        """Log that the broker is back, if an outage was reported."""
        if self._since is not None and self._reported:
            seconds = time.monotonic() - self._since[0]
            _log.warning("the broker at %s is back after %.0f s", self._url, seconds)
        self._since, self._reported = None, False


def _log_in(login: DeviceLogin, broker: BrokerAddress, client: PahoClient) -> None:
    """Set a device's own login, on the thread that connects: certificates take time to load."""
    address = login.address(broker)
    if address.username is not None:
        client.username_pw_set(address.username, address.password)
    if login.cert is not None and address.tls and not client.has_tls_context:
        client.tls_set_context(address.ssl_context())


class ConnectionPool:
    """The connections of one process to one broker, and what they share."""

    def __init__(self, address: BrokerAddress, pace: ConnectionPace | None = None) -> None:
        self.address = address
        self.pace = pace or ConnectionPace()
        self.loop = asyncio.get_running_loop()
        self.unaccepted = 0
        """Messages that a connected broker has not accepted yet."""
        self.up = 0
        self.reconnects = 0
        self._context = address.ssl_context() if address.tls else None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dial")
        self._due: list[tuple[float, int, Connection]] = []
        self._enqueued = 0
        self._slots = asyncio.Semaphore(self.pace.in_flight)
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._missing: set[Connection] = set()
        self._members: list[Connection] = []
        self._to_write: list[Connection] = []
        self._reason = "it does not answer"
        self._outage = _Outage(address.url)
        self._tasks = [
            asyncio.create_task(self._dial(), name="passfleet.dial"),
            asyncio.create_task(self._sweep(), name="passfleet.sweep"),
        ]

    def add(self, connection: Connection) -> None:
        """Keep a connection alive from now on."""
        self._members.append(connection)

    def remove(self, connection: Connection) -> None:
        """Stop looking after a connection, which its owner has closed."""
        self._members.remove(connection)

    async def ready(
        self,
        connections: Iterable[Connection],
        progress: Callable[[int], None] = lambda _: None,
        *,
        stalled_after: float = 15.0,
    ) -> None:
        """Wait until all are connected and subscribed.

        `progress` is called with the number of connections that are up.

        Raises BrokerError with the broker's last reason if none came up for `stalled_after`
        seconds.
        """
        wanted = list(connections)
        self._missing = {c for c in wanted if not c.up}
        while self._missing:
            before = len(self._missing)
            self._changed.clear()
            try:
                async with asyncio.timeout(stalled_after):
                    await self._changed.wait()
            except TimeoutError:
                self._raise_stalled(len(wanted))
            if len(self._missing) != before:
                progress(len(wanted) - len(self._missing))
            # Many come up in one turn; report them together.
            await asyncio.sleep(0.01)
        progress(len(wanted))

    def _raise_stalled(self, wanted: int) -> None:
        connected = wanted - len(self._missing)
        raise BrokerError(
            f"{connected} of {wanted} connections to {self.address.url} came up, then no more:"
            f" {self._reason}",
            hint="look at the broker's log and its limits on connections and file descriptors",
        )

    async def drained(self, limit: float) -> bool:
        """Wait until the broker has accepted all that was published; False after `limit` s."""
        until = time.monotonic() + limit
        while self.unaccepted > 0:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.002)
        return True

    async def end_session(self, client_id: str, login: DeviceLogin | None = None) -> None:
        """End the broker's session of a client id by a connection with a clean session."""
        eraser = Connection(
            self, client_id, (), ConnectionListener(), clean_session=True, login=login
        )
        eraser.open()
        await eraser.until_up(self.pace.answer_within)
        await eraser.close()

    async def close(self) -> None:
        """Stop the tasks and threads. Owners close their connections before."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._members:
            connection.drop(stay_away=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- services for connections ------------------------------------------------------------

    def new_client(
        self, client_id: str, login: DeviceLogin | None, *, clean_session: bool
    ) -> PahoClient:
        """Make a client for the broker, not connected yet. `login` None is that of the pool."""
        address = self.address
        own_context = login is not None and login.cert is not None and address.tls
        context = None if own_context else self._context
        client = new_paho_client(
            PahoClient, address, client_id, context, clean_session=clean_session
        )
        if login is not None:
            client.prepare = partial(_log_in, login, address)
        client.connect_timeout = self.pace.answer_within
        client.connect_async(address.host, address.port, self.pace.keepalive)
        return client

    def enqueue(self, connection: Connection, delay: float) -> None:
        """Dial after `delay` seconds, when its turn comes."""
        self._enqueued += 1
        heapq.heappush(self._due, (time.monotonic() + delay, self._enqueued, connection))
        self._wake.set()

    def on_thread(
        self, work: Callable[[], Any], done: Callable[[BaseException | None], None]
    ) -> None:
        """Do blocking work on a thread of the pool, then call `done` on the loop."""
        future = self.loop.run_in_executor(self._threads, work)
        future.add_done_callback(
            lambda f: done(asyncio.CancelledError() if f.cancelled() else f.exception())
        )

    def scatter(self, connection: Connection) -> float:
        """A factor from 0.5 to 1.5, its own for each connection and attempt."""
        seed = f"{connection.client_id}/{connection.number}".encode()
        return 0.5 + int.from_bytes(blake2b(seed, digest_size=4).digest()) / 2**32

    def wants_write(self, connection: Connection) -> None:
        """Write once this turn of the loop is over: what piles up until then goes together."""
        if not self._to_write:
            self.loop.call_soon(self._flush)
        self._to_write.append(connection)

    def slot_free(self) -> None:
        """One connection fewer is on its way."""
        self._slots.release()

    def now_up(self, connection: Connection) -> None:
        """Count a connection that came up."""
        self.up += 1
        self._outage.end()
        self._missing.discard(connection)
        self._changed.set()

    def now_down(self, connection: Connection, *, was_up: bool) -> None:
        """Count a connection that was lost or closed."""
        if was_up:
            self.up -= 1
            self.reconnects += 1
            if self.up == 0:
                self._outage.begin()
            _log.debug("%s: connection ended", connection.client_id)

    def failed(self, connection: Connection, error: BaseException) -> None:
        """Remember why a connection could not be opened."""
        self.refused(connection, str(error) or type(error).__name__)

    def refused(self, connection: Connection, reason: str) -> None:
        """Remember why the broker did not take a connection."""
        self._reason = reason
        if self.up == 0:
            self._outage.report(reason, len(self._members))
        _log.info("%s: no connection: %s", connection.client_id, reason)

    # -- the shared tasks ----------------------------------------------------------------------

    def _flush(self) -> None:
        connections, self._to_write = self._to_write, []
        for connection in connections:
            connection.write()

    async def _dial(self) -> None:
        """Open due connections in order, within the limits of the pace."""
        turn = time.monotonic()
        while True:
            if not self._due:
                self._wake.clear()
                await self._wake.wait()
                continue
            wait = self._due[0][0] - time.monotonic()
            if wait > 0:
                self._wake.clear()
                # Not wait_for: on Python 3.11 it may swallow the cancellation that ends this task.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                continue
            await self._slots.acquire()
            _, _, connection = heapq.heappop(self._due)
            now = time.monotonic()
            turn = max(turn + 1 / self.pace.rate, now - _BURST)
            if turn > now:
                await asyncio.sleep(turn - now)
            if not connection.connect():
                self.slot_free()

    async def _sweep(self) -> None:
        """Look after each connection several times a keep-alive, some each second."""
        pause = 1.0
        at = 0
        rounds = max(1, self.pace.keepalive // _SWEEPS_A_KEEPALIVE)
        while True:
            await asyncio.sleep(pause)
            members, now = self._members, time.monotonic()
            count = -(-len(members) // rounds)
            for connection in members[at : at + count]:
                connection.check_deadlines(now)
            at = at + count if at + count < len(members) else 0
