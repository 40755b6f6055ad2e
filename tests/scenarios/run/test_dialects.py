"""Scenarios whose devices speak a dialect."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.dialects.reader import preset_dialect
from broker.errors import FileError
from broker.server.embedded import embedded_broker
from scenarios.model.scenario import Scenario
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenarios, parse_scenario
from scenarios.reports.json_report import as_document
from scenarios.run.runner import PlayOptions, play_all
from tests.support.brokers import until
from tests.support.paho_operator import WireOperator

ACME = """\
name: The back-end resets a phone
dialects:
  acme:
    command: {topic: "acme/{deviceId}/cmd/{commandId}", payload: {op: "{actionName}"}}
    result: {topic: "acme/{deviceId}/ack/{commandId}", payload: {status: "{actionState}"}}
devices:
  phone: {platform: android, dialect: acme, reaction: 0s}
steps:
  - user.enter_passcode: {passcode: "2580"}
  - expect.device: {locked: false}
  - expect.device: {passcode: temporary, within: 60s}
  - expect.result: {commandId: c-1, actionState: done}
"""


async def outcomes_of(scenarios: list[Scenario], **options: Any) -> Any:
    return as_document(await play_all(scenarios, PlayOptions(**options)))


async def test_the_library_is_the_same_through_the_passfleet_dialect() -> None:
    scenarios = load_scenarios(find_scenarios([LIBRARY]))
    dialect = preset_dialect("passfleet")
    through = [
        replace(each, devices=tuple(replace(d, dialect=dialect) for d in each.devices))
        for each in scenarios
    ]
    plain = json.dumps(await outcomes_of(scenarios))
    assert json.dumps(await outcomes_of(through)) == plain
    assert '"passed"' in plain


async def test_a_back_end_commands_a_device_of_a_scenario() -> None:
    scenario = parse_scenario(ACME, "reset.yaml")
    async with embedded_broker() as broker:
        port = broker.address.port
        async with WireOperator.connected(port, "acme") as backend:

            async def send() -> None:
                while not any("/ack/" in s.topic for s in backend.seen):
                    await backend.publish("phone/cmd/c-1", b'{"op":"resetPasscode"}')
                    await asyncio.sleep(0.1)

            sending = asyncio.create_task(send())
            (outcome,) = await play_all(
                [scenario], PlayOptions(broker=broker.address.url, speed=1.0)
            )
            await until(sending.done)
            assert outcome.status == "passed", as_document([outcome])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("dialect: acme", "dialect: acm", r"reset.yaml:7:\d+: devices.phone.dialect: got \"acm\""),
        ("cmd/{commandId}", "cmd/{commandI}", r"reset.yaml:4:\d+: dialects.acme.command.topic"),
        ("acme/{deviceId}/cmd", "acme/me/cmd", "carry no device id"),
    ],
)
def test_a_mistake_is_refused_with_its_place(old: str, new: str, says: str) -> None:
    with pytest.raises(FileError, match=says):
        parse_scenario(ACME.replace(old, new), Path("reset.yaml"))
