"""`[graph]` in the fleet file: throttling, token and filters of the Graph API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from agent.clock import parse_duration
from agent.definition.device import Section
from broker.file_validation import Problem, shorten_value, value_error
from fleet.config.sections import PasswordSource

__all__ = ["GraphSection", "graph_problems", "parse_throttle"]

_THROTTLE: Final = re.compile(r"(?P<count>[1-9]\d{0,6})/(?P<window>\S+)")
_SOURCE: Final = '{ env = "PF_GRAPH_TOKEN" } or { file = "token" }'


def parse_throttle(text: str) -> tuple[int, float]:
    """Read `2/10s`: (requests, seconds). Raises ValueError for anything else."""
    match = _THROTTLE.fullmatch(text)
    seconds = parse_duration(match["window"]).total_seconds() if match else 0.0
    if match is None or seconds <= 0:
        raise ValueError(f"{text!r} is not a number of requests in a time, such as 2/10s")
    return int(match["count"]), seconds


def _throttle(text: str) -> str:
    try:
        parse_throttle(text)
    except ValueError:
        raise value_error(f"got {shorten_value(text)}") from None
    return text


def _token(token: object) -> object:
    if isinstance(token, str):
        raise value_error(
            "a token never stands in the fleet file, which is copied and committed",
            hint="put it into an environment variable or a file of its own",
        )
    return token


class GraphSection(Section):
    """`[graph]`: how the Graph API of `passfleet up --web` behaves."""

    throttle: Annotated[str, AfterValidator(_throttle)] | None = Field(
        default=None, description='a number of requests in a time, such as "2/10s"'
    )
    token: Annotated[PasswordSource | None, BeforeValidator(_token)] = Field(
        default=None, repr=False, description=_SOURCE
    )
    filters: Literal["strict", "lenient"] = Field(
        default="strict",
        description='"strict": a $filter that is not understood is refused; "lenient": ignored',
    )


def graph_problems(graph: GraphSection) -> Iterator[Problem]:
    """Problems of the section `[graph]`."""
    token = graph.token
    if token is not None and (token.env is None) == (token.file is None):
        yield Problem(("graph", "token"), "a token has exactly one source", _SOURCE)
