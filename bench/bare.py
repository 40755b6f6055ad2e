"""Baseline: paho-mqtt clients on the asyncio loop that only send fixed answers.

Each does on the wire what a passfleet device does (a persistent session, a retained Last Will, five
filters in one SUBSCRIBE, two retained messages at birth; for a command the same three messages of
the same size, then the acknowledgement by hand) and nothing else: no parsing, no state, no
serialising, no reconnecting. The difference to these clients is the cost of passfleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho

from broker.address import BrokerAddress
from broker.client.paho_factory import new_paho_client

__all__ = ["BareFleet"]

_DIALS_AT_ONCE = 64
_KEEPALIVE = 60
_ROUNDS = 7


class _Bare:
    """One client."""

    def __init__(self, fleet: BareFleet, name: str, group: str) -> None:
        base = f"{fleet.root}/devices/{name}"
        groups = f"{fleet.root}/groups"
        own = [f"{base}/{leaf}" for leaf in ("commands", "inputs", "messages")]
        filters = [*own, f"{groups}/{group}/commands", f"{groups}/all/commands"]
        self.fleet = fleet
        self.subscriptions = [(each, 1) for each in filters]
        self.state, self.presence = f"{base}/state", f"{base}/presence"
        self.answers = [(f"{base}/{leaf}", data, retain) for leaf, data, retain in fleet.answers]
        self.up = asyncio.get_running_loop().create_future()
        address = fleet.address
        tls_context = address.ssl_context() if address.tls else None
        self.client = client = new_paho_client(
            paho.Client,
            address,
            f"bare-{name}",
            tls_context,
            clean_session=False,
            manual_ack=True,
        )
        client.will_set(self.presence, b'{"status":"offline","session":1}', qos=1, retain=True)
        client.connect_async(address.host, address.port, _KEEPALIVE)
        client.on_connect = self.on_connect
        client.on_subscribe = self.on_subscribe
        client.on_message = self.on_message
        # Otherwise paho writes while it calls back; `readable` writes afterwards.
        client.on_socket_register_write = lambda *_: None

    def dialled(self) -> None:
        """Watch the socket."""
        opened = self.client.socket()
        assert opened is not None
        asyncio.get_running_loop().add_reader(opened, self.readable)
        self.client.loop_write()

    def readable(self) -> None:
        """Read what has arrived, and write the answers."""
        self.client.loop_read()
        if self.client.want_write():
            self.client.loop_write()

    def on_connect(self, *_: Any) -> None:
        """Subscribe."""
        self.client.subscribe(self.subscriptions)

    def on_subscribe(self, *_: Any) -> None:
        """Publish presence and state."""
        self.client.publish(self.presence, b'{"status":"online","session":1}', qos=1, retain=True)
        self.client.publish(self.state, self.answers[0][1], qos=1, retain=True)
        self.up.set_result(None)

    def on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        """Publish the fixed answers and acknowledge the command."""
        for topic, data, retain in self.answers:
            self.client.publish(topic, data, qos=1, retain=retain)
        self.client.ack(message.mid, 1)


class BareFleet:
    """All baseline clients. `answers` are (leaf, payload, retained) of the answers to a command."""

    def __init__(
        self,
        names: Sequence[str],
        group: str,
        root: str,
        address: BrokerAddress,
        answers: Sequence[tuple[str, bytes, bool]],
    ) -> None:
        self.root, self.address, self.answers = root, address, answers
        self.clients = [_Bare(self, name, group) for name in names]

    async def start(self) -> None:
        """Connect all, several at once, and keep them alive."""
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(_DIALS_AT_ONCE)

        async def dial(bare: _Bare) -> None:
            async with places:
                await loop.run_in_executor(None, bare.client.reconnect)
                bare.dialled()
                await bare.up

        await asyncio.gather(*(dial(bare) for bare in self.clients))
        self.sweeper = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """Run the housekeeping of each client several times per keep-alive."""
        turn = 0
        while True:
            await asyncio.sleep(1)
            for bare in self.clients[turn % _ROUNDS :: _ROUNDS]:
                bare.client.loop_misc()
                if bare.client.want_write():
                    bare.client.loop_write()
            turn += 1
