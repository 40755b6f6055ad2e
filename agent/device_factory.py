"""Construction of devices: specification, first or stored state, and connection.

Used by the hosts of a fleet, by scenarios and by the replay of a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.machine import enroll, first_state
from agent.passcode import RandomSource
from agent.random_stream import DeviceRandomStream
from agent.runner import Device, DeviceContext
from agent.state import DeviceState, Enrollment, GroupSetup
from broker.client.client_ids import device_client_id
from broker.client.connection import Connection
from broker.client.dialect_link import ControlListener, DialectLink
from broker.client.login import DeviceLogin
from broker.client.messages import ConnectionListener
from broker.client.pool import ConnectionPool
from broker.dialects.dialect import Dialect

__all__ = ["DeviceFactory", "DeviceSpec", "dialect_constants"]


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """Specification of one device.

    `setup` is one object shared by the whole group. `passcode` is in clear, None for a device that
    starts without one: `DeviceFactory` makes its digest, and no other code may store it. `offline`
    is the share of time that the device has no network, from 0 to below 1. `shared` means that it
    uses the gateway connection of its process. `dialect` is the dialect that it speaks, None for
    the contract. `login` is its login of its own, None for that of the fleet.
    """

    device_id: str
    owner: str
    setup: GroupSetup
    passcode: str | None = field(repr=False)
    offline: float = 0.0
    shared: bool = False
    dialect: Dialect | None = None
    login: DeviceLogin | None = None

    def enrollment(self, rng: RandomSource) -> Enrollment:
        """Return the enrollment of the device; `rng` makes the digest of its passcode."""
        return enroll(self.device_id, self.owner, self.setup, self.passcode, rng)


Wrap = Callable[[ConnectionListener], ConnectionListener]
"""Returns the listener of a connection for the one that is made for it."""


def _same(listener: ConnectionListener) -> ConnectionListener:
    return listener


def dialect_constants(device_id: str, owner: str, setup: GroupSetup, root: str) -> dict[str, str]:
    """Return the values of a device that the topics of a dialect may contain."""
    return {
        "deviceId": device_id,
        "group": setup.name,
        "platform": setup.profile.id,
        "management": setup.management.value,
        "owner": owner,
        "root": root,
    }


class DeviceFactory:
    """Factory of the devices of one process.

    `stream` returns the random stream of a device id. `load` returns the stored state of an
    enrollment, or None: the device then starts in its first state. `restored` maps device ids to a
    state and a random stream, which have precedence over both.
    """

    def __init__(
        self,
        context: DeviceContext,
        stream: Callable[[str], DeviceRandomStream],
        load: Callable[[Enrollment], DeviceState | None] | None = None,
        restored: Mapping[str, tuple[DeviceState, DeviceRandomStream]] | None = None,
    ) -> None:
        self._context = context
        self._stream = stream
        self._load = load
        self._restored = restored or {}

    def make(self, spec: DeviceSpec) -> Device:
        """Make a device that has no connection yet. Raises what `load` raises."""
        if spec.device_id in self._restored:
            return Device(*self._restored[spec.device_id], self._context)
        stream = self._stream(spec.device_id)
        enrollment = spec.enrollment(stream)
        state = self._load(enrollment) if self._load else None
        first = state or first_state(enrollment, self._context.clock.now())
        return Device(first, stream, self._context)

    def connect(
        self,
        device: Device,
        pool: ConnectionPool,
        *,
        number: int = 0,
        wrap: Wrap = _same,
        extra_filters: Sequence[str] = (),
        client_id: str | None = None,
        login: DeviceLogin | None = None,
    ) -> Connection:
        """Create a device's own connection in `pool`, over the contract; `Device.start` opens it.

        `number` is that of the device's last session. `wrap` returns the listener to use in place
        of the device. `extra_filters` are additional subscriptions. `client_id` None is the
        client id of the device.
        """
        listener = device if device.dialect is None else ControlListener(device)
        connection = Connection(
            pool,
            client_id or self._client_id(device, login),
            [*device.filters(), *extra_filters],
            wrap(listener),
            lasting=device.group_filters(),
            number=number,
            login=login,
        )
        pool.add(connection)
        if device.dialect is None:
            device.connection = connection
        return connection

    def _client_id(self, device: Device, login: DeviceLogin | None) -> str:
        own = None if login is None else login.client_id
        return own or device_client_id(self._context.topics.root, device.id)

    def link(self, device: Device, dialect: Dialect) -> DialectLink:
        """Let a device speak a dialect. The caller sets the connections of the link."""
        enrollment = device.state.enrollment
        topics = self._context.topics
        constants = dialect_constants(device.id, enrollment.owner, enrollment.setup, topics.root)
        on_event = self._context.on_dialect_event
        link = DialectLink(dialect.at_root(topics.root), device, topics, constants, on_event)
        device.dialect = device.connection = link
        return link

    def connect_dialect(
        self,
        device: Device,
        dialect: Dialect,
        pool: ConnectionPool,
        *,
        number: int = 0,
        wrap: Wrap = _same,
        extra_filters: Sequence[str] = (),
        login: DeviceLogin | None = None,
    ) -> Connection:
        """Create the connection of a device to its back-end; `Device.start` opens it."""
        link = self.link(device, dialect)
        qos = link.filters()
        own = [name for name in qos if device.id in name]
        connection = Connection(
            pool,
            self._client_id(device, login),
            [*own, *extra_filters],
            wrap(link),
            lasting=[name for name in qos if name not in own],
            qos=qos,
            number=number,
            login=login,
        )
        link.own = connection
        pool.add(connection)
        return connection
