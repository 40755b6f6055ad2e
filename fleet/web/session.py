"""Browser sessions: a signed cookie, and a CSRF token tied to it.

Under `request.state` a page finds `session_id` (str) and `csrf_token` (str). A form carries the
token as its field `csrf_token`, a script as the header `x-csrf-token`. Nothing is stored here: the
server recognises its own cookies by their signature.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.web.error_responses import is_graph, refusal

__all__ = ["CSRF_FIELD", "CSRF_HEADER", "BrowserSession"]

CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM: Final = "application/x-www-form-urlencoded"


class BrowserSession:
    """Gives each browser a session, and refuses forms without the session's CSRF token (403).

    Requests of the Graph API have no session.
    """

    def __init__(self, app: ASGIApp, url: str, secret: bytes) -> None:
        self._app = app
        self._secret = secret
        # Cookies do not tell ports apart: two fleets on one machine need two names.
        place = urlsplit(url)
        self._cookie = f"passfleet_session_{place.port}"
        self._attributes = "; Path=/; HttpOnly; SameSite=Strict" + (
            "; Secure" if place.scheme == "https" else ""
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if is_graph(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = self._known(headers.get("cookie", ""))
        session = known or secrets.token_urlsafe(24)
        token = self._signature("csrf", session)
        state = scope.setdefault("state", {})
        state["session_id"], state["csrf_token"] = session, token
        if scope["method"] not in _SAFE:
            receive, given = await _csrf_token(headers, receive)
            if known is None or not hmac.compare_digest(given.encode(), token.encode()):
                message = "The form has expired. Go back, load the page again, and repeat it."
                await refusal(scope, 403, message)(scope, receive, send)
                return
        await self._app(scope, receive, send if known else self._setting(send, session))

    def _known(self, cookies: str) -> str | None:
        """The session of a cookie that this server signed."""
        try:
            morsel = SimpleCookie(cookies).get(self._cookie)
        except CookieError:
            return None
        session, _, signature = (morsel.value if morsel else "").partition(".")
        expected = self._signature("session", session)
        return session if hmac.compare_digest(signature.encode(), expected.encode()) else None

    def _signature(self, purpose: str, session: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{session}".encode(), hashlib.sha256).hexdigest()

    def _setting(self, send: Send, session: str) -> Send:
        value = f"{self._cookie}={session}.{self._signature('session', session)}"

        async def send_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", value + self._attributes)
            await send(message)

        return send_cookie


async def _csrf_token(headers: Headers, receive: Receive) -> tuple[Receive, str]:
    """The token that a request carries, and a `receive` that gives its body again."""
    given = headers.get(CSRF_HEADER)
    if given is not None or not headers.get("content-type", "").startswith(_FORM):
        return receive, given or ""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=1_000)
    except (UnicodeDecodeError, ValueError):
        return receive_again, ""
    return receive_again, fields.get(CSRF_FIELD, [""])[0]
