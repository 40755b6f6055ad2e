"""Routes of the Graph API, the same below `/v1.0` and `/beta`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from fleet.web.fleet_view import FleetView
from fleet.web.settings import WebSettings

__all__ = ["graph_routes"]


def graph_routes(view: FleetView, settings: WebSettings) -> Sequence[BaseRoute]:
    """All routes of the Graph API over `view`."""
    del view, settings
    return []
