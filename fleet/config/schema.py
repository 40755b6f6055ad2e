"""JSON Schema of fleet files, for editors: `passfleet schema fleet`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from agent.definition.file_schema import DIALECT, model_schema, platforms_schema
from broker.dialects.definition import SECTIONS, About
from fleet.config.dialects import ControlSection
from fleet.config.graph_section import GraphSection
from fleet.config.loader import TABLES
from fleet.config.sample import SAMPLE
from fleet.config.sections import BrokerSection, FleetSection, GroupSection
from fleet.config.web_sections import OrganizationSection, UserSection

__all__ = ["fleet_schema"]

_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "fleet": FleetSection,
    "broker": BrokerSection,
    "control": ControlSection,
    "graph": GraphSection,
    "organization": OrganizationSection,
}


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of fleet files."""
    definitions: dict[str, Any] = {}
    group = model_schema(GroupSection, definitions)
    known = {name: model_schema(model, definitions) for name, model in _MODELS.items()}
    known["users"] = {
        "type": "object",
        "description": "users of the browser pages, by name",
        "additionalProperties": model_schema(UserSection, definitions),
    }
    known["dialects"] = _dialects(definitions)
    known["platforms"] = platforms_schema()
    known["group"] = {"type": "array", "minItems": 1, "items": group}
    return {
        "$schema": DIALECT,
        "title": "passfleet fleet file",
        "description": "Devices to simulate and the broker they connect to.",
        "type": "object",
        "properties": {name: known.get(name, {}) for name in TABLES},
        "required": ["group"],
        "additionalProperties": False,
        "$defs": definitions,
        "examples": [tomllib.loads(SAMPLE)],
    }


def _dialects(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `[dialects]`. A section may be partial: a dialect extends another."""
    table = model_schema(About, definitions)
    section = {"anyOf": [{"type": "object"}, {"const": "none"}]}
    table["properties"] |= dict.fromkeys((*SECTIONS, "words"), section)
    return {
        "type": "object",
        "description": "dialects of your own, by name",
        "additionalProperties": table,
    }
