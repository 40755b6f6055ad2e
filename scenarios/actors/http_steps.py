"""Arguments of the `http` steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from broker.file_validation import shorten_value, value_error
from scenarios.model.file import DURATION_FORMAT, Arguments, Duration
from scenarios.model.variables import SAVED_NAME

__all__ = ["HttpExpectation", "HttpRequestArguments"]

Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
_DEFAULT_TIMEOUT: Final = 30_000
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_URL: Final = "an address such as http://127.0.0.1:8000/devices"


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"[\x00-\x20\x7f]", value):
        # The message does not repeat the address: it may hold a password.
        raise value_error("not an address that can be requested")
    return value


def _headers(value: object) -> object:
    if not isinstance(value, Mapping):
        raise value_error(f"got {shorten_value(value)}")
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise value_error(f"{shorten_value(name)} cannot be the name of a header")
        if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise value_error(f"the value of {name} is not a string of ASCII characters")
    return dict(value)


def _saves(value: object) -> object:
    if not isinstance(value, Mapping):
        raise value_error(f"got {shorten_value(value)}")
    for name, expression in value.items():
        if not SAVED_NAME.fullmatch(name):
            hint = "a letter or _, then letters, digits and _"
            raise value_error(f"{shorten_value(name)} cannot be the name of a value", hint=hint)
        if not isinstance(expression, str):
            raise value_error(f"{name}: got {shorten_value(expression)}")
        try:
            jmespath.compile(expression)
        except JMESPathError:
            problem = f"{name}: {shorten_value(expression)} is not a JMESPath expression"
            raise value_error(problem) from None
    return dict(value)


class HttpRequestArguments(Arguments):
    """`http.request`: one request to the back-end under test.

    `json` and `body` exclude each other. `save` maps names to JMESPath expressions, which read the
    JSON of the answer; later steps use the values as `${name}`. `timeout` is the real time that the
    whole exchange may take.
    """

    method: Method = Field(
        default="GET", description="one of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"
    )
    url: Annotated[str, AfterValidator(_url)] = Field(description=_URL)
    headers: Annotated[dict[str, str], BeforeValidator(_headers)] = Field(
        default={}, description="a table such as {Authorization: Bearer ...}"
    )
    json_: Any = Field(default=None, alias="json", description="any value")
    body: str | None = Field(default=None, description="a string")
    timeout: Duration = Field(default=_DEFAULT_TIMEOUT, gt=0, description=DURATION_FORMAT)
    save: Annotated[dict[str, str], BeforeValidator(_saves)] = Field(
        default={}, description="a table of JMESPath expressions, such as {ticket: id}"
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and "json_" in self.model_fields_set:
            raise value_error("json and body exclude each other")
        return self


class HttpExpectation(Arguments):
    """`expect.http`: the answer to the last `http.request`.

    `json` is compared key by key, `headers` by name in any case. With `within`, a GET, HEAD or
    OPTIONS request is sent again until the answer is as expected; others are never
    repeated.
    """

    status: int | None = Field(default=None, ge=100, le=599, description="a number such as 200")
    headers: dict[str, Any] | None = Field(
        default=None, description="a table such as {content-type: {contains: json}}"
    )
    json_: Any = Field(default=None, alias="json", description="any value")
    body: str | None = Field(default=None, description="a string")
