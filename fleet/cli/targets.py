"""From what the command line said to an operator's connection and the devices meant."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.clock import parse_duration
from broker.contract import DEVICE_ID, Topics
from broker.errors import UsageError
from broker.operator.operator import EVERYONE, Group, Operator
from broker.operator.readers import KnownDevice
from broker.validation import suggest
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
_LIST_HINT = "`passfleet devices` lists who is there"


@dataclass(frozen=True, slots=True)
class ChosenDevices:
    """The devices meant, in order, and what to send to: one group's topic, or each device's."""

    devices: Mapping[str, KnownDevice]
    group: str | None

    @property
    def target(self) -> Group | list[str]:
        """What `Operator.send` takes."""
        ids = list(self.devices)
        return ids if self.group is None else Group(self.group, tuple(ids))


def operator_at(location: FleetLocation) -> Operator:
    """The operator of the fleet meant; not yet connected."""
    if location.broker in _OWN_BROKERS:
        raise UsageError(
            f"--broker {location.broker} starts a broker of its own, on which no fleet runs",
            hint="give the URL that `passfleet up` printed, or nothing at all: neither --broker"
            " nor PASSFLEET_BROKER",
        )
    address, root = locate(location.broker, location.root)
    return Operator(address, topics_of(root))


def topics_of(root: str) -> Topics:
    """The topics below `root`. Raises UsageError where it cannot be a root."""
    check_root(root)
    return Topics(root)


def parse_duration_option(text: str, option: str) -> float:
    """Seconds, more than none. Raises UsageError that names the option."""
    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if seconds <= 0:
        raise UsageError(f"{option} must be more than {text}")
    return seconds


async def resolve_targets(operator: Operator, selection: Selection) -> ChosenDevices:
    """Find the devices that a selection means. Raises UsageError where it means none."""
    narrowed = selection not in (Selection(), Selection(all_devices=True))
    if selection == Selection():
        raise UsageError(
            "no target is given", hint="name devices, or use --group, --platform or --all"
        )
    if narrowed and selection.all_devices:
        raise UsageError("--all goes without targets, --group and --platform")
    if selection == Selection(selection.targets) and all(map(_is_id, selection.targets)):
        # The usual case needs no look at the rest of the fleet.
        known = await operator.devices(selection.targets)
        if len(known) == len(set(selection.targets)):
            return _narrow(known, selection)
    known = await operator.devices()
    if not known:
        raise no_devices_error(operator)
    return _narrow(known, selection)


async def find_device(operator: Operator, device_id: str) -> KnownDevice:
    """The one device of this id. Raises UsageError, with the nearest name, where there is none."""
    if _WILDCARDS & set(device_id):
        raise UsageError(f"{device_id!r} is not one device's id", hint=_LIST_HINT)
    found = (await operator.devices([device_id])).get(device_id) if _is_id(device_id) else None
    if found is None:
        known = await operator.devices()
        raise _unknown(device_id, known) if known else no_devices_error(operator)
    return found


def matching_devices(
    known: Mapping[str, KnownDevice], selection: Selection
) -> dict[str, KnownDevice]:
    """The devices that fit a selection; none is no error."""
    patterns = selection.targets
    return {
        device_id: seen
        for device_id, seen in known.items()
        if selection.group in (None, EVERYONE, seen.group)
        and selection.platform in (None, seen.platform)
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
    """What to say where no device fits a selection without targets."""
    return (
        (_unknown_group_or_platform(known, selection) or _no_match())
        if known
        else no_devices_error(operator)
    )


def _no_match() -> UsageError:
    return UsageError("no device is all of that", hint=_LIST_HINT)


def unknown_target_error(target: str, known: Collection[str]) -> UsageError | None:
    """What to say of an id or shell pattern that fits no known device; None where it fits one."""
    if not _WILDCARDS & set(target):
        return None if target in known else _unknown(target, known)
    if any(fnmatch.fnmatchcase(device_id, target) for device_id in known):
        return None
    return UsageError(f"no device matches {target!r}", hint=_LIST_HINT)


def no_devices_error(operator: Operator) -> UsageError:
    """What to say where no device at all is known."""
    return UsageError(
        f"no device is there below {operator.topics.root}",
        hint="is the fleet on another broker (--broker) or another root (--root)?",
    )


def _group_topic(selection: Selection) -> str | None:
    """The group that takes one message for all, where the selection is exactly a group."""
    if selection.all_devices:
        return EVERYONE
    return None if selection.targets or selection.platform else selection.group


def _unknown_group_or_platform(
    known: Mapping[str, KnownDevice], selection: Selection
) -> UsageError | None:
    """What to say of a group or platform that no known device is of."""
    groups = {seen.group for seen in known.values()} | {EVERYONE}
    platforms = {seen.platform for seen in known.values()}
    asked = (("group", selection.group, groups), ("platform", selection.platform, platforms))
    for what, name, there in asked:
        if name is not None and name not in there:
            names = sorted(filter(None, there))
            hint = suggest(name, names) or f"there is: {', '.join(names)}"
            return UsageError(f"no device of {what} {name!r} is there", hint=hint)
    return None


def _is_id(text: str) -> bool:
    return re.fullmatch(DEVICE_ID, text) is not None


def _unknown(device_id: str, known: Iterable[str]) -> UsageError:
    return UsageError(
        f"no device {device_id!r} is there", hint=suggest(device_id, known) or _LIST_HINT
    )
