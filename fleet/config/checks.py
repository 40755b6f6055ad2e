"""Checks of fleet-file values that depend on each other or on the platform.

Each function takes tables that already passed the checks of single values
(`fleet.config.sections`) and yields problems with the path of the key at fault. No function raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from agent.definition.device_rules import device_problems
from broker.address import BrokerAddress
from broker.contract import DEVICE_ID
from broker.errors import UsageError
from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from broker.server.listen import ListenAddress
from broker.server.open import EMBEDDED, MOSQUITTO
from fleet.config.sections import MAX_DEVICES, BrokerSection, FleetSection, GroupSection
from platforms.profile import PlatformProfile

__all__ = [
    "MANAGED",
    "broker_problems",
    "device_id_problem",
    "device_ids",
    "fleet_problems",
    "fleet_wide_problems",
    "group_problems",
]

MANAGED: Final = frozenset({EMBEDDED, MOSQUITTO})
"""Brokers that passfleet starts itself; a login is optional on loopback."""

_DEVICE_ID: Final = re.compile(DEVICE_ID)


def fleet_problems(fleet: FleetSection) -> Iterator[Problem]:
    """Problems of `[fleet]`."""
    if fleet.speed is not None and "clock" in fleet.model_fields_set:
        yield Problem(
            ("fleet", "speed"),
            "speed sets the clock and cannot be combined with `clock`",
            "clock or speed, not both",
        )


def broker_problems(
    broker: BrokerSection, folder: Path, table: str = "broker"
) -> Iterator[Problem]:
    """Problems of `[broker]`, or of the other `table` with the same keys.

    Relative paths are resolved against `folder`.
    """
    for problem in _broker_problems(broker, folder):
        yield replace(problem, path=(table, *problem.path[1:]))


def _broker_problems(broker: BrokerSection, folder: Path) -> Iterator[Problem]:
    password = broker.password
    if password is not None and (password.env is None) == (password.file is None):
        expected = '{ env = "PF_PW" } or { file = "pw" }'
        yield Problem(("broker", "password"), "a password has exactly one source", expected)
    lone_key = broker.key is not None and broker.cert is None
    if lone_key:
        expected = 'cert = "fleet.pem" beside it'
        yield Problem(("broker", "key"), "a client key needs its certificate", expected)
    yield from _server_problems(broker)
    if broker.url in MANAGED:
        return
    # One check per kind of problem, so that each problem names the key at fault.
    placeholder = None if password is None else "unread"
    yield from _address_problems(
        broker, ("password",), username=broker.username, password=placeholder
    )
    files = {name: getattr(broker, name) for name in ("key", "cert", "ca")}
    if not lone_key:
        yield from _address_problems(broker, tuple(files), **files)
    for name, file in files.items():
        if file is not None and not (folder / file).is_file():
            yield Problem(("broker", name), f"there is no file {shorten_value(file)}", "a PEM file")
    if broker.cert is not None and broker.key is None and _lacks_key(folder / broker.cert):
        expected = 'key = "fleet.key" beside it, or a file that holds both'
        yield Problem(
            ("broker", "cert"), f"{shorten_value(broker.cert)} holds no private key", expected
        )


def _server_problems(broker: BrokerSection) -> Iterator[Problem]:
    """Problems of a broker that passfleet starts, and of the keys of such a broker alone."""
    if broker.url != EMBEDDED:
        for name in ("listen", "deny_subscribe"):
            if getattr(broker, name):
                message = f"{name} is a setting of the embedded broker"
                yield Problem(("broker", name), message, f'url = "{EMBEDDED}" beside it')
    if broker.url not in MANAGED:
        return
    for name in ("ca", "cert", "key"):
        if getattr(broker, name) is not None:
            message = f'"{broker.url}" is not encrypted and uses no certificates'
            yield Problem(("broker", name), message, "an mqtts:// or wss:// URL beside it")
    pair = {"username": broker.username, "password": broker.password}
    given = [name for name, value in pair.items() if value is not None]
    if len(given) == 1:
        missing = 'password = { env = "PF_PW" }' if given == ["username"] else 'username = "fleet"'
        yield Problem(("broker", given[0]), "a login has a user name and a password", missing)
    if not given and broker.listen and not ListenAddress.parse(broker.listen).is_loopback:
        yield Problem(
            ("broker", "listen"),
            "other machines can reach this address, so that the broker needs a login",
            hint='add username = "fleet" and password = { env = "PF_PW" }, or listen on 127.0.0.1',
        )


def _lacks_key(cert: Path) -> bool:
    """Return True for a readable certificate file without a private key."""
    try:
        return b"PRIVATE KEY-----" not in cert.read_bytes()
    except OSError:
        return False  # loading the certificate reports the error


def _address_problems(
    broker: BrokerSection, names: tuple[str, ...], **options: str | None
) -> Iterator[Problem]:
    try:
        BrokerAddress.parse(broker.url, **options)
    except UsageError as error:
        given = next((n for n in names if getattr(broker, n) is not None), "url")
        yield Problem(("broker", given), error.message, hint=error.hint)


def group_problems(
    group: GroupSection, path: KeyPath, platforms: Mapping[str, PlatformProfile]
) -> Iterator[Problem]:
    """Problems of one `[[group]]`."""
    if (problem := device_id_problem(group, path)) is not None:
        yield problem
    profile = platforms.get(group.platform)
    if profile is None:
        yield Problem(
            (*path, "platform"),
            f"got {shorten_value(group.platform)}",
            f"one of {', '.join(platforms)}",
            suggest(group.platform, platforms),
        )
        return
    yield from device_problems(group, path, profile)


def device_id_problem(group: GroupSection, path: KeyPath) -> Problem | None:
    """The first problem of the device ids that `group` generates, None if they are valid."""
    template = group.id_template
    first, last = template.format(n=1), template.format(n=group.count)
    where = _id_path(group, path)
    if group.count > 1 and first == last:
        return Problem(
            where,
            f"{group.count} devices cannot share the id {shorten_value(first)}",
            "a template with {n}, such as " + shorten_value(f"{group.name}-{{n:03}}"),
        )
    for device_id in (first, last):
        if not _DEVICE_ID.fullmatch(device_id):
            return Problem(
                where,
                f"{shorten_value(device_id)} cannot be a device id",
                "1 to 64 letters, digits, dots, dashes or underscores",
            )
    return None


def fleet_wide_problems(groups: Sequence[tuple[KeyPath, GroupSection]]) -> Iterator[Problem]:
    """Problems across groups: too many devices, duplicate group names or device ids.

    Of the ids that two groups share, only the first is reported.
    """
    if sum(group.count for _, group in groups) > MAX_DEVICES:
        where = (*groups[-1][0], "count")
        yield Problem(
            where, "the groups have too many devices in total", f"at most {MAX_DEVICES} devices"
        )
        return
    names: set[str] = set()
    taken_by: dict[str, GroupSection] = {}
    for path, group in groups:
        if group.name in names:
            message = f"another group is named {shorten_value(group.name)}"
            yield Problem((*path, "name"), message, "a unique name for each group")
            if group.id is None:
                continue  # the same name generates the same ids: one problem is enough
        names.add(group.name)
        for device_id in device_ids(group):
            other = taken_by.setdefault(device_id, group)
            if other is not group:
                message = (
                    f"group {shorten_value(other.name)} has a device"
                    f" {shorten_value(device_id)} as well"
                )
                yield Problem(_id_path(group, path), message, "a unique id for each device")
                break


def device_ids(group: GroupSection) -> Iterator[str]:
    """Device ids of `group`, in order."""
    format_id = group.id_template.format
    return (format_id(n=n) for n in range(1, group.count + 1))


def _id_path(group: GroupSection, path: KeyPath) -> KeyPath:
    return (*path, "name" if group.id is None else "id")
