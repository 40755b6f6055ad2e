"""Two-way payload templates: objects and arrays of fixed shape, texts and literals.

A template is compiled into nodes. A string that is a placeholder and nothing else stands for any
JSON value; in a longer string the value is a text. A payload that is a string is not JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final, Protocol

from pydantic_core import from_json, to_json

from broker.dialects.template import (
    MISSING,
    MisfitError,
    Placeholder,
    TemplateError,
    TextTemplate,
    Values,
    keep,
)
from broker.file_validation import KeyPath

__all__ = [
    "JsonPayload",
    "PayloadTemplate",
    "PlacedTemplateError",
    "TextPayload",
    "compile_payload",
]

_DEEPEST: Final = 16


class PayloadTemplate(Protocol):
    """A compiled payload."""

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the payload."""

    def read(self, payload: bytes, found: Values) -> None:
        """Read a payload into `found`. Raises MisfitError, or ValueError if it is not JSON."""


class _Node(Protocol):
    """Part of a payload. `may_be_absent`: reading succeeds without a value."""

    may_be_absent: bool

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""

    def render(self, values: Mapping[str, Any]) -> Any:
        """Return the JSON value, MISSING for a key to drop."""

    def read(self, value: Any, found: Values, where: str) -> None:
        """Read a JSON value into `found`; raises MisfitError."""


class _Literal:
    """A fixed JSON value."""

    __slots__ = ("_value", "may_be_absent")

    def __init__(self, value: Any) -> None:
        self._value = value
        self.may_be_absent = False

    def placeholders(self) -> Iterator[Placeholder]:
        return iter(())

    def render(self, values: Mapping[str, Any]) -> Any:
        del values
        return self._value

    def read(self, value: Any, found: Values, where: str) -> None:
        del found
        # `True == 1` in Python, not in JSON.
        if value != self._value or isinstance(value, bool) != isinstance(self._value, bool):
            raise MisfitError(f"{where} is not the fixed value of the template")


class _Whole:
    """A placeholder that stands for a JSON value."""

    __slots__ = ("_default", "_name", "_optional", "_placeholder", "may_be_absent")

    def __init__(self, placeholder: Placeholder) -> None:
        self._placeholder = placeholder
        self._name = placeholder.name
        self._optional = placeholder.optional
        self._default = None if placeholder.default is MISSING else placeholder.default
        self.may_be_absent = not placeholder.required

    def placeholders(self) -> Iterator[Placeholder]:
        yield self._placeholder

    def render(self, values: Mapping[str, Any]) -> Any:
        value = values.get(self._name)
        if value is None:
            return MISSING if self._optional else self._default
        return value

    def read(self, value: Any, found: Values, where: str) -> None:
        if value is None:
            return
        if not keep(found, self._name, value):
            raise MisfitError(f"{where} differs from another place with the same value")


class _Text:
    """A string with placeholders in it."""

    __slots__ = ("_text", "may_be_absent")

    def __init__(self, text: TextTemplate) -> None:
        self._text = text
        self.may_be_absent = any(p.optional for p in text.placeholders())

    def placeholders(self) -> Iterator[Placeholder]:
        return self._text.placeholders()

    def render(self, values: Mapping[str, Any]) -> Any:
        text = self._text.render(values)
        return MISSING if text is None else text

    def read(self, value: Any, found: Values, where: str) -> None:
        if value is None and self.may_be_absent:
            return
        if not isinstance(value, str) or not self._text.match(value, found):
            raise MisfitError(f"{where} does not fit the template's text")


class _Object:
    """An object; keys that the template does not have are ignored when it is read."""

    __slots__ = ("_items", "may_be_absent")

    def __init__(self, items: Mapping[str, _Node]) -> None:
        self._items = tuple((key, node, node.may_be_absent) for key, node in items.items())
        self.may_be_absent = all(absent for _, _, absent in self._items)

    def placeholders(self) -> Iterator[Placeholder]:
        for _, node, _ in self._items:
            yield from node.placeholders()

    def render(self, values: Mapping[str, Any]) -> Any:
        document = {}
        for key, node, _ in self._items:
            value = node.render(values)
            if value is not MISSING:
                document[key] = value
        return document

    def read(self, value: Any, found: Values, where: str) -> None:
        if not isinstance(value, dict):
            if value is None and self.may_be_absent:
                return
            raise MisfitError(f"{where or 'the payload'} is not an object")
        for key, node, absent in self._items:
            if key in value:
                node.read(value[key], found, f"{where}.{key}" if where else key)
            elif not absent:
                raise MisfitError(f"{f'{where}.{key}' if where else key} is missing")


class _Array:
    """An array of fixed length."""

    __slots__ = ("_items", "may_be_absent")

    def __init__(self, items: tuple[_Node, ...]) -> None:
        self._items = items
        self.may_be_absent = False

    def placeholders(self) -> Iterator[Placeholder]:
        for node in self._items:
            yield from node.placeholders()

    def render(self, values: Mapping[str, Any]) -> Any:
        return [node.render(values) for node in self._items]

    def read(self, value: Any, found: Values, where: str) -> None:
        if not isinstance(value, list) or len(value) != len(self._items):
            raise MisfitError(
                f"{where or 'the payload'} is not an array of {len(self._items)} values"
            )
        for number, (node, each) in enumerate(zip(self._items, value, strict=True)):
            node.read(each, found, f"{where}[{number}]")


class JsonPayload:
    """A JSON payload."""

    __slots__ = ("_node",)

    def __init__(self, node: _Node) -> None:
        self._node = node

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""
        return self._node.placeholders()

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the payload."""
        return to_json(self._node.render(values))

    def read(self, payload: bytes, found: Values) -> None:
        """Read a payload into `found`. Raises MisfitError, or ValueError if it is not JSON."""
        if not payload and self._node.may_be_absent:
            return
        self.read_value(from_json(payload, allow_inf_nan=False), found)

    def read_value(self, value: Any, found: Values) -> None:
        """Read a parsed payload into `found`; raises MisfitError."""
        self._node.read(value, found, "")


class TextPayload:
    """A payload that is a text, not JSON."""

    __slots__ = ("_text",)

    def __init__(self, text: TextTemplate) -> None:
        self._text = text

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""
        return self._text.placeholders()

    def render(self, values: Mapping[str, Any]) -> bytes:
        """Return the payload."""
        return (self._text.render(values) or "").encode()

    def read(self, payload: bytes, found: Values) -> None:
        """Read a payload into `found`. Raises MisfitError."""
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            raise MisfitError("the payload is not UTF-8 text") from None
        if not self._text.match(text, found):
            raise MisfitError("the payload does not fit the template's text")


class PlacedTemplateError(TemplateError):
    """Invalid template in a payload; `path` is its place below the payload."""

    def __init__(self, error: TemplateError, path: KeyPath) -> None:
        super().__init__(error.message, error.hint)
        self.path = path


def compile_payload(template: Any) -> PayloadTemplate:
    """Compile a template. Raises PlacedTemplateError."""
    if isinstance(template, str):
        try:
            return TextPayload(TextTemplate(template))
        except TemplateError as error:
            raise PlacedTemplateError(error, ()) from None
    return JsonPayload(_compile(template, ()))


def _compile(template: Any, path: KeyPath, *, in_array: bool = False) -> _Node:
    if len(path) > _DEEPEST:
        raise PlacedTemplateError(TemplateError(f"nested deeper than {_DEEPEST} levels"), path)
    if isinstance(template, dict):
        return _Object({key: _compile(each, (*path, key)) for key, each in template.items()})
    if isinstance(template, list):
        items = (_compile(each, (*path, n), in_array=True) for n, each in enumerate(template))
        return _Array(tuple(items))
    if not isinstance(template, str):
        if not isinstance(template, bool | int | float) or not isfinite(template):
            raise PlacedTemplateError(TemplateError("this is no JSON value"), path)
        return _Literal(template)
    return _compile_string(template, path, in_array=in_array)


def _compile_string(template: str, path: KeyPath, *, in_array: bool) -> _Node:
    try:
        text = TextTemplate(template)
    except TemplateError as error:
        raise PlacedTemplateError(error, path) from None
    dropped = next((p for p in text.placeholders() if p.optional), None)
    if in_array and dropped is not None:
        wrong = TemplateError(f"{dropped}: an element of an array cannot be dropped")
        raise PlacedTemplateError(wrong, path)
    if text.literal is not None:
        return _Literal(text.literal)
    return _Text(text) if text.whole is None else _Whole(text.whole)
