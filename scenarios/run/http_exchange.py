"""Requests of `http` steps in a run: sending, repeating, and recording without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from scenarios.actors.http import HttpActor
from scenarios.model.http import HttpAnswer
from scenarios.model.masking import mask_http
from scenarios.run.http_client import HttpClient, RequestFailedError
from scenarios.run.requests import StepFailedError

__all__ = ["HttpExchange", "shown_values"]

_MAX_TEXT: Final = 2_000
"""Longest body in a report, in characters."""

Recorder = Callable[[str, str, Mapping[str, Any] | None], None]
"""Function that adds an event of a kind, with a text and a document, to the timeline."""


class HttpExchange:
    """Client of one scenario with its last request; `saved` are the values that steps saved."""

    def __init__(self, actor: HttpActor, record: Recorder) -> None:
        self.saved: dict[str, Any] = {}
        self._actor = actor
        self._record = record
        self._client = HttpClient()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    async def send(self) -> None:
        """Send the request of a step, and save what the step saves.

        Raises StepFailedError if there is no answer, StepRefusedError if it lacks a value to save.
        """
        request = self._actor.request
        if request is None:
            return
        text = f"{request.method} {mask_http(request.url)}"
        self._record("request", text, mask_http(request.document))
        try:
            answer = await self._client.send(request)
        except RequestFailedError as error:
            raise StepFailedError("an answer of the back-end", str(error)) from None
        self._record_answer(answer)
        self.saved.update(self._actor.on_answer(answer))

    @property
    def repeatable(self) -> bool:
        """True if the last request may be sent again."""
        return self._actor.request is not None and self._actor.request.repeatable

    async def repeat(self) -> None:
        """Send the last request again. A back-end that does not answer leaves no answer."""
        request = self._actor.request
        if request is None:
            return
        before, self._actor.answer = self._actor.answer, None
        try:
            answer = await self._client.send(request)
        except RequestFailedError as error:
            if before is not None:
                self._record("answer", str(error), None)
            return
        self._actor.answer = answer
        if before is None or (answer.status, answer.body) != (before.status, before.body):
            self._record_answer(answer)

    def _record_answer(self, answer: HttpAnswer) -> None:
        text = f"{answer.status} {answer.reason}".strip()
        document: dict[str, Any] = {"headers": dict(answer.headers)}
        if answer.document is not None:
            document["json"] = answer.document
        elif answer.body:
            document["body"] = answer.body[:_MAX_TEXT]
        self._record("answer", text, mask_http(document))


def shown_values(found: Mapping[str, object]) -> Mapping[str, Any]:
    """Return values of an answer for a report: without secrets, and shortened."""
    shown = dict(found)
    body = shown.get("body")
    if isinstance(body, str):
        try:
            body = json.dumps(mask_http(json.loads(body)), ensure_ascii=False)
        except ValueError:
            body = str(mask_http(body))
        shown["body"] = body if len(body) <= _MAX_TEXT else f"{body[:_MAX_TEXT]}..."
    masked: Mapping[str, Any] = mask_http(shown)
    return masked
