"""All routes of the browser pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from fleet.web.pages.account_routes import account_routes
from fleet.web.pages.console_routes import console_routes
from fleet.web.pages.portal_routes import portal_routes
from fleet.web.pages.wall_routes import wall_routes

__all__ = ["page_routes"]


def page_routes() -> Sequence[BaseRoute]:
    """The routes; the application's state must hold `pages`, see `fleet.web.pages.state`."""
    return [*wall_routes(), *portal_routes(), *console_routes(), *account_routes()]
