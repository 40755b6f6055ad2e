"""The AsyncAPI document and the JSON Schemas agree with the models and the design."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from agent.state import ErrorCode
from broker import contract
from broker.contract import Refusal
from broker.reference.asyncapi import SCHEMA_NAMES, asyncapi, json_schema
from broker.reference.catalog import CHANNELS, PAYLOADS, PAYLOADS_BY_NAME
from broker.reference.descriptions import ERROR_CODES, INPUT_ERROR_CODES, KEYS, RULES
from broker.reference.examples import EXAMPLES

OFFICIAL = Path(__file__).parents[2] / "data" / "asyncapi-3.0.0.schema.json"
PARSERS: dict[str, Any] = {
    "command": contract.parse_command,
    "input": contract.parse_input,
    "message": contract.parse_message,
    "simulate": contract.parse_simulate,
    "clock": contract.parse_clock,
}
TOPICS = {
    "passfleet/v1/devices/{deviceId}/commands": ("receive", False),
    "passfleet/v1/groups/{group}/commands": ("receive", False),
    "passfleet/v1/devices/{deviceId}/results": ("send", False),
    "passfleet/v1/devices/{deviceId}/escrow": ("send", False),
    "passfleet/v1/devices/{deviceId}/notifications": ("send", False),
    "passfleet/v1/devices/{deviceId}/messages": ("receive", False),
    "passfleet/v1/devices/{deviceId}/state": ("send", True),
    "passfleet/v1/devices/{deviceId}/presence": ("send", True),
    "passfleet/v1/devices/{deviceId}/inputs": ("receive", False),
    "passfleet/v1/devices/{deviceId}/simulate": ("receive", False),
    "passfleet/v1/devices/{deviceId}/inspect": ("receive", False),
    "passfleet/v1/devices/{deviceId}/inspection": ("send", False),
    "passfleet/v1/clock": ("receive", False),
    "passfleet/v1/clock/now": ("send", True),
}


def _resolve(document: dict[str, Any], ref: str) -> Any:
    node: Any = document
    for part in ref.removeprefix("#/").split("/"):
        node = node[part]
    return node


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _refs(value)]
    if isinstance(node, list):
        return [ref for item in node for ref in _refs(item)]
    return []


def _objects(name: str, schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = [(name, schema)] if "properties" in schema else []
    return found + list(schema.get("$defs", {}).items())


def _examples() -> list[Any]:
    return [
        pytest.param(name, example, id=f"{name}: {title}")
        for name, examples in EXAMPLES.items()
        for title, example in examples.items()
    ]


@pytest.mark.parametrize("root", ["passfleet/v1", "lab"])
def test_asyncapi_document_is_valid_by_the_official_schema(root: str) -> None:
    official = json.loads(OFFICIAL.read_text(encoding="utf-8"))

    problems = list(jsonschema.Draft7Validator(official).iter_errors(asyncapi(root)))

    assert not [f"{p.json_path}: {p.message[:200]}" for p in problems]


def test_asyncapi_document_is_json_and_every_reference_resolves() -> None:
    document = json.loads(json.dumps(asyncapi()))

    refs = _refs(document)

    assert refs
    assert all(_resolve(document, ref) for ref in refs)


def test_channels_are_the_topics_of_the_design_with_their_qos_and_retention() -> None:
    document = asyncapi()
    seen = {}
    for operation in document["operations"].values():
        channel = _resolve(document, operation["channel"]["$ref"])
        mqtt = operation["bindings"]["mqtt"]
        assert mqtt["qos"] == 1
        seen[channel["address"]] = (operation["action"], mqtt["retain"])

    assert seen == TOPICS
    assert len(document["channels"]) == len(TOPICS)


def test_channel_parameters_are_those_in_its_address() -> None:
    for channel in asyncapi()["channels"].values():
        expected = {name for name in ("deviceId", "group") if f"{{{name}}}" in channel["address"]}
        assert set(channel.get("parameters", {})) == expected


def test_every_address_starts_with_the_root() -> None:
    addresses = [channel["address"] for channel in asyncapi("lab/7")["channels"].values()]

    assert all(address.startswith("lab/7/") for address in addresses)


def test_requests_name_the_channel_of_their_answer() -> None:
    replies = {channel.key: channel.reply for channel in CHANNELS if channel.reply}

    assert replies == {
        "commands": ("results", "result"),
        "groupCommands": ("results", "result"),
        "inputs": ("results", "input-result"),
        "clock": ("clockNow", "clock-now"),
        "inspect": ("inspection", "inspection"),
    }


def test_every_device_topic_of_the_contract_splits_into_its_leaf() -> None:
    topics = contract.Topics()
    for channel in CHANNELS:
        address = channel.address(topics)
        if "{deviceId}" in address:
            assert topics.split(address) == ("{deviceId}", channel.key)


def test_error_codes_are_those_a_device_can_answer() -> None:
    assert set(ERROR_CODES) == {str(code) for code in ErrorCode}
    assert set(ERROR_CODES) > INPUT_ERROR_CODES
    assert asyncapi()["components"]["schemas"]["ErrorCode"]["enum"] == list(ERROR_CODES)


@pytest.mark.parametrize(("name", "example"), _examples())
def test_example_is_valid_by_its_schema_and_its_model(name: str, example: dict[str, Any]) -> None:
    payload = json.dumps(example).encode()

    jsonschema.Draft202012Validator(json_schema(name)).validate(example)

    if name in PARSERS:
        assert not isinstance(PARSERS[name](payload), Refusal)
    else:
        model = TypeAdapter(PAYLOADS_BY_NAME[name].model)
        parsed = model.validate_json(payload, by_alias=True, by_name=False)
        if PAYLOADS_BY_NAME[name].published:
            assert json.loads(parsed.to_bytes()) == example


def test_every_payload_has_an_example_and_a_channel() -> None:
    assert set(EXAMPLES) == set(SCHEMA_NAMES)
    assert {name for channel in CHANNELS for name in channel.payloads} == set(SCHEMA_NAMES)


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_schema_is_valid_titled_closed_and_complete(name: str) -> None:
    schema = json_schema(name)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"]
    assert all(_resolve(schema, ref) for ref in _refs(schema))
    for _, found in _objects(name, schema):
        if "properties" in found:
            assert found["additionalProperties"] is False


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_every_key_has_a_description(name: str) -> None:
    for _, found in _objects(name, json_schema(name)):
        for key, spec in found.get("properties", {}).items():
            assert spec.get("description"), key


def test_every_description_is_used() -> None:
    schemas = asyncapi()["components"]["schemas"]
    keys = {key for schema in schemas.values() for key in schema.get("properties", {})}
    special = {
        f"{n}.{key}" for n, schema in schemas.items() for key in schema.get("properties", {})
    }

    assert {key for key in KEYS if "." not in key} <= keys
    assert {key for key in KEYS if "." in key} <= special
    assert all(RULES.values())


@pytest.mark.parametrize("payload", [p for p in PAYLOADS if p.published], ids=lambda p: p.name)
def test_published_payload_requires_every_key(payload: Any) -> None:
    schema = json_schema(payload.name)

    assert set(schema["required"]) == set(schema["properties"])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("command", {"commandId": "c-1", "actionName": "resetPasscode", "extra": 1}),
        ("command", {"commandId": "c-1", "actionName": "applyPasscodePolicy"}),
        ("command", {"actionName": "resetPasscode"}),
        ("command", {"commandId": "c-1", "actionName": "explode"}),
        ("input", {"inputId": "i-1", "action": "setPasscode"}),
        ("input", {"inputId": "i-1", "action": "pressKey", "key": "##"}),
        ("simulate", {"action": "fly"}),
    ],
)
def test_schema_and_model_refuse_the_same_payloads(name: str, wrong: dict[str, Any]) -> None:
    assert isinstance(PARSERS[name](json.dumps(wrong).encode()), Refusal)
    assert not jsonschema.Draft202012Validator(json_schema(name)).is_valid(wrong)


def test_caller_owns_the_document() -> None:
    asyncapi()["components"]["schemas"].clear()
    json_schema("command").clear()

    assert asyncapi()["components"]["schemas"]["Command"]
    assert json_schema("command")["title"] == "Command"
