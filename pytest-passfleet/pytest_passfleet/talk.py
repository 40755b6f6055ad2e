"""Operations on a fleet, as coroutines on the event loop of its connection."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pytest_passfleet.errors import PluginError
from pytest_passfleet.message import Device, Message
from pytest_passfleet.wire import FleetConnection

__all__ = ["DeviceOrId", "Document", "Predicate", "Span", "Talk"]

__tracebackhide__ = True
"""Hides these functions from tracebacks: a failure is shown at the line of the test."""

Document = dict[str, Any]
DeviceOrId = Device | str
Span = timedelta | str
Predicate = Callable[[Mapping[str, Any]], object]

_UNFINISHED: Final = ("pending", "active")
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIMULATIONS: Final = ("offline", "online", "dropConnection", "crash", "restart", "restore")


class Talk:
    """Commands, inputs, simulated events, virtual time, and waiting for their effects."""

    def __init__(self, wire: FleetConnection, devices: Mapping[str, Device]) -> None:
        self._wire = wire
        self._devices = devices

    # -- commands and inputs -------------------------------------------------------------------

    async def send(self, where: str, action: str, fields: Mapping[str, Any]) -> str:
        """Publish a command to `devices/<id>` or `groups/<name>` and return its id."""
        command = {"commandId": f"t-{uuid.uuid4().hex[:12]}", "actionName": action, **fields}
        await self._wire.publish(f"{where}/commands", command)
        return str(command["commandId"])

    async def result(self, device: DeviceOrId, command_id: str, limit: float) -> Document:
        """Wait for the final result of a command."""
        return await self._answer(self.known(device), "commandId", command_id, limit)

    async def command(
        self, device: DeviceOrId, action: str, limit: float, fields: Mapping[str, Any]
    ) -> Document:
        """Send a command and return its final result."""
        name = self.known(device)
        # Consider new messages only: the same commandId may have been answered before.
        already = len(self._wire.log)
        command_id = await self.send(f"devices/{name}", action, fields)
        return await self._answer(name, "commandId", command_id, limit, already)

    async def command_group(
        self, group: str, action: str, limit: float, fields: Mapping[str, Any]
    ) -> dict[str, Document]:
        """Send a command to a group, or to `all`, and return the final results by device id."""
        members = [d.device_id for d in self._devices.values() if group in ("all", d.group)]
        if not members:
            raise PluginError(f"no device is in a group {group!r}")
        already = len(self._wire.log)
        command_id = await self.send(f"groups/{group}", action, fields)
        return {
            name: await self._answer(name, "commandId", command_id, limit, already)
            for name in members
        }

    async def tap(
        self, device: DeviceOrId, action: str, limit: float, fields: Mapping[str, Any]
    ) -> Document:
        """Press a button on a device and return its answer."""
        name = self.known(device)
        press = {"inputId": f"t-{uuid.uuid4().hex[:12]}", "action": action, **fields}
        already = len(self._wire.log)
        await self._wire.publish(f"devices/{name}/inputs", press)
        return await self._answer(name, "inputId", str(press["inputId"]), limit, already)

    async def _answer(
        self, device: str, key: str, wanted: str, limit: float, already: int = 0
    ) -> Document:
        log = self._wire.log

        def is_it(message: Message) -> bool:
            document = message.document or {}
            return (
                (message.device, message.leaf) == (device, "results")
                and document.get(key) == wanted
                and document.get("actionState") not in _UNFINISHED
            )

        def look() -> Message | None:
            return next(filter(is_it, log[already:]), None)

        what = f"the answer of {device} to {wanted}"
        found = await self._wire.until(look, limit, what, device)
        return found.document or {}

    # -- simulated events and time -------------------------------------------------------------

    async def simulate(self, device: DeviceOrId, action: str, limit: float) -> None:
        """Simulate an event and wait until its effect is visible.

        Returns at once for a crash, restart or restore of an offline device: none is visible.
        """
        name = self.known(device)
        if action not in _SIMULATIONS:
            raise PluginError(
                f"unknown simulation {action!r}; expected one of {', '.join(_SIMULATIONS)}"
            )
        before = self._wire.retained.get((name, "presence"), {})
        log, already = self._wire.log, len(self._wire.log)

        def seen() -> bool | None:
            now = self._wire.retained.get((name, "presence"), {})
            online = now.get("status") == "online"
            if action in ("offline", "online"):
                shows = online is (action == "online")
            elif before.get("status") != "online":
                shows = True
            elif action == "restore":
                shows = any((m.device, m.leaf) == (name, "state") for m in log[already:])
            else:
                shows = online and now["session"] > before["session"]
            return shows or None

        await self._wire.publish(f"devices/{name}/simulate", {"action": action})
        await self._wire.until(seen, limit, f"{action} of {name}", name)

    async def clock_now(self) -> datetime:
        """Return the fleet's virtual time. Raises PluginError if its clock is not virtual."""
        clock = self._wire.retained.get(("", "clock/now"))
        if clock is None or clock.get("clock") != "virtual":
            raise PluginError(
                'the fleet\'s clock is not virtual and cannot be advanced: set clock = "virtual" '
                "in [fleet] of its fleet file"
            )
        return datetime.fromisoformat(clock["now"])

    async def clock_advance(
        self, by: Span | None, to: datetime | str | None, limit: float
    ) -> datetime:
        """Advance virtual time; returns the new time after everything due has been published."""
        now = await self.clock_now()
        if (by is None) == (to is None):
            raise PluginError("clock_advance needs either a duration or the keyword `to`")
        goal = now + _span(by) if by is not None else _instant(to)
        if goal < now:
            raise PluginError("virtual time cannot go back")

        def moved() -> datetime | None:
            clock = datetime.fromisoformat(self._wire.retained["", "clock/now"]["now"])
            return clock if clock >= goal else None

        text = goal.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        await self._wire.publish("clock", {"to": text})
        return await self._wire.until(moved, limit, f"the fleet's time {text}")

    # -- waiting -------------------------------------------------------------------------------

    async def wait_for(
        self,
        leaf: str,
        device: DeviceOrId | None,
        where: Predicate | None,
        limit: float,
        fields: Mapping[str, Any],
    ) -> Document:
        """Return the first message since the test began that matches.

        For a state or a presence: the last one if it matches, else the next that does.
        """
        name = None if device is None else self.known(device)

        def fits(message: Message) -> bool:
            document = message.document
            return (
                message.leaf == leaf
                and (name is None or message.device == name)
                and document is not None
                and all(document.get(key) == value for key, value in fields.items())
                and (where is None or bool(where(document)))
            )

        wanted = ", ".join(f"{key} {value!r}" for key, value in fields.items())
        what = " ".join(filter(None, [leaf, f"of {name}" if name else "", wanted]))
        if leaf not in ("state", "presence"):
            message = await self._wire.until(self._wire.sift(fits), limit, what, name)
            return message.document or {}

        def present() -> Document | None:
            for (owner, kind), document in self._wire.retained.items():
                if kind == leaf and fits(Message("", owner, kind, document)):
                    return document
            return None

        return await self._wire.until(present, limit, what, name)

    # -- helpers -------------------------------------------------------------------------------

    def known(self, device: DeviceOrId) -> str:
        """Return the id of a device. Raises PluginError if the fleet does not have it."""
        name = str(device)
        if name not in self._devices:
            raise PluginError(f"unknown device {name!r}; the fleet has {', '.join(self._devices)}")
        return name


def _span(by: Span) -> timedelta:
    if isinstance(by, timedelta):
        return by
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)", by)
    if found is None:
        raise PluginError(f"{by!r} is not a duration; examples: 200us, 5ms, 2s, 5m, 1h")
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


def _instant(to: datetime | str | None) -> datetime:
    instant = to if isinstance(to, datetime) else datetime.fromisoformat(str(to))
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
