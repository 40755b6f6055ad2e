"""Connections of the devices of one process: own or shared, over the contract or in a dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.device_factory import DeviceFactory, DeviceSpec
from agent.runner import Device
from broker.client.client_ids import dialect_gateway_client_id, gateway_client_id
from broker.client.connection import Connection
from broker.client.dialect_link import ControlListener
from broker.client.gateway import DialectGateway, Gateway
from broker.client.pool import ConnectionPool
from broker.contract import Topics
from broker.dialects.dialect import Dialect

__all__ = ["DeviceConnections"]

_SETTLE_WITHIN: Final = 10.0
_CLOSING_AT_ONCE: Final = 200


class DeviceConnections:
    """Connections of a process to the devices' broker and to the one that operators use.

    `pool` is of the devices' broker. `control` is of the operators' broker, the same object if it
    is one broker. `index` is the number of the process, from 0. `on_event` is called with the
    events of dialects.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        control: ConnectionPool,
        topics: Topics,
        factory: DeviceFactory,
        index: int,
        on_event: Callable[[str, str], None],
    ) -> None:
        self._pool = pool
        self._control = control
        self._topics = topics
        self._factory = factory
        self._index = index
        self._on_event = on_event
        self._own: list[tuple[Device, Connection]] = []
        self._others: list[Device] = []
        self._operators = Gateway(control, gateway_client_id(topics.root, index), topics)
        self._shared: dict[str, DialectGateway] = {}

    def connect(self, device: Device, spec: DeviceSpec, number: int) -> None:
        """Make the connection of a device; `number` is that of its last session."""
        if spec.dialect is None:
            self._connect_contract(device, spec, number)
        else:
            self._connect_dialect(device, spec, spec.dialect, number)

    def _connect_contract(self, device: Device, spec: DeviceSpec, number: int) -> None:
        if spec.shared:
            group = spec.setup.name
            device.connection = self._operators.member(device.id, group, device, number)
            self._others.append(device)
        else:
            connection = self._factory.connect(device, self._pool, number=number, login=spec.login)
            self._own.append((device, connection))

    def _connect_dialect(
        self, device: Device, spec: DeviceSpec, dialect: Dialect, number: int
    ) -> None:
        group = spec.setup.name
        if spec.shared:
            link = self._factory.link(device, dialect)
            gateway = self._gateway(link.dialect)
            link.own = gateway.member(device.id, group, link, number)
            self._others.append(device)
        else:
            own = self._factory.connect_dialect(
                device, dialect, self._pool, number=number, login=spec.login
            )
            self._own.append((device, own))
        if device.dialect is not None and self._needs_control(dialect):
            control = self._operators.member(device.id, group, ControlListener(device), number)
            device.dialect.control = control

    def _needs_control(self, dialect: Dialect) -> bool:
        return not dialect.is_contract or self._control is not self._pool

    def _gateway(self, dialect: Dialect) -> DialectGateway:
        """Return the shared connection of a dialect."""
        if dialect.name not in self._shared:
            client_id = dialect_gateway_client_id(self._topics.root, self._index, dialect.name)
            self._shared[dialect.name] = DialectGateway(
                self._pool, client_id, self._topics, dialect, self._on_event
            )
        return self._shared[dialect.name]

    def _gateways(self) -> Iterator[Gateway]:
        if self._operators.has_members:
            yield self._operators
        yield from self._shared.values()

    def open_gateways(self) -> None:
        """Open the shared connections that have devices, before the devices start."""
        for gateway in self._gateways():
            gateway.open()

    async def ready(self, progress: Callable[[int], None]) -> None:
        """Wait until all are connected, and the broker has accepted their first messages.

        `progress` is called with the number of devices. Raises BrokerError.
        """
        shared = [gateway.connection for gateway in self._gateways()]
        on_pool = [each for each in shared if each not in self._of_control(shared)]
        await self._pool.ready([*(c for _, c in self._own), *on_pool], progress)
        if on_pool != shared:
            await self._control.ready(self._of_control(shared))
        for gateway in self._gateways():
            while not await gateway.settled(1.0):
                devices = (*self._others, *(device for device, _ in self._own))
                progress(sum(device.connection.up for device in devices))
        await self.drained()
        progress(len(self._others) + len(self._own))

    def _of_control(self, shared: Iterable[Connection]) -> list[Connection]:
        if self._control is self._pool or not self._operators.has_members:
            return []
        return [each for each in shared if each is self._operators.connection]

    async def drained(self) -> None:
        """Wait until the brokers have accepted all that was published, 10 s at most."""
        for pool in {self._pool, self._control}:
            await pool.drained(_SETTLE_WITHIN)

    async def stop(
        self, *, forget: bool, progress: Callable[[int], None], absent: Callable[[Device], None]
    ) -> None:
        """Disconnect every device cleanly; `forget` removes retained messages and sessions.

        `absent` is called with a device that was offline and could not remove its messages.
        """
        slots = asyncio.Semaphore(_CLOSING_AT_ONCE)
        closed = 0

        async def leave(device: Device, connection: Connection) -> None:
            nonlocal closed
            async with slots:
                was_up = device.connection.up
                await device.stop(forget=forget)
                if forget:
                    await self._pool.end_session(connection.client_id, connection.login)
                if forget and not was_up:
                    absent(device)
            closed += 1
            progress(closed)

        await asyncio.gather(*(leave(*each) for each in self._own))
        for device in self._others:
            await device.stop(forget=forget)
        for gateway in self._gateways():
            await gateway.settled(_SETTLE_WITHIN)
            await gateway.connection.close()
            if forget:
                await gateway.end_session()
