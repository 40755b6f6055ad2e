"""Errors of the Graph API, raised by its parts and answered in Graph's own form."""

from __future__ import annotations

from collections.abc import Mapping

from broker.errors import PassfleetError

__all__ = ["GraphError"]


class GraphError(PassfleetError):
    """A request that is refused: HTTP status, Graph's `code` where it differs, extra headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
