"""Routes of the Graph API, the same below `/v1.0` and `/beta`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fleet.web.error_responses import GRAPH_ROOTS, graph_error
from fleet.web.fleet_view import FleetView
from fleet.web.graph.batch import answer_batch
from fleet.web.graph.errors import GraphError
from fleet.web.graph.paths import parse_path, without_link
from fleet.web.graph.service import GraphRequest, GraphResponse, GraphService
from fleet.web.settings import WebSettings

__all__ = ["graph_routes"]

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def graph_routes(view: FleetView, settings: WebSettings) -> Sequence[BaseRoute]:
    """All routes of the Graph API over `view`."""
    service = GraphService(view, settings.config)

    async def endpoint(request: Request) -> Response:
        try:
            return _response(await _answer(service, request))
        except GraphError as error:
            return graph_error(
                request.scope,
                error.status,
                error.message,
                code=error.code,
                headers=error.headers,
            )

    return [
        Route(root + below, endpoint, methods=_METHODS)
        for root in GRAPH_ROOTS
        for below in ("", "/{path:path}")
    ]


async def _answer(service: GraphService, request: Request) -> GraphResponse:
    version = request.scope["path"].split("/")[1]
    path = without_link(request.path_params.get("path", ""))
    asked = GraphRequest(
        base=f"{request.url.scheme}://{request.url.netloc}/{version}",
        method="GET" if request.method == "HEAD" else request.method,
        path=path,
        options=request.query_params.multi_items(),
        headers=dict(request.headers),
        body=await _json(request),
    )
    if not parse_path(path).batch:
        return await service.answer(asked)
    if asked.method != "POST":
        raise GraphError(405, "A batch takes POST.", headers={"Allow": "POST"})
    return await answer_batch(service, asked)


async def _json(request: Request) -> Any:
    """The body as a JSON value, None where it is empty."""
    body = await request.body()
    if not body.strip():
        return None
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        raise GraphError(400, "Unable to read JSON request payload.") from None


def _response(answer: GraphResponse) -> Response:
    if answer.body is None:
        return Response(status_code=answer.status, headers=dict(answer.headers))
    content = to_json(answer.body)
    return Response(content, answer.status, dict(answer.headers), "application/json")
