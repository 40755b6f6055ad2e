"""Schedule of a load: due time, action and device of each command, drawn from the seed.

The load is an open model: the due time depends on the rate alone, never on answers. A fleet or
broker that stalls still receives commands, as it would from independent users, and their waiting
time counts (see `fleet.load.measurements`).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from broker.errors import UsageError
from broker.file_validation import suggest

__all__ = ["ACTIONS", "ActionMix", "Schedule", "ScheduledCommand"]

ACTIONS: Final = MappingProxyType(
    {"reset": "resetPasscode", "lock": "remoteLock", "sync": "syncDevice"}
)
"""Action names of the contract by their names in a mix."""

_PART: Final = re.compile(r"\s*([A-Za-z]+)\s*(?:=\s*(\d+(?:\.\d+)?)\s*)?")
_SPAN: Final = 2**64


@dataclass(frozen=True, slots=True)
class ActionMix:
    """Shares of actions; `weights` are above 0 and need no fixed sum."""

    weights: tuple[tuple[str, float], ...]

    @classmethod
    def parse(cls, text: str) -> ActionMix:
        """Read `reset=8,lock=2`. Raises UsageError for an unknown action or a bad share."""
        weights: dict[str, float] = {}
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if match is None:
                raise UsageError(
                    f"--mix: {part.strip()!r} is not an action and its share",
                    hint="write it as reset=8,lock=2",
                )
            action = match[1]
            if action not in ACTIONS:
                raise UsageError(
                    f"--mix: there is no action {action!r}",
                    hint=suggest(action, ACTIONS) or f"one of {', '.join(ACTIONS)}",
                )
            if action in weights:
                raise UsageError(f"--mix: {action} is given twice")
            weights[action] = float(match[2] or 1)
        named = tuple((action, weight) for action, weight in weights.items() if weight > 0)
        if not named:
            raise UsageError("--mix: every share is 0", hint="write it as reset=8,lock=2")
        return cls(named)

    @property
    def actions(self) -> tuple[str, ...]:
        """Action names in the given order."""
        return tuple(action for action, _ in self.weights)


@dataclass(frozen=True, slots=True)
class ScheduledCommand:
    """Command of the schedule; `at` is seconds after the start."""

    number: int
    at: float
    action: str
    device_id: str


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Commands of a run. Times in seconds; `rate` is commands per second after `ramp`.

    During the ramp, which is part of the duration, the rate grows linearly from 0.
    """

    rate: float
    duration: float
    ramp: float
    mix: ActionMix
    seed: int
    device_ids: Sequence[str]

    @property
    def count(self) -> int:
        """Number of commands, at least 1."""
        # Tolerance for float errors: 0.1 s at 10/s is one command.
        return max(1, math.ceil(self._by(self.duration) - 1e-9))

    def due_by(self, seconds: float) -> float:
        """Return the number of commands due in the first `seconds`, with fractions."""
        return self._by(min(max(seconds, 0.0), self.duration))

    def at(self, number: int) -> float:
        """Return the due time of command `number`, which starts at 0."""
        in_ramp = self.rate * self.ramp / 2
        if number < in_ramp:
            return math.sqrt(2 * number * self.ramp / self.rate)
        return self.ramp + (number - in_ramp) / self.rate

    def arrivals(self) -> Iterator[ScheduledCommand]:
        """Generate the commands in the order of their due times."""
        key = self._key("arrivals")
        actions = self.mix.actions
        bounds = list(accumulate(weight for _, weight in self.mix.weights))
        for number in range(self.count):
            drawn = blake2b(b"%d" % number, key=key, digest_size=16).digest()
            share = int.from_bytes(drawn[:8]) / _SPAN * bounds[-1]
            # A share that rounds up to the last bound belongs to the last action.
            action = actions[min(bisect_right(bounds, share), len(actions) - 1)]
            device = int.from_bytes(drawn[8:]) * len(self.device_ids) // _SPAN
            yield ScheduledCommand(number, self.at(number), action, self.device_ids[device])

    def shuffled(self) -> list[str]:
        """Return the devices in an order drawn from the seed."""
        key = self._key("devices")
        return sorted(self.device_ids, key=lambda i: blake2b(i.encode(), key=key).digest())

    def _key(self, purpose: str) -> bytes:
        return blake2b(f"load/{purpose}/{self.seed}".encode(), digest_size=32).digest()

    def _by(self, seconds: float) -> float:
        if seconds < self.ramp:
            return self.rate * seconds**2 / (2 * self.ramp)
        return self.rate * (seconds - self.ramp / 2)
