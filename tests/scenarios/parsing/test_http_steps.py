"""`http` steps and placeholders in scenario files: accepted and refused ones."""

from __future__ import annotations

import pytest

from broker.errors import FileError
from scenarios.model.scenario import ActorStep, DeferredStep, ExpectStep
from scenarios.model.variables import escape_placeholders, fill_saved
from scenarios.parsing.parser import parse_scenario

HEAD = """\
name: a scenario
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
  tablet: {platform: windows_rt, owner: kim}
steps:
"""
SAVE = "http.request: {url: http://127.0.0.1/x, save: {ticket: id, other: a.b}}"
LONG_SECRET = "S3cret" * 20


def steps(*lines: str) -> str:
    """A scenario with these steps, the first of them in line 6."""
    return HEAD + "".join(f"  - {line}\n" for line in lines)


def refused(*lines: str) -> FileError:
    with pytest.raises(FileError) as caught:
        parse_scenario(steps(*lines), "play.yaml")
    assert caught.value.path == "play.yaml"
    assert caught.value.exit_code == 2
    return caught.value


def test_http_steps_are_read() -> None:
    scenario = parse_scenario(
        steps(
            "http.request: {method: POST, url: 'https://h:8/a?b=c', headers: {A-b: c}, json: [1]}",
            "expect.http: {status: 200, json: {device: nobody, user: {matches: x}}, within: 5m}",
            "http.request: {method: PUT, url: http://h/, body: text, timeout: 2s}",
        ),
        "play.yaml",
    )
    first, second, _ = (step.operation for step in scenario.steps)
    assert isinstance(first, ActorStep)
    assert isinstance(second, ExpectStep)
    assert second.within == 300_000
    assert scenario.http_step is scenario.steps[0]


@pytest.mark.parametrize(
    ("step", "key", "words"),
    [
        ("http.request: {method: GET}", "url", "this key is missing"),
        ("http.request: {url: ftp://h/x}", "url", "http://127.0.0.1:8000/devices"),
        ("http.request: {url: 'http://h/a b'}", "url", "not an address"),
        ("http.request: {url: 'http://h:99999/'}", "url", "not an address"),
        ("http.request: {url: http://h/, method: get}", "method", "one of GET, HEAD"),
        ("http.request: {url: http://h/, headers: {'a b': c}}", "headers", "name of a header"),
        ("http.request: {url: http://h/, headers: {a: 1}}", "headers", "not a string of ASCII"),
        ('http.request: {url: http://h/, headers: {a: "b\\r\\nc: d"}}', "headers", "ASCII"),
        ("http.request: {url: http://h/, save: {a-b: c}}", "save", "name of a value"),
        ("http.request: {url: http://h/, save: {a: 'b['}}", "save", "not a JMESPath expression"),
        ("http.request: {url: http://h/, json: 1, body: x}", "request", "exclude each other"),
        ("http.request: {url: http://h/, timeout: 0s}", "timeout", "a duration"),
        ("http.request: {url: http://h/, jsn: 1}", "jsn", "did you mean 'json'?"),
        ("http.get: {url: http://h/}", "http.get", "http.request"),
        ("expect.http: {status: 200}", "expect.http", "an http.request step before"),
    ],
)
def test_wrong_step_is_refused_with_its_key(step: str, key: str, words: str) -> None:
    error = refused(step)
    assert (error.line, error.key is not None and key in error.key) == (6, True)
    assert words in f"{error} {error.hint}"


@pytest.mark.parametrize(
    ("step", "key", "words"),
    [
        ("expect.http: {status: '200'}", "status", "a number such as 200"),
        ("expect.http: {status: 20}", "status", "a number such as 200"),
        ("expect.http: {json: {a: {matches: '['}}}", "matches", "regular expression"),
        ("expect.http: {}", "expect.http", "expects nothing"),
        ("wait: '${delay}'", "wait", "no step before this one saves"),
        (
            "command: {device: phone, commandId: '${tiket}', actionName: remoteLock}",
            "commandId",
            "ticket",
        ),
        (
            "command: {device: phone, commandId: '${a b}', actionName: remoteLock}",
            "commandId",
            "$${",
        ),
        (
            "command: {device: phone, commandId: '${ticket', actionName: remoteLock}",
            "commandId",
            "$${",
        ),
        (
            "command: {device: phone, comandId: '${ticket}', actionName: remoteLock}",
            "comandId",
            "unknown key",
        ),
        (
            "command: {device: fone, commandId: '${ticket}', actionName: remoteLock}",
            "device",
            "phone",
        ),
        (
            "command: {device: phone, commandId: '${env.UNSET_X}', actionName: remoteLock}",
            "commandId",
            "UNSET_X is not set",
        ),
    ],
)
def test_wrong_value_is_refused_with_its_key(step: str, key: str, words: str) -> None:
    error = refused(SAVE, step)
    assert (error.line, error.key is not None and key in error.key) == (7, True)
    assert words in f"{error} {error.hint}"


def test_step_with_a_saved_value_is_checked_when_it_runs() -> None:
    scenario = parse_scenario(
        steps(
            SAVE,
            "portal.sign_in: {user: '${ticket}'}",
            "expect.device: {device: '${other}', locked: true}",
            "wait: '${ticket}'",
        ),
        "play.yaml",
    )
    assert [isinstance(step.operation, DeferredStep) for step in scenario.steps] == [
        False, True, True, True,
    ]  # fmt: skip
    assert scenario.steps[3].text == 'wait: "${ticket}"'


def test_saved_value_outside_the_steps_is_refused() -> None:
    text = HEAD.replace("owner: kim", "owner: '${ticket}'") + f"  - {SAVE}\n"
    with pytest.raises(FileError, match="is saved by no step"):
        parse_scenario(text, "play.yaml")


@pytest.mark.parametrize("secret", ["S3cret", LONG_SECRET])
def test_error_does_not_repeat_an_environment_variable(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", secret)
    for step in (
        "wait: '${env.SECRET}'",
        "user.swipe_up: {device: 'x${env.SECRET}'}",
        "http.request: {url: '${env.SECRET}'}",
        "expect.device: {device: phone, platform: {matches: '[${env.SECRET}'}}",
    ):
        error = refused(step)
        assert "S3cret" not in f"{error} {error.hint} {error.expected}"
        assert error.line == 6


def test_text_of_a_variable_is_not_searched_for_placeholders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRICK", "${ticket} $${x}")
    scenario = parse_scenario(
        steps(SAVE, "command: {device: phone, commandId: '${env.TRICK}', actionName: remoteLock}"),
        "play.yaml",
    )
    operation = scenario.steps[1].operation
    assert getattr(operation, "command_id", None) == "${ticket} $${x}"
    assert scenario.secrets == {"${ticket} $${x}": "${env.TRICK}"}


def test_escaped_text_is_read_back_literally() -> None:
    value = {"a": ["${x}", "$${y", 1], "b": "plain"}
    assert fill_saved(escape_placeholders(value), {"x": 1}) == value
