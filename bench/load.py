"""Load generator: an operator that keeps a fixed number of resets in flight and times each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from raw_client import Client

__all__ = ["Load", "Operator"]


@dataclass
class Load:
    """Outcome of a number of resets. Times in seconds."""

    took: float = 0.0
    times: list[float] = field(default_factory=list)
    sent: int = 0
    not_done: int = 0

    @property
    def lost(self) -> int:
        """Number of resets that were not answered in time."""
        return self.sent - len(self.times)

    def percentile(self, share: float) -> float:
        """Return the time within which this share of the resets was answered."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Operator(Client):
    """Sends resets to the devices below `root` in turn, and the next for each result."""

    def __init__(self, root: str, names: list[str]) -> None:
        super().__init__(f"operator-{root.partition('/')[0]}", [f"{root}/devices/+/results"])
        self.root, self.names = root, names
        self.waiting: dict[str, deque[float]] = {name: deque() for name in names}
        self.left = self.number = 0
        self.load = Load()
        self.done = asyncio.Event()

    async def send(self, commands: int, in_flight: int, limit: float) -> Load:
        """Send `commands` resets, at most `in_flight` at once, for at most `limit` seconds."""
        self.load, self.left = Load(), commands
        self.done.clear()
        begun = time.perf_counter()
        self.transport.write(b"".join(self.command() for _ in range(min(in_flight, commands))))
        try:
            async with asyncio.timeout(limit):
                await self.done.wait()
        except TimeoutError:
            self.left = 0
        self.load.took = time.perf_counter() - begun
        return self.load

    def command(self) -> bytes:
        """Return the next command, empty if all were sent."""
        if not self.left:
            return b""
        self.left -= 1
        self.load.sent += 1
        self.number += 1
        name = self.names[self.number % len(self.names)]
        self.waiting[name].append(time.perf_counter())
        body = b'{"commandId":"c-%d","actionName":"resetPasscode"}' % self.number
        return self.publish(f"{self.root}/devices/{name}/commands", body)

    def on_message(self, topic: str, data: bytes, retained: bool) -> bytes:  # noqa: FBT001
        """Record the duration, and send the next command."""
        del retained
        waiting = self.waiting[topic.split("/")[-2]]
        self.load.not_done += b'"actionState":"done"' not in data
        if waiting:
            self.load.times.append(time.perf_counter() - waiting.popleft())
        following = self.command()
        if not self.left and len(self.load.times) == self.load.sent:
            self.done.set()
        return following
