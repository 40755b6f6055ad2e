"""Event streams of open pages: each viewer gets the phones that it shows, and nothing else.

A viewer is one open page. It reports which part of the wall it shows; the server streams
snapshots of those devices, batched so that a busy fleet costs a viewer a few messages a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from broker.contract import DeviceState
from fleet.web.device_view import DeviceView
from fleet.web.fleet_view import ChangeFeed, FleetView
from fleet.web.pages.activity import Activity
from fleet.web.pages.devices import PageDevices
from fleet.web.pages.fleet_time import FleetTime
from fleet.web.pages.phone_view import PhoneViews

__all__ = ["STATE_FILTERS", "Viewer", "Viewers", "WallQuery"]

_BATCH: Final = 0.04
"""Seconds for which changes are gathered before they are sent."""
_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at lists, load figures and the fleet's time."""
_MOST_PHONES: Final = 400
_MAX_VIEWERS: Final = 256

STATE_FILTERS: Final[Mapping[str, str]] = {
    "online": "Online",
    "offline": "Offline",
    "locked": "Locked",
    "unlocked": "Unlocked",
    "none": "No passcode",
    "user": "Passcode set",
    "temporary": "Temporary passcode",
    "compliant": "Compliant",
    "inGracePeriod": "In grace period",
    "noncompliant": "Not compliant",
    "notEnrolled": "Not enrolled",
    "lostMode": "Lost Mode",
    "wiped": "Wiped",
}
"""Values and labels of the wall's State filter."""


@dataclass(frozen=True, slots=True)
class WallQuery:
    """Filters of the wall, empty where unset, and the part of the list that is visible."""

    search: str = ""
    platform: str = ""
    group: str = ""
    state: str = ""
    first: int = 0
    count: int = 0

    def matches(self, device: DeviceView, state: DeviceState) -> bool:
        """Return True if a device is in the list."""
        return (
            self.platform in ("", state.platform)
            and self.group in ("", state.group)
            and (not self.search or self._found(state))
            and (not self.state or self._in_state(device, state))
        )

    def _found(self, state: DeviceState) -> bool:
        wanted = self.search.casefold()
        return wanted in state.device_id.casefold() or wanted in state.owner.casefold()

    def _in_state(self, device: DeviceView, state: DeviceState) -> bool:
        words = {
            "" if state.enrolled else "notEnrolled",
            "lostMode" if state.lost_mode else "",
            "wiped" if state.wiped else "",
            "online" if device.online else "offline",
            "locked" if state.locked else "unlocked",
            state.passcode,
            state.compliance,
        }
        return self.state in words


@dataclass(eq=False)
class Viewer:
    """One open page of a browser session."""

    session_id: str
    feed: ChangeFeed
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    query: WallQuery | None = None
    listed: tuple[str, ...] = ()
    page_changed: bool = False
    active: bool = False
    log_seen: int = 0
    load_seen: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    changed: set[str] = field(default_factory=set)
    closed: bool = False


class Viewers:
    """All open pages."""

    def __init__(
        self,
        view: FleetView,
        devices: PageDevices,
        phones: PhoneViews,
        activity: Activity,
        time: FleetTime,
    ) -> None:
        self._view = view
        self._devices = devices
        self._phones = phones
        self._activity = activity
        self._time = time
        self._open: dict[str, Viewer] = {}

    def of(self, session_id: str, name: str) -> Viewer | None:
        """A viewer by its name, of this browser session only."""
        viewer = self._open.get(name)
        return viewer if viewer is not None and viewer.session_id == session_id else None

    def sessions(self) -> frozenset[str]:
        """Browser sessions that have a page open."""
        return frozenset(viewer.session_id for viewer in self._open.values())

    def session_changed(self, session_id: str) -> None:
        """Let every page of a browser session fetch itself anew."""
        for viewer in self._open.values():
            if viewer.session_id == session_id:
                viewer.page_changed = True
                viewer.wake.set()

    def wake(self) -> None:
        """Let every page look at the fleet's time at once."""
        for viewer in self._open.values():
            viewer.wake.set()

    # -- what a page shows ----------------------------------------------------------------------

    def show(self, viewer: Viewer, query: WallQuery) -> dict[str, Any]:
        """Follow a part of the wall: `{total, first, phones}`."""
        viewer.query = query
        viewer.listed = self._listed(query)
        first = max(0, query.first)
        ids = viewer.listed[first : first + max(0, min(query.count, _MOST_PHONES))]
        return {"total": len(viewer.listed), "first": first, "phones": self.follow(viewer, ids)}

    def follow(self, viewer: Viewer, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Follow these devices; returns their snapshots."""
        shown = ids[:_MOST_PHONES]
        viewer.feed.watch(shown)
        return [phone for each in shown if (phone := self._phones.snapshot(each)) is not None]

    def _listed(self, query: WallQuery) -> tuple[str, ...]:
        if query == WallQuery(first=query.first, count=query.count):
            return self._devices.ids()
        found = []
        for name in self._devices.ids():
            device = self._view.devices[name]
            state = device.state
            if state is not None and query.matches(device, state):
                found.append(name)
        return tuple(found)

    # -- streaming ------------------------------------------------------------------------------

    async def stream(self, session_id: str) -> AsyncIterator[bytes]:
        """Server-sent events of one page, until it is closed."""
        if len(self._open) >= _MAX_VIEWERS:
            yield _event("full", {})
            return
        with self._view.changes(()) as feed:
            viewer = Viewer(session_id, feed)
            self._open[viewer.name] = viewer
            following = asyncio.create_task(self._follow_feed(viewer))
            try:
                yield _event("clock", self._time.as_json())
                yield _event("hello", {"viewer": viewer.name})
                async for events in self._events(viewer):
                    yield events
            finally:
                del self._open[viewer.name]
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _follow_feed(self, viewer: Viewer) -> None:
        async for changed in viewer.feed:
            viewer.changed |= changed
            viewer.wake.set()
        viewer.closed = True
        viewer.wake.set()

    async def _events(self, viewer: Viewer) -> AsyncIterator[bytes]:
        looked = (self._view.revision, self._time.moves)
        while not viewer.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await viewer.wake.wait()
                    await asyncio.sleep(_BATCH)
            viewer.wake.clear()
            yield b"".join(self._gather(viewer))
            self._time.look()
            if self._time.moves != looked[1]:
                yield _event("clock", self._time.as_json())
            if viewer.query is not None and self._view.revision != looked[0]:
                yield self._list_changes(viewer, viewer.query)
            looked = (self._view.revision, self._time.moves)

    def _gather(self, viewer: Viewer) -> list[bytes]:
        """Events with all changes for this viewer since the last call."""
        events = [b": still here\n\n"]
        changed, viewer.changed = viewer.changed, set()
        phones = [phone for each in changed if (phone := self._phones.snapshot(each)) is not None]
        if phones:
            events.append(_event("phones", phones))
        if viewer.page_changed:
            viewer.page_changed = False
            events.append(_event("page", {}))
        if viewer.active:
            viewer.log_seen, entries = self._activity.log_since(viewer.log_seen)
            viewer.load_seen, figures = self._activity.load_since(viewer.load_seen)
            events += [_event("log", entries)] if entries else []
            events += [_event("load", figures)] if figures else []
        return events

    def _list_changes(self, viewer: Viewer, query: WallQuery) -> bytes:
        listed = self._listed(query)
        if listed == viewer.listed:
            return b""
        viewer.listed = listed
        return _event("list", {"total": len(listed)})


def _event(name: str, document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()
