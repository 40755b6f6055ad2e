"""Counters of a running fleet, fed by the effects and the changes of its devices."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.coverage import RuleRecorder
from agent.effects import Effect, PublishNotification, PublishResult
from agent.runner import Device
from agent.state import ActionState, Compliance, PasscodeKind

__all__ = ["DURATION_BUCKETS", "DeviceCounts", "FleetCounters"]

DURATION_BUCKETS: Final = (
    0.001,
    0.005,
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""Histogram bucket bounds: seconds from the start of a command to its result, fleet time."""

_SHOWN = 6
_RATE_OVER = 10.0


_NO_DEVICES: Final = dict.fromkeys(
    ("devices", "online", "locked", "wiped", *map(str, PasscodeKind), *map(str, Compliance)), 0
)


class DeviceCounts:
    """Number of devices by platform and state: online, locked, passcode kind, compliance.

    Only devices that changed since the last call of `by_platform` are looked at, so a fleet at
    rest costs nothing.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._counted: dict[Device, tuple[str, ...]] = {}
        self._states: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._changed: set[Device] = set()
        self.on_changed: Callable[[Device], None] = self._changed.add
        """Note a device whose state or connection changed."""

    def add(self, devices: Iterable[Device]) -> None:
        """Count devices; call it before they are started."""
        self._changed.update(devices)

    def by_platform(self) -> Mapping[str, Counter[str]]:
        """Counts by platform.

        Each platform has every state, also those with 0 devices: Prometheus does not read a missing
        series as 0.
        """
        while self._changed:
            device = self._changed.pop()
            new = self._words(device)
            old = self._counted.get(device)
            if new is not old:
                platform = device.state.profile.id
                count = self._counts.setdefault(platform, Counter(_NO_DEVICES))
                count.subtract(old or ())
                count.update(new)
                self._counted[device] = new
        return self._counts

    def _words(self, device: Device) -> tuple[str, ...]:
        """Counted states of a device; equal ones are the same object, to save memory."""
        state = device.state
        flags = (
            ("online", device.connection.up),
            ("locked", state.locked),
            ("wiped", state.wiped),
        )
        words = (
            "devices",
            *(word for word, applies in flags if applies),
            state.passcode.value,
            state.compliance.value,
        )
        return self._states.setdefault(words, words)


@dataclass
class FleetCounters:
    """Counts since the start; `outcomes` is by (platform, action, outcome), without duplicates."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    durations: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By (platform, action): count per bucket and overflow, then the sum in milliseconds."""
    dialect_events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (dialect, event): see `broker.client.dialect_link`."""
    commands: int = 0
    duplicates: int = 0
    last_shown: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    """Latest notifications: (device id, title, body)."""
    rules: RuleRecorder | None = None
    """Exercised rules; None unless the fleet was started with `--coverage`."""
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def on_effect(self, device: Device, effect: Effect) -> None:
        """Count an effect."""
        if self.rules is not None:
            self.rules.on_effect(device, effect)
        if isinstance(effect, PublishResult):
            result = effect.result
            if effect.duplicate:
                self.duplicates += 1
            elif result.state is not ActionState.ACTIVE:
                self.commands += 1
                platform = device.state.profile.id
                action = result.action.value
                self.outcomes[platform, action, result.state.value] += 1
                self._time(platform, action, (result.updated - result.started) / 1000)
        elif isinstance(effect, PublishNotification):
            self.last_shown.append((device.id, effect.title, effect.body))

    def on_dialect_event(self, dialect: str, event: str) -> None:
        """Count a message that a dialect could not translate, or a back-end's answer."""
        self.dialect_events[dialect, event] += 1

    def _time(self, platform: str, action: str, seconds: float) -> None:
        key = (platform, action)
        counts = self.durations.get(key)
        if counts is None:
            counts = self.durations[key] = [0] * (len(DURATION_BUCKETS) + 2)
        counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
        counts[-1] += round(seconds * 1000)

    def rate(self) -> float:
        """Commands per second over the last 10 s; call it at the display's refresh rate."""
        now = time.monotonic()
        self._marks.append((now, self.commands))
        while now - self._marks[0][0] > _RATE_OVER:
            self._marks.popleft()
        since, before = self._marks[0]
        return (self.commands - before) / (now - since) if now > since else 0.0

    def snapshot(self) -> dict[str, Any]:
        """Counts as JSON, in the form that a worker sends to its supervisor."""
        return {
            "outcomes": [[*key, count] for key, count in self.outcomes.items()],
            "durations": [[*key, *counts] for key, counts in self.durations.items()],
            "dialectEvents": [[*key, count] for key, count in self.dialect_events.items()],
            "duplicates": self.duplicates,
            "lastShown": list(self.last_shown),
            "rules": self.rules.snapshot() if self.rules is not None else [],
        }

    @staticmethod
    def add(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
        """Sum of two snapshots: of a dead worker and of its replacement."""
        both = FleetCounters(rules=RuleRecorder())
        both.merge([earlier, later])
        return both.snapshot()

    def merge(self, snapshots: Iterable[dict[str, Any]]) -> None:
        """Replace the counts with the sum of several snapshots; an empty one counts nothing."""
        self.outcomes.clear()
        self.durations.clear()
        self.dialect_events.clear()
        self.duplicates = 0
        if self.rules is not None:
            self.rules.counts.clear()
        shown: list[tuple[str, str, str]] = []
        for snapshot in snapshots:
            for *key, count in snapshot.get("outcomes", ()):
                self.outcomes[key[0], key[1], key[2]] += count
            for platform, action, *counts in snapshot.get("durations", ()):
                known = self.durations.setdefault((platform, action), [0] * len(counts))
                self.durations[platform, action] = [
                    a + b for a, b in zip(known, counts, strict=True)
                ]
            for dialect, event, count in snapshot.get("dialectEvents", ()):
                self.dialect_events[dialect, event] += count
            self.duplicates += snapshot.get("duplicates", 0)
            if self.rules is not None:
                self.rules.add(snapshot.get("rules", ()))
            shown += [(one[0], one[1], one[2]) for one in snapshot.get("lastShown", ())]
        self.commands = self.outcomes.total()
        self.last_shown.clear()
        self.last_shown.extend(shown[-_SHOWN:])

    def by_outcome(self) -> Counter[str]:
        """Number of commands by outcome."""
        counts: Counter[str] = Counter()
        for (_, _, outcome), count in self.outcomes.items():
            counts[outcome] += count
        return counts
