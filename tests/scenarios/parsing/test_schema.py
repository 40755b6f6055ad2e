"""JSON Schema of scenarios, held against the files that exist and against the parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from broker.errors import FileError
from scenarios.parsing.parser import parse_scenario
from scenarios.parsing.schema import scenario_schema
from scenarios.parsing.steps import step_names
from tests.support.documented_files import blocks, files

SCHEMA = scenario_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
HEAD = 'name: A test\ndevices:\n  phone: {platform: ios, passcode: "2580"}\n'
STEPS = "steps:\n  - wait: 1s\n"


def documents() -> Iterator[tuple[str, str]]:
    yield from files("*.yaml", "scenarios/library")
    yield from files("*.passfleet.yaml", "examples")
    yield from blocks("yaml", "steps:")


@pytest.mark.parametrize(
    ("place", "text"), list(documents()), ids=lambda value: value.split("\n")[0]
)
def test_every_file_and_example_fits(place: str, text: str) -> None:
    errors = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))]
    assert not errors, place


def test_schema_is_a_schema_with_every_step() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(steps_of(SCHEMA)) == set(step_names())
    for example in SCHEMA["examples"]:
        VALIDATOR.validate(example)


def steps_of(schema: dict[str, Any]) -> dict[str, Any]:
    steps: dict[str, Any] = schema["properties"]["steps"]["items"]["else"]["properties"]
    return steps


def test_every_step_is_described() -> None:
    for name, step in steps_of(SCHEMA).items():
        described = step.get("description") or step["anyOf"][0].get("description")
        assert described, name


def step(text: str) -> str:
    return f"{HEAD}steps:\n  - {text}\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        f"{HEAD}steps: []\n",
        STEPS,
        f"name: A test\n{STEPS}",
        f"name: A test\ndevices: {{}}\n{STEPS}",
        f"{HEAD}colour: red\n{STEPS}",
        f"{HEAD.replace('passcode', 'colour')}{STEPS}",
        f"{HEAD.replace('phone:', 'my phone:')}{STEPS}",
        f"{HEAD}organization: {{resetPasscode: sometimes}}\n{STEPS}",
        f"{HEAD}organization: {{selfServiceReset: {{methods: [pigeon]}}}}\n{STEPS}",
        f"{HEAD}users:\n  alex: {{colour: red}}\n{STEPS}",
        f"{HEAD}conformance: never\n{STEPS}",
        f"{HEAD}proves: 3\n{STEPS}",
        step("wait: soon"),
        step("wait: 5"),
        step("wait"),
        step("portal.dance"),
        step("5"),
        step("{wait: 1s, user.swipe_up: {}}"),
        step("user.swipe_up: {colour: red}"),
        step("user.set_passcode: {}"),
        step("portal.sign_in: {account: third}"),
        step("expect.device: {colour: red}"),
        step("expect.device: {compliance: perhaps}"),
        step("expect.device: {version: many}"),
        step("expect.device: {passcode: {matches: a, contains: b}}"),
        step("expect.device: {passcode: none, within: soon}"),
        step("command: {actionName: dance}"),
        step("http.request: {method: FETCH, url: 'http://127.0.0.1'}"),
        step("http.request: {}"),
    ],
)
def test_wrong_form_is_refused_by_parser_and_schema(text: str) -> None:
    with pytest.raises(FileError):
        parse_scenario(text, "test.yaml")
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "user.swipe_up", "user.swipe_up:", "user.swipe_up: {device: phone}", "wait: 61m",
        "expect.device: {compliance: present}", "expect.device: {version: {matches: '[0-9]'}}",
        "expect.device: {notification: {title: {contains: Passcode}}, within: 5m}",
        "command: {actionName: remoteLock}", "console.select: {devices: phone}",
        "console.select: {devices: [phone]}", "expect.result: {errorCode: null}",
        "http.request: {url: 'http://127.0.0.1:8000/', save: {ticket: id}}",
    ],
)  # fmt: skip
def test_every_notation_fits(text: str) -> None:
    parse_scenario(step(text), "test.yaml")
    VALIDATOR.validate(yaml.safe_load(step(text)))


def test_placeholder_fits_where_a_value_has_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PF_PLATFORM", "ios")
    monkeypatch.setenv("PF_PAUSE", "5s")
    text = step("wait: ${env.PF_PAUSE}").replace("platform: ios", "platform: '${env.PF_PLATFORM}'")
    parse_scenario(text, "test.yaml")
    VALIDATOR.validate(yaml.safe_load(text))
