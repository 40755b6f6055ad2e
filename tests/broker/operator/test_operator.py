"""Operator against a real broker, with a fake fleet that follows the contract."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator

import aiomqtt
import pytest
import pytest_asyncio

from broker.address import BrokerAddress
from broker.client.client_ids import device_client_id, host_client_id
from broker.contract import Policy, Topics
from broker.errors import BrokerError, PeerError, UsageError
from broker.operator.operator import Group, Operator
from broker.operator.readers import RequestOutcome
from broker.server.child_process import BrokerHandle
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.timestamps import format_timestamp, parse_timestamp
from tests.support.brokers import need
from tests.support.fake_fleet import LIMIT, NEW_PASSCODE, NOW, Fake, FakeFleet, fake_fleet

TOPICS = Topics()


@pytest_asyncio.fixture(params=[EMBEDDED, MOSQUITTO])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[BrokerHandle]:
    need(request.param)
    async with open_broker(request.param) as handle:
        yield handle


@contextlib.asynccontextmanager
async def play(broker: BrokerHandle, *devices: Fake) -> AsyncIterator[tuple[FakeFleet, Operator]]:
    async with (
        fake_fleet(broker, *devices) as fleet,
        Operator(broker.address, TOPICS) as operator,
        asyncio.timeout(3 * LIMIT),
    ):
        yield fleet, operator


# -- commands ---------------------------------------------------------------------------------


async def test_send_waits_for_every_final_result(broker: BrokerHandle) -> None:
    fakes = (
        Fake("a", manner="slow", new_passcode=NEW_PASSCODE),
        Fake("b", manner="failed"),
        Fake("c", manner="notSupported"),
        Fake("d", manner="duplicate"),
    )
    seen: list[str] = []
    async with play(broker, *fakes) as (fleet, operator):
        outcomes = await operator.send(
            ["d", "a", "b", "c"],
            "resetPasscode",
            issued_by="user",
            on_outcome=lambda outcome: seen.append(outcome.device_id),
        )
        (command,) = fleet.sent_to(TOPICS.device("a", "commands"))
    assert [(o.device_id, o.word) for o in outcomes] == [
        ("d", "done"),
        ("a", "done"),
        ("b", "failed"),
        ("c", "notSupported"),
    ]
    assert sorted(seen) == ["a", "b", "c", "d"]
    outcome = outcomes[1]
    assert outcome.result is not None
    assert outcome.document is not None
    assert outcome.document["newPasscode"] == NEW_PASSCODE
    assert outcome.document["laterKey"] == 1, "the answer as it arrived"
    assert command["issuedBy"] == "user"
    assert command["commandId"].startswith("cli-")
    assert NEW_PASSCODE not in repr(outcomes)


async def test_send_to_a_group_is_one_message(broker: BrokerHandle) -> None:
    fakes = (Fake("a"), Fake("b"), Fake("c", group="others"))
    async with play(broker, *fakes) as (fleet, operator):
        outcomes = await operator.send(Group("phones"), "remoteLock")
        everyone = await operator.send(Group("all"), "syncDevice")
        assert len(fleet.sent_to(TOPICS.group("phones"))) == 1
        assert not fleet.sent_to(TOPICS.device("a", "commands"))
    assert [o.device_id for o in outcomes if o.done] == ["a", "b"]
    assert [o.device_id for o in everyone if o.done] == ["a", "b", "c"]


async def test_send_to_many_devices_is_pipelined(broker: BrokerHandle) -> None:
    fakes = [Fake(f"d{number:03}") for number in range(300)]
    async with play(broker, *fakes) as (_, operator):
        outcomes = await operator.send([fake.device_id for fake in fakes], "syncDevice")
    assert sum(outcome.done for outcome in outcomes) == 300
    assert len({outcome.request_id for outcome in outcomes}) == 1


async def test_send_returns_devices_without_an_answer(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a"), Fake("mute", manner="silent")) as (_, operator):
        started = time.monotonic()
        outcomes = await operator.send(["a", "mute"], "syncDevice", timeout=0.4)
    assert [(o.device_id, o.word) for o in outcomes] == [("a", "done"), ("mute", "no answer")]
    assert outcomes[1].result is None
    assert time.monotonic() - started < LIMIT


async def test_command_expires_when_the_wait_ends(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a")) as (fleet, operator):
        await operator.send("a", "syncDevice", timeout=20, now=NOW)
        before = time.time() * 1000
        await operator.send("a", "syncDevice", timeout=20)
        first, second = fleet.sent_to(TOPICS.device("a", "commands"))
    assert first["expiresDateTime"] == format_timestamp(NOW + 20_000)
    assert 0 <= parse_timestamp(second["expiresDateTime"]) - before - 20_000 < LIMIT * 1000


async def test_policy_is_part_of_its_command(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a")) as (fleet, operator):
        await operator.send("a", "applyPasscodePolicy", policy=Policy(min_length=6))
        (command,) = fleet.sent_to(TOPICS.device("a", "commands"))
        assert command["policy"]["minLength"] == 6
        with pytest.raises(UsageError, match="policy"):
            await operator.send("a", "applyPasscodePolicy")
        with pytest.raises(UsageError, match="action_name"):
            await operator.send("a", "eraseDevice")


# -- time -------------------------------------------------------------------------------------


async def test_now_is_the_time_of_day_without_a_clock_message(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a")) as (_, operator):
        assert abs(await operator.now() - time.time() * 1000) < LIMIT * 1000
        with pytest.raises(UsageError, match="time of day") as refused:
            await operator.advance(by=1000, limit=LIMIT)
    assert "virtual" in (refused.value.hint or "")


async def test_now_follows_virtual_time(broker: BrokerHandle) -> None:
    async with fake_fleet(broker, Fake("a")) as fleet:
        await fleet.set_clock(NOW)
        async with Operator(broker.address, TOPICS) as operator:
            assert await operator.now() == NOW
            assert await operator.advance(by=3_660_000, limit=LIMIT) == NOW + 3_660_000
            assert await operator.now() == NOW + 3_660_000
            with pytest.raises(UsageError, match="goes back"):
                await operator.advance(to=NOW, limit=LIMIT)


async def test_now_follows_a_speed_and_so_does_expiry(broker: BrokerHandle) -> None:
    async with fake_fleet(broker, Fake("a")) as fleet:
        an_hour_ago = int(time.time() * 1000) - 3_600_000
        await fleet.set_clock(NOW, "60x", real=an_hour_ago)
        async with Operator(broker.address, TOPICS) as operator:
            now = await operator.now()
            assert abs(now - NOW - 60 * 3_600_000) < 60 * LIMIT * 1000
            await operator.send("a", "syncDevice", timeout=10)
            (command,) = fleet.sent_to(TOPICS.device("a", "commands"))
            assert parse_timestamp(command["expiresDateTime"]) >= now + 600_000
            with pytest.raises(UsageError, match="60x"):
                await operator.advance(by=1000, limit=LIMIT)


# -- reading ----------------------------------------------------------------------------------


async def test_devices_are_read_from_retained_messages(broker: BrokerHandle) -> None:
    fakes = [Fake(f"d{number:03}", session=3) for number in range(50)]
    async with play(broker, *fakes) as (fleet, operator):
        gone, offline, foreign = fakes[0], fakes[1], fakes[2]
        await fleet.say(gone, "state", b"", retain=True)
        await fleet.say(gone, "presence", b"", retain=True)
        offline.online = False
        await fleet.say(offline, "presence", offline.presence(), retain=True)
        await fleet.say(foreign, "state", b'{"hello": ', retain=True)
        await fleet.say(foreign, "presence", {"status": "online", "session": "two"}, retain=True)
        found = await operator.devices()
        some = await operator.devices(["d010", "d000", "unknown"])
    assert list(found) == [f.device_id for f in fakes if f not in (gone, foreign)]
    assert not found["d001"].online
    assert found["d003"].online
    assert found["d003"].group == "phones"
    assert list(some) == ["d010"]


async def test_presence_of_an_older_session_is_ignored(broker: BrokerHandle) -> None:
    device = Fake("a", session=5)
    async with (
        play(broker, device) as (fleet, operator),
        contextlib.aclosing(operator.watch()) as stream,
    ):
        assert (await anext(stream)).retained
        reader = asyncio.create_task(operator.devices())
        old = Fake("a", session=4, online=False)
        await fleet.say(old, "presence", old.presence())
        assert (await reader)["a"].online


async def test_inspect_asks_the_host(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a")) as (_, operator):
        inspection = await operator.inspect("a", limit=LIMIT)
        assert inspection.results[0]["commandId"] == "c-1"
    async with Operator(broker.address, TOPICS) as operator:
        with pytest.raises(PeerError, match="no host of a"):
            await operator.inspect("a", limit=0.2)


async def test_watch_yields_device_messages_only(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a"), Fake("b")) as (fleet, operator):
        received: list[tuple[str | None, str | None, bool]] = []
        async with contextlib.aclosing(operator.watch(["a"])) as stream:
            async for message in stream:
                received.append((message.device_id, message.leaf, message.retained))
                if len(received) == 2:
                    await fleet.say(Fake("b"), "results", {"any": "thing"})
                    await fleet.say(Fake("a"), "inputs", {"inputId": "i", "passcode": "1"})
                    await fleet.say(Fake("a"), "escrow", {"newPasscode": "1"})
                if len(received) == 3:
                    break
    assert sorted(received[:2]) == [("a", "presence", True), ("a", "state", True)]
    assert received[2] == ("a", "escrow", False)


# -- inputs and the world ---------------------------------------------------------------------


async def test_tap_waits_for_the_answer(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a"), Fake("mute", manner="silent")) as (fleet, operator):
        done = await operator.tap("a", "setPasscode", passcode="4826")
        wrong = await operator.tap("a", "enterPasscode", passcode="0000")
        mute = await operator.tap("mute", "swipeUp", limit=0.2)
        press = fleet.sent_to(TOPICS.device("a", "inputs"))[0]
    assert done.done
    assert wrong.result is not None
    assert wrong.result.error_code == "wrongPasscode"
    assert mute.result is None
    assert press == {"inputId": done.request_id, "action": "setPasscode", "passcode": "4826"}


@pytest.mark.parametrize(
    ("action", "given", "message"),
    [
        ("setPasscode", {}, "needs a passcode"),
        ("swipeUp", {"passcode": "97531"}, "takes no passcode"),
        ("pressKey", {"key": "97531"}, "the key of pressKey"),
        ("jump", {}, "'jump'"),
    ],
)
async def test_tap_refuses_invalid_inputs(
    broker: BrokerHandle, action: str, given: dict[str, str], message: str
) -> None:
    async with play(broker, Fake("a")) as (_, operator):
        with pytest.raises(UsageError, match=message) as refused:
            await operator.tap("a", action, **given)  # type: ignore[arg-type]
    assert "97531" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "action", ["offline", "online", "dropConnection", "crash", "restart", "restore"]
)
async def test_simulate_waits_for_the_effect(broker: BrokerHandle, action: str) -> None:
    fakes = (Fake("a", session=4), Fake("b", session=9), Fake("mute", manner="silent"))
    async with play(broker, *fakes) as (_, operator):
        effects = await operator.simulate(["a", "b"], action, limit=LIMIT)
        assert [(e.device_id, e.effect) for e in effects] == [("a", "seen"), ("b", "seen")]
        found = await operator.devices()
        assert found["a"].online == (action != "offline")
        if action != "online":
            (effect,) = await operator.simulate("mute", action, limit=0.3)
            assert effect.effect == "unseen"


async def test_simulate_does_not_wait_for_offline_devices(
    broker: BrokerHandle,
) -> None:
    away = Fake("away", manner="silent", online=False)
    async with play(broker, away) as (fleet, operator):
        (effect,) = await operator.simulate("away", "restore", limit=10 * LIMIT)
        assert effect.effect == "sent"
        assert await fleet.reached(TOPICS.device("away", "simulate")) == {"action": "restore"}
        with pytest.raises(UsageError, match="'explode'"):
            await operator.simulate("away", "explode")


# -- cleaning ---------------------------------------------------------------------------------


def _client(broker: BrokerHandle, identifier: str, **more: object) -> aiomqtt.Client:
    address = broker.address
    return aiomqtt.Client(address.host, address.port, identifier=identifier, **more)  # type: ignore[arg-type]


async def _retained(broker: BrokerHandle, root: str) -> list[str]:
    """Return the topics of the retained messages below a root."""
    found: list[str] = []
    async with _client(broker, "retained") as client:
        await client.subscribe([(f"{root}/#", 0), ("fence", 1)])
        await client.publish("fence", b"x", qos=1)
        async with asyncio.timeout(LIMIT):
            async for message in client.messages:
                if message.topic.value == "fence":
                    return found
                if message.retain:
                    found.append(message.topic.value)
    raise AssertionError("the fence comes back")


async def test_clean_removes_the_remains_of_a_crashed_fleet(
    broker: BrokerHandle,
) -> None:
    lost, listed = device_client_id(TOPICS.root, "a"), device_client_id(TOPICS.root, "listed")
    for identifier in (lost, listed):
        async with _client(broker, identifier, clean_session=False) as device:
            await device.subscribe(f"waiting/{identifier}", qos=1)
    async with fake_fleet(broker, Fake("a", online=False), Fake("b", online=False)) as fleet:
        await fleet.set_clock(NOW)
        await fleet.client.publish("other/else", b"x", retain=True)
    async with Operator(broker.address, TOPICS) as operator:
        cleaned = await operator.clean(["listed"])
        assert not await operator.devices()
    assert (cleaned.retained, cleaned.sessions) == (5, 3)
    assert not await _retained(broker, TOPICS.root)
    assert await _retained(broker, "other") == ["other/else"]
    for identifier in (lost, listed):
        async with _client(broker, "publisher") as publisher:
            await publisher.publish(f"waiting/{identifier}", b"late", qos=1)
            await publisher.publish("now", b"now", qos=1)
        async with _client(broker, identifier, clean_session=False) as device:
            await device.subscribe("fence", qos=1)
            await device.publish("fence", b"x", qos=1)
            async with asyncio.timeout(LIMIT):
                first = await anext(aiter(device.messages))
        assert first.topic.value == "fence", "nothing had waited in the session"


async def test_clean_refuses_while_a_fleet_is_running(broker: BrokerHandle) -> None:
    async with play(broker, Fake("a")) as (_, operator):
        with pytest.raises(UsageError, match="a fleet is running: 1 of its devices is online"):
            await operator.clean()
        assert list(await operator.devices()) == ["a"]
        await operator.clean(force=True)
        assert not await operator.devices()


def test_client_ids_are_stable_and_distinct() -> None:
    assert device_client_id("passfleet/v1", "ios-001") == device_client_id(
        "passfleet/v1", "ios-001"
    )
    assert device_client_id("passfleet/v1", "ios-001") != device_client_id("other", "ios-001")
    device, host = device_client_id("r", "host-1"), host_client_id("r", 1)
    assert device != host
    assert host.startswith(device[:11])


# -- failures of the broker -------------------------------------------------------------------


async def test_no_broker_is_a_broker_error() -> None:
    # The server accepts connections and sends nothing: it is not an MQTT broker.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = BrokerAddress(scheme="mqtt", host="127.0.0.1", port=silent.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(BrokerError, match="did not answer within"):
            async with Operator(address, TOPICS):
                pytest.fail("connected")
        assert time.monotonic() - started < LIMIT
    with pytest.raises(BrokerError, match="nothing listens") as refused:
        async with Operator(address, TOPICS):
            pytest.fail("connected")
    assert refused.value.exit_code == 3


async def test_broker_lost_during_a_command_is_a_broker_error(broker: BrokerHandle) -> None:
    answered: list[RequestOutcome] = []
    some = asyncio.Event()

    def record(outcome: RequestOutcome) -> None:
        answered.append(outcome)
        some.set()

    async with asyncio.timeout(3 * LIMIT), Operator(broker.address, TOPICS) as operator:
        killing = asyncio.create_task(_kill_once(broker, some))
        with pytest.raises(BrokerError, match="was lost"):
            await operator.send(["a", "mute"], "syncDevice", timeout=2 * LIMIT, on_outcome=record)
        assert [outcome.device_id for outcome in answered] == ["a"]
        with pytest.raises(BrokerError):
            await operator.devices()
        await killing


async def _kill_once(broker: BrokerHandle, some: asyncio.Event) -> None:
    assert broker.pid is not None
    with contextlib.suppress(aiomqtt.MqttError):
        async with fake_fleet(broker, Fake("a"), Fake("mute", manner="silent")):
            await some.wait()
            os.kill(broker.pid, signal.SIGKILL)
