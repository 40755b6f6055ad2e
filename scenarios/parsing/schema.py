"""JSON Schema of scenario files, for editors: `passfleet schema scenario`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from agent.clock import DURATION_PATTERN
from agent.definition.file_schema import DIALECT, model_schema, platforms_schema
from broker.contract import DEVICE_ID
from scenarios.actors import ACTORS
from scenarios.model.file import DeviceEntry, RawCommand, ScenarioFile, UserEntry

__all__ = ["scenario_schema"]

_NULL: Final = {"type": "null"}
_DURATION: Final = {
    "type": "string",
    "pattern": f"^{DURATION_PATTERN}$",
    "description": "a duration, as 5ms, 2s, 5m or 1h",
}
_PLACEHOLDER: Final = {"type": "string", "pattern": r"\$\{"}
"""String with `${name}`, whose value is known only when the scenario is played."""
_MATCHER: Final = {
    "anyOf": [
        {"enum": ["absent", "present"]},
        {
            "type": "object",
            "properties": {"matches": {"type": "string"}, "contains": {"type": "string"}},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}
_KEPT: Final = frozenset({"propertyNames", "default", "examples", "required", "if", "then"})
"""Keywords whose values are no values of the scenario."""
_LEAVES: Final = ("integer", "number", "boolean")


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of scenario files."""
    definitions: dict[str, Any] = {"matcher": _MATCHER}
    file = model_schema(ScenarioFile, definitions)
    device = model_schema(DeviceEntry, definitions)
    user = {"anyOf": [model_schema(UserEntry, definitions), _NULL]}
    properties = file["properties"]
    properties["platforms"] = platforms_schema()
    properties["devices"] |= {
        "propertyNames": {"pattern": f"^{DEVICE_ID}$"},
        "additionalProperties": device,
    }
    properties["users"] |= {"additionalProperties": user}
    properties["steps"] |= {"items": _step(definitions)}
    for name in ("devices", "users", "organization", "platforms", "steps"):
        properties[name] = _with_placeholders(properties[name])
    definitions = {name: _with_placeholders(each) for name, each in definitions.items()}
    return {
        "$schema": DIALECT,
        "title": "passfleet scenario",
        **file,
        "$defs": definitions,
        "examples": [_EXAMPLE],
    }


def _step(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a step: `name: arguments`, or the name alone if it needs none."""
    steps: dict[str, Any] = {
        "wait": _DURATION,
        "command": model_schema(RawCommand, definitions),
    }
    for actor in ACTORS:
        for verb, model in actor.steps.items():
            steps[f"{actor.name}.{verb}"] = model_schema(model, definitions)
        if actor.expects is not None:
            steps[f"expect.{actor.name}"] = _expectation(
                actor.expects, actor.selectors, definitions
            )
    bare = [name for name, each in steps.items() if name != "wait" and not each.get("required")]
    for name in bare:
        steps[name]["type"] = ["object", "null"]
    table = {
        "type": "object",
        "properties": steps,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"if": {"type": "string"}, "then": {"enum": bare}, "else": table}


def _expectation(
    model: type[BaseModel], selectors: frozenset[str], definitions: dict[str, Any]
) -> dict[str, Any]:
    """Return the schema of an `expect` step: each value may be a matcher, or a table of them."""
    made = model_schema(model, definitions)
    for key, value in made["properties"].items():
        if key not in selectors:
            table = [{"type": "object"}] if _is_table(value, definitions) else []
            made["properties"][key] = {
                "anyOf": [value, *table, {"$ref": "#/$defs/matcher"}],
                **_description(value),
            }
    made["properties"]["within"] = _DURATION
    made.pop("required", None)
    return made


def _is_table(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    """Return True if a value may be a table, whose own values may be matchers."""
    referenced = definitions.get(value.get("$ref", "").rpartition("/")[2])
    choices = [*value.get("anyOf", ()), *([referenced] if referenced else ())]
    return value.get("type") == "object" or any(_is_table(each, definitions) for each in choices)


def _with_placeholders(node: Any) -> Any:
    """Allow a placeholder wherever a value has another form than that of any string."""
    if isinstance(node, list):
        return [_with_placeholders(each) for each in node]
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    restricted = kind == "string" and ("pattern" in node or "not" in node)
    if restricted or kind in _LEAVES or "enum" in node or "const" in node:
        return {"anyOf": [node, _PLACEHOLDER], **_description(node)}
    return {key: each if key in _KEPT else _inside(key, each) for key, each in node.items()}


def _inside(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _with_placeholders(each) for name, each in value.items()}
    return _with_placeholders(value)


def _description(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": node["description"]} if "description" in node else {}


_EXAMPLE: Final = {
    "name": "An administrator resets a phone",
    "devices": {"phone": {"platform": "ios", "passcode": "2580", "owner": "alex"}},
    "steps": [
        {"console.select": {"devices": ["phone"]}},
        "console.reset_passcode",
        {"expect.console": {"actionState": "done", "within": "5m"}},
        {"expect.device": {"compliance": "inGracePeriod"}},
    ],
}
