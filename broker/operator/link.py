"""Operator connection: publish, subscribe, listen. All its failures are BrokerErrors.

One task reads and passes each message to the listeners. `OperatorLink.guard` and `wait` are for all
waits, since they also end when the connection is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final, Self, TypeVar, cast

import aiomqtt

from broker.address import BrokerAddress
from broker.client.barrier import Barrier
from broker.contract import Topics
from broker.errors import BrokerError
from broker.operator.connect import MAX_IN_FLIGHT, connect, open_client
from broker.operator.readers import ReceivedMessage

__all__ = ["OperatorLink"]

T = TypeVar("T")

_ANSWER_LIMIT: Final = 15.0
"""Seconds for a broker's acknowledgement; one that is delivering to a whole fleet is slow."""
_REFUSED: Final = 128
"""The answers to a subscription from here on are refusals."""
_QUIET: Final = (0.05, 1.0)
"""Seconds without a retained message after which no more are expected: (shortest, longest)."""
_RETAINED_LIMIT: Final = 30.0
"""Seconds for all retained messages of a fleet to arrive."""

Listener = Callable[[ReceivedMessage], None]


class OperatorLink:
    """One connection of an operator, as an async context manager.

    Entering raises BrokerError where the broker is absent, refuses us, or is no MQTT broker.
    `listeners` are called with every message, in the order of arrival; they must not block.
    """

    def __init__(self, address: BrokerAddress, topics: Topics) -> None:
        self.address = address
        self.topics = topics
        self.listeners: list[Listener] = []
        self._held: Counter[str] = Counter()
        self._barrier = Barrier(f"{topics.root}/operators/{secrets.token_hex(8)}/barrier")
        self._last_retained = 0.0

    async def __aenter__(self) -> Self:
        """Connect, start to read, and subscribe to the barrier."""
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = open_client(self.address, f"pf-op-{secrets.token_hex(6)}")
        await connect(self._client, self.address)
        self._reader = asyncio.create_task(self._read(), name="operator reader")
        try:
            await self.subscribe([(self._barrier.topic, 1)])
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect. A broker that is gone by now is no error any more."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        if self._lost.done():
            self._lost.exception()  # mark as retrieved: asyncio would log it
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await self._client.__aexit__(None, None, None)

    # -- what is done with the broker ---------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the broker's acknowledgement."""
        sending = self._client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)
        try:
            await self.guard(sending, _ANSWER_LIMIT)
        except TimeoutError:
            raise self._silent("a message") from None

    async def publish_all(
        self, messages: Iterable[tuple[str, bytes]], limit: float, *, retain: bool = False
    ) -> None:
        """Publish many at QoS 1, a number of them in flight at once.

        `messages` is read as publishing goes on. Raises TimeoutError after `limit` seconds; what
        was not read by then is not published.
        """
        queue = iter(messages)

        async def work() -> None:
            for topic, payload in queue:
                await self._client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)

        async def all_of_them() -> None:
            workers = [asyncio.ensure_future(work()) for _ in range(MAX_IN_FLIGHT)]
            try:
                await asyncio.gather(*workers)
            finally:
                # One that failed leaves the others waiting for acknowledgements that never come.
                for worker in workers:
                    worker.cancel()

        await self.guard(all_of_them(), limit)

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to (topic filter, QoS) pairs and wait for the broker's word.

        The broker sends what it has retained for them, even if they were subscribed to before.
        """
        try:
            codes = await self.guard(
                self._client.subscribe(list(filters), timeout=math.inf), _ANSWER_LIMIT
            )
        except TimeoutError:
            raise self._silent("a subscription") from None
        for (topic, _), code in zip(filters, codes, strict=False):
            # A number by MQTT 3.1.1, but paho may hand it over as a ReasonCode.
            if cast("int", getattr(code, "value", code)) >= _REFUSED:
                raise BrokerError(
                    f"{self.address.url} does not let us read {topic}",
                    hint="allow this login to read and write below the fleet's topic root",
                )

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Unsubscribe; a broker that does not answer in time is left alone."""
        with contextlib.suppress(TimeoutError):
            await self.guard(
                self._client.unsubscribe(list(filters), timeout=math.inf), _ANSWER_LIMIT
            )

    @contextlib.asynccontextmanager
    async def subscribed(
        self, filters: Sequence[tuple[str, int]], listener: Listener
    ) -> AsyncIterator[None]:
        """Listen to (topic filter, QoS) pairs for as long as the context lasts.

        The listener is also called with all other messages that arrive meanwhile.
        """
        self.listeners.append(listener)
        names = [name for name, _ in filters]
        self._held.update(names)
        try:
            await self.subscribe(filters)
            yield
        finally:
            self.listeners.remove(listener)
            self._held.subtract(names)
            free = [name for name in names if self._held[name] <= 0]
            self._held += Counter()  # removes entries without a subscriber
            if free and not self._lost.done():
                await self.unsubscribe(free)

    @contextlib.contextmanager
    def expecting(
        self, accept: Callable[[ReceivedMessage], T | None]
    ) -> Iterator[asyncio.Future[T]]:
        """A future of the first message that `accept` makes something of."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def listen(heard: ReceivedMessage) -> None:
            if not future.done() and (value := accept(heard)) is not None:
                future.set_result(value)

        self.listeners.append(listen)
        try:
            yield future
        finally:
            self.listeners.remove(listen)
            future.cancel()

    async def pass_barrier(self, limit: float) -> None:
        """Wait until everything that was sent to this link before has arrived.

        Raises TimeoutError after `limit` seconds.
        """
        with self._barrier.marker() as marker:
            await self.publish(self._barrier.topic, marker.payload)
            await self.guard(marker.passed.wait(), limit)

    async def settle(self) -> None:
        """Wait until the retained messages of all subscriptions so far have arrived.

        A marker is published and awaited; then a short quiet follows, since there are brokers that
        deliver retained messages after later ones.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self.pass_barrier(_RETAINED_LIMIT)
        except TimeoutError:
            raise BrokerError(
                f"{self.address.url} does not deliver what we publish to {self._barrier.topic}",
                hint="allow this login to read and write below the fleet's topic root",
            ) from None
        shortest, longest = _QUIET
        quiet = min(max(shortest, loop.time() - started), longest)
        since = loop.time()
        while (left := max(since, self._last_retained) + quiet - loop.time()) > 0:
            if loop.time() - started > _RETAINED_LIMIT:
                return
            await self.pause(left)

    # -- waiting ------------------------------------------------------------------------------

    async def wait(self, future: asyncio.Future[T], limit: float | None) -> T:
        """The future's result; TimeoutError after `limit` seconds, BrokerError if the link dies.

        The future is not cancelled: it may be waited for again.
        """
        await asyncio.wait((future, self._lost), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self._lost.done():
            self._lost.result()
        raise TimeoutError

    async def guard(self, work: Coroutine[Any, Any, T], limit: float | None) -> T:
        """Do some work; TimeoutError after `limit` seconds, BrokerError if the link dies."""
        task = asyncio.ensure_future(work)
        try:
            return await self.wait(task, limit)
        except aiomqtt.MqttError as error:
            raise self._gone() from error
        finally:
            task.cancel()

    async def pause(self, seconds: float) -> None:
        """Let time pass; BrokerError if the link dies meanwhile."""
        await asyncio.wait((self._lost,), timeout=seconds)
        if self._lost.done():
            self._lost.result()

    async def lost(self) -> None:
        """Wait until the connection is lost, which is raised as a BrokerError."""
        await asyncio.wait((self._lost,))
        self._lost.result()

    # -- reading ------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async for message in self._client.messages:
                self._hear(message)
        except aiomqtt.MqttError:
            self._lost.set_exception(self._gone())
        except Exception as error:  # noqa: BLE001  # a listener's defect must not look like silence
            self._lost.set_exception(error)

    def _hear(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        device_id, leaf = self.topics.split(topic) or (None, None)
        heard = ReceivedMessage(topic, device_id, leaf, message.payload, bool(message.retain))
        if heard.retained:
            self._last_retained = asyncio.get_running_loop().time()
        self._barrier.on_message(topic, heard.payload)
        for listener in tuple(self.listeners):
            listener(heard)

    def _gone(self) -> BrokerError:
        return BrokerError(
            f"the connection to {self.address.url} was lost",
            hint="is the broker still running?",
        )

    def _silent(self, what: str) -> BrokerError:
        return BrokerError(f"{self.address.url} did not acknowledge {what} in time")
