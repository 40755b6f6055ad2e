"""HTTP client of one scenario: sends the requests of `http.request` steps.

Redirects are not followed, so that a scenario can expect them. Proxies and certificates come from
the usual environment variables; requests to this computer use no proxy.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pydantic_core import from_json

from scenarios.model.http import HttpAnswer, HttpRequest

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpClient", "RequestFailedError"]

_MAX_ANSWER: Final = 1024 * 1024
"""Limit of the body of an answer, in bytes after decompression."""
_OWN_COMPUTER: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class RequestFailedError(Exception):
    """Request without an answer; the message is the reason."""


class HttpClient:
    """Client with one pool of connections and one set of cookies."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Send a request; return the answer. Raises RequestFailedError if there is none."""
        import httpx  # noqa: PLC0415  # takes a while, and few scenarios need it

        client = self._client = self._client or _new_client()
        server = urlsplit(request.url).netloc.rpartition("@")[2]
        try:
            async with asyncio.timeout(request.timeout):
                return await _exchange(client, request)
        except TimeoutError:
            reason = f"no answer from {server} within {request.timeout:g} s"
            raise RequestFailedError(reason) from None
        except httpx.ConnectError as error:
            raise RequestFailedError(f"no connection to {server}: {_reason(error)}") from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise RequestFailedError(f"no answer from {server}: {_reason(error)}") from None

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()


def _new_client() -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415

    direct: Mapping[str, httpx.AsyncHTTPTransport] = {
        pattern: httpx.AsyncHTTPTransport() for pattern in _OWN_COMPUTER
    }
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113  # `send` limits the whole exchange
        mounts=direct,
        headers={"User-Agent": "passfleet"},
    )


async def _exchange(client: httpx.AsyncClient, request: HttpRequest) -> HttpAnswer:
    async with client.stream(
        request.method, request.url, headers=dict(request.headers), content=request.content
    ) as response:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MAX_ANSWER:
                raise RequestFailedError(f"the answer is larger than {_MAX_ANSWER // 1024} KiB")
        return HttpAnswer(
            status=response.status_code,
            reason=response.reason_phrase,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=_text(bytes(body), response.charset_encoding),
            document=_parsed(bytes(body)),
        )


def _text(body: bytes, encoding: str | None) -> str:
    try:
        return body.decode(encoding or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _parsed(body: bytes) -> object:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    """Return the most specific reason of an error, such as `Connection refused`."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    number = cause.errno if isinstance(cause, OSError) else None
    text = os.strerror(number) if number is not None and number > 0 else str(cause)
    return text or type(error).__name__
