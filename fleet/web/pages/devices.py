"""The devices of a fleet as the pages see them: read from retained states, in the order of ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, ValuesView
from typing import Final

from agent.definition.device_rules import setup_of
from broker.contract import DeviceState
from fleet.config.loader import FleetConfig
from fleet.web.fleet_view import FleetView
from platforms.profile import Management
from scenarios.model.actor import Account, ManagedDevice

__all__ = ["PageDevices", "natural_order"]

_NUMBERS: Final = re.compile(r"(\d+)")


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key under which `ios-2` comes before `ios-10`."""
    parts = _NUMBERS.split(name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


class PageDevices(Mapping[str, ManagedDevice]):
    """Every device that has published a state, by id; what is read of it is kept."""

    def __init__(self, view: FleetView, config: FleetConfig) -> None:
        self._view = view
        self._profiles = config.platforms
        self._attributes = {
            group.name: setup_of(group, group.name, config.platforms[group.platform]).attributes
            for group in config.groups
        }
        self._known: dict[str, ManagedDevice] = {}
        self._membership = -1
        self._ids: tuple[str, ...] = ()
        self._all: dict[str, ManagedDevice] = {}
        self._owned: tuple[int, int, dict[str, list[str]]] = (-1, -1, {})

    def ids(self) -> tuple[str, ...]:
        """All ids in natural order."""
        if self._membership != self._view.membership:
            self._membership = self._view.membership
            self._ids = tuple(sorted(self._view.devices, key=natural_order))
            self._all = {}
        return self._ids

    def _by_id(self) -> dict[str, ManagedDevice]:
        """Return all devices in natural order; looked up again until each has published a state."""
        ids = self.ids()
        if len(self._all) != len(ids):
            self._all = {name: self[name] for name in ids if name in self}
        return self._all

    def __getitem__(self, name: str) -> ManagedDevice:
        seen = self._view.devices[name]
        known = self._known.get(name)
        if known is not None:
            return known
        state = seen.state
        if state is None or state.platform not in self._profiles:
            raise KeyError(name)
        device = self._known[name] = ManagedDevice(
            name=name,
            device_id=name,
            owner=state.owner,
            profile=self._profiles[state.platform],
            management=Management(state.management),
            attributes=self._attributes.get(state.group),
        )
        return device

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id())

    def values(self) -> ValuesView[ManagedDevice]:
        """All devices; a page asks for them several times."""
        return self._by_id().values()

    def __contains__(self, name: object) -> bool:
        if name not in self._view.devices:
            return False
        if name in self._known:
            return True
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def __len__(self) -> int:
        return len(self._by_id())

    def state(self, device_id: str) -> DeviceState | None:
        """The last state of a device; None for an unknown one."""
        device = self._view.devices.get(device_id)
        return None if device is None else device.state

    def of_owner(self, owner: str) -> list[str]:
        """Ids of a user's devices."""
        return self._owners().get(owner, [])

    def owners(self) -> list[str]:
        """Names of all users who own a device, in natural order."""
        return sorted(self._owners(), key=natural_order)

    def _owners(self) -> Mapping[str, list[str]]:
        devices = self.values()
        if self._owned[:2] != (self._membership, len(devices)):
            owners: dict[str, list[str]] = {}
            for device in devices:
                owners.setdefault(device.owner, []).append(device.name)
            self._owned = (self._membership, len(devices), owners)
        return self._owned[2]

    def accounts(self, passwords: Mapping[str, str], spare: str) -> dict[str, Account]:
        """An account for each owner and each user with a password; `spare` for all others.

        Each has a personal account of the same address, as in the documents.
        """
        names = dict.fromkeys([*self.owners(), *passwords])
        return {
            name: Account(user=name, password=passwords.get(name, spare), has_personal_account=True)
            for name in names
        }
