"""Pending requests: commands, inputs and simulations that wait for their answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from broker.contract import ActionResult, InputResult, Topics
from broker.operator.readers import (
    FINAL_STATES,
    PresenceTracker,
    ReceivedMessage,
    RequestOutcome,
    SimulationOutcome,
    parse_input_result,
    parse_result,
    read_json,
)

__all__ = ["PendingRequests", "PendingSimulation", "RequestBatch"]

Answer = ActionResult | InputResult

_ENROLLED: Final = {"enroll": True, "unenroll": False}
"""Value of the state's `enrolled` that shows the effect of a simulation."""


@dataclass(slots=True)
class RequestBatch:
    """Command or input that waits for the answers of its devices."""

    request_id: str
    device_ids: Sequence[str]
    on_outcome: Callable[[RequestOutcome], None] | None
    complete: asyncio.Future[None] = field(init=False)
    _pending: set[str] = field(init=False)
    _outcomes: dict[str, RequestOutcome] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _origin: float = field(init=False)

    def __post_init__(self) -> None:
        self.complete = asyncio.get_running_loop().create_future()
        self._pending = set(self.device_ids)
        self._origin = time.monotonic()

    def messages(self, topics: Topics, leaf: str, payload: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the message for each device and start to measure the device's time."""
        for device_id in self.device_ids:
            self._started[device_id] = time.monotonic()
            yield topics.device(device_id, leaf), payload

    def answer(self, device_id: str, result: Answer, document: Mapping[str, Any]) -> None:
        """Record the first final answer of a device; ignore all others."""
        if device_id not in self._pending or result.action_state not in FINAL_STATES:
            return
        self._pending.discard(device_id)
        outcome = RequestOutcome(
            device_id, self.request_id, result, document, self._elapsed(device_id)
        )
        self._outcomes[device_id] = outcome
        if self.on_outcome is not None:
            self.on_outcome(outcome)
        if not self._pending and not self.complete.done():
            self.complete.set_result(None)

    def result(self) -> list[RequestOutcome]:
        """Return the outcome of every device; `result` is None for those without an answer."""
        return [
            self._outcomes.get(device_id)
            or RequestOutcome(device_id, self.request_id, None, None, self._elapsed(device_id))
            for device_id in self.device_ids
        ]

    def _elapsed(self, device_id: str) -> float:
        return time.monotonic() - self._started.get(device_id, self._origin)


class PendingRequests:
    """Dispatcher that passes each result to the batch that waits for its id."""

    def __init__(self) -> None:
        self._waiting: dict[str, RequestBatch] = {}

    @contextlib.contextmanager
    def batch(
        self,
        request_id: str,
        device_ids: Sequence[str],
        on_outcome: Callable[[RequestOutcome], None] | None = None,
    ) -> Iterator[RequestBatch]:
        """Yield a batch that receives answers for as long as the context lasts."""
        batch = self._waiting[request_id] = RequestBatch(request_id, device_ids, on_outcome)
        try:
            yield batch
        finally:
            del self._waiting[request_id]

    def on_message(self, message: ReceivedMessage) -> None:
        """Handle a message; ignore it unless it is an awaited answer."""
        if message.leaf != "results" or message.device_id is None or not self._waiting:
            return
        document = read_json(message.payload)
        if not isinstance(document, dict):
            return
        for key, parse in (("commandId", parse_result), ("inputId", parse_input_result)):
            request_id = document.get(key)
            batch = self._waiting.get(request_id) if isinstance(request_id, str) else None
            if batch is not None and (result := parse(document)) is not None:
                batch.answer(message.device_id, result, document)
                return


class PendingSimulation:
    """Simulation that waits until its effect is observed on all devices."""

    def __init__(
        self,
        action: str,
        device_ids: Sequence[str],
        tracker: PresenceTracker,
        on_effect: Callable[[SimulationOutcome], None] | None,
    ) -> None:
        self._action = action
        self._ids = device_ids
        self._tracker = tracker
        self._on_effect = on_effect
        self._sessions = {i: s.presence.session for i, s in tracker.devices.items() if s.presence}
        self._was_online = {i for i, seen in tracker.devices.items() if seen.online}
        self._pending = set(device_ids)
        self._effects: dict[str, SimulationOutcome] = {}
        self._origin = time.monotonic()
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def messages(self, topics: Topics, payload: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the message for each device; complete devices that already show the effect."""
        for device_id in self._ids:
            yield topics.device(device_id, "simulate"), payload
            seen = self._tracker.devices.get(device_id)
            if self._action in ("offline", "online", *_ENROLLED):
                self._check(device_id)
            elif seen is not None and device_id not in self._was_online:
                self._complete(device_id, "sent")

    def on_message(self, message: ReceivedMessage) -> None:
        """Handle a message that may show the effect."""
        if message.device_id is None or message.retained:
            return
        if self._action == "restore":
            if message.leaf == "state" and message.payload:
                self._complete(message.device_id, "seen")
        elif message.leaf == ("state" if self._action in _ENROLLED else "presence"):
            self._check(message.device_id)

    def left(self, limit: float) -> float:
        """Return the rest of `limit` seconds since the start."""
        return limit - (time.monotonic() - self._origin)

    def result(self) -> list[SimulationOutcome]:
        """Return the outcome of every device."""
        elapsed = time.monotonic() - self._origin
        return [self._effects.get(i) or SimulationOutcome(i, "unseen", elapsed) for i in self._ids]

    def _check(self, device_id: str) -> None:
        seen = self._tracker.devices.get(device_id)
        if self._action in _ENROLLED:
            state = seen.state if seen is not None else None
            if state is not None and state.enrolled is _ENROLLED[self._action]:
                self._complete(device_id, "seen")
            return
        if seen is None or seen.presence is None:
            return
        if self._action == "offline":
            shows = not seen.online
        elif self._action == "online":
            shows = seen.online
        else:
            shows = seen.online and seen.presence.session > self._sessions.get(device_id, -1)
        if shows:
            self._complete(device_id, "seen")

    def _complete(self, device_id: str, effect: Literal["seen", "sent"]) -> None:
        if device_id not in self._pending:
            return
        self._pending.discard(device_id)
        outcome = SimulationOutcome(device_id, effect, time.monotonic() - self._origin)
        self._effects[device_id] = outcome
        if self._on_effect is not None:
            self._on_effect(outcome)
        if not self._pending and not self.complete.done():
            self.complete.set_result(None)
