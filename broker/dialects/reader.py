"""Dialects by name: those that passfleet ships, and those of a fleet file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from broker.contract import DEFAULT_ROOT
from broker.dialects.compiler import compile_table
from broker.dialects.definition import PRESETS, merge, preset
from broker.dialects.dialect import Dialect
from broker.file_validation import KeyPath, Problem, shorten_value, suggest

__all__ = ["NO_DIALECTS", "dialects", "preset_dialect", "read_dialects"]

_DEEPEST: Final = 8
NO_DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType({})
_EXPECTED: Final = "a table such as [dialects.mycloud.command]"


@cache
def preset_dialect(name: str) -> Dialect:
    """Return a dialect that passfleet ships."""
    return Dialect(name, _preset_table(name))


def _preset_table(name: str) -> Mapping[str, Any]:
    table = preset(name)
    base = table.get("extends")
    return table if base is None else merge(_preset_table(base), table)


@cache
def dialects() -> Mapping[str, Dialect]:
    """Return the dialects that passfleet ships, by name."""
    return MappingProxyType({name: preset_dialect(name) for name in PRESETS})


def read_dialects(
    tables: object, problems: list[Problem], root: str = DEFAULT_ROOT
) -> dict[str, Dialect]:
    """Return the dialects of the table `[dialects]` by name; adds its problems to `problems`."""
    if not isinstance(tables, dict):
        problems.append(Problem(("dialects",), f"got {shorten_value(tables)}", _EXPECTED))
        return {}
    found: dict[str, Dialect] = {}
    for name, table in tables.items():
        path: KeyPath = ("dialects", name)
        problem = _table_problem(name, table, path)
        merged = None if problem else _merged(name, tables, problems)
        if problem is not None:
            problems.append(problem)
        if merged is not None and compile_table(merged, path, root, problems) is not None:
            found[name] = Dialect(name, merged, root)
    return found


def _table_problem(name: str, table: object, path: KeyPath) -> Problem | None:
    if name in PRESETS:
        message = "passfleet has a dialect of this name"
        return Problem(path, message, f'another name, with extends = "{name}" if it is its base')
    if not isinstance(table, dict):
        return Problem(path, f"got {shorten_value(table)}", _EXPECTED)
    return None


def _merged(
    name: str, tables: Mapping[str, Any], problems: list[Problem]
) -> Mapping[str, Any] | None:
    """Return a dialect's table with what it extends; None with a problem in `problems`."""
    chain: list[Mapping[str, Any]] = []
    seen: list[str] = []
    at: str | None = name
    while at is not None:
        base = tables.get(at) if at in tables else preset(at) if at in PRESETS else None
        where = ("dialects", seen[-1] if seen else name, "extends")
        if at in seen or len(seen) > _DEEPEST:
            problems.append(Problem(where, f"{at!r} extends itself", "a dialect to start from"))
            return None
        if base is None:
            names = (*PRESETS, *tables)
            expected = f"one of {', '.join(names)}"
            message = f"there is no dialect {shorten_value(at)}"
            problems.append(Problem(where, message, expected, suggest(str(at), names)))
            return None
        if not isinstance(base, dict):
            return None  # its own table has the problem
        chain.append(base)
        seen.append(at)
        at = base.get("extends")
    merged: Mapping[str, Any] = {}
    for table in reversed(chain):
        merged = merge(merged, table)
    return merged
