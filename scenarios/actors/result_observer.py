"""What devices answered: behind `expect.result`, an actor that takes no steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from scenarios.model.actor import Actor, ActorRequest, DeviceMessage, SharedState
from scenarios.model.file import ResultExpectation

__all__ = ["ResultObserver"]

_BY_VALUE: Final = ("commandId", "inputId", "actionName")


class ResultObserver(Actor):
    """Remembers every result, and shows the last one that is meant."""

    name: ClassVar[str] = "result"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {}
    expects: ClassVar[type[BaseModel] | None] = ResultExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._results: list[tuple[str, Mapping[str, object]]] = []

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Take no step: there is none."""
        del arguments, now
        raise NotImplementedError(step)

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Keep a result."""
        del now
        if message.leaf == "results":
            self._results.append((message.device.name, message.payload))
        return ()

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """The last result that has the ids asked for, of the device asked for."""
        del now
        for device, result in reversed(self._results):
            if query.get("device") not in (None, device):
                continue
            if all(result.get(key) == query[key] for key in _BY_VALUE if key in query):
                return result
        return {}
