"""Who is online, as the broker's retained presence and Last Wills tell it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker.answers import Seen, read_presence

__all__ = ["RollCall"]


class RollCall:
    """The devices that are loaded, each with its session: kept up to date message by message."""

    def __init__(self, devices: Mapping[str, Seen]) -> None:
        self._online: dict[str, bool] = {}
        self._sessions: dict[str, int] = {}
        self.watcher: Callable[[str, int], None] | None = None
        """Told (device, session) of whoever is online."""
        for device_id, seen in devices.items():
            self._online[device_id] = seen.online
            self._sessions[device_id] = seen.presence.session if seen.presence else 0

    def hear(self, device_id: str, payload: bytes) -> None:
        """Take a presence; one that was taken back means offline, one of an older session nothing.

        The Last Will of a connection that died late comes after the next one's `online`.
        """
        if device_id not in self._online:
            return
        presence = read_presence(payload) if payload else None
        if presence is None:
            self._online[device_id] = False
            return
        if presence.session < self._sessions[device_id]:
            return
        self._sessions[device_id] = presence.session
        self._online[device_id] = presence.status == "online"
        if self.watcher is not None and self._online[device_id]:
            self.watcher(device_id, presence.session)

    def online(self, device_id: str) -> bool:
        """Whether a device is connected, as far as the broker knows."""
        return self._online[device_id]

    def session(self, device_id: str) -> int:
        """The last session that was heard of."""
        return self._sessions[device_id]

    def present(self) -> list[str]:
        """Everybody who is online."""
        return [device_id for device_id, online in self._online.items() if online]
