"""Resolution of the shared options: operator connection, devices, durations."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.clock import parse_duration
from broker.contract import DEVICE_ID, Topics
from broker.errors import UsageError
from broker.file_validation import suggest
from broker.operator.operator import EVERYONE, Group, Operator
from broker.operator.readers import KnownDevice
from fleet.cli.console import check_root
from fleet.cli.options import FleetLocation, Selection
from fleet.service.run_file import locate

__all__ = [
    "ChosenDevices",
    "find_device",
    "matching_devices",
    "no_devices_error",
    "no_match_error",
    "operator_at",
    "parse_duration_option",
    "resolve_targets",
    "topics_of",
    "unknown_target_error",
]

_OWN_BROKERS = ("embedded", "mosquitto")
_WILDCARDS = frozenset("*?[")
_LIST_HINT = "`passfleet devices` lists the devices"


@dataclass(frozen=True, slots=True)
class ChosenDevices:
    """Selected devices in order, and the group whose topic reaches them all, if any."""

    devices: Mapping[str, KnownDevice]
    group: str | None

    @property
    def target(self) -> Group | list[str]:
        """Target for `Operator.send`."""
        ids = list(self.devices)
        return ids if self.group is None else Group(self.group, tuple(ids))


def operator_at(location: FleetLocation) -> Operator:
    """Return an operator for the fleet at `location`, not connected yet. Raises UsageError."""
    if location.broker in _OWN_BROKERS:
        raise UsageError(
            f"--broker {location.broker} starts a new broker, on which no fleet runs",
            hint="give the URL that `passfleet up` printed, or leave out --broker and"
            " PASSFLEET_BROKER",
        )
    address, root = locate(location.broker, location.root)
    return Operator(address, topics_of(root))


def topics_of(root: str) -> Topics:
    """Return the topics below `root`. Raises UsageError if it is not a topic root."""
    check_root(root)
    return Topics(root)


def parse_duration_option(text: str, option: str) -> float:
    """Parse a duration above 0 into seconds. Raises UsageError that names the option."""
    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if seconds <= 0:
        raise UsageError(f"{option} must be more than {text}")
    return seconds


async def resolve_targets(operator: Operator, selection: Selection) -> ChosenDevices:
    """Find the devices of a selection. Raises UsageError if there are none."""
    narrowed = selection not in (Selection(), Selection(all_devices=True))
    if selection == Selection():
        raise UsageError(
            "no target is given", hint="name devices, or use --group, --platform or --all"
        )
    if narrowed and selection.all_devices:
        raise UsageError("--all cannot be combined with targets, --group or --platform")
    if selection == Selection(selection.targets) and all(map(_is_id, selection.targets)):
        # The usual case reads the topics of these devices only.
        known = await operator.devices(selection.targets)
        if len(known) == len(set(selection.targets)):
            return _narrow(known, selection)
    known = await operator.devices()
    if not known:
        raise no_devices_error(operator)
    return _narrow(known, selection)


async def find_device(operator: Operator, device_id: str) -> KnownDevice:
    """Return the device with this id. Raises UsageError, with a similar id as the hint."""
    if _WILDCARDS & set(device_id):
        raise UsageError(f"{device_id!r} is a pattern; give the id of one device", hint=_LIST_HINT)
    found = (await operator.devices([device_id])).get(device_id) if _is_id(device_id) else None
    if found is None:
        known = await operator.devices()
        raise _unknown(device_id, known) if known else no_devices_error(operator)
    return found


def matching_devices(
    known: Mapping[str, KnownDevice], selection: Selection
) -> dict[str, KnownDevice]:
    """Return the devices that match a selection, which may be none."""
    patterns = selection.targets
    return {
        device_id: seen
        for device_id, seen in known.items()
        if (not selection.groups or {EVERYONE, seen.group} & set(selection.groups))
        and (not selection.platforms or seen.platform in selection.platforms)
        and (not patterns or any(fnmatch.fnmatchcase(device_id, p) for p in patterns))
    }


def _narrow(known: Mapping[str, KnownDevice], selection: Selection) -> ChosenDevices:
    for target in selection.targets:
        if (error := unknown_target_error(target, known)) is not None:
            raise error
    if (error := _unknown_group_or_platform(known, selection)) is not None:
        raise error
    devices = matching_devices(known, selection)
    if not devices:
        raise _no_match()
    return ChosenDevices(devices, _group_topic(selection))


def no_match_error(
    operator: Operator, known: Mapping[str, KnownDevice], selection: Selection
) -> UsageError:
    """Return the error for a selection without targets that matches no device."""
    return (
        (_unknown_group_or_platform(known, selection) or _no_match())
        if known
        else no_devices_error(operator)
    )


def _no_match() -> UsageError:
    return UsageError("no device matches every filter", hint=_LIST_HINT)


def unknown_target_error(target: str, known: Collection[str]) -> UsageError | None:
    """Return the error for an id or pattern that matches no known device, else None."""
    if not _WILDCARDS & set(target):
        return None if target in known else _unknown(target, known)
    if any(fnmatch.fnmatchcase(device_id, target) for device_id in known):
        return None
    return UsageError(f"no device matches {target!r}", hint=_LIST_HINT)


def no_devices_error(operator: Operator) -> UsageError:
    """Return the error for a fleet without any device."""
    return UsageError(
        f"there are no devices below {operator.topics.root}",
        hint="is the fleet on another broker (--broker) or another root (--root)?",
    )


def _group_topic(selection: Selection) -> str | None:
    """Return the group if the selection is exactly one group, which needs one message only."""
    if selection.all_devices:
        return EVERYONE
    if selection.targets or selection.platforms or len(selection.groups) != 1:
        return None
    return selection.groups[0]


def _unknown_group_or_platform(
    known: Mapping[str, KnownDevice], selection: Selection
) -> UsageError | None:
    """Return the error for a group or platform that no known device has, else None."""
    groups: set[str | None] = {seen.group for seen in known.values()} | {EVERYONE}
    platforms: set[str | None] = {seen.platform for seen in known.values()}
    asked = [("group", name, groups) for name in selection.groups]
    asked += [("platform", name, platforms) for name in selection.platforms]
    for what, name, known_names in asked:
        if name not in known_names:
            names = sorted(filter(None, known_names))
            hint = suggest(name, names) or f"known are: {', '.join(names)}"
            return UsageError(f"there is no device of {what} {name!r}", hint=hint)
    return None


def _is_id(text: str) -> bool:
    return re.fullmatch(DEVICE_ID, text) is not None


def _unknown(device_id: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"there is no device {device_id!r}", hint=suggest(device_id, known) or _LIST_HINT
    )
