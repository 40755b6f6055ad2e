"""Authorization beyond loopback: a bearer token for programs, a login page for browsers."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from html import escape
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fleet.web.error_responses import is_graph, refusal
from fleet.web.limits import RateLimit
from fleet.web.session import CSRF_FIELD

__all__ = ["Authorization", "bearer_matches"]

_LOGIN: Final = "/login"
_ATTEMPTS: Final = 5
_ATTEMPTS_PER_SECOND: Final = 0.2
_SESSIONS: Final = 1_024
"""Browser sessions that stay logged in; the oldest is logged out first."""
_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in to passfleet</title>
<main><h1>Log in to passfleet</h1>{problem}
<form method="post" action="/login"><input type="hidden" name="{field}" value="{csrf}">
<p><label>Token <input type="password" name="token" autocomplete="current-password" required
autofocus></label></p><p><button>Log in</button></p></form></main></html>
"""


def bearer_matches(scope: Scope, token: str) -> bool:
    """Return True if a request carries `token` as its bearer token."""
    scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode())


class Authorization:
    """Demands the web token, where one is set, from every request.

    A program sends it as a bearer token, a browser once on the login page. Requests of the Graph
    API get 401, pages are redirected to the login page. `graph_token` opens the Graph API alone,
    and is demanded there also where no web token is set.
    """

    def __init__(self, app: ASGIApp, token: str | None, graph_token: str | None) -> None:
        self._app = app
        self._token = token
        self._graph_tokens = [known for known in (graph_token, token) if known is not None]
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._attempts = RateLimit(_ATTEMPTS, _ATTEMPTS_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if is_graph(scope["path"]):
            await self._graph(scope, receive, send)
            return
        answer: Response
        if self._token is None or self._admitted(scope, self._token):
            await self._app(scope, receive, send)
            return
        if scope["path"] != _LOGIN:
            answer = RedirectResponse(_LOGIN, 303)
        elif scope["method"] == "POST":
            answer = await self._log_in(Request(scope, receive), self._token)
        else:
            answer = _login_page(scope)
        await answer(scope, receive, send)

    async def _graph(self, scope: Scope, receive: Receive, send: Send) -> None:
        tokens = self._graph_tokens
        if not tokens or any(bearer_matches(scope, token) for token in tokens):
            await self._app(scope, receive, send)
            return
        headers = {"www-authenticate": "Bearer"}
        answer = refusal(scope, 401, "The access token is missing or wrong.", headers)
        await answer(scope, receive, send)

    def _admitted(self, scope: Scope, token: str) -> bool:
        session = scope.get("state", {}).get("session_id")
        return session in self._sessions or bearer_matches(scope, token)

    async def _log_in(self, request: Request, token: str) -> Response:
        client = request.client
        if waiting := self._attempts.wait(client.host if client else ""):
            seconds = str(int(waiting) + 1)
            return refusal(request.scope, 429, "Too many attempts.", {"retry-after": seconds})
        given = (await request.form()).get("token")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), token.encode()):
            return _login_page(request.scope, "The token is wrong.", 403)
        self._sessions[request.state.session_id] = None
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)
        return RedirectResponse("/", 303)


def _login_page(scope: Scope, problem: str = "", status: int = 200) -> Response:
    said = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    csrf = scope["state"]["csrf_token"]
    return HTMLResponse(_PAGE.format(problem=said, field=CSRF_FIELD, csrf=csrf), status)
