"""`$batch`: up to 20 requests in one (learn.microsoft.com/graph/json-batching)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from fleet.web.error_responses import error_document
from fleet.web.graph.errors import GraphError
from fleet.web.graph.service import GraphRequest, GraphResponse, GraphService

__all__ = ["MAX_REQUESTS", "answer_batch"]

MAX_REQUESTS: Final = 20
_FAILED: Final = 400
"""The first status of an answer that others may not depend on."""
_BLOCKED: Final = "A request that this one depends on failed."
_VERSION: Final = re.compile(r"^/+(?:v1\.0|beta)/+")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class _Part:
    """One request of a batch."""

    key: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any
    depends_on: tuple[str, ...]


async def answer_batch(service: GraphService, request: GraphRequest) -> GraphResponse:
    """Answer a batch: each request in its turn, those it depends on first.

    Raises GraphError (400) where the batch itself is malformed.
    """
    parts = _parts(request.body)
    answers: dict[str, GraphResponse] = {}
    for key in _order(parts):
        part = parts[key]
        blocked = any(answers[other].status >= _FAILED for other in part.depends_on)
        answers[key] = await _answer(service, request, part, blocked=blocked)
    return GraphResponse(200, {"responses": [_written(key, answers[key]) for key in parts]})


async def _answer(
    service: GraphService, batch: GraphRequest, part: _Part, *, blocked: bool
) -> GraphResponse:
    if blocked:
        return _refused(part, GraphError(424, _BLOCKED, code="FailedDependency"))
    try:
        return await service.answer(_single(batch, part))
    except GraphError as error:
        return _refused(part, error)


def _refused(part: _Part, error: GraphError) -> GraphResponse:
    body = error_document(part.headers, error.status, error.message, error.code)
    return GraphResponse(error.status, body, error.headers)


def _single(batch: GraphRequest, part: _Part) -> GraphRequest:
    if not part.url.startswith("/"):
        raise GraphError(400, "The url of a batched request is relative: it starts with a slash.")
    # The SDKs cut off the host alone of an absolute URL.
    path, _, query = _VERSION.sub("/", part.url, count=1).partition("?")
    return replace(
        batch,
        method=part.method,
        path=unquote(path),
        options=parse_qsl(query, keep_blank_values=True),
        headers={**batch.headers, **part.headers},
        body=part.body,
    )


def _written(key: str, answer: GraphResponse) -> dict[str, Any]:
    # The JavaScript client throws on a 204 with a body, a null one included.
    if answer.body is None:
        return {"id": key, "status": answer.status, "headers": dict(answer.headers)}
    headers = {"Content-Type": "application/json", **answer.headers}
    return {"id": key, "status": answer.status, "headers": headers, "body": answer.body}


def _parts(body: Any) -> dict[str, _Part]:
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not requests:
        raise GraphError(400, "A batch is an object with 'requests', a list of at least one.")
    if len(requests) > MAX_REQUESTS:
        raise GraphError(
            400, f"A batch has at most {MAX_REQUESTS} requests; this one has {len(requests)}."
        )
    parts: dict[str, _Part] = {}
    for value in requests:
        part = _part(value)
        if part.key in parts:
            raise GraphError(400, f"Two requests of the batch have the id '{part.key[:40]}'.")
        parts[part.key] = part
    return parts


def _part(value: Any) -> _Part:
    if not isinstance(value, dict):
        raise GraphError(400, "A request of the batch is not an object.")
    key, method, url = (value.get(name) for name in ("id", "method", "url"))
    if not isinstance(key, str) or not key:
        raise GraphError(400, "A request of the batch has no 'id'.")
    if not isinstance(method, str) or method.upper() not in _METHODS:
        raise GraphError(400, f"Request '{key[:40]}' of the batch has no valid 'method'.")
    if not isinstance(url, str):
        raise GraphError(400, f"Request '{key[:40]}' of the batch has no 'url'.")
    depends_on = value.get("dependsOn") or []
    if not isinstance(depends_on, list) or not all(isinstance(k, str) for k in depends_on):
        raise GraphError(400, f"'dependsOn' of request '{key[:40]}' is not a list of ids.")
    return _Part(
        key=key,
        method=method.upper(),
        url=url,
        headers=_headers(value.get("headers")),
        body=value.get("body"),
        depends_on=tuple(depends_on),
    )


def _headers(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key.lower(): text for key, text in value.items() if isinstance(text, str)}


def _order(parts: Mapping[str, _Part]) -> list[str]:
    """The ids in an order in which each comes after those it depends on."""
    for part in parts.values():
        for other in part.depends_on:
            if other not in parts:
                raise GraphError(
                    400, f"Request '{part.key[:40]}' depends on an unknown id '{other[:40]}'."
                )
    try:
        return list(TopologicalSorter({k: p.depends_on for k, p in parts.items()}).static_order())
    except CycleError:
        raise GraphError(400, "Requests of the batch depend on each other.") from None
