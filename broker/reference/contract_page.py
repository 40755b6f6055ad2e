"""Generator of docs/contract.md from the models and descriptions of the wire contract.

`python -m fleet.reference.build` writes the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from broker.contract import DEFAULT_ROOT, DEVICE_ID, Topics
from broker.reference.asyncapi import asyncapi
from broker.reference.catalog import CHANNELS, PAYLOADS, PAYLOADS_BY_NAME, Channel, Payload
from broker.reference.descriptions import COMMAND_ERROR_CODES, ERROR_CODES, INPUT_ERROR_CODES, RULES
from broker.reference.examples import EXAMPLES

__all__ = ["contract_page"]

_HEADER = "<!-- Made by `python -m fleet.reference.build`. Do not edit. -->"


def contract_page() -> str:
    """Return the page in Markdown."""
    schemas = asyncapi()["components"]["schemas"]
    lines = [
        _HEADER,
        "",
        "# The wire contract, version 1",
        "",
        (
            "MQTT 3.1.1 or 5, always QoS 1. Payloads are JSON in UTF-8. `<root>` is"
            f" `{DEFAULT_ROOT}` unless fleet.toml sets another; `<id>` and `<group>` match"
            f" `{DEVICE_ID}`."
        ),
        "",
        (
            "`passfleet schema` prints this contract as an AsyncAPI 3 document, `passfleet schema"
            " command` the JSON Schema of one payload."
        ),
        "",
        "## Topics",
        "",
        *_topics(),
        "",
        (
            "Below `<root>/hosts/`, `<root>/operators/` and `<root>/loads/` passfleet's own"
            " processes exchange messages that are not part of the contract."
        ),
        "",
        "## Rules",
        "",
        *_rules(),
        "## Payloads",
        "",
    ]
    for payload in PAYLOADS:
        lines += _payload(payload, schemas)
    lines += _shared(schemas)
    lines += ["## Error codes", "", *_errors()]
    return "\n".join(lines).rstrip() + "\n"


def _topics() -> Iterator[str]:
    yield "| topic | publisher | retained | payload | description |"
    yield "|---|---|---|---|---|"
    for channel in CHANNELS:
        payloads = ", ".join(_link(PAYLOADS_BY_NAME[name]) for name in channel.payloads)
        retained = "yes" if channel.retained else "no"
        yield _row(_address(channel), channel.publisher, retained, payloads, channel.summary)


def _address(channel: Channel) -> str:
    address = channel.address(Topics("<root>"))
    return f"`{address.replace('{deviceId}', '<id>').replace('{group}', '<group>')}`"


def _link(payload: Payload) -> str:
    return f"[{payload.title}](#{payload.title.lower().replace(' ', '-')})"


def _rules() -> Iterator[str]:
    for heading, rules in RULES.items():
        yield f"### {heading}"
        yield ""
        for rule in rules:
            yield f"- {rule}"
        yield ""


def _payload(payload: Payload, schemas: dict[str, Any]) -> Iterator[str]:
    schema = schemas[payload.schema]
    topics = ", ".join(_address(c) for c in CHANNELS if payload.name in c.payloads)
    yield f"### {payload.title}"
    yield ""
    yield f"{payload.description} On {topics}. Schema: `passfleet schema {payload.name}`."
    yield ""
    if "oneOf" in schema:
        for variant in schema["oneOf"]:
            yield from _variant(schemas[_name(variant["$ref"])])
    else:
        yield from _keys(schema)
        yield ""
    for title, example in EXAMPLES[payload.name].items():
        yield f"Example: {title}"
        yield ""
        yield "```json"
        yield json.dumps(example, indent=2, ensure_ascii=False)
        yield "```"
        yield ""


def _variant(schema: dict[str, Any]) -> Iterator[str]:
    yield f"**{_plain(schema['description'])}**"
    yield ""
    yield from _keys(schema)
    yield ""


def _shared(schemas: dict[str, Any]) -> Iterator[str]:
    """Yield the section on objects inside payloads."""
    yield "## Objects inside payloads"
    yield ""
    for name in ("Policy", "PolicyInForce", "Biometrics"):
        yield f"### {_words(name)}"
        yield ""
        yield schemas[name]["description"]
        yield ""
        yield from _keys(schemas[name])
        yield ""


def _keys(schema: dict[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    yield "| key | type | required | allowed | description |"
    yield "|---|---|---|---|---|"
    for key, spec in schema["properties"].items():
        needed = "yes" if key in required else "no"
        yield _row(f"`{key}`", _type(spec), needed, _allowed(spec, needed), spec["description"])


def _type(spec: dict[str, Any]) -> str:
    """Return a type such as `integer or null`, `[Policy](#policy)` or `list of object`."""
    if "$ref" in spec:
        return _reference(spec["$ref"])
    for several in ("allOf", "anyOf"):
        if several in spec:
            return " or ".join(_type(part) for part in spec[several])
    if spec.get("type") == "array":
        return f"list of {_type(spec['items'])}"
    if spec.get("format") == "date-time":
        return "instant"
    return str(spec["type"])


def _reference(ref: str) -> str:
    title = _words(_name(ref))
    anchor = "error-codes" if _name(ref) == "ErrorCode" else title.lower().replace(" ", "-")
    return f"[{title}](#{anchor})"


def _allowed(spec: dict[str, Any], needed: str) -> str:
    if "const" in spec:
        return f"`{spec['const']}`"
    parts = []
    if "enum" in spec:
        parts.append(", ".join(f"`{value}`" for value in spec["enum"]))
    elif "pattern" in spec:
        parts.append(f"`{spec['pattern']}`")
    elif "maxLength" in spec:
        parts.append(f"{spec.get('minLength', 0)} to {spec['maxLength']} characters")
    # A required key has no default.
    if needed == "no" and spec.get("default") is not None:
        parts.append(f"default `{json.dumps(spec['default'])}`")
    return "; ".join(parts)


def _errors() -> Iterator[str]:
    yield "`errorCode` is set only if `actionState` is `failed`."
    yield ""
    yield "| errorCode | answers | meaning |"
    yield "|---|---|---|"
    for code, meaning in ERROR_CODES.items():
        yield _row(f"`{code}`", _answers(code), meaning)


def _answers(code: str) -> str:
    if code in INPUT_ERROR_CODES:
        return "inputs"
    return "commands" if code in COMMAND_ERROR_CODES else "commands and inputs"


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]


def _words(name: str) -> str:
    """Convert `PolicyInForce` to `Policy in force`."""
    spaced = "".join(f" {c.lower()}" if c.isupper() else c for c in name)
    return spaced.strip().capitalize()


def _plain(text: str) -> str:
    return text.removesuffix(".")


def _row(*cells: str) -> str:
    # An unescaped bar ends the cell, also inside a code span.
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
