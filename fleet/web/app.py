"""The web application: browser pages and the Graph API behind one set of checks."""

from __future__ import annotations

from starlette.applications import Starlette

from fleet.web.fleet_view import FleetView
from fleet.web.graph.routes import graph_routes
from fleet.web.security import secured
from fleet.web.settings import WebSettings

__all__ = ["create_app"]


def create_app(view: FleetView, settings: WebSettings) -> Starlette:
    """The application over `view`; requests reach it through the checks of `fleet.web.security`."""
    app = Starlette(routes=[*graph_routes(view, settings)], middleware=secured(settings))
    app.state.view = view
    app.state.settings = settings
    return app
