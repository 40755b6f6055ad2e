"""MQTT connection that receives all messages of a fleet, on an event loop in its own thread.

The thread makes it usable from plain tests and from asynchronous tests on any event loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import aiomqtt

from pytest_passfleet.address import Address
from pytest_passfleet.errors import FleetError, PluginError, UnmetError
from pytest_passfleet.message import Message, read

__all__ = ["FleetConnection"]

__tracebackhide__ = True
"""Hides these functions from tracebacks: a failure is shown at the line of the test."""

T = TypeVar("T")
_CONNECT_LIMIT: Final = 10.0
_SHOWN: Final = 8


class FleetConnection:
    """Publishes to a fleet and stores its messages. `call` runs coroutines on its event loop."""

    def __init__(self, address: Address, root: str, why_lost: Callable[[], str]) -> None:
        self.root = root
        self.log: list[Message] = []
        self.retained: dict[tuple[str, str], dict[str, Any]] = {}
        """Last payload by device and leaf: state, presence, `clock/now`."""
        self._address = address
        self._why_lost = why_lost
        self._lost = False
        # The default loop on Windows cannot watch the client's socket.
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._changed: asyncio.Event
        self._stop: asyncio.Event
        self._listening: asyncio.Task[None]

    # -- from any thread -----------------------------------------------------------------------

    def start(self) -> None:
        """Connect and subscribe. Raises FleetError if that fails."""
        self._thread.start()
        try:
            self.call(self._open()).result()
        except BaseException:
            self.close()
            raise

    def call(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine on the event loop of this connection."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop of this connection and wait for its result."""
        future = self.call(work)
        try:
            return future.result()
        except (PluginError, UnmetError) as error:
            # Drop the frames of the other thread: they do not help the reader of a report.
            raise error.with_traceback(None) from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Disconnect and end the thread."""
        if self._loop.is_closed():
            return
        self.call(self._close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def forget(self) -> None:
        """Delete the stored messages, so that a test does not see those of an earlier one."""
        self.log = []

    # -- on the loop ---------------------------------------------------------------------------

    async def publish(self, topic: str, document: Mapping[str, Any]) -> None:
        """Publish below the root, at QoS 1."""
        if self._lost:
            raise FleetError(self._why_lost())
        try:
            await self._client.publish(f"{self.root}/{topic}", json.dumps(document), qos=1)
        except aiomqtt.MqttError as error:
            raise FleetError(f"{self._why_lost()} ({error})") from None

    async def until(
        self, look: Callable[[], T | None], limit: float, what: str, device: str | None = None
    ) -> T:
        """Call `look` after every message until it returns a value, and return that value.

        Raises UnmetError after `limit` seconds. Its text contains `what`, and the last messages of
        `device`, or of all devices if it is None.
        """
        try:
            async with asyncio.timeout(limit):
                while True:
                    changed = self._changed
                    if (found := look()) is not None:
                        return found
                    if self._lost:
                        raise FleetError(self._why_lost())
                    await changed.wait()
        except TimeoutError:
            last = self._last(device)
            raise UnmetError(f"{what} did not come within {limit:g} s\n{last}") from None

    def sift(self, matches: Callable[[Message], bool]) -> Callable[[], Message | None]:
        """Return a function for `until` that finds the first match and checks each message once."""
        log, place = self.log, 0

        def look() -> Message | None:
            nonlocal place
            while place < len(log):
                place += 1
                if matches(log[place - 1]):
                    return log[place - 1]
            return None

        return look

    async def _open(self) -> None:
        self._changed, self._stop = asyncio.Event(), asyncio.Event()
        ready = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(ready))
        await ready

    async def _close(self) -> None:
        if not hasattr(self, "_listening"):
            return
        self._stop.set()
        # The callers that waited have received the error.
        with contextlib.suppress(Exception):
            await self._listening

    async def _listen(self, ready: asyncio.Future[None]) -> None:
        try:
            async with self._connected() as self._client:
                await self._client.subscribe(f"{self.root}/#", qos=1)
                ready.set_result(None)
                receiving = asyncio.create_task(self._receive())
                stopping = asyncio.create_task(self._stop.wait())
                await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in (receiving, stopping):
                    task.cancel()
                await asyncio.gather(receiving, stopping, return_exceptions=True)
        except (aiomqtt.MqttError, OSError) as error:
            if not ready.done():
                ready.set_exception(FleetError(f"{self._address.url}: {error}"))
        finally:
            self._lost = True
            self._wake()

    def _connected(self) -> aiomqtt.Client:
        at = self._address
        tls = aiomqtt.TLSParameters(ca_certs=at.ca, certfile=at.cert, keyfile=at.key)
        return aiomqtt.Client(
            at.host,
            at.port,
            username=at.username,
            password=at.password,
            transport="websockets" if at.websocket else "tcp",
            websocket_path=at.websocket,
            tls_params=tls if at.tls else None,
            timeout=_CONNECT_LIMIT,
        )

    async def _receive(self) -> None:
        async for received in self._client.messages:
            payload = received.payload if isinstance(received.payload, bytes) else b""
            message = read(self.root, str(received.topic), payload, retained=received.retain)
            if message.leaf in ("state", "presence", "clock/now") and message.document:
                self.retained[message.device, message.leaf] = message.document
            if not message.retained:
                self.log.append(message)
            self._wake()

    def _last(self, device: str | None) -> str:
        about = [message for message in self.log if device in (None, message.device)]
        lines = [f"  {message}" for message in about[-_SHOWN:]]
        return "\n".join(["last messages:", *lines]) if lines else "no message was received"

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
