"""JSON Schema 2020-12 of the tables that users write in fleet files and scenarios.

Made from the models and dataclasses that the parsers use, so that an editor accepts what a parser
accepts. A schema describes the form of a file; rules between values, such as a passcode that
breaks its policy, are left to the parser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from agent.clock import DURATION_PATTERN
from platforms import PLATFORMS_BY_ID
from platforms.profile import Bound, PlatformProfile, Source

__all__ = ["DIALECT", "FileSchema", "model_schema", "platforms_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""Dialect of JSON Schema, for the key `$schema`."""
_CONVERTED: Final = frozenset({"any", "float", "int", "tuple"})
"""Types that a validator may make from a value of another type."""


class FileSchema(GenerateJsonSchema):
    """JSON Schema of a value as a file has it, before it is converted."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit titles made from names, which add nothing to the key."""
        del schema
        return False

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        """Accept any value where a validator converts a value of an undeclared type."""
        declared = schema.get("json_schema_input_schema")
        inner = schema["schema"]
        if declared is None and inner["type"] in _CONVERTED:
            return {}
        return self.generate_inner(inner if declared is None else declared)


def model_schema(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a model; adds the models that it uses to `definitions`, for `$defs`."""
    made = TypeAdapter(model).json_schema(schema_generator=FileSchema)
    definitions.update(made.pop("$defs", {}))
    for node in (made, *definitions.values()):
        _drop_converted_defaults(node)
    made.pop("title", None)
    summary = made.get("description")
    if summary is not None:
        made["description"] = " ".join(summary.split("\n\n")[0].split())
    return made


def _drop_converted_defaults(node: dict[str, Any]) -> None:
    """Remove defaults that are not written in the file's notation, such as a span of numbers."""
    for value in node.get("properties", {}).values():
        default = value.get("default")
        converted = value.get("type") == "string" and not isinstance(default, str)
        if default is None or converted:
            value.pop("default", None)


@cache
def platforms_schema() -> dict[str, Any]:
    """Return the schema of the key `platforms`: user-defined platforms by id."""
    base = {
        "anyOf": [{"enum": list(PLATFORMS_BY_ID)}, {"type": "string"}],
        "description": "the platform that this one extends",
    }
    table = _record(PlatformProfile)
    table["properties"].pop("id")
    table["properties"] = {"extends": base, **table["properties"]}
    return {
        "type": "object",
        "description": "platforms of your own, by id",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "additionalProperties": {**table, "required": ["extends"]},
    }


def _record(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "properties": {field.name: _value(hints[field.name]) for field in fields(kind)},
        "additionalProperties": False,
    }


def _value(hint: Any) -> dict[str, Any]:
    """Return the schema of a field of a platform; see `agent.definition.platform_reader`."""
    marks = getattr(hint, "__metadata__", ())
    if marks:
        return _MARKED[marks[0]]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (kind,) = (argument for argument in arguments if argument is not NoneType)
        return {"anyOf": [_value(kind), {"const": "none"}]}
    if origin is tuple and arguments[-1] is not ...:
        items = [_value(argument) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if origin in (tuple, frozenset):
        return {"type": "array", "items": _value(arguments[0])}
    if origin is Mapping:
        return {"type": "object"}
    return _single(hint)


def _single(kind: type) -> dict[str, Any]:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is Source:
        return {"anyOf": [{"type": "string"}, _record(kind)]}
    if issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    assert is_dataclass(kind)  # noqa: S101  # the reader knows no other types
    return _record(kind)


_WHOLE: Final = {"type": "integer", "minimum": 0}
_PLAIN: Final[Mapping[type, dict[str, Any]]] = {
    bool: {"type": "boolean"},
    int: _WHOLE,
    str: {"type": "string"},
    Bound: {"type": "array", "items": _WHOLE, "minItems": 2, "maxItems": 2},
}
_MARKED: Final[Mapping[str, dict[str, Any]]] = {
    "version": {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$"},
    "seconds": {"anyOf": [_WHOLE, {"type": "string", "pattern": f"^{DURATION_PATTERN}$"}]},
}
