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

__all__ = ["FormHandler", "field_of", "handle_form", "refusal_text"]

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
        except (StepRefusedError, PassfleetError) as error:
            user.drafts["refused"] = refusal_text(error)
    return RedirectResponse(back, 303)


def refusal_text(error: StepRefusedError | PassfleetError) -> str:
    """Return the text of an alert for a step that was refused."""
    if isinstance(error, PassfleetError):
        return error.message[:_SHOWN]
    return f"This is not possible now: it needs {error.expected}."[:_SHOWN]


def field_of(form: FormData, name: str) -> str:
    """A text field, cut to 256 characters; empty where it is missing."""
    value = form.get(name, "")
    return value[:_LONGEST_FIELD] if isinstance(value, str) else ""
