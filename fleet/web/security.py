"""Checks that every request passes before it reaches a page or the Graph API.

From the outside in: response headers, limits, Host and Origin, browser session with its CSRF token,
authorization. All are plain ASGI, so that event streams pass through unbuffered.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet.web.error_responses import is_graph, refusal
from fleet.web.limits import RequestLimits
from fleet.web.login import Authorization
from fleet.web.session import BrowserSession
from fleet.web.settings import WebOptions, WebSettings

__all__ = ["CONTENT_SECURITY_POLICY", "secured"]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_STATIC: Final = "/static/"
_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # With "no-referrer" browsers send "Origin: null" along with a form of our own.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def secured(settings: WebSettings) -> Sequence[Middleware]:
    """The middleware of the application, outermost first."""
    secret = secrets.token_bytes(32)
    return [
        Middleware(ResponseHeaders),
        Middleware(RequestLimits),
        Middleware(HostAndOrigin, options=settings.options),
        Middleware(BrowserSession, url=settings.url, secret=secret),
        Middleware(Authorization, token=settings.options.token, graph_token=settings.graph_token),
    ]


class ResponseHeaders:
    """Adds the security headers to every response; what is not a static file is not stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        static = scope["path"].startswith(_STATIC)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if not static:
                    headers["cache-control"] = "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HostAndOrigin:
    """Refuses requests with a foreign `Host` (DNS rebinding) or `Origin` (other sites' pages)."""

    def __init__(self, app: ASGIApp, options: WebOptions) -> None:
        self._app = app
        self._names = _own_names(options)
        self._any_address = not options.loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            message = "The Host header does not name this server."
            await refusal(scope, 403, message)(scope, receive, send)
            return
        origins = headers.getlist("origin")
        if any(origin != f"{scope['scheme']}://{host}" for origin in origins):
            message = "The request comes from a page of another site."
            await refusal(scope, 403, message)(scope, receive, send)
            return
        if is_graph(scope["path"]):
            scope["path"] = "/" + "/".join(part for part in scope["path"].split("/") if part)
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        return self._any_address and _is_address(name)


def _own_names(options: WebOptions) -> frozenset[str]:
    """Host names of this server. Beyond loopback also the machine's own, and any IP address."""
    if options.loopback:
        return _LOOPBACK | {options.host}
    return _LOOPBACK | {options.host, socket.gethostname().lower(), socket.getfqdn().lower()}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
