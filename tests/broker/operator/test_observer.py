"""Observer of a fleet: retained messages, order, barrier, and a broker that comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.address import BrokerAddress
from broker.contract import Topics
from broker.errors import BrokerError
from broker.operator.link import OperatorLink
from broker.operator.observer import Observer
from broker.operator.readers import ReceivedMessage
from tests.support.brokers import free_port, until
from tests.support.fleet_processes import Server, both, running

TOPICS = Topics("tests/observer")
STATE = TOPICS.device("a", "state")
FILTERS = (TOPICS.device("+", "state"), TOPICS.device("+", "results"))


@both
async def test_retained_messages_come_first_then_all_others_in_order(server: Server) -> None:
    async with OperatorLink(server.address, TOPICS) as sender:
        await sender.publish(STATE, b"retained", retain=True)
        heard: list[ReceivedMessage] = []
        async with Observer(server.address, TOPICS, FILTERS, heard.append) as observer:
            assert [(m.device_id, m.leaf, m.payload, m.retained) for m in heard] == [
                ("a", "state", b"retained", True)
            ]
            sent = [b"%d" % number for number in range(1_000)]
            for payload in sent:
                await sender.publish(TOPICS.device("b", "results"), payload)
            await observer.pass_barrier(10)
            assert [m.payload for m in heard[1:]] == sent
        await sender.publish(STATE, b"", retain=True)
        assert len(heard) == 1_001


async def test_an_observer_comes_back_with_its_broker(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with (
        running("embedded", tmp_path) as server,
        Observer(server.address, TOPICS, FILTERS, lambda message: heard.append(message.payload)),
    ):
        server.kill()
        await server.start()

        async def publish() -> None:
            async with OperatorLink(server.address, TOPICS) as sender:
                await sender.publish(STATE, b"again", retain=True)

        await publish()
        await until(lambda: b"again" in heard)


async def test_without_a_broker_there_is_an_error() -> None:
    address = BrokerAddress.parse(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerError, match="1 connections"):
        async with Observer(address, TOPICS, FILTERS, lambda _: None):
            pytest.fail("there is no broker")
