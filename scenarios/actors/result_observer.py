"""The `result` actor, which provides the values of `expect.result` and has no steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from scenarios.model.actor import Actor, ActorRequest, DeviceMessage, SharedState
from scenarios.model.file import ResultExpectation

__all__ = ["ResultObserver"]

_BY_VALUE: Final = ("commandId", "inputId", "actionName")


class ResultObserver(Actor):
    """Store of all results; shows the last one that matches the query."""

    name: ClassVar[str] = "result"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {}
    expects: ClassVar[type[BaseModel] | None] = ResultExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._results: list[tuple[str, Mapping[str, object]]] = []

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Raise NotImplementedError: this actor has no steps."""
        del arguments, now
        raise NotImplementedError(step)

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store a result."""
        del now
        if message.leaf == "results":
            self._results.append((message.device.name, message.payload))
        return ()

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return the last result with the device, ids and action name of `query`."""
        del now
        for device, result in reversed(self._results):
            if query.get("device") not in (None, device):
                continue
            if all(result.get(key) == query[key] for key in _BY_VALUE if key in query):
                return result
        return {}
