"""Barrier: wait until everything published before has arrived.

A broker delivers the messages of one connection to one subscriber in order. A marker that is
published last and has come back is therefore behind everything that was published before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Iterator

__all__ = ["Barrier", "Marker"]


class Marker:
    """A message to publish on the barrier's topic. `passed` is set once it is back.

    With `acknowledged`, `passed` also waits for `Barrier.on_accepted`.
    """

    __slots__ = ("_missing", "passed", "payload")

    def __init__(self, payload: bytes, *, acknowledged: bool) -> None:
        self.payload = payload
        self.passed = asyncio.Event()
        self._missing = {"returned", "accepted"} if acknowledged else {"returned"}

    def complete(self, part: str) -> None:
        """Count `returned` or `accepted`."""
        self._missing.discard(part)
        if not self._missing:
            self.passed.set()


class Barrier:
    """Markers on one topic.

    The owner subscribes to `topic`, publishes the payload of each marker there and passes every
    message that arrives to `on_message`.
    """

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._pending: dict[bytes, Marker] = {}
        # Random: several processes may use the same topic.
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def marker(self, *, acknowledged: bool = False) -> Iterator[Marker]:
        """Yield a new marker, which is forgotten when the context ends."""
        payload = f"{self._prefix}-{next(self._numbers)}".encode()
        marker = self._pending[payload] = Marker(payload, acknowledged=acknowledged)
        try:
            yield marker
        finally:
            del self._pending[payload]

    def on_message(self, topic: str, payload: bytes) -> bool:
        """Handle a message; return False where it is not on the barrier's topic."""
        if topic != self.topic:
            return False
        self._complete(payload, "returned")
        return True

    def on_accepted(self, payload: bytes) -> None:
        """Count that the broker has accepted a marker."""
        self._complete(payload, "accepted")

    def _complete(self, payload: bytes, part: str) -> None:
        if (marker := self._pending.get(payload)) is not None:
            marker.complete(part)
