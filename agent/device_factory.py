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
from broker.client.messages import ConnectionListener
from broker.client.pool import ConnectionPool

__all__ = ["DeviceFactory", "DeviceSpec"]


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """Specification of one device.

    `setup` is one object shared by the whole group. `passcode` is in clear, None for a device that
    starts without one: `DeviceFactory` makes its digest, and no other code may store it. `offline`
    is the share of time that the device has no network, from 0 to below 1. `shared` means that it
    uses the gateway connection of its process.
    """

    device_id: str
    owner: str
    setup: GroupSetup
    passcode: str | None = field(repr=False)
    offline: float = 0.0
    shared: bool = False

    def enrollment(self, rng: RandomSource) -> Enrollment:
        """Return the enrollment of the device; `rng` makes the digest of its passcode."""
        return enroll(self.device_id, self.owner, self.setup, self.passcode, rng)


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
        listener: ConnectionListener | None = None,
        extra_filters: Sequence[str] = (),
    ) -> Connection:
        """Create a device's own connection in `pool`; `Device.start` opens it.

        `number` is that of the device's last session. `listener` receives the events of the
        connection; None means the device itself. `extra_filters` are additional subscriptions.
        """
        device.connection = Connection(
            pool,
            device_client_id(self._context.topics.root, device.id),
            [*device.filters(), *extra_filters],
            listener or device,
            lasting=device.group_filters(),
            number=number,
        )
        pool.add(device.connection)
        return device.connection
