"""The world around devices on real MQTT: networks that fail, restarts, time, brokers that die."""

from __future__ import annotations

from itertools import pairwise

import pytest

from broker.client.client_ids import device_client_id
from tests.support.brokers import until
from tests.support.fleet_processes import Server, both, fleet_text, hosted, phones
from tests.support.paho_operator import LOCK, RESET, WireOperator, retained, session_present

PHONE = "phones-001"


@both
async def test_a_command_for_an_offline_device_is_done_once_it_is_online(server: Server) -> None:
    async with hosted(server, fleet_text(phones(count=2))) as (operator, _):
        operator.simulate(PHONE, "offline")
        session = await operator.present(PHONE, "offline")
        left = await retained(server.port, operator.root)
        presence = left[f"{operator.root}/devices/{PHONE}/presence"]
        assert presence == b'{"status":"offline","session":1}'
        waiting = [operator.send(PHONE, RESET, f"w-{n}") for n in range(5)]
        await operator.do("phones-002")
        assert operator.results(waiting[0]) == []
        operator.simulate(PHONE, "online")
        assert await operator.present(PHONE, "online", beyond=session) > session
        await until(lambda: all(operator.results(c) for c in waiting))
        results = [operator.results(c) for c in waiting]
        assert [len(each) for each in results] == [1] * 5
        assert len({each[0]["newPasscode"] for each in results}) == 5
        assert operator.state(PHONE)["version"] == 6


@both
async def test_a_group_reaches_a_device_that_comes_back_with_and_without_its_session(
    server: Server,
) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, host):
        session = 1
        for lost in (False, True):
            operator.simulate(PHONE, "offline")
            await operator.present(PHONE, "offline")
            if lost:
                await host.pool.end_session(device_client_id(operator.root, PHONE))
            operator.simulate(PHONE, "online")
            session = await operator.present(PHONE, "online", beyond=session)
            for target in ("groups/phones", "groups/all"):
                command = operator.send(target, LOCK)
                await until(lambda: len(operator.results(command)) == 1)  # noqa: B023


@both
async def test_versions_and_sessions_only_grow_whatever_happens(server: Server) -> None:
    text = fleet_text(phones("ios"), clock='"virtual"')
    async with hosted(server, text) as (operator, _):
        await operator.tap(PHONE, "enterPasscode", passcode="2580")
        await operator.do(PHONE)
        for action, session in (("dropConnection", 1), ("crash", 2), ("restart", 3)):
            operator.simulate(PHONE, action)
            assert await operator.present(PHONE, "online", beyond=session) == session + 1
        operator.simulate(PHONE, "offline")
        session = await operator.present(PHONE, "offline")
        await operator.move_clock("2015-12-10T21:30:00Z")  # the deadline passes without network
        operator.simulate(PHONE, "crash")
        operator.simulate(PHONE, "online")
        await operator.present(PHONE, "online", beyond=session)
        await operator.shows(PHONE, compliance="noncompliant", locked=True)
        answer = await operator.tap(PHONE, "restart")
        assert answer["actionState"] == "done"
        await operator.present(PHONE, "online", beyond=session + 1)
        versions = [state["version"] for state in operator.about(PHONE, "state")]
        assert versions == sorted(versions)
        steps = {b - a for a, b in pairwise(versions)}
        assert steps <= {0, 1}
        sessions = [said["session"] for said in operator.about(PHONE, "presence")]
        assert sessions == sorted(sessions)


@both
async def test_a_crash_in_the_middle_of_a_command_loses_nothing(server: Server) -> None:
    async with hosted(server, fleet_text(phones(reaction='"300ms"'))) as (operator, _):
        commands = [operator.send(PHONE, RESET, f"b-{n}") for n in range(3)]
        operator.simulate(PHONE, "crash")
        await operator.present(PHONE, "online", beyond=1)
        operator.simulate(PHONE, "dropConnection")
        await until(lambda: all(operator.results(c) for c in commands))
        last = await operator.do(PHONE, LOCK)  # all redeliveries before it are answered, too
        assert last["actionState"] == "done"
        for command in commands:
            first, *again = operator.results(command)
            assert first["actionState"] == "done"
            assert all(each == {**first, "duplicate": True} for each in again)
        assert len(operator.about(PHONE, "notifications")) == 3


@both
async def test_a_restart_and_a_crash_lock_and_restore_is_the_first_state(server: Server) -> None:
    async with hosted(server, fleet_text(phones("ios"))) as (operator, _):
        first = operator.state(PHONE)
        for number, action in enumerate(("restart", "crash"), 1):
            await operator.tap(PHONE, "enterPasscode", passcode="2580")
            assert operator.state(PHONE)["locked"] is False
            operator.simulate(PHONE, action)
            await operator.present(PHONE, "online", beyond=number)
            await operator.shows(PHONE, locked=True)
        await operator.do(PHONE)
        version = operator.state(PHONE)["version"]
        operator.simulate(PHONE, "offline")
        await operator.present(PHONE, "offline")
        operator.simulate(PHONE, "restore")  # taken without network, too
        operator.simulate(PHONE, "online")
        restored = await operator.shows(PHONE, version=version + 1)
        assert restored == {**first, "version": version + 1}
        bad = await operator.refused(PHONE, b'{"action": "explode"}', "simulate")
        assert bad["actionState"] == "failed"
        assert (bad["deviceId"], bad["commandId"]) == (PHONE, None)


@both
async def test_an_ios_hour_passes_at_once_in_virtual_time(server: Server) -> None:
    text = fleet_text(phones("ios", count=3), clock='"virtual"')
    async with hosted(server, text) as (operator, host):
        done = await operator.do(PHONE)
        assert done["startDateTime"] == "2015-12-10T20:19:07Z"
        assert operator.state(PHONE)["passcodeDeadline"] == "2015-12-10T21:19:07Z"
        assert (await operator.tap(PHONE, "swipeUp"))["actionState"] == "done"
        assert (await operator.tap(PHONE, "later"))["actionState"] == "done"
        now = await operator.move_clock("2015-12-10T21:19:06Z")
        assert (now["now"], now["clock"]) == ("2015-12-10T21:19:06Z", "virtual")
        assert operator.state(PHONE)["compliance"] == "inGracePeriod"
        await operator.do("phones-002")
        await operator.move_clock("2015-12-10T21:20:00Z")
        # The answer comes after all that was due: no waiting here.
        state = operator.state(PHONE)
        assert (state["compliance"], state["passcodeDeadline"]) == ("noncompliant", None)
        assert operator.state("phones-002")["compliance"] == "inGracePeriod"
        assert operator.state("phones-003")["compliance"] == "compliant"
        refused = await operator.tap(PHONE, "swipeUp")
        assert refused["actionState"] == "failed"
        assert (await operator.tap(PHONE, "setPasscode", passcode="4826"))["actionState"] == "done"
        state = operator.state(PHONE)
        assert (state["passcode"], state["compliance"]) == ("user", "compliant")
        back = await operator.move_clock("2015-12-10T20:00:00Z")
        assert back["now"] == "2015-12-10T21:20:00Z"  # time never goes back
        assert len(host.devices) == 3


@both
async def test_a_policy_locks_an_idle_device_in_virtual_time(server: Server) -> None:
    async with hosted(server, fleet_text(phones(), clock='"virtual"')) as (operator, _):
        policy = {"maxInactivityMinutes": 5}
        result = await operator.do(PHONE, "applyPasscodePolicy", policy=policy)
        assert result["actionState"] == "done"
        await operator.tap(PHONE, "enterPasscode", passcode="2580")
        await operator.move_clock("2015-12-10T20:24:06Z")
        assert operator.state(PHONE)["locked"] is False
        await operator.tap(PHONE, "swipeUp")  # the user is there: five minutes from now on
        await operator.move_clock("2015-12-10T20:29:05Z")
        assert operator.state(PHONE)["locked"] is False
        await operator.move_clock("2015-12-10T20:29:06Z")
        assert operator.state(PHONE)["locked"] is True


@both
async def test_devices_come_back_to_a_broker_that_was_killed(server: Server) -> None:
    slow = phones("ios", "slow", reaction='"1500ms"')
    text = fleet_text(phones(count=20), slow, clock='"2x"')
    async with hosted(server, text) as (operator, host):
        before = [operator.send("groups/phones", RESET, f"k-{n}") for n in range(5)]
        at_work = operator.send("slow-001", RESET, "at-work")
        await until(lambda: sum(len(operator.results(c)) for c in before) == 100)
        await until(lambda: bool(operator.results(at_work)))
        assert operator.results(at_work)[0]["actionState"] == "active"
        server.kill()
        await until(lambda: not any(d.connection.up for d in host.devices.values()))
        await server.start()
        for device in host.devices:
            assert await operator.present(device, "online", beyond=1) > 1
        # What was acknowledged before is remembered: the same again is a duplicate.
        first = next(r for r in operator.results(before[0]) if r["deviceId"] == PHONE)
        again = await operator.do(PHONE, RESET, before[0])
        assert again == {**first, "duplicate": True}
        # This one was at work: the device finished it whatever became of the broker.
        told = await operator.do("slow-001", RESET, at_work)
        assert (told["actionState"], told["duplicate"]) == ("done", True)
        assert operator.state("slow-001")["version"] == 2
        assert (await operator.do("slow-001"))["actionState"] == "done"
        left = await retained(server.port, operator.root)
        assert len([t for t in left if t.endswith("/state")]) == 21


@both
@pytest.mark.parametrize("clock", ["virtual", "60x"])
async def test_a_clean_stop_leaves_nothing_at_the_broker(server: Server, clock: str) -> None:
    text = fleet_text(phones(count=3), clock=f'"{clock}"')
    async with hosted(server, text) as (operator, host):
        operator.simulate("phones-002", "offline")
        await operator.present("phones-002", "offline")
        waiting = operator.send("phones-002")  # in its session, which ends with it
        await operator.do(PHONE)
        root, devices = operator.root, list(host.devices)
        assert len(await retained(server.port, root)) == 7
    assert await retained(server.port, root) == {}
    for device in devices:
        assert not await session_present(server.port, device_client_id(root, device))
    async with WireOperator.connected(server.port, root) as operator:
        assert operator.results(waiting) == []


@both
async def test_sessions_end_but_not_before_the_fleet_does(server: Server) -> None:
    async with hosted(server, fleet_text(phones())) as (operator, host):
        assert (await operator.do(PHONE))["actionState"] == "done"
        identifier = device_client_id(operator.root, PHONE)
        operator.simulate(PHONE, "offline")
        await operator.present(PHONE, "offline")
        assert await session_present(server.port, identifier)
        assert len(host.devices) == 1
