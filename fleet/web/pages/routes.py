"""All routes of the browser pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from broker.errors import PassfleetError
from fleet.web.error_responses import is_graph, refusal
from fleet.web.pages.account_routes import account_routes
from fleet.web.pages.console_routes import console_routes
from fleet.web.pages.portal_routes import portal_routes
from fleet.web.pages.rendering import render
from fleet.web.pages.wall_routes import wall_routes

__all__ = ["page_error", "page_routes"]


def page_routes() -> Sequence[BaseRoute]:
    """The routes; the application's state must hold `pages`, see `fleet.web.pages.state`."""
    return [*wall_routes(), *portal_routes(), *console_routes(), *account_routes()]


async def page_error(request: Request, error: Exception) -> Response:
    """The page shown while the fleet cannot be reached, with what to do about it."""
    assert isinstance(error, PassfleetError)  # noqa: S101  # registered for these alone
    if is_graph(request.url.path):
        return refusal(request.scope, 503, error.message)
    values = {"title": "Not available", "message": f"{error.message}. {error.hint or ''}".strip()}
    return render(request, "error", values, 503)
