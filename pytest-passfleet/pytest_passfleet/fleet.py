"""Running fleet, for plain and for asynchronous tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pytest_passfleet.address import Address
from pytest_passfleet.errors import PluginError
from pytest_passfleet.message import Device, Message
from pytest_passfleet.talk import DeviceOrId, Document, Predicate, Span, Talk
from pytest_passfleet.wire import FleetConnection

__all__ = ["AsyncFleet", "Fleet"]

__tracebackhide__ = True
"""Hides these functions from tracebacks: a failure is shown at the line of the test."""


class _Base:
    """Common part of `Fleet` and `AsyncFleet`: address, devices, and received messages."""

    def __init__(
        self,
        address: Address,
        pid: int,
        wire: FleetConnection,
        devices: Sequence[Device],
        limit: float,
    ) -> None:
        self.broker = address.url
        """The broker's URL, such as `mqtt://127.0.0.1:40123`."""
        self.host = address.host
        self.port = address.port
        self.root = wire.root
        """Prefix of all topics."""
        self.pid = pid
        """The process id of `passfleet up`."""
        self.devices = tuple(devices)
        """Devices, sorted by id."""
        self.limit = limit
        """Default time limit of calls that wait for an answer, in seconds."""
        self._address = address
        self._wire = wire
        self._talk = Talk(wire, {device.device_id: device for device in devices})

    def device(self, **wanted: str) -> Device:
        """Return the first device with these attributes: `device(platform="ios")`.

        Raises PluginError if no device has them.
        """
        for device in self.devices:
            if all(getattr(device, name) == value for name, value in wanted.items()):
                return device
        raise PluginError(f"no device of the fleet has {wanted}")

    def state(self, device: DeviceOrId) -> Document:
        """Return the last published state of a device."""
        return dict(self._wire.retained[self._talk.known(device), "state"])

    def online(self, device: DeviceOrId) -> bool:
        """Return True if the last presence message of a device is `online`."""
        presence = self._wire.retained.get((self._talk.known(device), "presence"), {})
        return presence.get("status") == "online"

    def messages(self, leaf: str | None = None, device: DeviceOrId | None = None) -> list[Message]:
        """Return the messages received since the test began, in order."""
        name = None if device is None else self._talk.known(device)
        return [
            message
            for message in self._wire.log
            if leaf in (None, message.leaf) and name in (None, message.device)
        ]

    def forget(self) -> None:
        """Delete the received messages; done automatically before every test."""
        self._wire.forget()

    def _limit(self, limit: float | None) -> float:
        return self.limit if limit is None else limit


class Fleet(_Base):
    """A running fleet. Its calls block until the answer; `aio` has the same calls as coroutines."""

    def __init__(
        self,
        address: Address,
        pid: int,
        wire: FleetConnection,
        devices: Sequence[Device],
        limit: float,
    ) -> None:
        super().__init__(address, pid, wire, devices, limit)
        self.aio = AsyncFleet(address, pid, wire, devices, limit)
        """Asynchronous view of this fleet."""

    def reset(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Reset a device's passcode and return the final result."""
        return self.command(device, "resetPasscode", limit=limit, **fields)

    def lock(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Lock a device and return the final result."""
        return self.command(device, "remoteLock", limit=limit, **fields)

    def sync(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Send `syncDevice` to a device and return the final result."""
        return self.command(device, "syncDevice", limit=limit, **fields)

    def command(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Send a command with additional `fields` and return the final result."""
        return self._wire.do(self._talk.command(device, action, self._limit(limit), fields))

    def command_group(
        self, group: str, action: str, *, limit: float | None = None, **fields: Any
    ) -> dict[str, Document]:
        """Send a command to a group, or to `all`; returns the results by device id."""
        return self._wire.do(self._talk.command_group(group, action, self._limit(limit), fields))

    def send(self, device: DeviceOrId, action: str, **fields: Any) -> str:
        """Send a command without waiting and return its commandId, for `result`."""
        where = f"devices/{self._talk.known(device)}"
        return self._wire.do(self._talk.send(where, action, fields))

    def result(
        self, device: DeviceOrId, command_id: str, *, limit: float | None = None
    ) -> Document:
        """Wait for the final result of a command."""
        return self._wire.do(self._talk.result(device, command_id, self._limit(limit)))

    def tap(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Press a button on a device and return its answer."""
        return self._wire.do(self._talk.tap(device, action, self._limit(limit), fields))

    def simulate(self, device: DeviceOrId, action: str, *, limit: float | None = None) -> None:
        """Simulate an event, such as `offline`, and wait until its effect is visible."""
        self._wire.do(self._talk.simulate(device, action, self._limit(limit)))

    def clock_now(self) -> datetime:
        """Return the fleet's virtual time."""
        return self._wire.do(self._talk.clock_now())

    def clock_advance(
        self,
        by: Span | None = None,
        *,
        to: datetime | str | None = None,
        limit: float | None = None,
    ) -> datetime:
        """Advance virtual time; returns after everything due has been published."""
        return self._wire.do(self._talk.clock_advance(by, to, self._limit(limit)))

    def wait_for(
        self,
        leaf: str,
        device: DeviceOrId | None = None,
        *,
        where: Predicate | None = None,
        limit: float | None = None,
        **fields: Any,
    ) -> Document:
        """Wait for a message: `wait_for("state", "ios-001", compliance="noncompliant")`."""
        work = self._talk.wait_for(leaf, device, where, self._limit(limit), fields)
        return self._wire.do(work)


class AsyncFleet(_Base):
    """A running fleet for asynchronous tests; the calls are those of `Fleet`, as coroutines."""

    async def reset(
        self, device: DeviceOrId, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Reset a device's passcode and return the final result."""
        return await self.command(device, "resetPasscode", limit=limit, **fields)

    async def lock(
        self, device: DeviceOrId, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Lock a device and return the final result."""
        return await self.command(device, "remoteLock", limit=limit, **fields)

    async def sync(
        self, device: DeviceOrId, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Send `syncDevice` to a device and return the final result."""
        return await self.command(device, "syncDevice", limit=limit, **fields)

    async def command(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Send a command with additional `fields` and return the final result."""
        work = self._talk.command(device, action, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))

    async def command_group(
        self, group: str, action: str, *, limit: float | None = None, **fields: Any
    ) -> dict[str, Document]:
        """Send a command to a group, or to `all`; returns the results by device id."""
        work = self._talk.command_group(group, action, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))

    async def send(self, device: DeviceOrId, action: str, **fields: Any) -> str:
        """Send a command without waiting and return its commandId, for `result`."""
        where = f"devices/{self._talk.known(device)}"
        return await asyncio.wrap_future(self._wire.call(self._talk.send(where, action, fields)))

    async def result(
        self, device: DeviceOrId, command_id: str, *, limit: float | None = None
    ) -> Document:
        """Wait for the final result of a command."""
        work = self._talk.result(device, command_id, self._limit(limit))
        return await asyncio.wrap_future(self._wire.call(work))

    async def tap(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Press a button on a device and return its answer."""
        work = self._talk.tap(device, action, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))

    async def simulate(
        self, device: DeviceOrId, action: str, *, limit: float | None = None
    ) -> None:
        """Simulate an event, such as `offline`, and wait until its effect is visible."""
        work = self._talk.simulate(device, action, self._limit(limit))
        await asyncio.wrap_future(self._wire.call(work))

    async def clock_now(self) -> datetime:
        """Return the fleet's virtual time."""
        return await asyncio.wrap_future(self._wire.call(self._talk.clock_now()))

    async def clock_advance(
        self,
        by: Span | None = None,
        *,
        to: datetime | str | None = None,
        limit: float | None = None,
    ) -> datetime:
        """Advance virtual time; returns after everything due has been published."""
        work = self._talk.clock_advance(by, to, self._limit(limit))
        return await asyncio.wrap_future(self._wire.call(work))

    async def wait_for(
        self,
        leaf: str,
        device: DeviceOrId | None = None,
        *,
        where: Predicate | None = None,
        limit: float | None = None,
        **fields: Any,
    ) -> Document:
        """Wait for a message, as `Fleet.wait_for` does."""
        work = self._talk.wait_for(leaf, device, where, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))
