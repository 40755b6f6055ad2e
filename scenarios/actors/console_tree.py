"""Tree of the administration console, its lists of devices, and the selection in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from platforms.profile import Management
from scenarios.actors.console_steps import Select
from scenarios.model.actor import ManagedDevice, SharedState, StepRefusedError

__all__ = ["ConsoleTree"]

_SEPARATOR: Final = " > "
_GROUPS: Final = "Groups"
_DEVICES_TAB: Final = "Devices"
_USERS: Final = (_GROUPS, "All Users")
_MOBILE: Final = (_GROUPS, "All Devices", "All Mobile Devices")
_TITLES: Final[Mapping[str, str]] = {
    "directManaged": "All Direct Managed Devices",
    "exchangeActiveSync": "All Exchange ActiveSync Managed Devices",
}
_KINDS: Final[Mapping[str, Management]] = {
    "directManaged": Management.STANDALONE,
    "exchangeActiveSync": Management.EXCHANGE_ACTIVESYNC,
}
"""Management of the devices in each list. Hybrid devices are in neither (assumption)."""
_ITEMS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    (): (_GROUPS,),
    (_GROUPS,): ("All Devices", "All Users"),
    _MOBILE[:2]: _MOBILE[2:],
    _MOBILE: tuple(_TITLES.values()),
}


class ConsoleTree:
    """Open item of the tree, and the devices that it lists."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._path: tuple[str, ...] = ()

    def open(self, names: Sequence[str]) -> None:
        """Open an item, from Groups or from the open item; StepRefusedError if it is not there."""
        path = () if names[0] == _GROUPS else self._path
        for name in names:
            items = self._items(path)
            if name not in items:
                raise StepRefusedError(f"one of the items {', '.join(items) or 'none'}", name)
            path = (*path, name)
        self._path = path

    def _items(self, path: tuple[str, ...]) -> tuple[str, ...]:
        if path == _USERS:
            return tuple(self._shared.accounts)
        if path[:-1] == _USERS:
            return ("General", _DEVICES_TAB)
        return _ITEMS.get(path, ())

    def view(self) -> Mapping[str, object]:
        """Return the open item, the items below it and the devices that it lists."""
        if not self._path:
            return {}
        seen: dict[str, object] = {"path": _SEPARATOR.join(self._path)}
        if items := self._items(self._path):
            seen["items"] = items
        listed = self._listed()
        if listed is not None:
            seen["deviceList"] = tuple(device.name for device in listed)
        return seen

    def _listed(self) -> list[ManagedDevice] | None:
        """Return the devices in the open list, None if the open item lists no devices."""
        for group, title in _TITLES.items():
            if self._path == (*_MOBILE, title):
                return self.devices_of_group(group)
        if self._path[:2] == _USERS and self._path[3:] == (_DEVICES_TAB,):
            return self._devices_of_user(self._path[2])
        return None

    def devices_of_group(self, group: str) -> list[ManagedDevice]:
        """Return the devices in the list `directManaged` or `exchangeActiveSync`."""
        kind = _KINDS[group]
        return [each for each in self._shared.devices.values() if each.management is kind]

    def _devices_of_user(self, user: str) -> list[ManagedDevice]:
        return [each for each in self._shared.devices.values() if each.owner == user]

    def select(self, wanted: Select) -> list[ManagedDevice]:
        """Return the devices to select; StepRefusedError if they are not in one list."""
        listed = self._listed()
        if wanted.user is not None or wanted.group is not None:
            group, user = wanted.group, wanted.user
            listed = self.devices_of_group(group) if group else self._devices_of_user(user or "")
            self._path = ()
        if wanted.devices is None:
            found = listed or []
        else:
            found = [self._shared.devices[name] for name in wanted.devices]
            self._check(found, listed)
        if not found:
            raise StepRefusedError("devices in the list", "an empty list")
        return found

    def _check(self, found: Sequence[ManagedDevice], listed: list[ManagedDevice] | None) -> None:
        if listed is None:
            kinds = {each.management for each in found} & set(_KINDS.values())
            if len(kinds) > 1:
                raise StepRefusedError(
                    f"devices of one list: {' or '.join(_TITLES.values())}", "both"
                )
            return
        names = [each.name for each in listed]
        for device in found:
            if device.name not in names:
                raise StepRefusedError(f"one of the listed devices {', '.join(names)}", device.name)
