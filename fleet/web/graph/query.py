"""Query options of a list: `$top`, `$skiptoken`, `$select`, `$orderby`, `$filter`, `$count`.

The `$` may be left out, as in Graph. Options that are not OData's are passed over.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fleet.web.graph.errors import GraphError
from fleet.web.graph.filters import Predicate, parse_filter
from fleet.web.graph.managed_device import ACTION_RESULTS, NOT_SIMULATED, PROPERTIES

__all__ = ["MAX_PAGE", "ListQuery", "parse_query", "parse_select", "skip_token"]

MAX_PAGE: Final = 1_000
"""Devices on one page; a larger `$top` is taken for this, as in Intune."""
_LIST_OPTIONS: Final = ("top", "skiptoken", "select", "orderby", "filter", "count")
_REFUSED: Final = ("skip", "expand", "search", "format", "apply", "compute", "levels", "index")
_DIGITS: Final = 9
_MAX_LENGTH: Final = 4_096
_PREFIX: Final = "from:"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list request; `skip` is how many devices the pages before had."""

    top: int = MAX_PAGE
    skip: int = 0
    select: tuple[str, ...] | None = None
    order: tuple[tuple[str, bool], ...] = ()
    filter: Predicate | None = None


def parse_query(options: Sequence[tuple[str, str]], *, lenient: bool) -> ListQuery:
    """Read the options of a list.

    `lenient` ignores a filter that is not understood, as Intune does. Raises GraphError (400).
    """
    given = _system_options(options, _LIST_OPTIONS)
    return ListQuery(
        top=_top(given["top"]) if "top" in given else MAX_PAGE,
        skip=_skip(given["skiptoken"]) if "skiptoken" in given else 0,
        select=_select(given["select"]) if "select" in given else None,
        order=_order(given["orderby"]) if "orderby" in given else (),
        filter=_filter(given["filter"], lenient=lenient) if "filter" in given else None,
    )


def parse_select(options: Sequence[tuple[str, str]]) -> tuple[str, ...] | None:
    """Read the options of a single device, of which there is one: `$select`."""
    given = _system_options(options, ("select",))
    return _select(given["select"]) if "select" in given else None


def skip_token(skip: int) -> str:
    """The opaque `$skiptoken` of the page that starts after `skip` devices."""
    return base64.urlsafe_b64encode(f"{_PREFIX}{skip}".encode()).decode().rstrip("=")


def _system_options(options: Sequence[tuple[str, str]], allowed: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in options:
        name = key.removeprefix("$").lower()
        known = name in _LIST_OPTIONS or name in _REFUSED
        if not known and not key.startswith("$"):
            continue
        if name not in allowed:
            raise GraphError(400, f"The query option '{key[:40]}' is not supported here.")
        if name in given:
            raise GraphError(400, f"The query option '{key}' is given twice.")
        if len(value) > _MAX_LENGTH:
            raise GraphError(400, f"The query option '{key}' is too long.")
        given[name] = value
    return given


def _top(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS or int(text) < 1:
        raise GraphError(400, "Invalid value for $top: it must be a whole number from 1 on.")
    return min(int(text), MAX_PAGE)


def _skip(token: str) -> int:
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    number = text.removeprefix(_PREFIX)
    if text == number or not number.isdecimal() or len(number) > _DIGITS:
        raise GraphError(400, "Invalid $skiptoken: take it from @odata.nextLink.")
    return int(number)


def _select(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in PROPERTIES and name != ACTION_RESULTS and name not in NOT_SIMULATED:
            raise _no_property(name)
    return names


def _order(text: str) -> tuple[tuple[str, bool], ...]:
    """(property, descending) pairs."""
    order = []
    for part in text.split(","):
        name, *direction = part.split()[:3] or [""]
        if name not in PROPERTIES:
            raise _no_property(name)
        if direction not in ([], ["asc"], ["desc"]):
            raise GraphError(400, "Invalid $orderby: a property is followed by asc or desc.")
        order.append((name, direction == ["desc"]))
    return tuple(order)


def _filter(text: str, *, lenient: bool) -> Predicate | None:
    try:
        return parse_filter(text)
    except GraphError:
        if lenient:
            return None
        raise


def _no_property(name: str) -> GraphError:
    return GraphError(
        400,
        f"Could not find a property named '{name[:40]}' on type 'microsoft.graph.managedDevice'.",
    )
