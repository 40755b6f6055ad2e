"""Parser of user-defined platforms: converts tables of a file to the dataclasses of `platforms`.

The accepted keys and types are read from the dataclasses of `platforms.profile`, so that every
field there can be set in a fleet file. Problems are collected with their key path; the value of
the base platform is kept then.

Notation of values: an enumeration by its value, a duration as `30m` or in seconds, a version as
`10.0.15063`, a bound as `[low, high]`, a source as a string or a table; `"none"` removes an
optional value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from agent.clock import parse_duration
from agent.definition.device import parse_version
from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from platforms.profile import Action, Bound, NativeCase, Source

__all__ = ["overridden"]

_T = TypeVar("_T")
_NONE: Final = "none"
_MOST: Final = 10**9
_WRONG: Final = object()
"""Placeholder of an invalid value; its problem has been added."""


def overridden(
    base: _T, table: object, path: KeyPath, problems: list[Problem], *, fixed: frozenset[str]
) -> _T:
    """Return `base` with the fields in `table`; fields in `fixed` cannot be set by a table."""
    values = _Reader(problems).fields_of(type(base), table, path, base, fixed)
    return base if values is None else replace(base, **values)  # type: ignore[type-var]


class _Reader:
    """Converts values by the type annotation of their field."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems

    def fields_of(
        self,
        kind: type,
        table: object,
        path: KeyPath,
        base: object = None,
        fixed: frozenset[str] = frozenset(),
    ) -> dict[str, Any] | None:
        """Convert the values in `table` for the fields of `kind`; None if it is not a table."""
        if not isinstance(table, dict):
            self._refuse(path, table, "a table")
            return None
        known = {n: hint for n, hint in _hints(kind).items() if n not in fixed}
        values = {}
        for key, value in table.items():
            if key not in known:
                expected = f"one of {', '.join(known)}"
                hint = suggest(key, known)
                self._problems.append(Problem((*path, key), "unknown key", expected, hint))
                continue
            under = getattr(base, key, None)
            read = self.value(known[key], value, (*path, key), under)
            if read is not _WRONG:
                values[key] = read
        return values

    def value(self, hint: Any, value: object, path: KeyPath, base: object = None) -> Any:
        """Convert `value` to the annotation `hint`; `_WRONG` after adding a problem."""
        marks = getattr(hint, "__metadata__", ())
        if marks:
            return self._marked(marks[0], value, path)
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            (kind,) = (a for a in arguments if a is not NoneType)
            return None if value == _NONE else self.value(kind, value, path, base)
        if origin is tuple:
            return self._sequence(arguments, value, path)
        if origin is frozenset:
            read = self._sequence((arguments[0], ...), value, path)
            return read if read is _WRONG else frozenset(read)
        if origin is Mapping:
            return self._mapping(arguments, value, path, base)
        return self._single(hint, value, path, base)

    def _single(self, kind: type, value: object, path: KeyPath, base: object) -> Any:
        if issubclass(kind, StrEnum):
            return self._member(kind, value, path)
        if kind is Bound:
            return self._bound(value, path)
        if kind is Source:
            # A source is replaced as a whole: cite and assumption belong together.
            base, value = None, {"cite": value} if isinstance(value, str) else value
        if is_dataclass(kind):
            return self._record(kind, value, path, base)
        expected, fits = _PLAIN[kind]
        return value if fits(value) else self._refuse(path, value, expected)

    def _marked(self, mark: str, value: object, path: KeyPath) -> Any:
        if mark == "version":
            try:
                return parse_version(value)
            except ValueError:
                return self._refuse(path, value, 'a version such as "10.0.15063"')
        if _whole(value):
            return value
        try:
            time = parse_duration(value) if isinstance(value, str) else None
        except (ValueError, OverflowError):
            time = None
        if time is None or time % timedelta(seconds=1):
            return self._refuse(path, value, 'whole seconds, such as "30m"')
        return time // timedelta(seconds=1)

    def _member(self, kind: type[StrEnum], value: object, path: KeyPath) -> Any:
        for member in kind:
            if value == member.value:
                return member
        hint = suggest(value, kind) if isinstance(value, str) else None
        return self._refuse(path, value, f"one of {', '.join(kind)}", hint)

    def _bound(self, value: object, path: KeyPath) -> Any:
        expected = "[low, high], such as [4, 16]"
        if not isinstance(value, list) or len(value) != 2 or not all(map(_whole, value)):  # noqa: PLR2004  # low and high
            return self._refuse(path, value, expected)
        if value[0] > value[1]:
            message = f"{value[0]} is more than {value[1]}"
            self._problems.append(Problem(path, message, expected))
            return _WRONG
        return Bound(*value)

    def _record(self, kind: type, value: object, path: KeyPath, base: object) -> Any:
        before = len(self._problems)
        values = self.fields_of(kind, value, path, base)
        if values is None:
            return _WRONG
        if base is not None:
            return replace(base, **values)  # type: ignore[type-var]
        assert isinstance(value, dict)  # noqa: S101  # checked by fields_of
        for field in fields(kind):
            if _required(field) and field.name not in value:
                self._problems.append(Problem((*path, field.name), "this key is missing"))
        return _WRONG if len(self._problems) > before else kind(**values)

    def _sequence(self, kinds: tuple[Any, ...], value: object, path: KeyPath) -> Any:
        """Convert a list of any length (`X, ...`) or of the length of `kinds`."""
        if not isinstance(value, list):
            return self._refuse(path, value, "a list")
        if kinds[-1] is ...:
            kinds = (kinds[0],) * len(value)
        if len(kinds) != len(value):
            return self._refuse(path, value, f"a list of {len(kinds)}")
        read = [
            self.value(kind, item, (*path, index))
            for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
        ]
        return _WRONG if any(item is _WRONG for item in read) else tuple(read)

    def _mapping(
        self, arguments: tuple[Any, ...], value: object, path: KeyPath, base: object
    ) -> Any:
        """Merge a table into that of the base platform, key by key."""
        if not isinstance(value, dict):
            return self._refuse(path, value, "a table")
        merged: dict[Any, Any] = dict(base) if isinstance(base, Mapping) else {}
        if arguments[0] is not str:
            self._native(value, path, merged)
            return MappingProxyType(merged)
        for key, item in value.items():
            read = self.value(arguments[1], item, (*path, key), merged.get(key))
            if read is not _WRONG:
                merged[key] = read
        return MappingProxyType(merged)

    def _native(self, table: dict[str, Any], path: KeyPath, merged: dict[Any, Any]) -> None:
        """Merge native answers by action and case: `{resetPasscode = {done = {...}}}`."""
        for action_name, cases in table.items():
            where = (*path, action_name)
            action = self._key(Action, action_name, where)
            if action is None:
                continue
            if not isinstance(cases, dict):
                self._refuse(where, cases, "a table of answers by case, such as done")
                continue
            for case_name, answer in cases.items():
                case = self._key(NativeCase, case_name, (*where, case_name))
                if case is None:
                    continue
                if isinstance(answer, dict):
                    merged[action, case] = _frozen(answer)
                else:
                    self._refuse((*where, case_name), answer, "a table: the answer's own keys")

    def _key(self, kind: type[StrEnum], key: str, path: KeyPath) -> Any:
        if key in list(kind):
            return kind(key)
        expected = f"one of {', '.join(kind)}"
        self._problems.append(Problem(path, "unknown key", expected, suggest(key, kind)))
        return None

    def _refuse(
        self, path: KeyPath, value: object, expected: str, hint: str | None = None
    ) -> object:
        self._problems.append(Problem(path, f"got {shorten_value(value)}", expected, hint))
        return _WRONG


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the type annotations of a dataclass by field name."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


_PLAIN: Final[Mapping[type, tuple[str, Callable[[object], bool]]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: (f"a whole number from 0 to {_MOST}", _whole),
    str: ("a string", lambda value: isinstance(value, str)),
}


def _frozen(value: Any) -> Any:
    """Convert a TOML value to immutable types."""
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    return value
