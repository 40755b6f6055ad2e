"""The `http` actor: requests to the back-end under test, and its last answer.

The actor builds the request and reads the answer; `scenarios.run.http_exchange` sends it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import BaseModel

from scenarios.actors.http_steps import HttpExpectation, HttpRequestArguments
from scenarios.model.actor import Actor, ActorRequest, SharedState, StepRefusedError
from scenarios.model.http import HttpAnswer, HttpRequest

__all__ = ["HttpActor"]

_JSON_TYPE: Final = "application/json"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"


class HttpActor(Actor):
    """Client of the back-end under test; shows the answer to its last request."""

    name: ClassVar[str] = "http"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {"request": HttpRequestArguments}
    expects: ClassVar[type[BaseModel] | None] = HttpExpectation
    names_devices: ClassVar[bool] = False

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self.request: HttpRequest | None = None
        """Request of the last step."""
        self.answer: HttpAnswer | None = None
        """Answer to it, None until it arrives."""
        self._save: Mapping[str, str] = {}

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Prepare `request` by an `http.request` step; it is not sent over MQTT."""
        del now
        if step != "request" or not isinstance(arguments, HttpRequestArguments):
            raise NotImplementedError(step)
        self.request, self.answer = _request(arguments), None
        self._save = arguments.save
        return ()

    def on_answer(self, answer: HttpAnswer) -> Mapping[str, Any]:
        """Keep the answer; return the values that the step saves, by name.

        Raises StepRefusedError if the answer has no value for one of them.
        """
        self.answer = answer
        return {name: _value(answer, path) for name, path in self._save.items()}

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return status, headers, JSON and body of the last answer; of `headers` those expected."""
        del now
        if self.answer is None:
            return {}
        asked = query.get("headers")
        named = asked if isinstance(asked, Mapping) else {}
        headers = {name: self.answer.headers.get(name.lower()) for name in named}
        return {
            "status": self.answer.status,
            "headers": headers or self.answer.headers,
            "json": self.answer.document,
            "body": self.answer.body,
        }


def _request(arguments: HttpRequestArguments) -> HttpRequest:
    content, kind = None, None
    document: dict[str, Any] = {"headers": arguments.headers} if arguments.headers else {}
    if "json_" in arguments.model_fields_set:
        content, kind = json.dumps(arguments.json_).encode(), _JSON_TYPE
        document["json"] = arguments.json_
    elif arguments.body is not None:
        content, kind = arguments.body.encode(), _TEXT_TYPE
        document["body"] = arguments.body
    headers = dict(arguments.headers)
    if kind is not None and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = kind
    return HttpRequest(
        method=arguments.method,
        url=arguments.url,
        headers=headers,
        content=content,
        timeout=arguments.timeout / 1000,
        document=document,
    )


def _value(answer: HttpAnswer, path: str) -> Any:
    try:
        found = jmespath.search(path, answer.document)
    except JMESPathError as error:
        raise StepRefusedError(f"a value at {path}", f"{error}") from None
    if found is None:
        kind = answer.headers.get("content-type", "no type")
        seen = f"{answer.status} {answer.reason}, {kind}, without it"
        raise StepRefusedError(f"a value at {path} in the answer", seen)
    return found
