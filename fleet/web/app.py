"""The web application: browser pages and the Graph API behind one set of checks."""

from __future__ import annotations

from starlette.applications import Starlette

from broker.errors import PassfleetError
from fleet.web.fleet_view import FleetView
from fleet.web.graph.routes import graph_routes
from fleet.web.pages.routes import page_error, page_routes
from fleet.web.pages.state import Pages
from fleet.web.security import secured
from fleet.web.settings import WebSettings

__all__ = ["create_app"]


def create_app(view: FleetView, settings: WebSettings) -> Starlette:
    """The application over `view`; requests reach it through the checks of `fleet.web.security`."""
    routes = [*graph_routes(view, settings), *page_routes()]
    handlers = {PassfleetError: page_error}
    app = Starlette(routes=routes, middleware=secured(settings), exception_handlers=handlers)
    app.state.view = view
    app.state.settings = settings
    app.state.pages = Pages(view, settings)
    return app
