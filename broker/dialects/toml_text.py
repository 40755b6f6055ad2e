"""A dialect's table as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["dialect_toml"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def dialect_toml(name: str, table: Mapping[str, Any]) -> str:
    """Return the table of a dialect as it would be written in a fleet file."""
    return "\n".join(_lines(("dialects", name), table, "[{}]")).strip() + "\n"


def _lines(path: tuple[str, ...], table: Mapping[str, Any], header: str) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not _is_table(value)}
    if plain or header != "[{}]" or not table:
        yield ""
        yield header.format(".".join(map(_key, path)))
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if isinstance(value, list) and _is_table(value):
            for each in value:
                yield from _lines((*path, key), each, "[[{}]]")
        elif isinstance(value, dict):
            yield from _lines((*path, key), value, "[{}]")


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)
    )


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str) and "\n" in value:
        text = value.replace("\\", "\\\\").replace('"""', '""\\"')
        return f'"""\n{text}"""'
    return json.dumps(value, ensure_ascii=False)
