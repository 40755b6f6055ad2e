"""`[users.NAME]` and `[organization]` in the fleet file: what the browser pages ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from agent.definition.device import Section
from broker.file_validation import Problem, validate, value_error
from fleet.config.sections import PasswordSource

__all__ = ["OrganizationSection", "UserSection", "read_users"]

_SOURCE: Final = '{ env = "ALEX_PW" } or { file = "alex.pw" }'
_LONGEST_NAME: Final = 256


def _password(password: object) -> object:
    if isinstance(password, str):
        raise value_error(
            "a password never stands in the fleet file, which is copied and committed",
            hint="put it into an environment variable or a file of its own",
        )
    return password


class UserSection(Section):
    """`[users.NAME]`: a user of the browser pages, who signs in with this password alone."""

    password: Annotated[PasswordSource, BeforeValidator(_password)] = Field(
        repr=False, description=_SOURCE
    )


class OrganizationSection(Section):
    """`[organization]`: `contact` is what the page `Contact IT admin` says."""

    contact: str = Field(
        default="Contact your IT admin at the help desk of your organization.",
        min_length=1,
        max_length=1_000,
        description="a text of 1 to 1000 characters",
    )


def read_users(tables: Mapping[str, Any], problems: list[Problem]) -> dict[str, UserSection]:
    """The users of a fleet file, by name; adds what is wrong to `problems`."""
    users: dict[str, UserSection] = {}
    for name, table in tables.items():
        problems.extend(_name_problems(name))
        user = validate(UserSection, table, ("users", name), problems)
        if user is not None:
            problems.extend(_source_problems(name, user.password))
            users[name] = user
    return users


def _name_problems(name: str) -> Iterator[Problem]:
    if not name or len(name) > _LONGEST_NAME:
        yield Problem(("users", name), "this is no user's name", f"1 to {_LONGEST_NAME} characters")


def _source_problems(name: str, password: PasswordSource) -> Iterator[Problem]:
    if (password.env is None) == (password.file is None):
        path = ("users", name, "password")
        yield Problem(path, "a password has exactly one source", _SOURCE)
