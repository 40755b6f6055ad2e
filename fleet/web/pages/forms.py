"""Forms of the pages: posting performs steps of an actor, then the page is shown anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.errors import PassfleetError
from fleet.web.pages.browser_user import BrowserUser
from fleet.web.pages.state import Pages
from scenarios.model.actor import StepRefusedError

__all__ = ["FormHandler", "account_named", "field_of", "handle_form"]

FormHandler = Callable[[Pages, BrowserUser, FormData], Awaitable[None]]
_SHOWN: Final = 200
_LONGEST_FIELD: Final = 256


async def handle_form(
    request: Request, handlers: Mapping[str, FormHandler], *, back: str
) -> Response:
    """Run the handler that the field `do` names, and redirect to `back`.

    What is refused is shown there as `drafts["refused"]`.
    """
    pages: Pages = request.app.state.pages
    user = pages.user(request.state.session_id)
    async with request.form(max_fields=1_000, max_files=0) as form:
        handler = handlers.get(field_of(form, "do"))
        try:
            if handler is not None:
                await handler(pages, user, form)
        except StepRefusedError as error:
            refused = f"This is not possible now: it needs {error.expected}."
            user.drafts["refused"] = refused[:_SHOWN]
        except PassfleetError as error:
            user.drafts["refused"] = error.message[:_SHOWN]
    return RedirectResponse(back, 303)


def field_of(form: FormData, name: str) -> str:
    """A text field, cut to 256 characters; empty where it is missing."""
    value = form.get(name, "")
    return value[:_LONGEST_FIELD] if isinstance(value, str) else ""


def account_named(user: BrowserUser, address: str) -> str | None:
    """The account of an address: a user name, or the part before the @ of one."""
    name = address.strip()
    if name in user.accounts:
        return name
    local = name.partition("@")[0]
    return local if local in user.accounts else None
