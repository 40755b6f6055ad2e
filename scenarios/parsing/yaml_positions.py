"""YAML reader that returns plain values with the line and column of each key.

PyYAML provides the nodes and their positions. This module converts them to values by the rules of
YAML 1.2: `no` is a string, `012` is the number 12, and a date remains a string. It refuses
duplicate keys, of which PyYAML would silently drop the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from broker.errors import FileError
from broker.file_validation import KeyPath, shorten_value

__all__ = ["YamlDocument", "read_yaml"]

_BOOLEANS: Final = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,4000}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_OWN_TAGS: Final = re.compile(
    r"tag:yaml\.org,2002:(str|int|float|bool|null|map|seq|timestamp|merge|value)"
)
_MAX_DEPTH: Final = 50
_MAX_NODES: Final = 200_000
"""Limit against nested aliases, which let a small file expand without bound."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """YAML document: its value, and the line and column of each key or list item, from 1."""

    value: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    columns: dict[KeyPath, int] = field(default_factory=dict)


def read_yaml(
    text: str, path: Path | str, *, text_keys: frozenset[str] = frozenset()
) -> YamlDocument:
    """Parse one YAML document. Raises FileError with line and column if it is invalid.

    Scalars below a top-level key of `text_keys` remain strings as written.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise FileError(
            f"not YAML: {error.problem or error.context}",
            path=path,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        raise FileError(f"not YAML: {_reason(error)}", path=path) from None
    except RecursionError:
        raise FileError("too deeply nested", path=path) from None
    if node is None:
        raise FileError("the file is empty", path=path, line=1, column=1)
    return _Reader(path, text_keys).document(node)


def _reason(error: yaml.YAMLError) -> str:
    return getattr(error, "reason", None) or type(error).__name__


class _Reader:
    """Converter of YAML nodes to values; records their positions."""

    def __init__(self, path: Path | str, text_keys: frozenset[str]) -> None:
        self._path = path
        self._text_keys = text_keys
        self._found = YamlDocument(None)
        self._nodes = 0

    def document(self, node: yaml.Node) -> YamlDocument:
        self._record_position((), node)
        value = self._value(node, ())
        return YamlDocument(value, self._found.lines, self._found.columns)

    def _record_position(self, path: KeyPath, node: yaml.Node) -> None:
        self._found.lines[path] = node.start_mark.line + 1
        self._found.columns[path] = node.start_mark.column + 1

    def _error(self, node: yaml.Node, message: str, expected: str | None = None) -> FileError:
        mark = node.start_mark
        return FileError(
            message, path=self._path, line=mark.line + 1, column=mark.column + 1, expected=expected
        )

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        if len(path) > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise self._error(node, "too deeply nested, or too much in one file")
        if not _OWN_TAGS.fullmatch(node.tag):
            raise self._error(node, f"the tag {shorten_value(node.tag)} means nothing here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path)
        if path and path[0] in self._text_keys:
            return node.value
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, "a key must be a word", "key: value")
            key = key_node.value
            where = (*path, key)
            if key in values:
                first = self._found.lines[where]
                raise self._error(
                    key_node,
                    f"the key {shorten_value(key)} stands here twice, first in line {first}",
                )
            self._record_position(where, key_node)
            values[key] = self._value(value_node, where)
        return values

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            self._record_position((*path, index), item)
            values.append(self._value(item, (*path, index)))
        return values

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.style is not None or (node.tag == _STRING_TAG and text in _NULLS):
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text
