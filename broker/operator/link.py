"""Operator connection: publish, subscribe, receive. All failures are BrokerErrors.

One task passes each message to the listeners. `OperatorLink.guard` and `wait` are used for all
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

__all__ = ["QUIET_TIME", "RETAINED_LIMIT", "OperatorLink"]

T = TypeVar("T")

_ANSWER_LIMIT: Final = 15.0
"""Seconds for an acknowledgement. A broker that delivers to a whole fleet is slow."""
_REFUSED: Final = 128
"""Lowest SUBACK code that refuses a subscription."""
QUIET_TIME: Final = (0.05, 1.0)
"""Seconds without a retained message after which no more are expected: (shortest, longest)."""
RETAINED_LIMIT: Final = 30.0
"""Seconds for all retained messages of a fleet to arrive."""

Listener = Callable[[ReceivedMessage], None]


class OperatorLink:
    """One connection of an operator, as an async context manager.

    Entering raises BrokerError if the broker is absent, refuses the connection, or is not an MQTT
    broker. `listeners` are called with every message, in the order of arrival; they must not block.
    """

    def __init__(self, address: BrokerAddress, topics: Topics) -> None:
        self.address = address
        self.topics = topics
        self.listeners: list[Listener] = []
        self._subscriber_counts: Counter[str] = Counter()
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
        """Disconnect. A lost connection is not an error here."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        if self._lost.done():
            self._lost.exception()  # marks it as retrieved, else asyncio logs it
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await self._client.__aexit__(None, None, None)

    # -- publish and subscribe ----------------------------------------------------------------

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the broker's acknowledgement."""
        sending = self._client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)
        try:
            await self.guard(sending, _ANSWER_LIMIT)
        except TimeoutError:
            raise self._no_acknowledgement_error("a message") from None

    async def publish_all(
        self, messages: Iterable[tuple[str, bytes]], limit: float, *, retain: bool = False
    ) -> None:
        """Publish (topic, payload) pairs at QoS 1, up to MAX_IN_FLIGHT at once.

        `messages` is read while publishing. Raises TimeoutError after `limit` seconds; messages not
        read by then are not published.
        """
        queue = iter(messages)

        async def publish_from_queue() -> None:
            for topic, payload in queue:
                await self._client.publish(topic, payload, qos=1, retain=retain, timeout=math.inf)

        async def publish_in_parallel() -> None:
            workers = [asyncio.ensure_future(publish_from_queue()) for _ in range(MAX_IN_FLIGHT)]
            try:
                await asyncio.gather(*workers)
            finally:
                # After a failure the others would wait for acknowledgements that never come.
                for worker in workers:
                    worker.cancel()

        await self.guard(publish_in_parallel(), limit)

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Subscribe to (topic filter, QoS) pairs and wait for the acknowledgement.

        The broker sends the retained messages, also for a repeated subscription. Raises BrokerError
        if the broker refuses.
        """
        try:
            codes = await self.guard(
                self._client.subscribe(list(filters), timeout=math.inf), _ANSWER_LIMIT
            )
        except TimeoutError:
            raise self._no_acknowledgement_error("a subscription") from None
        for (topic, _), code in zip(filters, codes, strict=False):
            # MQTT 3.1.1 uses numbers, but paho may return a ReasonCode.
            if cast("int", getattr(code, "value", code)) >= _REFUSED:
                raise BrokerError(
                    f"{self.address.url} refused the subscription to {topic}",
                    hint="allow this login to read and write below the fleet's topic root",
                )

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Unsubscribe. A missing acknowledgement is ignored."""
        with contextlib.suppress(TimeoutError):
            await self.guard(
                self._client.unsubscribe(list(filters), timeout=math.inf), _ANSWER_LIMIT
            )

    @contextlib.asynccontextmanager
    async def subscribed(
        self, filters: Sequence[tuple[str, int]], listener: Listener
    ) -> AsyncIterator[None]:
        """Subscribe to (topic filter, QoS) pairs while the context lasts.

        The listener is also called with all other messages that arrive meanwhile.
        """
        self.listeners.append(listener)
        names = [name for name, _ in filters]
        self._subscriber_counts.update(names)
        try:
            await self.subscribe(filters)
            yield
        finally:
            self.listeners.remove(listener)
            self._subscriber_counts.subtract(names)
            free = [name for name in names if self._subscriber_counts[name] <= 0]
            self._subscriber_counts += Counter()  # removes entries without a subscriber
            if free and not self._lost.done():
                await self.unsubscribe(free)

    @contextlib.contextmanager
    def expecting(
        self, accept: Callable[[ReceivedMessage], T | None]
    ) -> Iterator[asyncio.Future[T]]:
        """Yield a future of the first value other than None that `accept` returns."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def listen(message: ReceivedMessage) -> None:
            if not future.done() and (value := accept(message)) is not None:
                future.set_result(value)

        self.listeners.append(listen)
        try:
            yield future
        finally:
            self.listeners.remove(listen)
            future.cancel()

    async def pass_barrier(self, limit: float) -> None:
        """Wait until all messages sent to this link before have arrived.

        Raises TimeoutError after `limit` seconds.
        """
        with self._barrier.marker() as marker:
            await self.publish(self._barrier.topic, marker.payload)
            await self.guard(marker.passed.wait(), limit)

    async def wait_for_retained(self) -> None:
        """Wait until the retained messages of all subscriptions so far have arrived.

        The link passes a barrier and then waits for a short time without a retained message, since
        some brokers deliver retained messages after later ones.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            await self.pass_barrier(RETAINED_LIMIT)
        except TimeoutError:
            raise BrokerError(
                f"{self.address.url} does not deliver messages on {self._barrier.topic}",
                hint="allow this login to read and write below the fleet's topic root",
            ) from None
        shortest, longest = QUIET_TIME
        quiet = min(max(shortest, loop.time() - started), longest)
        since = loop.time()
        while (left := max(since, self._last_retained) + quiet - loop.time()) > 0:
            if loop.time() - started > RETAINED_LIMIT:
                return
            await self.pause(left)

    # -- waiting ------------------------------------------------------------------------------

    async def wait(self, future: asyncio.Future[T], limit: float | None) -> T:
        """Return the result of a future.

        Raises TimeoutError after `limit` seconds, and BrokerError if the connection is lost. The
        future is not cancelled and may be awaited again.
        """
        await asyncio.wait((future, self._lost), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self._lost.done():
            self._lost.result()
        raise TimeoutError

    async def guard(self, work: Coroutine[Any, Any, T], limit: float | None) -> T:
        """Run a coroutine. Raises the exceptions of `wait`."""
        task = asyncio.ensure_future(work)
        try:
            return await self.wait(task, limit)
        except aiomqtt.MqttError as error:
            raise self._lost_error() from error
        finally:
            task.cancel()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds`. Raises BrokerError if the connection is lost meanwhile."""
        await asyncio.wait((self._lost,), timeout=seconds)
        if self._lost.done():
            self._lost.result()

    async def lost(self) -> None:
        """Wait until the connection is lost, and raise a BrokerError then."""
        await asyncio.wait((self._lost,))
        self._lost.result()

    # -- receiving ----------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            async for message in self._client.messages:
                self._on_message(message)
        except aiomqtt.MqttError:
            self._lost.set_exception(self._lost_error())
        except Exception as error:  # noqa: BLE001  # raised by the next wait
            self._lost.set_exception(error)

    def _on_message(self, incoming: aiomqtt.Message) -> None:
        topic = incoming.topic.value
        device_id, leaf = self.topics.split(topic) or (None, None)
        message = ReceivedMessage(topic, device_id, leaf, incoming.payload, bool(incoming.retain))
        if message.retained:
            self._last_retained = asyncio.get_running_loop().time()
        self._barrier.on_message(topic, message.payload)
        for listener in tuple(self.listeners):
            listener(message)

    def _lost_error(self) -> BrokerError:
        return BrokerError(
            f"the connection to {self.address.url} was lost",
            hint="is the broker still running?",
        )

    def _no_acknowledgement_error(self, what: str) -> BrokerError:
        return BrokerError(f"{self.address.url} did not acknowledge {what} in time")
