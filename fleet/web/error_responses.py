"""Answers to requests that are refused: Graph errors under Graph paths, plain text elsewhere."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Scope

__all__ = ["GRAPH_ROOTS", "error_document", "graph_error", "is_graph", "refusal"]

GRAPH_ROOTS: Final = ("/v1.0", "/beta")
"""First path segments of the Graph API."""
_GRAPH_PATH: Final = re.compile(r"/+(?:v1\.0|beta)(?:/|$)")
_CODES: Final = {
    400: "BadRequest",
    401: "InvalidAuthenticationToken",
    403: "Forbidden",
    404: "ResourceNotFound",
    405: "MethodNotAllowed",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
"""Graph's `code` by HTTP status (learn.microsoft.com/graph/errors)."""
_MAX_REQUEST_ID: Final = 64


def is_graph(path: str) -> bool:
    """Return True if a path belongs to the Graph API; repeated slashes count as one."""
    return _GRAPH_PATH.match(path) is not None


def refusal(
    scope: Scope, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a refused request, in the form that its path calls for."""
    if is_graph(scope["path"]):
        return graph_error(scope, status, message, headers=headers)
    return PlainTextResponse(f"{message}\n", status, headers=dict(headers or {}))


def graph_error(
    scope: Scope,
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A Graph error object with its `innerError` (learn.microsoft.com/graph/errors)."""
    document = error_document(Headers(scope=scope), status, message, code)
    request_id = document["error"]["innerError"]["request-id"]
    return JSONResponse(document, status, headers={**(headers or {}), "request-id": request_id})


def error_document(
    request_headers: Mapping[str, str], status: int, message: str, code: str | None = None
) -> dict[str, Any]:
    """The error object; `code` is Graph's usual one for the status unless given.

    Names of `request_headers` are in lower case.
    """
    request_id = str(uuid.uuid4())
    client_id = request_headers.get("client-request-id", "")
    inner = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_id[:_MAX_REQUEST_ID] or request_id,
    }
    error = {"code": code or _CODES.get(status, "BadRequest"), "message": message}
    return {"error": {**error, "innerError": inner}}
