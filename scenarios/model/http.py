"""HTTP request to the back-end under test, and the answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["HttpAnswer", "HttpRequest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """Request to the back-end under test.

    `content` is the body, None without one; `headers` include its type. `timeout` is in seconds of
    real time. `document` describes the request in reports, before masking.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    timeout: float
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def repeatable(self) -> bool:
        """True if the request changes nothing at the back-end, so that it may be sent again."""
        return self.method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Answer of the back-end; `document` is the parsed JSON, None if `body` is not JSON.

    Header names are in small letters.
    """

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    body: str = field(repr=False)
    document: Any = field(default=None, repr=False)
