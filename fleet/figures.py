"""What a running fleet has done: counted from the effects of its devices, shown by `fleet.live`."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from agent.effects import Effect, PublishNotification, PublishResult
from agent.runner import Device
from agent.state import ActionState

__all__ = ["Figures"]

_SHOWN = 6
_RATE_OVER = 10.0


@dataclass
class Figures:
    """Counts since the start. `outcomes` is by (platform, action, outcome); duplicates apart."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    commands: int = 0
    duplicates: int = 0
    last_shown: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    """The last notifications: (device, title, body)."""
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def heard(self, device: Device, effect: Effect) -> None:
        """Count an effect."""
        if isinstance(effect, PublishResult):
            result = effect.result
            if effect.duplicate:
                self.duplicates += 1
            elif result.state is not ActionState.ACTIVE:
                self.commands += 1
                platform = device.state.profile.id
                self.outcomes[platform, result.action.value, result.state.value] += 1
        elif isinstance(effect, PublishNotification):
            self.last_shown.append((device.id, effect.title, effect.body))

    def rate(self) -> float:
        """Commands a second over the last ten; call it about as often as it is shown."""
        now = time.monotonic()
        self._marks.append((now, self.commands))
        while now - self._marks[0][0] > _RATE_OVER:
            self._marks.popleft()
        since, before = self._marks[0]
        return (self.commands - before) / (now - since) if now > since else 0.0

    def by_outcome(self) -> Counter[str]:
        """How many commands ended how."""
        counts: Counter[str] = Counter()
        for (_, _, outcome), count in self.outcomes.items():
            counts[outcome] += count
        return counts
