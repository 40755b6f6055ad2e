"""Logins, access rules and refused subscriptions of the brokers that passfleet starts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from broker.access import Login, device_rules, operator_rules
from broker.contract import Topics
from broker.errors import BrokerError, UsageError
from broker.server.child_process import BrokerHandle
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from tests.support.brokers import need
from tests.support.raw_mqtt_client import RawClient

TOPICS = Topics("t/v1")
DEVICE = Login(
    username="phone-1",
    password="device-secret",
    rules=tuple(device_rules(TOPICS, "phone-1", "phones")),
    client_ids=("client-1",),
)
OTHER = Login(
    username="phone-2",
    password="other-secret",
    rules=tuple(device_rules(TOPICS, "phone-2", "phones")),
    client_ids=("client-2",),
)
OPERATOR = Login(
    username="operator", password="operator-secret", rules=tuple(operator_rules(TOPICS))
)
REFUSED = {4, 5}
FLEET = ("fleet", "fleet-secret")


@pytest_asyncio.fixture(params=[EMBEDDED, MOSQUITTO])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[BrokerHandle]:
    need(request.param)
    logins = (DEVICE, OTHER, OPERATOR)
    async with open_broker(
        request.param, username=FLEET[0], password=FLEET[1], logins=logins
    ) as handle:
        yield handle


def of(login: Login) -> tuple[str, str]:
    return login.username, login.password


async def refusal(port: int, name: str, login: tuple[str, str] | None) -> int:
    """Return the code of a CONNACK after which the broker closes the connection."""
    client, code = await RawClient.ask(port, name, login=login, clean=False)
    await client.closed()
    return code


async def forge(port: int, login: Login, topic: str, will: tuple[str, bytes] | None = None) -> None:
    """Publish a message that is not permitted, and end without DISCONNECT."""
    name = login.client_ids[0] if login.client_ids else "forger"
    for qos in (0, 1):
        client = await RawClient.connect(port, name, login=of(login), will=will)
        client.publish_soon(topic, b"forged", qos=qos)
        # Mosquitto 2.0.11 ends the connection of a client without MQTT 5.
        client.send(b"\xc0\x00")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (await client.read())[0] != 0xD0:
                pass
        await client.drop()


async def test_the_fleets_own_login_is_in_the_address(broker: BrokerHandle) -> None:
    assert (broker.address.username, broker.address.password) == FLEET
    assert "fleet-secret" not in repr(broker)
    await probe(broker.address, timeout=5)


@pytest.mark.parametrize(
    "login",
    [None, ("fleet", "wrong"), ("fleet", ""), ("nobody", "fleet-secret"), ("phone-1", "x")],
)
async def test_a_wrong_login_is_refused(
    broker: BrokerHandle, login: tuple[str, str] | None
) -> None:
    assert await refusal(broker.address.port, "c", login) in REFUSED


async def test_a_device_reads_its_own_commands_alone(broker: BrokerHandle) -> None:
    port = broker.address.port
    device = await RawClient.connect(port, "client-1", login=of(DEVICE))
    operator = await RawClient.connect(port, "operator-1", login=of(OPERATOR))
    own = [TOPICS.device("phone-1", leaf) for leaf in ("commands", "inputs", "messages")]
    own += [TOPICS.group("phones"), TOPICS.group("all")]
    assert await device.subscribe(*own) == [1] * len(own)
    foreign = [
        TOPICS.device("phone-2", "commands"),
        TOPICS.device("+", "commands"),
        TOPICS.device("phone-2", "results"),
        "t/v1/#",
        "#",
        "+/+/#",
    ]
    codes = await device.subscribe(*foreign)
    await operator.publish(TOPICS.device("phone-2", "commands"), b"foreign")
    for topic in own:
        await operator.publish(topic, b"mine")
    assert [(await device.message()).topic for _ in own] == own
    # Mosquitto grants the subscription and delivers nothing.
    assert set(codes) in ({0x80}, {1})
    await device.drop()
    await operator.drop()


async def test_a_device_writes_its_own_topics_alone(broker: BrokerHandle) -> None:
    port = broker.address.port
    operator = await RawClient.connect(port, "operator-1", login=of(OPERATOR))
    await operator.subscribe(TOPICS.device("+", "results"), TOPICS.device("+", "state"))
    fleet = await RawClient.connect(port, "fleet-1", login=FLEET)
    await fleet.subscribe("t/v1/#")
    forged = TOPICS.device("phone-2", "state")
    await forge(port, DEVICE, TOPICS.device("phone-2", "results"), will=(forged, b"forged"))
    await forge(port, DEVICE, TOPICS.device("phone-1", "commands"))
    await forge(port, DEVICE, TOPICS.group("all"))
    device = await RawClient.connect(port, "client-1", login=of(DEVICE))
    await device.publish(TOPICS.device("phone-1", "results"), b"mine")
    assert (await operator.message()).data == b"mine"
    assert (await fleet.message()).data == b"mine"
    for client in (operator, fleet, device):
        await client.drop()


async def test_an_operator_writes_no_result(broker: BrokerHandle) -> None:
    port = broker.address.port
    fleet = await RawClient.connect(port, "fleet-1", login=FLEET)
    await fleet.subscribe("t/v1/#")
    await forge(port, OPERATOR, TOPICS.device("phone-1", "results"))
    operator = await RawClient.connect(port, "operator-1", login=of(OPERATOR))
    operator.publish_soon(TOPICS.device("phone-1", "commands"), b"command")
    assert (await fleet.message()).data == b"command"
    await operator.drop()
    await fleet.drop()


async def test_a_device_cannot_take_over_anothers_session() -> None:
    async with open_broker(
        EMBEDDED, username="fleet", password="fleet-secret", logins=(DEVICE, OTHER)
    ) as broker:
        port = broker.address.port
        victim = await RawClient.connect(port, "client-2", login=of(OTHER), clean=False)
        await victim.subscribe(TOPICS.device("phone-2", "commands"))
        await victim.leave()
        fleet = await RawClient.connect(port, "host-1", login=FLEET)
        await fleet.publish(TOPICS.device("phone-2", "commands"), b"for the victim")
        for name in ("client-2", "host-1"):
            assert await refusal(port, name, of(DEVICE)) in REFUSED
        victim = await RawClient.connect(port, "client-2", login=of(OTHER), clean=False)
        assert (await victim.message()).data == b"for the victim"
        await victim.drop()
        await fleet.drop()


async def test_denied_subscriptions_are_refused_one_by_one() -> None:
    async with open_broker(EMBEDDED, deny_subscribe=["secret/+", "deep/#"]) as broker:
        client = await RawClient.connect(broker.address.port, "c")
        filters = ("secret/a", "open", "secret/+", "deep/a/b/+", "secret", "deep")
        assert await client.subscribe(*filters) == [0x80, 1, 0x80, 0x80, 1, 0x80]
        await client.publish("secret/a", b"hidden")
        await client.publish("open", b"shown")
        assert (await client.message()).data == b"shown"
        await client.drop()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "broker.example:1883"])
async def test_without_a_login_only_loopback_is_possible(address: str) -> None:
    with pytest.raises(UsageError, match="needs a login") as caught:
        async with open_broker(EMBEDDED, listen=address):
            pass
    assert "`username` and `password`" in str(caught.value.hint)


async def test_every_interface_with_a_login() -> None:
    async with open_broker(
        EMBEDDED, listen="0.0.0.0:0", username="fleet", password="fleet-secret"
    ) as broker:
        assert broker.address.host == "127.0.0.1"
        await probe(broker.address, timeout=5)
        assert await refusal(broker.address.port, "c", None) in REFUSED


async def test_a_taken_address_is_an_error() -> None:
    async with open_broker(EMBEDDED, listen="127.0.0.1:0") as first:
        listen = f"127.0.0.1:{first.address.port}"
        with pytest.raises(BrokerError, match="is taken"):
            async with open_broker(EMBEDDED, listen=listen):
                pass


@pytest.mark.parametrize("url", [EMBEDDED, MOSQUITTO])
async def test_half_a_login_or_a_certificate_is_never_ignored(url: str) -> None:
    for broker in (
        open_broker(url, username="fleet"),
        open_broker(url, password="x"),
        open_broker(url, ca="ca.pem"),
    ):
        with pytest.raises(UsageError):
            async with broker:
                pass


async def test_a_client_has_ten_seconds_for_connect_however_it_sends() -> None:
    async with open_broker(EMBEDDED) as broker:
        client = await RawClient.open(broker.address.port)
        client.send(b"\x10\x7f")
        async with asyncio.timeout(30):
            while not client.reader.at_eof():
                client.send(b"\0")
                with contextlib.suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(client.reader.read(1), 0.5)
        assert client.reader.at_eof()
        await client.drop()
