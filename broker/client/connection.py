"""One MQTT connection, a paho-mqtt client driven by the asyncio loop.

The pool (`broker.client.pool`) holds tasks, timers and threads, which all connections share.

Messages are acknowledged explicitly (`Connection.acknowledge`): at-least-once delivery ends when
the listener has processed a message and stored the result, not when the message was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from broker.client.login import DeviceLogin
from broker.client.messages import ConnectionListener, Delivery, OutgoingMessage
from broker.client.pace import ConnectionPace
from broker.client.paho_client import PahoClient

__all__ = ["Connection", "Pool", "log_error_location", "run_guarded"]

_log = logging.getLogger("passfleet.connection")

_READS_TO_END: Final = 10_000
_QOS_1: Final[Mapping[str, int]] = MappingProxyType({})
"""QoS by filter for connections that ask for all of them at QoS 1."""


class Pool(Protocol):
    """Services that a connection needs of its pool (`broker.client.pool.ConnectionPool`)."""

    loop: asyncio.AbstractEventLoop
    pace: ConnectionPace
    unaccepted: int
    """Messages that a connected broker has not accepted yet."""

    def new_client(
        self, client_id: str, login: DeviceLogin | None, *, clean_session: bool
    ) -> PahoClient:
        """Create a client for the broker, not connected yet."""

    def enqueue(self, connection: Connection, delay: float) -> None:
        """Call `connect` of a connection after `delay` seconds, when its turn comes."""

    def on_thread(
        self, work: Callable[[], Any], done: Callable[[BaseException | None], None]
    ) -> None:
        """Run blocking work on a thread, then call `done` on the event loop."""

    def scatter(self, connection: Connection) -> float:
        """Return a factor from 0.5 to 1.5 for the next reconnect delay."""

    def wants_write(self, connection: Connection) -> None:
        """Call `write` of a connection once this turn of the event loop is over."""

    def slot_free(self) -> None:
        """Count one connection fewer that is being opened."""

    def now_up(self, connection: Connection) -> None:
        """Count a connection that is connected and subscribed."""

    def now_down(self, connection: Connection, *, was_up: bool) -> None:
        """Count a connection that was lost or closed."""

    def failed(self, connection: Connection, error: BaseException) -> None:
        """Record the error of a connection that could not be opened."""

    def refused(self, connection: Connection, reason: str) -> None:
        """Record the reason for which the broker refused a connection."""


class Connection:
    """One MQTT client that reconnects until it is closed.

    `number` counts connections made, from the number it was given; it only grows. What is published
    while there is no connection waits, in order, for the next one.

    `filters` are asked for on every connection, so that what is retained on them is seen again.
    `lasting` are asked for where the broker's session does not have them yet: those of many
    subscribers. Mosquitto goes through all of them for each SUBSCRIBE, and 10,000 devices that lost
    their connections were back in 21 s with it and in 6 s without.
    `qos` is the QoS of the filters that are not asked for at QoS 1. `login` is the login of its
    own, None for that of the pool's broker.
    """

    __slots__ = (
        "_accepted",
        "_asked",
        "_attempts",
        "_bouncing",
        "_came_up",
        "_client",
        "_deadline",
        "_dropping",
        "_filters",
        "_lasting",
        "_listener",
        "_pool",
        "_qos",
        "_queued",
        "_slot",
        "_socket",
        "_stopped",
        "_subscribed",
        "_unaccepted",
        "_waiting",
        "_wanted",
        "_writing",
        "client_id",
        "login",
        "number",
        "restarting",
        "up",
    )

    def __init__(
        self,
        pool: Pool,
        client_id: str,
        filters: Iterable[str],
        listener: ConnectionListener,
        *,
        lasting: Iterable[str] = (),
        qos: Mapping[str, int] = _QOS_1,
        login: DeviceLogin | None = None,
        clean_session: bool = False,
        number: int = 0,
    ) -> None:
        self.client_id = client_id
        self.number = number
        self.up = False
        self._pool = pool
        self._filters = tuple(filters)
        self._lasting = tuple(lasting)
        self._qos = qos
        self._listener = listener
        self.login = login
        self._client = pool.new_client(client_id, login, clean_session=clean_session)
        self._queued: deque[OutgoingMessage] = deque()
        self._accepted: dict[int, Callable[[], None]] = {}
        self._asked = False
        self._attempts = 0
        self._bouncing = False
        self.restarting = False
        """True from `reconnect` until the connection is up again."""
        self._came_up: asyncio.Future[None] | None = None
        self._deadline: float | None = None
        self._dropping = False
        self._slot = False
        self._socket: Any = None
        self._stopped: asyncio.Future[None] | None = None
        self._subscribed = False
        self._unaccepted = 0
        self._wanted = False
        self._waiting = False
        self._writing = False
        client = self._client
        client.events = self
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_written

    # -- methods for the owner -------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and connect again whenever the connection is lost."""
        if not self._wanted:
            self._wanted = True
            self._enqueue(0.0)

    async def until_up(self, limit: float) -> bool:
        """Wait until connected and subscribed; False after `limit` seconds."""
        if self.up:
            return True
        self._came_up = self._pool.loop.create_future()
        done, _ = await asyncio.wait([self._came_up], timeout=limit)
        self._came_up = None
        return bool(done)

    def publish(self, message: OutgoingMessage) -> None:
        """Publish now, or after the next connection where there is none."""
        if not self.up or self._queued or not self._send(message):
            self._queued.append(message)

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge a message; ignored if it arrived on an earlier connection."""
        if not delivery.mid:
            return  # brokers disconnect clients that acknowledge packet id 0
        if self._socket is not None and delivery.connection_number == self.number:
            self._client.acknowledge(delivery.mid)
            self._ask_to_write()

    def drop(self, *, stay_away: bool = False) -> None:
        """Close the socket without DISCONNECT, so that the broker publishes the Last Will.

        `stay_away` prevents a reconnect until `open` is called.
        """
        if stay_away:
            self._wanted = False
        sock = self._client.socket()
        if sock is None or self._waiting:
            return
        self._dropping = True
        with contextlib.suppress(OSError), _raw(sock) as raw:
            raw.shutdown(socket.SHUT_RDWR)
        for _ in range(_READS_TO_END):
            if self._client.socket() is None:
                break
            self._client.loop_read()
        self._dropping = False

    async def close(self, *, last: Iterable[OutgoingMessage] = ()) -> None:
        """Publish the messages in `last`, disconnect and do not reconnect.

        Waits until the broker has accepted everything and the socket is closed, for as long as the
        pace gives a broker to answer.
        """
        self._wanted = False
        if not self.up:
            self.drop()
            return
        for message in last:
            self._send(message)
        self._stopped = self._pool.loop.create_future()
        self._pool.loop.call_soon(self._disconnect_when_accepted)
        done, _ = await asyncio.wait([self._stopped], timeout=self._pool.pace.answer_within)
        self._stopped = None
        if not done:
            self.drop()

    def _disconnect_when_accepted(self) -> None:
        leaving = self._stopped is not None or self._bouncing
        if leaving and self.up and self._unaccepted == 0:
            self._bouncing = False
            self._client.disconnect()

    def reconnect(self, *, last: Iterable[OutgoingMessage] = ()) -> None:
        """Disconnect once the broker has accepted all messages, then connect again: a restart."""
        if not self.up:
            return
        for message in last:
            self._send(message)
        self._bouncing = self.restarting = True
        self._pool.loop.call_soon(self._disconnect_when_accepted)

    # -- connecting ----------------------------------------------------------------------------

    def _enqueue(self, delay: float) -> None:
        if not self._waiting:
            self._waiting = True
            self._pool.enqueue(self, delay)

    def connect(self) -> bool:
        """Begin to connect, on a thread of the pool. Called by the pool, which counts the slot."""
        if not self._wanted:
            self._waiting = False
            return False
        self._slot = True
        self.number += 1
        presence = self._listener.presence(self.number)
        if presence is not None:
            will = presence[1]
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        self._deadline = time.monotonic() + self._pool.pace.answer_within
        self._pool.on_thread(self._client.reconnect, self._dialled)
        return True

    def _dialled(self, error: BaseException | None) -> None:
        """Handle the end of a connection attempt: the socket is open, or `error` is set."""
        self._waiting = False
        if error is not None:
            self._pool.failed(self, error)
            self._lost()
            return
        sock = self._client.socket()
        if sock is None:
            self._lost()
            return
        if not self._wanted:
            self.drop()
            return
        with contextlib.suppress(OSError), _raw(sock) as raw:
            # Three small publishes in a row must not wait for one another's TCP acknowledgement.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        # By number: asyncio would print the socket in an error message.
        self._pool.loop.add_reader(sock.fileno(), self._on_readable)
        self.write()

    def _on_connect(self, _c: Any, _u: Any, flags: Any, code: Any, _p: Any) -> None:
        if code.is_failure:
            self._refused(str(code))
            return
        self._client.send_again()
        self._ask_to_write()
        # A new session has no subscriptions until a SUBACK arrives, on this or a later connection.
        self._subscribed = self._subscribed and flags.session_present
        wanted = self._filters if self._subscribed else (*self._filters, *self._lasting)
        if wanted:
            self._client.subscribe([(topic, self._qos.get(topic, 1)) for topic in wanted])
        else:
            self._become_up()

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, codes: list[Any], _p: Any) -> None:
        wanted = (*self._filters, *self._lasting)
        refused = [f for f, code in zip(wanted, codes, strict=False) if code.is_failure]
        if refused:
            self._refused(f"it does not let {self.client_id} subscribe to {refused[0]}")
            self._pool.loop.call_soon(self.drop)
            return
        self._subscribed = True
        self._become_up()

    def _refused(self, reason: str) -> None:
        self._deadline = None
        self._pool.refused(self, reason)

    def _become_up(self) -> None:
        self.up = True
        self.restarting = False
        self._attempts = 0
        self._deadline = None
        self._free_slot()
        self._pool.unaccepted += self._unaccepted
        presence = self._listener.presence(self.number)
        if presence is not None:
            self._send(presence[0])
        # Queued messages are older than those that the listener publishes now.
        self._send_queued()
        run_guarded(self.client_id, self._listener.on_connected)
        self._pool.now_up(self)
        if self._came_up is not None and not self._came_up.done():
            self._came_up.set_result(None)

    def _lost(self) -> None:
        was_up, self.up = self.up, False
        self._bouncing = False
        self._deadline = None
        self._free_slot()
        if was_up:
            self._pool.unaccepted -= self._unaccepted
            run_guarded(self.client_id, self._listener.on_disconnected)
        self._pool.now_down(self, was_up=was_up)
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        if self._wanted:
            shortest, longest = self._pool.pace.backoff
            delay = min(longest, shortest * 2**self._attempts)
            self._attempts = min(self._attempts + 1, 16)
            self._enqueue(delay * self._pool.scatter(self))

    def _free_slot(self) -> None:
        if self._slot:
            self._slot = False
            self._pool.slot_free()

    def check_deadlines(self, now: float) -> None:
        """Send keep-alives; drop a connection if the broker does not answer. For the pool."""
        if self._waiting:
            return
        if self._deadline is not None and now > self._deadline:
            self._refused("it does not answer")
            self.drop()
        elif self.up:
            self._client.loop_misc()

    # -- callbacks of the client -----------------------------------------------------------------

    def _on_readable(self) -> None:
        self._client.loop_read()
        # TLS and WebSocket layers may hold decrypted data of which the selector knows nothing.
        sock = self._client.socket()
        while sock is not None and getattr(sock, "pending", int)():
            self._client.loop_read()
            sock = self._client.socket()

    def message(self, topic: bytes, payload: bytes, retained: bool, mid: int) -> None:  # noqa: FBT001
        """Hand a message to the listener (`broker.client.paho_client.ClientEvents`)."""
        if self._dropping:
            return
        delivery = Delivery(self.number, mid)
        try:
            self._listener.on_message(topic.decode(), payload, retained, delivery)
        except Exception as error:  # noqa: BLE001  # nothing that arrives may stop a device
            log_error_location(self.client_id, error)
            self.acknowledge(delivery)

    def accepted(self, mid: int) -> None:
        """Count a message that the broker has accepted (`ClientEvents` of the paho client)."""
        self._unaccepted -= 1
        if self.up:
            self._pool.unaccepted -= 1
        if self._unaccepted == 0:
            self._disconnect_when_accepted()
        if self._accepted and (callback := self._accepted.pop(mid, None)) is not None:
            run_guarded(self.client_id, callback)
        if self._queued and self.up:
            self._send_queued()

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, _code: Any, _p: Any) -> None:
        if self._deadline is not None and not self._dropping:
            self._refused("it closes the connection before it accepts it")
        self._lost()

    def _on_socket_close(self, _c: Any, _u: Any, sock: Any) -> None:
        if self._socket is not None:
            self._socket = None
            self._pool.loop.remove_reader(sock.fileno())

    def _on_want_write(self, _c: Any, _u: Any, _sock: Any) -> None:
        # Called from the dialling thread too, before the socket is ours: _dialled writes then.
        if self._socket is not None:
            self._ask_to_write()

    def _ask_to_write(self) -> None:
        if not self._asked:
            self._asked = True
            self._pool.wants_write(self)

    def _on_written(self, _c: Any, _u: Any, sock: Any) -> None:
        if self._writing:
            self._writing = False
            self._pool.loop.remove_writer(sock)

    def write(self) -> None:
        """Send what is queued; wait for the socket where it takes no more. Called by the pool."""
        self._asked = False
        sock = self._client.socket()
        if sock is None:
            return
        self._client.loop_write()
        if self._client.want_write() and not self._writing and self._client.socket() is sock:
            self._writing = True
            self._pool.loop.add_writer(sock, self._client.loop_write)

    # -- sending -------------------------------------------------------------------------------

    def _send_queued(self) -> None:
        """Send what waits, as far as paho takes it; the rest goes as the broker accepts."""
        while self._queued and self._send(self._queued[0]):
            self._queued.popleft()

    def _send(self, message: OutgoingMessage) -> bool:
        """Send a message; False where all 65,535 packet ids are waiting for the broker."""
        if not message.qos:
            self._client.send_unacknowledged(message.topic, message.payload, retain=message.retain)
            self._ask_to_write()
            if message.accepted is not None:
                message.accepted()
            return True
        mid = self._client.send(message.topic, message.payload, retain=message.retain)
        if not mid:
            return False
        self._ask_to_write()
        self._unaccepted += 1
        self._pool.unaccepted += 1
        if message.accepted is not None:
            self._accepted[mid] = message.accepted
        return True


def run_guarded(name: str, call: Callable[[], object]) -> None:
    """Call a function; log its exceptions under the name of a device or connection."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  # one device's fault must not stop the others
        log_error_location(name, error)


def log_error_location(name: str, error: Exception) -> None:
    """Log where an error came from without its text, which may quote a payload."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in frames)
    _log.error("%s: %s at %s", name, type(error).__name__, places)


def _raw(sock: Any) -> socket.socket:
    """The TCP socket below TLS or WebSocket; closing it leaves the other open."""
    return socket.socket(fileno=os.dup(sock.fileno()))
