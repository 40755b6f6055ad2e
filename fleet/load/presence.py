"""Who is online, as the broker's retained presence and Last Wills tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from broker.operator.readers import KnownDevice, is_outdated, read_presence

__all__ = ["LoadedDevices"]


class LoadedDevices:
    """The devices that are loaded, each with its session: kept up to date message by message."""

    def __init__(self, devices: Mapping[str, KnownDevice]) -> None:
        self._online: dict[str, bool] = {}
        self._sessions: dict[str, int] = {}
        self.watcher: Callable[[str, int], None] | None = None
        """Told (device, session) of whoever is online."""
        for device_id, seen in devices.items():
            self._online[device_id] = seen.online
            self._sessions[device_id] = seen.presence.session if seen.presence else 0
        self._left: dict[str, float] = {}
        self._expected: set[str] = set()

    def hear(self, device_id: str, payload: bytes, now: float) -> None:
        """Take a presence; one that was taken back means offline, one of an older session nothing.

        The Last Will of a connection that died late comes after the next one's `online`. `now` is
        any clock's that `left` is compared by.
        """
        if device_id not in self._online:
            return
        presence = read_presence(payload) if payload else None
        before = self._sessions[device_id]
        if presence is None:
            self._take(device_id, before, now, online=False)
        elif not is_outdated(presence, before):
            self._take(device_id, presence.session, now, online=presence.status == "online")

    def _take(self, device_id: str, session: int, now: float, *, online: bool) -> None:
        # Behind a shared connection nobody says that a device is gone: it comes back, and is new.
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
        """Take no notice of the next time that each of them leaves: they were told to."""
        self._expected.update(device_ids)

    def online(self, device_id: str) -> bool:
        """Whether a device is connected, as far as the broker knows."""
        return self._online[device_id]

    def session(self, device_id: str) -> int:
        """The last session that was heard of."""
        return self._sessions[device_id]

    def left(self, device_id: str) -> float:
        """When it was last heard that a device had left of itself; long ago where it never did."""
        return self._left.get(device_id, -math.inf)

    @property
    def dropped(self) -> list[str]:
        """Everybody who has left of itself, back or not."""
        return list(self._left)

    def present(self) -> list[str]:
        """Everybody who is online."""
        return [device_id for device_id, online in self._online.items() if online]
