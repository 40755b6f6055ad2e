"""Limits on the size of a request and on the rate of requests from one address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.web.error_responses import refusal

__all__ = ["MAX_BODY", "RateLimit", "RequestLimits"]

MAX_BODY: Final = 256 * 1024
"""Bytes of the largest request body: a batch of 20 requests, with room to spare."""
_BURST: Final = 2_000
_PER_SECOND: Final = 1_000.0
"""Requests from one address: far above what a browser or a script does on purpose."""
_ADDRESSES: Final = 1_024
"""Addresses remembered; the one unseen for longest is forgotten first."""


class RateLimit:
    """Token buckets by key: `burst` requests at once, `per_second` in the long run."""

    def __init__(
        self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._rate = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Take a token; 0 where there was one, else the seconds until there is."""
        now = self._clock()
        level, since = self._buckets.pop(key, (float(self._burst), now))
        level = min(self._burst, level + (now - since) * self._rate)
        waiting = 0.0 if level >= 1 else (1 - level) / self._rate
        self._buckets[key] = (level if waiting else level - 1, now)
        while len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return waiting


class _TooLargeError(Exception):
    """The request's body exceeds the limit."""


class RequestLimits:
    """Refuses requests that are too large (413) or too many (429)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._rate = RateLimit(_BURST, _PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        client = scope.get("client")
        if self._rate.wait(client[0] if client else ""):
            answer = refusal(scope, 429, "Too many requests.", {"retry-after": "1"})
            await answer(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:_DIGITS]) > MAX_BODY or len(length) > _DIGITS:
            await _too_large(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        read, started = 0, False

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise _TooLargeError
            return message

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive_counted, send_noting)
        except _TooLargeError:
            if not started:
                await _too_large(scope, receive, send)


_DIGITS: Final = 12
"""A longer Content-Length is too large whatever it says."""


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    answer = refusal(scope, 413, f"The request is larger than {MAX_BODY} bytes.")
    await answer(scope, receive, send)
