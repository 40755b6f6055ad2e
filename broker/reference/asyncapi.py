"""AsyncAPI 3.0 document and JSON Schemas, generated from the pydantic models.

The models define valid payloads, `broker.reference.catalog` the topics that carry them, and
`broker.reference.descriptions` their meaning.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from broker.contract import DEFAULT_ROOT, DEVICE_ID, Topics
from broker.reference.catalog import CHANNELS, PAYLOADS, PAYLOADS_BY_NAME, Channel, Payload
from broker.reference.descriptions import ERROR_CODES, KEYS
from broker.reference.examples import EXAMPLES

__all__ = ["SCHEMA_NAMES", "asyncapi", "json_schema"]

SCHEMA_NAMES: Final = tuple(payload.name for payload in PAYLOADS)
"""Payload types that `json_schema` accepts."""

_COMPONENTS: Final = "#/components/schemas/"
_REF: Final = re.compile(rf"^{_COMPONENTS}")
_MQTT_BINDING: Final = "0.2.0"
# pydantic's names for a model that both arrives (keys may be absent) and is published (all there).
_RENAMED: Final = {"Policy-Input": "Policy", "Policy-Output": "PolicyInForce"}
_QOS: Final = 1


class _Generator(GenerateJsonSchema):
    """JSON Schema as the contract has it: no titles made from names, every published key there."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit titles such as `Commandid`, which add nothing to the key."""
        del schema
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001  # pydantic's
        """Require every key in payloads of devices; unset keys are null."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        """Without OpenAPI's `discriminator`, which means something else in AsyncAPI."""
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)
        return made


def asyncapi(root: str = DEFAULT_ROOT) -> dict[str, Any]:
    """The whole contract as an AsyncAPI 3.0.0 document; `root` is the topics' root."""
    topics = Topics(root)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "passfleet wire contract",
            "version": "1.0.0",
            "description": "A fleet of virtual phones over MQTT: commands in, results, state and"
            " notifications out. Written from a device's point of view: it receives commands and"
            " sends results.",
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server(topics)},
        "channels": {channel.key: _channel(channel, topics) for channel in CHANNELS},
        "operations": {_operation_key(channel): _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {payload.schema: _message(payload) for payload in PAYLOADS},
            "schemas": _schemas(),
        },
    }


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one payload, complete in itself.

    Raises KeyError for a name that is not in `SCHEMA_NAMES`.
    """
    payload = PAYLOADS_BY_NAME[name]
    schemas = _schemas()
    schema = dict(schemas[payload.schema])
    needed: dict[str, Any] = {}
    _gather(schema, schemas, needed)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": payload.title,
        "description": payload.description,
        **{key: value for key, value in schema.items() if key not in {"title", "description"}},
        "examples": list(EXAMPLES[name].values()),
    }
    if needed:
        document["$defs"] = {key: needed[key] for key in sorted(needed)}
    local: dict[str, Any] = _with_refs(document, lambda ref: _REF.sub("#/$defs/", ref))
    return local


# ---------------------------------------------------------------------------------------------
# Schemas


@cache
def _cached_schemas() -> dict[str, Any]:
    inputs = [
        (
            payload.schema,
            "serialization" if payload.published else "validation",
            TypeAdapter(payload.model),
        )
        for payload in PAYLOADS
    ]
    made, shared = TypeAdapter.json_schemas(
        inputs,  # type: ignore[arg-type]  # a str literal widened by the comprehension
        by_alias=True,
        ref_template=f"{_COMPONENTS}{{model}}",
        schema_generator=_Generator,
    )
    schemas: dict[str, Any] = dict(shared.get("$defs", {}))
    for (name, _), schema in made.items():
        if schema.get("$ref") != f"{_COMPONENTS}{name}":
            schemas[str(name)] = schema
    schemas = {_RENAMED.get(name, name): schema for name, schema in schemas.items()}
    schemas = _with_refs(schemas, _renamed)
    for payload in PAYLOADS:
        schemas[payload.schema] |= {"title": payload.title, "description": payload.description}
    schemas["PolicyInForce"] |= {
        "title": "Policy in force",
        "description": "A passcode policy as a device has it; null where it is left to the"
        " platform.",
    }
    for name, schema in schemas.items():
        _describe(name, schema)
    schemas["ErrorCode"] = {
        "title": "Error code",
        "description": "Why a command or input failed.",
        "type": "string",
        "enum": list(ERROR_CODES),
        "x-enum-descriptions": list(ERROR_CODES.values()),
    }
    return {name: schemas[name] for name in sorted(schemas)}


def _schemas() -> dict[str, Any]:
    """A copy: callers own what they get."""
    copied: dict[str, Any] = _with_refs(_cached_schemas(), str)
    return copied


def _describe(name: str, schema: dict[str, Any]) -> None:
    """Give each key its meaning, and the two that the models leave open their values."""
    for key, spec in schema.get("properties", {}).items():
        meaning = KEYS.get(f"{name}.{key}") or KEYS[key]
        if "$ref" in spec:
            # Draft 7, which AsyncAPI speaks, ignores whatever stands beside a $ref.
            spec["allOf"] = [{"$ref": spec.pop("$ref")}]
        spec["description"] = meaning
        if key == "deviceId":
            spec["pattern"] = f"^{DEVICE_ID}$"
        elif key == "errorCode":
            spec["anyOf"] = [{"$ref": f"{_COMPONENTS}ErrorCode"}, {"type": "null"}]


def _renamed(ref: str) -> str:
    name = _REF.sub("", ref)
    return f"{_COMPONENTS}{_RENAMED.get(name, name)}"


def _with_refs(node: Any, change: Any) -> Any:
    """A deep copy of `node` in which `change` has been applied to every `$ref`."""
    if isinstance(node, dict):
        return {
            key: change(value)
            if key == "$ref" and isinstance(value, str)
            else _with_refs(value, change)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_refs(item, change) for item in node]
    return node


def _gather(node: Any, schemas: dict[str, Any], needed: dict[str, Any]) -> None:
    """Put into `needed` every schema that `node` refers to, directly or not."""
    if isinstance(node, dict):
        ref = node.get("$ref")
        name = _REF.sub("", ref) if isinstance(ref, str) else None
        if name is not None and name not in needed:
            needed[name] = schemas[name]
            _gather(schemas[name], schemas, needed)
        for value in node.values():
            _gather(value, schemas, needed)
    elif isinstance(node, list):
        for item in node:
            _gather(item, schemas, needed)


# ---------------------------------------------------------------------------------------------
# The AsyncAPI document's parts


def _server(topics: Topics) -> dict[str, Any]:
    return {
        "host": "127.0.0.1:1883",
        "protocol": "mqtt",
        "protocolVersion": "3.1.1",
        "description": "The embedded broker; any broker of MQTT 3.1.1 or 5 will do.",
        "bindings": {
            "mqtt": {
                "cleanSession": False,
                "lastWill": {
                    "topic": topics.device("{deviceId}", "presence"),
                    "qos": _QOS,
                    "message": '{"status":"offline","session":1}',
                    "retain": True,
                },
                "bindingVersion": _MQTT_BINDING,
            }
        },
    }


def _channel(channel: Channel, topics: Topics) -> dict[str, Any]:
    address = channel.address(topics)
    made: dict[str, Any] = {
        "address": address,
        "summary": channel.summary,
        "messages": {
            PAYLOADS_BY_NAME[name].schema: {
                "$ref": f"#/components/messages/{PAYLOADS_BY_NAME[name].schema}"
            }
            for name in channel.payloads
        },
    }
    parameters = {name: _PARAMETERS[name] for name in _PARAMETERS if f"{{{name}}}" in address}
    if parameters:
        made["parameters"] = parameters
    return made


# AsyncAPI 3 gives a parameter no pattern of its own; an extension carries it for machines.
_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "deviceId": {
        "description": f"The device's id: `{DEVICE_ID}`.",
        "examples": ["ios-001"],
        "x-pattern": f"^{DEVICE_ID}$",
    },
    "group": {
        "description": f"The group's name: `{DEVICE_ID}`; `all` is every device.",
        "examples": ["phones", "all"],
        "x-pattern": f"^{DEVICE_ID}$",
    },
}


def _operation_key(channel: Channel) -> str:
    return f"{channel.action}{channel.key[0].upper()}{channel.key[1:]}"


def _operation(channel: Channel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.key}"},
        "summary": channel.summary,
        "messages": [_message_ref(channel.key, name) for name in channel.payloads],
        "bindings": {
            "mqtt": {"qos": _QOS, "retain": channel.retained, "bindingVersion": _MQTT_BINDING}
        },
        "x-published-by": channel.publisher,
    }
    if channel.reply:
        key, name = channel.reply
        made["reply"] = {
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [_message_ref(key, name)],
        }
    return made


def _message_ref(channel: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{channel}/messages/{PAYLOADS_BY_NAME[name].schema}"}


def _message(payload: Payload) -> dict[str, Any]:
    return {
        "name": payload.name,
        "title": payload.title,
        "summary": payload.description,
        "contentType": "application/json",
        "payload": {"$ref": f"{_COMPONENTS}{payload.schema}"},
        "examples": [
            {"name": name, "payload": example} for name, example in EXAMPLES[payload.name].items()
        ],
    }
