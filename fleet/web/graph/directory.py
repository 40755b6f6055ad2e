"""Lookup of devices by GUID or id, and of users' devices, kept up to date as devices come and go.

Finding one device costs a dictionary lookup. What depends on the whole fleet is done again only
when a device has appeared or disappeared.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.definition.device_rules import setup_of
from fleet.config.loader import FleetConfig
from fleet.web.fleet_view import FleetView
from fleet.web.graph.managed_device import ManagedDevice, guid_of

__all__ = ["Directory"]


class Directory:
    """Managed devices and users of one fleet."""

    def __init__(self, view: FleetView, config: FleetConfig) -> None:
        self._view = view
        self._root = view.topics.root
        self._profiles = config.platforms
        self._setups = {
            group.name: setup_of(group, group.name, config.platforms[group.platform])
            for group in config.groups
        }
        self._first_user = config.groups[0].owner.format(n=1)
        self._membership = -1
        self._guids: dict[str, str] = {}
        self._by_guid: dict[str, str] = {}
        self._sorted: list[str] = []
        self._ownerless: set[str] = set()
        self._owners: dict[str, str] = {}
        self._of_user: dict[str, set[str]] = {}
        self._user_guids: dict[str, str] = {}

    def find(self, key: str) -> ManagedDevice | None:
        """The device of this GUID or device id, None where there is none."""
        self._refresh()
        device_id = key if key in self._view.devices else self._by_guid.get(key.lower(), "")
        return self._managed(device_id)

    def all(self) -> Iterable[ManagedDevice]:
        """Every managed device, ordered by device id."""
        self._refresh()
        return self._present(self._sorted)

    def user(self, key: str) -> str | None:
        """The name of the user with this GUID or user principal name, None where there is none."""
        self._refresh()
        self._read_owners()
        return key if key in self._of_user else self._user_guids.get(key.lower())

    def first_user(self) -> str:
        """The owner of the first device of the fleet file."""
        return self._first_user

    def of_user(self, user: str) -> Iterable[ManagedDevice]:
        """The devices of a user, ordered by device id."""
        return self._present(sorted(self._of_user.get(user, ())))

    def _present(self, device_ids: Iterable[str]) -> Iterable[ManagedDevice]:
        return (device for name in device_ids if (device := self._managed(name)) is not None)

    def _managed(self, device_id: str) -> ManagedDevice | None:
        view = self._view.devices.get(device_id)
        state = None if view is None else view.state
        if view is None or state is None:
            return None
        return ManagedDevice(
            guid=self._guids[device_id],
            user_guid=self._user_guid(state.owner),
            view=view,
            state=state,
            setup=self._setups.get(state.group),
            profile=self._profiles.get(state.platform),
        )

    def _user_guid(self, user: str) -> str:
        return self._guids.get(f"user/{user}") or self._new_user(user)

    def _new_user(self, user: str) -> str:
        # A device id has no slash, so a user's name is never taken for a device id.
        guid = self._guids[f"user/{user}"] = guid_of(self._root, f"user/{user}")
        self._user_guids[guid] = user
        return guid

    def _refresh(self) -> None:
        if self._membership == self._view.membership:
            return
        self._membership = self._view.membership
        present = self._view.devices.keys()
        known = set(self._by_guid.values())
        for device_id in present - known:
            guid = self._guids[device_id] = guid_of(self._root, device_id)
            self._by_guid[guid] = device_id
            self._ownerless.add(device_id)
        for device_id in known - present:
            del self._by_guid[self._guids.pop(device_id)]
            self._ownerless.discard(device_id)
            self._of_user.get(self._owners.pop(device_id, ""), set()).discard(device_id)
        self._sorted = sorted(present)

    def _read_owners(self) -> None:
        for device_id in tuple(self._ownerless):
            state = self._view.devices[device_id].state
            if state is not None:
                self._ownerless.discard(device_id)
                self._owners[device_id] = state.owner
                self._of_user.setdefault(state.owner, set()).add(device_id)
                self._user_guid(state.owner)
