"""What tests hold: a running fleet, to use from plain and from asynchronous tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pytest_passfleet.address import Address
from pytest_passfleet.errors import PluginError
from pytest_passfleet.message import Device, Message
from pytest_passfleet.talk import DeviceOrId, Document, Predicate, Span, Talk
from pytest_passfleet.wire import Wire

__all__ = ["AsyncFleet", "Fleet"]

__tracebackhide__ = True
"""A test's failure is shown where the test stands, not in here."""


class _Base:
    """What both faces of a fleet have: where it is, who is there, and what it has said."""

    def __init__(
        self, address: Address, pid: int, wire: Wire, devices: Sequence[Device], limit: float
    ) -> None:
        self.broker = address.url
        """The broker's URL, such as `mqtt://127.0.0.1:40123`."""
        self.host = address.host
        self.port = address.port
        self.root = wire.root
        """What every topic starts with."""
        self.pid = pid
        """The process id of `passfleet up`."""
        self.devices = tuple(devices)
        """Who is there, in the order of their ids."""
        self.limit = limit
        """Seconds that an answer may take where a call does not say."""
        self._address = address
        self._wire = wire
        self._talk = Talk(wire, {device.device_id: device for device in devices})

    def device(self, **wanted: str) -> Device:
        """The first device of which this is true: `device(platform="ios")`."""
        for device in self.devices:
            if all(getattr(device, name) == value for name, value in wanted.items()):
                return device
        raise PluginError(f"no device of the fleet has {wanted}")

    def state(self, device: DeviceOrId) -> Document:
        """A device's state as it was published last."""
        return dict(self._wire.retained[self._talk.known(device), "state"])

    def online(self, device: DeviceOrId) -> bool:
        """Whether a device is online, as far as the broker tells."""
        presence = self._wire.retained.get((self._talk.known(device), "presence"), {})
        return presence.get("status") == "online"

    def messages(self, leaf: str | None = None, device: DeviceOrId | None = None) -> list[Message]:
        """What was heard since the test began, in order."""
        name = None if device is None else self._talk.known(device)
        return [
            message
            for message in self._wire.log
            if leaf in (None, message.leaf) and name in (None, message.device)
        ]

    def forget(self) -> None:
        """Forget what was heard so far; done by itself before every test."""
        self._wire.forget()

    def _limit(self, limit: float | None) -> float:
        return self.limit if limit is None else limit


class Fleet(_Base):
    """A running fleet. Its calls wait for the answer; `aio` has the same to be awaited."""

    def __init__(
        self, address: Address, pid: int, wire: Wire, devices: Sequence[Device], limit: float
    ) -> None:
        super().__init__(address, pid, wire, devices, limit)
        self.aio = AsyncFleet(address, pid, wire, devices, limit)
        """The same fleet for asynchronous tests."""

    def reset(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Reset a device's passcode and return the final result."""
        return self.command(device, "resetPasscode", limit=limit, **fields)

    def lock(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Lock a device and return the final result."""
        return self.command(device, "remoteLock", limit=limit, **fields)

    def sync(self, device: DeviceOrId, *, limit: float | None = None, **fields: Any) -> Document:
        """Let a device check in and return the final result."""
        return self.command(device, "syncDevice", limit=limit, **fields)

    def command(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Send a command with further `fields` and return the final result."""
        return self._wire.do(self._talk.command(device, action, self._limit(limit), fields))

    def command_group(
        self, group: str, action: str, *, limit: float | None = None, **fields: Any
    ) -> dict[str, Document]:
        """Send a command to a group, or to `all`; returns the results by device id."""
        return self._wire.do(self._talk.command_group(group, action, self._limit(limit), fields))

    def send(self, device: DeviceOrId, action: str, **fields: Any) -> str:
        """Send a command and do not wait; returns its commandId, for `result`."""
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
        """Let the world do something to a device, and wait until it can be seen."""
        self._wire.do(self._talk.simulate(device, action, self._limit(limit)))

    def clock_now(self) -> datetime:
        """The fleet's virtual time."""
        return self._wire.do(self._talk.clock_now())

    def clock_advance(
        self,
        by: Span | None = None,
        *,
        to: datetime | str | None = None,
        limit: float | None = None,
    ) -> datetime:
        """Move virtual time; returns once all that was due has been published."""
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
    """A running fleet for asynchronous tests: see `Fleet` for what each call does."""

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
        """Let a device check in and return the final result."""
        return await self.command(device, "syncDevice", limit=limit, **fields)

    async def command(
        self, device: DeviceOrId, action: str, *, limit: float | None = None, **fields: Any
    ) -> Document:
        """Send a command with further `fields` and return the final result."""
        work = self._talk.command(device, action, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))

    async def command_group(
        self, group: str, action: str, *, limit: float | None = None, **fields: Any
    ) -> dict[str, Document]:
        """Send a command to a group, or to `all`; returns the results by device id."""
        work = self._talk.command_group(group, action, self._limit(limit), fields)
        return await asyncio.wrap_future(self._wire.call(work))

    async def send(self, device: DeviceOrId, action: str, **fields: Any) -> str:
        """Send a command and do not wait; returns its commandId, for `result`."""
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
        """Let the world do something to a device, and wait until it can be seen."""
        work = self._talk.simulate(device, action, self._limit(limit))
        await asyncio.wrap_future(self._wire.call(work))

    async def clock_now(self) -> datetime:
        """The fleet's virtual time."""
        return await asyncio.wrap_future(self._wire.call(self._talk.clock_now()))

    async def clock_advance(
        self,
        by: Span | None = None,
        *,
        to: datetime | str | None = None,
        limit: float | None = None,
    ) -> datetime:
        """Move virtual time; returns once all that was due has been published."""
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
