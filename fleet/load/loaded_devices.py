"""Presence of the loaded devices, from retained presence messages and Last Wills."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from broker.operator.readers import KnownDevice, is_outdated, read_presence

__all__ = ["LoadedDevices"]


class LoadedDevices:
    """Presence tracker: status and session of each loaded device."""

    def __init__(self, devices: Mapping[str, KnownDevice]) -> None:
        self._online: dict[str, bool] = {}
        self._sessions: dict[str, int] = {}
        self.watcher: Callable[[str, int], None] | None = None
        """Called with (device id, session) on each `online` message."""
        for device_id, seen in devices.items():
            self._online[device_id] = seen.online
            self._sessions[device_id] = seen.presence.session if seen.presence else 0
        self._left: dict[str, float] = {}
        self._expected: set[str] = set()

    def on_presence(self, device_id: str, payload: bytes, now: float) -> None:
        """Handle a presence message. An empty one means offline; an outdated session is ignored.

        The Last Will of an old connection can arrive after `online` of the next one. `now` is a
        time on the clock with which `left` is compared.
        """
        if device_id not in self._online:
            return
        presence = read_presence(payload) if payload else None
        before = self._sessions[device_id]
        if presence is None:
            self._update(device_id, before, now, online=False)
        elif not is_outdated(presence, before):
            self._update(device_id, presence.session, now, online=presence.status == "online")

    def _update(self, device_id: str, session: int, now: float, *, online: bool) -> None:
        # Behind a shared connection there is no `offline`: a new session shows the disconnect.
        gone = not online or session > self._sessions[device_id]
        if self._online[device_id] and gone:
            if device_id in self._expected:
                self._expected.discard(device_id)
            else:
                self._left[device_id] = now
        self._sessions[device_id] = session
        self._online[device_id] = online
        if online and self.watcher is not None:
            self.watcher(device_id, session)

    def expect(self, device_ids: Iterable[str]) -> None:
        """Do not count the next disconnect of each device: the storm causes it."""
        self._expected.update(device_ids)

    def online(self, device_id: str) -> bool:
        """Return True if the last known status of the device is online."""
        return self._online[device_id]

    def session(self, device_id: str) -> int:
        """Return the last known session."""
        return self._sessions[device_id]

    def disconnected_at(self, device_id: str) -> float:
        """Return the time of the last unexpected disconnect; -inf if there was none."""
        return self._left.get(device_id, -math.inf)

    @property
    def dropped(self) -> list[str]:
        """Devices with an unexpected disconnect, reconnected or not."""
        return list(self._left)

    def present(self) -> list[str]:
        """Return the devices that are online."""
        return [device_id for device_id, online in self._online.items() if online]
