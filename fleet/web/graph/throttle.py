"""Throttling as Graph does it: so many requests in a time, then 429 with `Retry-After`."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from fleet.web.graph.errors import GraphError

__all__ = ["Throttle"]


class Throttle:
    """A sliding window: at most `count` requests in any `window` seconds."""

    def __init__(
        self, count: int, window: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._window = window
        self._clock = clock
        self._taken: deque[float] = deque()

    def take(self) -> None:
        """Count a request. Raises GraphError (429) where there were too many; that one is free."""
        now = self._clock()
        while self._taken and self._taken[0] <= now - self._window:
            self._taken.popleft()
        if len(self._taken) >= self._count:
            seconds = max(1, math.ceil(self._taken[0] + self._window - now))
            raise GraphError(
                429,
                f"Too many requests: retry in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )
        self._taken.append(now)
