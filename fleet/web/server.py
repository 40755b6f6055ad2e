"""The web server: uvicorn inside the event loop of `passfleet up`.

The parent process serves it, whatever number of workers hosts the devices. Importing this module
needs the extra `passfleet[web]`; `open_listener` raises the error that names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import UsageError
from fleet.config.loader import FleetConfig
from fleet.web.fleet_view import FleetView
from fleet.web.settings import WebOptions, WebSettings

try:
    import starlette  # noqa: F401  # the application needs it; a missing one is reported here
    import uvicorn
except ModuleNotFoundError as missing:
    raise UsageError(
        f"--web needs the package {missing.name}, which is not installed",
        hint="install the extra: pip install 'passfleet[web]'",
    ) from None

__all__ = ["open_listener", "serving", "web_service"]

_BACKLOG: Final = 512
_GRACE: Final = 2
"""Seconds that requests under way have when the fleet ends."""


def open_listener(options: WebOptions) -> socket.socket:
    """The listening socket, opened before the fleet starts.

    Raises UsageError where the address or the certificate cannot be used.
    """
    _check_certificate(options)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named: without it an answer took 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # What an earlier server left in TIME_WAIT must not hinder this one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        why = "the port is taken" if taken else error.strerror or str(error)
        raise UsageError(
            f"--web: {options.host}:{options.port} cannot be used: {why}",
            hint="name another port, or --web without one for a free port",
        ) from None
    return listener


@contextlib.asynccontextmanager
async def web_service(
    options: WebOptions, config: FleetConfig
) -> AsyncIterator[Callable[[BrokerAddress], contextlib.AbstractAsyncContextManager[str]]]:
    """Take the port, and yield a server of the fleet's pages and Graph API for a broker.

    Raises UsageError where the address, the certificate or a secret cannot be used: before the
    fleet starts.
    """
    with contextlib.closing(open_listener(options)) as listener:
        config.graph_token()
        config.user_passwords()
        yield partial(serving, listener, options, config)


@contextlib.asynccontextmanager
async def serving(
    listener: socket.socket,
    options: WebOptions,
    config: FleetConfig,
    address: BrokerAddress,
) -> AsyncIterator[str]:
    """Serve the fleet's web application for as long as the context lasts; yields its URL.

    Raises BrokerError where the view of the fleet cannot connect. Closes `listener`.
    """
    from fleet.web.app import create_app  # noqa: PLC0415  # needs the extra

    url = _url(listener, options)
    settings = WebSettings(
        config=config,
        options=options,
        url=url,
        graph_token=config.graph_token(),
        passwords=config.user_passwords(),
    )
    with contextlib.closing(listener):
        async with FleetView(address, Topics(config.root)) as view:
            server = _server(uvicorn.Config(create_app(view, settings), **_uvicorn(options)))
            running = asyncio.create_task(server.serve([listener]), name="passfleet.web")
            try:
                yield url
            finally:
                view.close_feeds()
                server.should_exit = True
                await asyncio.gather(running, return_exceptions=True)


def _server(config: uvicorn.Config) -> uvicorn.Server:
    server = uvicorn.Server(config)
    # Signals are the fleet's own: uvicorn would take them over, and has no switch for it.
    setattr(server, "capture_signals", contextlib.nullcontext)  # noqa: B010
    return server


def _check_certificate(options: WebOptions) -> None:
    """Raise UsageError where TLS is asked for and the certificate or its key cannot be used."""
    if options.cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.cert, options.key)
    except OSError as error:  # an SSLError is one
        raise UsageError(
            f"--web-cert: the certificate or its key cannot be used: {error.strerror or error}",
            hint="name PEM files: --web-cert CERT.pem --web-key KEY.pem",
        ) from None


def _uvicorn(options: WebOptions) -> dict[str, Any]:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return {
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "loop": "none",
        "http": "h11",
        "ws": "none",
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,
        "timeout_graceful_shutdown": _GRACE,
        "h11_max_incomplete_event_size": 64 * 1024,
        "ssl_certfile": options.cert,
        "ssl_keyfile": options.key,
    }


def _url(listener: socket.socket, options: WebOptions) -> str:
    port = listener.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.cert else 'http'}://{host}:{port}"
