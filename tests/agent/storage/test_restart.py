"""Restart from a state file: work in progress, and the fleet's time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from broker.address import BrokerAddress
from tests.support.brokers import until
from tests.support.fleet_processes import (
    Process,
    Server,
    Start,
    fleet_text,
    phones,
    up_json,
    write_fleet,
)
from tests.support.paho_operator import RESET, WireOperator, not_active

PHONE = "phones-001"


async def test_a_command_at_work_is_done_after_a_kill_9_even_where_the_broker_died_too(
    tmp_path: Path, start: Start
) -> None:
    root = f"survives/{os.getpid()}"
    text = fleet_text(phones(reaction='"8s"'), root=root, state='"fleet.db"')
    write_fleet(tmp_path, text)

    async def port(up: Process) -> int:
        await up.ready()
        return BrokerAddress.parse(up_json(tmp_path)["broker"]).port

    first = start("up")
    async with WireOperator.connected(await port(first), root) as operator:
        command = operator.send(PHONE, RESET)
        await until(lambda: bool(operator.results(command)))
        assert operator.results(command)[0]["actionState"] == "active"
        first.popen.kill()
        first.popen.wait()
    second = start("up")
    async with WireOperator.connected(await port(second), root) as operator:
        await until(lambda: any(map(not_active, operator.results(command))), 20)
        result = next(filter(not_active, operator.results(command)))
        assert (result["actionState"], result["duplicate"]) == ("done", False)
        await operator.shows(PHONE, passcode="temporary")
        assert await second.signalled(signal.SIGTERM) == 0


async def test_the_fleets_time_goes_on_where_it_stood(
    mosquitto: Server, tmp_path: Path, start: Start
) -> None:
    root = f"time-survives/{os.getpid()}"
    text = fleet_text(phones("ios"), root=root, state='"fleet.db"', clock='"virtual"')
    write_fleet(tmp_path, text, mosquitto.url)
    later = "2015-12-10T20:49:07Z"
    async with WireOperator.connected(mosquitto.port, root) as operator:
        first = start("up")
        await first.ready()
        await operator.do(PHONE)
        await operator.move_clock(later)
        assert await first.signalled(signal.SIGTERM) == 0
        before = len(operator.seen)
        second = start("up")
        await second.ready()
        await until(lambda: any(s.topic.endswith("/clock/now") for s in operator.seen[before:]))
        now = [s.document for s in operator.seen[before:] if s.topic.endswith("/clock/now")][-1]
        assert now["now"] == later
        assert operator.state(PHONE)["passcodeDeadline"] == "2015-12-10T21:19:07Z"
        assert await second.signalled(signal.SIGTERM) == 0
