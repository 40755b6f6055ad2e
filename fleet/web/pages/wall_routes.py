"""The device wall, the event stream, presses on phones, time, and the recorded scenario."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from broker.errors import PassfleetError, UsageError
from fleet.web.pages.rendering import render
from fleet.web.pages.state import Pages
from fleet.web.pages.viewers import STATE_FILTERS, Viewer, WallQuery

__all__ = ["wall_routes"]

_STATIC: Final = Path(__file__).parent / "static"
_TEXT_LIMIT: Final = 256
_FURTHEST: Final = 366 * 24 * 60 * 60 * 1000
"""Milliseconds by which time can be moved at once."""
_CHARTS: Final = (
    ("rate", "Results per second", (("rate", "now"),)),
    ("latency", "Latency, ms", (("p50", "p50"), ("p99", "p99"))),
    ("failures", "Failures per second", (("failures", "now"),)),
)
_INPUT_VALUES: Final = ("passcode", "user", "key")


class _RequestError(Exception):
    """A request that is refused with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def wall_routes() -> list[BaseRoute]:
    """The routes of this module; the application's state holds `pages`."""
    return [
        Route("/", _wall),
        Route("/events", _events),
        Route("/session.yaml", _session),
        Route("/viewers/{viewer}/window", _answered(_window), methods=["POST"]),
        Route("/viewers/{viewer}/phones", _answered(_phones), methods=["POST"]),
        Route("/viewers/{viewer}/activity", _answered(_activity), methods=["POST"]),
        Route("/devices/{device}/inputs", _answered(_input), methods=["POST"]),
        Route("/time", _answered(_time), methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]


def _answered(
    handle: Callable[[Request, Pages, dict[str, Any]], Awaitable[dict[str, Any]]],
) -> Callable[[Request], Awaitable[Response]]:
    """A route that reads a JSON object and answers with one; errors are `{error: message}`."""

    async def respond(request: Request) -> Response:
        try:
            body = await _body(request)
            return JSONResponse(await handle(request, request.app.state.pages, body))
        except _RequestError as error:
            return JSONResponse({"error": error.message}, error.status)
        except UsageError as error:
            return JSONResponse({"error": error.message}, 400)
        except PassfleetError as error:
            return JSONResponse({"error": error.message}, 503)

    return respond


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise _RequestError(400, "The request is not JSON.") from None
    if not isinstance(body, dict):
        raise _RequestError(400, "The request is not a JSON object.")
    return body


async def _wall(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    pages.user(request.state.session_id)
    used = {group.platform for group in pages.config.groups}
    platforms = [(each.id, each.title) for each in pages.config.platforms.values()]
    filters = (
        ("Platform", [each for each in platforms if each[0] in used]),
        ("Group", [(group.name, group.name) for group in pages.config.groups]),
        ("State", list(STATE_FILTERS.items())),
    )
    return render(request, "wall", {"title": "Devices", "filters": filters, "charts": _CHARTS})


async def _events(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    stream = pages.viewers.stream(request.state.session_id)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _session(request: Request) -> Response:
    pages: Pages = request.app.state.pages
    text = pages.user(request.state.session_id).recording.to_yaml()
    headers = {"content-disposition": 'attachment; filename="session.yaml"'}
    return Response(text, media_type="application/yaml; charset=utf-8", headers=headers)


def _viewer(request: Request, pages: Pages) -> Viewer:
    viewer = pages.viewers.of(request.state.session_id, request.path_params["viewer"])
    if viewer is None:
        raise _RequestError(404, "This page has no event stream; load it again.")
    return viewer


async def _window(request: Request, pages: Pages, body: dict[str, Any]) -> dict[str, Any]:
    words = {key: _text(body, key) for key in ("search", "platform", "group", "state")}
    query = WallQuery(**words, first=_number(body, "first"), count=_number(body, "count"))
    return pages.viewers.show(_viewer(request, pages), query)


async def _phones(request: Request, pages: Pages, body: dict[str, Any]) -> dict[str, Any]:
    ids = body.get("ids")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise _RequestError(400, "ids must be a list of device ids.")
    return {"phones": pages.viewers.follow(_viewer(request, pages), ids)}


async def _activity(request: Request, pages: Pages, body: dict[str, Any]) -> dict[str, Any]:
    viewer = _viewer(request, pages)
    viewer.active = body.get("on") is True
    viewer.log_seen, log = pages.activity.log_since(0)
    viewer.load_seen, load = pages.activity.load_since(0)
    return {"log": log, "load": load}


async def _input(request: Request, pages: Pages, body: dict[str, Any]) -> dict[str, Any]:
    device_id = request.path_params["device"]
    if device_id not in pages.devices:
        raise _RequestError(404, "There is no such device.")
    values: dict[str, str] = {key: _text(body, key) for key in _INPUT_VALUES if key in body}
    user = pages.user(request.state.session_id)
    answer = await user.press(device_id, _text(body, "action"), values)
    return {
        "state": answer.action_state,
        "error": answer.error_code,
        "message": answer.message,
    }


async def _time(request: Request, pages: Pages, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("next") is True:
        await pages.time.advance_to_next_deadline()
    else:
        milliseconds = _number(body, "by")
        if milliseconds > _FURTHEST:
            raise _RequestError(400, "Time can be moved by at most a year at once.")
        await pages.time.advance(milliseconds)
    user = pages.user(request.state.session_id)
    await user.act_on_time()
    user.recorder.expect_devices()
    pages.viewers.wake()
    return pages.time.as_json()


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        raise _RequestError(400, f"{key} must be a text of at most {_TEXT_LIMIT} characters.")
    return value


def _number(body: dict[str, Any], key: str) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _RequestError(400, f"{key} must be a whole number from 0.")
    return value
