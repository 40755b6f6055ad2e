"""Scenarios on real brokers, in this process: time, settling, failures, records."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from agent.clock import VIRTUAL_START
from broker.errors import BrokerError
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from scenarios.model.outcome import Lane, ScenarioOutcome, Status
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenarios, parse_scenario
from scenarios.reports.json_report import as_document
from scenarios.reports.trace_files import write as write_recording
from scenarios.run.runner import PlayOptions, play_all
from scenarios.traces.reader import read_trace
from tests.support.brokers import need
from tests.support.fleet_processes import Server

HEAD = """\
name: a scenario
devices:
  phone: {platform: android, passcode: "2580", owner: alex}
steps:
"""
PAST = "2015-12-10T20:19:06Z"
PASSCODES = ("25801", "48261")


@pytest.fixture(params=[EMBEDDED, MOSQUITTO])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a broker that is running."""
    need(request.param)
    async with open_broker(request.param) as handle:
        yield handle.address.url


async def played(text: str, broker: str = EMBEDDED, **options: Any) -> ScenarioOutcome:
    scenario = parse_scenario(text, "play.yaml")
    (outcome,) = await play_all([scenario], PlayOptions(broker=broker, **options))
    return outcome


def steps(*lines: str, head: str = HEAD) -> str:
    return head + "".join(f"  - {line}\n" for line in lines)


def why(outcomes: list[ScenarioOutcome]) -> list[Any]:
    return [(each.path, each.failure) for each in outcomes if not each.passed]


async def test_the_whole_library_passes_the_same_on_every_broker_one_by_one_or_together() -> None:
    need(MOSQUITTO)
    library = load_scenarios(find_scenarios([LIBRARY]))
    documents = []
    for url, jobs in ((EMBEDDED, 16), (EMBEDDED, 1), (MOSQUITTO, 16), (MOSQUITTO, 5)):
        outcomes = await play_all(library, PlayOptions(broker=url, jobs=jobs))
        assert why(outcomes) == []
        documents.append(json.dumps(as_document(outcomes)))
    assert len(set(documents)) == 1


async def test_time_starts_at_a_fixed_date_and_moves_in_waits_alone(broker: str) -> None:
    outcome = await played(
        steps(
            "expect.device: {passcode: user}",
            "command: {actionName: resetPasscode, commandId: c-1}",
            "expect.result: {commandId: c-1, actionState: active}",
            "wait: 500ms",
            "expect.result: {commandId: c-1, actionState: done, within: 1h}",
            "wait: 61m",
        ),
        broker,
    )
    assert outcome.passed, outcome.failure
    assert outcome.began == VIRTUAL_START
    ends = [step.ended - VIRTUAL_START for step in outcome.steps]
    assert ends == [0, 0, 0, 500, 2_000, 2_000 + 61 * 60_000]


async def test_an_unmet_expectation_fails_without_moving_time(broker: str) -> None:
    outcome = await played(
        steps(
            "command: {actionName: resetPasscode, commandId: c-1}",
            "expect.result: {commandId: c-1, actionState: done}",
            "wait: 1h",
        ),
        broker,
    )
    assert [step.status for step in outcome.steps] == [
        Status.PASSED, Status.FAILED, Status.SKIPPED,
    ]  # fmt: skip
    assert outcome.ended == VIRTUAL_START
    failure = outcome.failure
    assert failure is not None
    assert (failure.path, failure.line, failure.column) == ("play.yaml", 6, 5)
    assert failure.expected == "commandId: c-1, actionState: done"
    assert failure.seen == "commandId: c-1, actionState: active"
    assert failure.messages[-1].text == "resetPasscode active: In progress"


async def test_an_expectation_fails_at_the_end_of_within() -> None:
    outcome = await played(steps("wait: 1s", "expect.device: {locked: false, within: 5m}"))
    assert outcome.failure is not None
    assert outcome.failure.expected == "locked: false, within 5m"
    assert outcome.ended == VIRTUAL_START + 301_000


@pytest.mark.parametrize(
    ("line", "expected", "seen"),
    [
        ("portal.reset_passcode", "the page of a device, or confirmReset", "the page signIn"),
        ("console.reset_passcode", "a device that is selected", "none"),
        ("user.swipe_up: {answer: done}", "the answer done to swipeUp", "deviceLocked: "),
        ("user.enter_passcode: {passcode: {from: portal}}", "a new passcode shown by", "none"),
        ("portal.sign_in: {account: work}", "a user to sign in", "none"),
    ],
)
async def test_a_step_that_cannot_be_taken_fails(line: str, expected: str, seen: str) -> None:
    outcome = await played(steps(line))
    assert outcome.failure is not None
    assert outcome.failure.expected.startswith(expected)
    assert outcome.failure.seen.startswith(seen)


async def test_a_press_on_a_device_that_is_offline_fails() -> None:
    outcome = await played(steps("network.offline", "user.swipe_up"))
    assert outcome.failure is not None
    assert outcome.failure.seen == "none: the device is offline"


async def test_lost_and_reconnected_devices_give_the_same_run(broker: str) -> None:
    """All work in progress when a device was lost is visible after it reconnects."""
    lines = []
    for number in range(4):
        lines += [
            f"command: {{actionName: remoteLock, commandId: c-{number}}}",
            "wait: 1s",
            ("network.drop_connection", "device.crash", "device.restart", "network.offline")[
                number
            ],
            "network.online",
            "expect.device: {presence: online}",
            f"expect.result: {{commandId: c-{number}, actionState: done, within: 10s}}",
        ]
    documents = set()
    for _ in range(3):
        outcome = await played(steps(*lines), broker)
        assert outcome.passed, outcome.failure
        documents.add(json.dumps(as_document([outcome])))
    assert len(documents) == 1


async def test_raw_commands_reach_groups_and_devices_as_they_are(broker: str) -> None:
    outcome = await played(
        steps(
            "command: {group: all, commandId: g-1, actionName: syncDevice}",
            "expect.result: {commandId: g-1, actionState: done, within: 10s}",
            "command: {group: phones, commandId: g-2, actionName: syncDevice}",
            "expect.result: {commandId: g-2, actionState: done, within: 10s}",
            "command: {payload: 'nonsense'}",
            "expect.result: {errorCode: invalidJson, actionState: failed}",
            "command: {payload: }",
            "expect.result: {errorCode: invalidJson}",
            "command: {payload: {commandId: p-1, actionName: fly}}",
            "expect.result: {commandId: p-1, errorCode: unknownAction}",
            f"command: {{commandId: o-1, actionName: syncDevice, expiresDateTime: {PAST}}}",
            "expect.result: {commandId: o-1, errorCode: expired, within: 1m}",
            "command: {actionName: applyPasscodePolicy, commandId: a-1, policy: {minLength: 8}}",
            "expect.device: {compliance: noncompliant, within: 1m}",
            "network.offline",
            "command: {actionName: remoteLock, commandId: r-1, retained: true}",
            "network.online",
            "expect.result: {commandId: r-1, errorCode: present}",
        ),
        broker,
    )
    assert outcome.passed, outcome.failure


async def test_an_external_broker_is_left_clean(mosquitto: Server) -> None:
    outcome = await played(
        steps(
            "network.offline",
            "command: {actionName: remoteLock, retained: true}",
            "expect.device: {presence: offline}",
        ),
        mosquitto.url,
    )
    assert outcome.passed, outcome.failure
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe([("passfleet/#", 1), ("end", 1)])
        await client.publish("end", b"", qos=1)
        async for message in client.messages:
            assert str(message.topic) == "end"
            break


async def test_scenarios_end_when_the_broker_does(mosquitto: Server) -> None:
    class Killer:
        def started(self, *_: object) -> None:
            pass

        def stepped(self, *_: object) -> None:
            mosquitto.kill()

        def ended(self, *_: object) -> None:
            pass

    scenario = parse_scenario(steps("wait: 1s", "wait: 1s"), "play.yaml")
    with pytest.raises(BrokerError):
        await play_all([scenario], PlayOptions(broker=mosquitto.url), Killer())


async def test_another_seed_gives_other_ids_and_the_same_each_time() -> None:
    lines = ("console.select: {devices: phone}", "console.reset_passcode", "wait: 1m")
    ids = []
    passcodes = []
    for seed in (1, 1, 2, None):
        outcome = await played(steps(*lines), seed=seed)
        results = [json.loads(m.payload) for m in outcome.wire if m.topic.endswith("results")]
        ids.append(results[-1]["commandId"])
        passcodes.append(results[-1]["newPasscode"])
    assert ids[0] == ids[1]
    assert passcodes[0] == passcodes[1]
    assert len(set(ids)) == len(set(passcodes)) == 3


async def test_time_may_run_sixty_thousand_times_as_fast() -> None:
    outcome = await played(
        steps(
            "command: {actionName: resetPasscode, commandId: c-1}",
            "expect.result: {commandId: c-1, actionState: done, within: 60m}",
            "wait: 10m",
        ),
        speed=60_000.0,
    )
    assert outcome.passed, outcome.failure
    assert outcome.steps[2].ended - outcome.steps[2].began >= 600_000
    assert outcome.clock == "60000x"


SECRET = """\
name: secrets
users:
  kim: {password: "Canary-words-9"}
devices:
  phone: {platform: android, passcode: "25801", owner: alex, reaction: 1ms}
steps:
  - user.enter_passcode: {passcode: "25801", answer: done}
  - user.set_passcode: {passcode: "48261", answer: done}
  - console.select: {devices: phone}
  - console.reset_passcode
  - expect.console: {actionState: done, newPasscode: present, within: 1m}
  - user.enter_passcode: {passcode: {from: console}, answer: done}
  - portal.sign_in: {user: kim, password: "Canary-words-9"}
  - expect.console: {newPasscode: "Canary"}
"""


async def test_no_passcode_is_in_any_record_or_report(tmp_path: Path) -> None:
    outcome = await played(SECRET)
    assert outcome.failure is not None
    assert outcome.failure.expected == "newPasscode: •••"
    assert outcome.failure.seen == "newPasscode: •••"
    found = next(json.loads(m.payload) for m in outcome.wire if b'"newPasscode":"' in m.payload)
    secrets = (*PASSCODES, found["newPasscode"], "Canary")
    trace = tmp_path / "trace.jsonl"
    write_recording(trace, [outcome])
    for text in (json.dumps(as_document([outcome])), repr(outcome), trace.read_text()):
        assert not [secret for secret in secrets if secret in text]


async def test_what_was_played_is_recorded_one_file_a_scenario(tmp_path: Path) -> None:
    scenario = parse_scenario(steps("user.swipe_up", "wait: 1m"), "play.yaml")
    outcomes = await play_all([scenario, scenario], PlayOptions())
    write_recording(tmp_path / "traces", outcomes)
    traces = [read_trace(path) for path in sorted((tmp_path / "traces").iterdir())]
    assert [trace.path.name for trace in traces] == ["play-2.jsonl", "play.jsonl"]
    for trace in traces:
        assert (trace.header.clock, trace.header.start) == ("virtual", VIRTUAL_START)
        assert list(trace.devices) == ["phone"]
        assert trace.end == VIRTUAL_START + 60_000
        assert [m.leaf for m in trace.messages] == ["presence", "state", "inputs", "results"]


async def test_lanes_contain_actors_steps_and_kinds() -> None:
    outcome = await played(
        steps("portal.sign_in: {user: alex}", "user.swipe_up", "command: {actionName: syncDevice}")
    )
    found = [(each.lane, each.step, each.kind) for each in outcome.events if each.step]
    assert found == [
        (Lane.PORTAL, 1, "portal.sign_in"),
        (Lane.PORTAL, 1, "screen"),
        (Lane.DEVICE, 2, "user.swipe_up"),
        (Lane.WIRE, 2, "inputs"),
        (Lane.WIRE, 2, "results"),
        (Lane.WIRE, 3, "commands"),
        (Lane.WIRE, 3, "results"),
    ]
