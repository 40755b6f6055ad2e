"""Validation of files: all problems of a file are reported as one `FileError`.

pydantic checks the values; this module converts its errors into sentences with the keys and lines
of the file. Each field's `description` states the accepted values. The value of a field with
`repr=False` is a secret and is never repeated.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from broker.contract import DEVICE_ID
from broker.errors import FileError

__all__ = [
    "UNKNOWN_KEY",
    "KeyPath",
    "Problem",
    "Problems",
    "keys_of",
    "line_of",
    "shorten_value",
    "suggest",
    "validate",
    "value_error",
]

KeyPath = tuple[str | int, ...]
"""Path of keys from the outermost one; list elements are indexes from 0."""

UNKNOWN_KEY: Final = "unknown key"
"""Message of the problem of a key that a table does not have."""
_MAX_SHOWN: Final = 40
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_NAME: Final = re.compile(DEVICE_ID)
_LINES_LISTED: Final = 5

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a file: key, message, valid values and remedy."""

    path: KeyPath
    message: str
    expected: str | None = None
    hint: str | None = None


class Problems:
    """Problems of one file.

    `document` is the parsed file. `lines` and `columns` are the positions of its keys, from 1; not
    every format has columns.
    """

    def __init__(
        self,
        path: Path | str,
        document: object,
        lines: Mapping[KeyPath, int],
        columns: Mapping[KeyPath, int] | None = None,
    ) -> None:
        self._path = path
        self._document = document
        self._lines = lines
        self._columns = columns or {}
        self._found: list[Problem] = []

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems."""
        self._found.extend(problems)

    def raise_first(self) -> None:
        """Raise FileError with the first problem in the file. Does nothing without a problem."""
        if not self._found:
            return
        found = sorted(self._found, key=lambda p: (self._line(p) or 0, self._column(p) or 0))
        first = found[0]
        others = self._others(found[1:])
        hint = f"{first.hint} ({others})" if first.hint and others else first.hint or others
        raise self._error(first, hint, [self._error(each, each.hint) for each in found[1:]])

    def _error(
        self, problem: Problem, hint: str | None, others: Sequence[FileError] = ()
    ) -> FileError:
        return FileError(
            problem.message,
            path=self._path,
            line=self._line(problem),
            column=self._column(problem),
            key=_dotted(problem.path, self._document) or None,
            expected=problem.expected,
            hint=hint,
            others=others,
        )

    def _line(self, problem: Problem) -> int | None:
        return line_of(problem.path, self._lines)

    def _column(self, problem: Problem) -> int | None:
        return line_of(problem.path, self._columns)

    def _others(self, others: list[Problem]) -> str | None:
        if not others:
            return None
        lines = sorted({line for p in others if (line := self._line(p))})
        listed = ", ".join(map(str, lines[:_LINES_LISTED]))
        rest = ", ..." if len(lines) > _LINES_LISTED else ""
        place = f", line{'s' if len(lines) > 1 else ''} {listed}{rest}" if lines else ""
        return f"and {len(others)} more problem{'s' if len(others) > 1 else ''}{place}"


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of `path`, or of its nearest parent with a line."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def suggest(word: str, names: Iterable[str]) -> str | None:
    """Return `did you mean 'platform'?` if one of `names` is similar to `word`, else None."""
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"did you mean '{by_lower[close[0]]}'?" if close else None


def shorten_value(value: object) -> str:
    """Return a short form of a value for messages: scalars as written, others by their type."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        whole = json.dumps(value, ensure_ascii=False)
        return whole if len(whole) <= _MAX_SHOWN else f'{whole[:_MAX_SHOWN]}..."'
    return (
        str(value).lower()[:_MAX_SHOWN]
        if isinstance(value, bool | int | float)
        else "a date or time"
    )


def value_error(
    message: str, *, hint: str | None = None, choices: Iterable[str] = ()
) -> PydanticCustomError:
    """Return the error of a field validator that needs its own message.

    The most similar of `choices` is suggested.
    """
    context = {"text": message, "hint": hint, "choices": tuple(choices)}
    return PydanticCustomError("value_error", "{text}", context)


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of a table as written in the file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def validate(
    model: type[_Model], table: object, path: KeyPath, problems: list[Problem]
) -> _Model | None:
    """Return `table` as a `model`; or None, with its errors added to `problems`."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        found = [(e["type"], _problem(model, e, path)) for e in error.errors(include_url=False)]
        misspelt = {(p.path[:-1], p.hint) for kind, p in found if kind == "extra_forbidden"}
        # Report a misspelt key once, and not as an unknown and a missing key.
        problems.extend(
            problem
            for kind, problem in found
            if kind != "missing"
            or (problem.path[:-1], f"did you mean '{problem.path[-1]}'?") not in misspelt
        )
        return None


def _problem(model: type[BaseModel], error: ErrorDetails, path: KeyPath) -> Problem:
    loc = error["loc"]
    where = (*path, *loc)
    table, field = _field_at(model, loc)
    expected = field.description if field else "a table"
    if error["type"] == "extra_forbidden":
        names = keys_of(table)
        hint = suggest(str(loc[-1]), names)
        return Problem(where, UNKNOWN_KEY, f"one of {', '.join(names)}", hint)
    if error["type"] == "missing":
        return Problem(where, "this key is missing", expected)
    context: dict[str, Any] = error.get("ctx", {})
    value: object = error["input"]
    hint = context.get("hint")
    choices = context.get("choices", ())
    if error["type"] == "literal_error" and field is not None:
        choices = tuple(_choices_in(field.annotation))
        expected = expected or f"one of {', '.join(choices)}"
    elif error["type"] == "value_error":
        # Without a description the validator's message is used.
        expected = expected or str(context["error"])
    if not hint and isinstance(value, str):
        hint = suggest(value, choices)
    return Problem(where, _message(field, context, value), expected, hint)


def _message(field: FieldInfo | None, context: dict[str, Any], value: object) -> str:
    if context.get("text"):
        return str(context["text"])
    if field is not None and field.repr is False:
        return "the value is invalid" if isinstance(value, str) else "the value is not a string"
    return f"got {shorten_value(value)}"


def _field_at(
    model: type[BaseModel], loc: tuple[str | int, ...]
) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the table and the field of an error's location; no field for an unknown key."""
    field: FieldInfo | None = None
    for part in loc:
        if isinstance(part, int):
            continue
        if field is not None:
            model = next(_models_in(field.annotation), model)
        fields = model.model_fields.items()
        field = next((f for name, f in fields if (f.alias or name) == part), None)
    return model, field


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _choices_in(annotation: object) -> Iterator[str]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _choices_in(part)


def _dotted(path: KeyPath, document: object) -> str:
    """Return `group[phones].policy.minLength`: elements by name, else by number from 1."""
    text = ""
    node = document
    for part in path:
        if isinstance(part, int):
            node = node[part] if isinstance(node, list) and part < len(node) else None
            name = node.get("name") if isinstance(node, dict) else None
            named = isinstance(name, str) and _NAME.fullmatch(name)
            text += f"[{name}]" if named else f"[{part + 1}]"
        else:
            node = node.get(part) if isinstance(node, dict) else None
            key = part if _BARE_KEY.fullmatch(part) else shorten_value(part)
            text += f".{key}" if text else key
    return text
