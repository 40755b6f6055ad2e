"""HTML of the pages, from the templates of this package. All values are escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

__all__ = ["render"]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("fleet.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(
    request: Request, template: str, values: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """The page of a template such as `wall`; `values` are the template's variables."""
    shared = {
        "csrf": request.state.csrf_token,
        "here": request.url.path,
        "phones": (),
        "wide_aside": False,
        "screen": "",
        "moves_time": request.app.state.pages.moves_time,
    }
    text = _environment().get_template(f"{template}.html.j2").render({**shared, **values})
    return HTMLResponse(text, status)
