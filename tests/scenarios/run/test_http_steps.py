"""`http.request` and `expect.http` against a back-end that runs: values, masking, failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scenarios.model.outcome import Lane, ScenarioOutcome
from scenarios.parsing.parser import parse_scenario
from scenarios.reports import html, junit
from scenarios.reports.json_report import as_document
from scenarios.reports.trace_files import write as write_trace
from scenarios.run.runner import PlayOptions, play_all
from scenarios.traces.reader import read_trace
from tests.support.brokers import free_port
from tests.support.http_backend import TOKEN, Backend, running_backend

API_KEY = "key-of-the-environment"
HEAD = """\
name: a back-end
devices:
  phone: {platform: android, passcode: "73519", owner: alex, reaction: 10ms}
steps:
"""


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A back-end; scenarios reach it as ${env.BACKEND}."""
    with running_backend() as running:
        monkeypatch.setenv("BACKEND", running.url)
        monkeypatch.setenv("API_KEY", API_KEY)
        yield running


async def played(*steps: str, **options: Any) -> ScenarioOutcome:
    text = HEAD + "".join(f"  - {step}\n" for step in steps)
    scenario = parse_scenario(text, "play.yaml")
    (outcome,) = await play_all([scenario], PlayOptions(**options))
    return outcome


def report(outcome: ScenarioOutcome, folder: Path) -> str:
    """Everything that any report shows of an outcome."""
    html.write(folder / "report.html", [outcome])
    junit.write(folder / "report.xml", [outcome])
    texts = [(folder / name).read_text() for name in ("report.html", "report.xml")]
    return "".join([*texts, json.dumps(as_document([outcome]), ensure_ascii=False)])


TICKET = (
    "http.request: {method: POST, url: '${env.BACKEND}/tickets',"
    " headers: {X-Api-Key: '${env.API_KEY}'}, json: {device: phone}, save: {ticket: id}}"
)


async def test_saved_value_is_used_in_any_string_of_later_steps(backend: Backend) -> None:
    outcome = await played(
        TICKET,
        "expect.http: {status: 201, json: {device: phone, id: 17, error: absent}}",
        "http.request: {url: '${env.BACKEND}/tickets/${ticket}'}",
        "expect.http: {json: {id: '${ticket}', state: open}}",
        "command: {commandId: 'ticket-${ticket}', actionName: remoteLock}",
        "expect.result: {commandId: 'ticket-${ticket}', actionState: done, within: 5s}",
        "http.request: {method: POST, url: '${env.BACKEND}/echo',"
        " json: {n: '${ticket}', t: 'no $${ticket}'}}",
        "expect.http: {json: {n: 17, t: 'no $${ticket}'}}",
    )
    assert outcome.passed, outcome.failure
    first = backend.requests[0]
    assert (first["method"], first["path"]) == ("POST", "/tickets")
    assert first["headers"]["x-api-key"] == API_KEY
    assert first["headers"]["content-type"] == "application/json"
    assert json.loads(backend.requests[-1]["body"]) == {"n": 17, "t": "no ${ticket}"}


async def test_saved_number_is_text_where_a_step_takes_text(backend: Backend) -> None:
    outcome = await played(
        TICKET,
        "command: {commandId: '${ticket}', actionName: remoteLock}",
        "expect.result: {commandId: '${ticket}', actionState: done, within: 5s}",
    )
    assert outcome.passed, outcome.failure
    assert backend.requests


async def test_get_is_repeated_until_the_answer_is_as_expected(backend: Backend) -> None:
    outcome = await played(
        "http.request: {url: '${env.BACKEND}/tickets/17'}",
        "expect.http: {status: 200, json: {state: done, tags: [a, {matches: ^b}]}, within: 20s}",
    )
    assert outcome.passed, outcome.failure
    assert backend.asked == backend.done_after
    answers = [event.text for event in outcome.events if event.kind == "answer"]
    assert answers == ["200 OK"] * 2, "an unchanged answer appears once"


async def test_post_is_never_repeated(backend: Backend) -> None:
    outcome = await played(TICKET, "expect.http: {status: 200, within: 2s}")
    assert outcome.failure is not None
    assert outcome.failure.expected == "status: 200, within 2s"
    assert outcome.failure.seen == "status: 201"
    assert outcome.failure.messages[-1].text == "201 Created"
    assert len(backend.requests) == 1


async def test_back_end_may_start_while_a_get_is_repeated(backend: Backend) -> None:
    backend.done_after = 2
    outcome = await played(
        "http.request: {url: '${env.BACKEND}/tickets/17'}",
        "expect.http: {json: {state: done}, within: 600s}",
        speed=60.0,
    )
    assert outcome.passed, outcome.failure
    assert outcome.clock == "60x"


async def test_headers_are_compared_by_name_in_any_case(backend: Backend) -> None:
    outcome = await played(
        "http.request: {url: '${env.BACKEND}/text'}",
        "expect.http: {headers: {Content-TYPE: {contains: plain}, location: absent}}",
        "expect.http: {body: {contains: hello}, json: absent}",
        "http.request: {url: '${env.BACKEND}/moved'}",
        "expect.http: {status: 302, headers: {location: /text}}",
    )
    assert outcome.passed, outcome.failure
    assert [each["path"] for each in backend.requests] == ["/text", "/moved"]


@pytest.mark.parametrize(
    ("step", "expected", "seen"),
    [
        ("url: '${env.BACKEND}/large'", "an answer of the back-end", "larger than 1024 KiB"),
        ("url: '${env.BACKEND}/slow', timeout: 50ms", "an answer of", "within 0.05 s"),
        ("url: '${env.BACKEND}/text', save: {id: ticket.id}", "at ticket.id", "200 OK, text/plain"),
        ("url: '${env.BACKEND}/tickets/17', save: {id: nothing}", "at nothing", "without it"),
        (
            "url: '${env.BACKEND}/tickets/17', save: {id: 'abs(state)'}",
            "at abs(state)",
            "invalid type",
        ),
    ],
)
async def test_request_without_a_usable_answer_fails_its_step(
    backend: Backend, step: str, expected: str, seen: str
) -> None:
    outcome = await played(f"http.request: {{{step}}}", "wait: 1h")
    assert outcome.failure is not None
    assert expected in outcome.failure.expected
    assert seen in outcome.failure.seen
    assert (outcome.failure.path, outcome.failure.line) == ("play.yaml", 5)
    assert backend.requests


async def test_back_end_that_does_not_run_fails_the_step_with_its_address() -> None:
    address = f"127.0.0.1:{free_port()}"
    outcome = await played(f"http.request: {{url: 'http://{address}/'}}")
    assert outcome.failure is not None
    assert outcome.failure.seen == f"no connection to {address}: Connection refused"


async def test_reports_show_request_and_answer_without_secrets(
    backend: Backend, tmp_path: Path
) -> None:
    outcome = await played(
        TICKET.replace("save: {", "save: {token: token, "),
        "command: {commandId: c-1, actionName: resetPasscode}",
        "expect.result: {commandId: c-1, newPasscode: present, within: 5s}",
        "http.request: {method: POST, url: '${env.BACKEND}/echo?pin=1357&x=1',"
        " headers: {Authorization: 'Bearer ${token}'},"
        " json: {note: 'key ${env.API_KEY}, passcode 73519', newPin: '8642', pinned: keep}}",
        "expect.http: {json: {note: {contains: '${env.API_KEY}'}, pinned: other}}",
    )
    assert outcome.failure is not None
    assert [event.lane for event in outcome.events if event.actor == "http"] == [Lane.BACKEND] * 6
    shown = report(outcome, tmp_path)
    for secret in (API_KEY, TOKEN, "1357", "8642", "73519"):
        assert secret not in shown
    for text in ("${env.BACKEND}/tickets", "x=1", "pinned: other", "201 Created"):
        assert text in shown
    sent = json.loads(backend.requests[-1]["body"])
    assert sent["note"] == f"key {API_KEY}, passcode 73519"
    assert backend.requests[-1]["headers"]["authorization"] == f"Bearer {TOKEN}"


async def test_new_passcode_is_masked_under_every_key(backend: Backend, tmp_path: Path) -> None:
    outcome = await played(
        "command: {commandId: c-1, actionName: resetPasscode}",
        "expect.result: {commandId: c-1, newPasscode: present, within: 5s}",
        "http.request: {url: '${env.BACKEND}/text'}",
        "expect.http: {body: present}",
    )
    passcode = new_passcode(outcome)
    again = await played(
        "command: {commandId: c-1, actionName: resetPasscode}",
        "expect.result: {commandId: c-1, newPasscode: present, within: 5s}",
        "http.request: {method: POST, url: '${env.BACKEND}/echo', json: {x: [PASSCODE]}}".replace(
            "PASSCODE", f"'{passcode}'"
        ),
        "expect.http: {json: {x: absent}}",
    )
    assert new_passcode(again) == passcode
    assert again.failure is not None
    assert json.loads(backend.requests[-1]["body"]) == {"x": [passcode]}
    assert passcode not in report(again, tmp_path)


def new_passcode(outcome: ScenarioOutcome) -> str:
    """The passcode of the last result that has one."""
    results = [
        json.loads(message.payload)
        for message in outcome.wire
        if message.topic.endswith("/results")
    ]
    return str(next(each["newPasscode"] for each in reversed(results) if each["newPasscode"]))


async def test_trace_of_a_scenario_with_http_steps_has_its_messages_alone(
    backend: Backend, tmp_path: Path
) -> None:
    outcome = await played(TICKET, "command: {commandId: c-1, actionName: remoteLock}")
    write_trace(tmp_path / "trace.jsonl", [outcome])
    text = (tmp_path / "trace.jsonl").read_text()
    assert "remoteLock" in text
    assert backend.url not in text
    assert API_KEY not in text
    assert read_trace(tmp_path / "trace.jsonl").header.clock == "real"


async def test_environment_may_hold_the_passcode_of_a_device(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIN", "904417")
    text = HEAD.replace('"73519"', '"${env.PIN}"') + (
        "  - user.enter_passcode: {passcode: '${env.PIN}', answer: done}\n"
        "  - expect.device: {locked: true}\n"
    )
    (outcome,) = await play_all([parse_scenario(text, "play.yaml")], PlayOptions())
    assert outcome.failure is not None
    assert outcome.failure.seen == "locked: false"
    assert outcome.clock == "virtual"
    assert "904417" not in report(outcome, tmp_path)
    assert not backend.requests
