"""`[dialects.NAME]`, `[control]` and the dialects of groups in the fleet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from broker.dialects.dialect import CONTRACT, Dialect
from broker.dialects.reader import dialects, preset_dialect
from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from fleet.config.sections import BrokerSection, GroupSection

__all__ = ["ControlSection", "dialect_of", "dialect_problems"]


class ControlSection(BrokerSection):
    """`[control]`: the broker that operators use, if it is not the one of the devices."""


def dialect_of(
    group: GroupSection, own: Mapping[str, Dialect], *, control: bool, root: str
) -> Dialect | None:
    """Return the dialect of a group, None for the contract on the one broker.

    `own` are the dialects of the file. `control`: operators use a broker of their own, so that
    devices that speak the contract need two connections as well.
    """
    name = group.dialect or (CONTRACT if control else None)
    if name is None:
        return None
    return own[name] if name in own else preset_dialect(name).at_root(root)


def dialect_problems(
    groups: Iterable[tuple[KeyPath, GroupSection]], own: Mapping[str, Dialect], refused: object
) -> Iterator[Problem]:
    """Yield the problems of the groups' dialects.

    `refused` is the table `[dialects]`, whose dialects may have problems of their own.
    """
    known = {**dialects(), **own}
    for path, group in groups:
        name = group.dialect
        if name is None:
            continue
        where = (*path, "dialect")
        if name in known:
            yield from _fit_problems(group, known[name], where)
        elif not (isinstance(refused, dict) and name in refused):
            names = ", ".join(known)
            message = f"got {shorten_value(name)}"
            yield Problem(where, message, f"one of {names}", suggest(name, known))


def _fit_problems(group: GroupSection, dialect: Dialect, where: KeyPath) -> Iterator[Problem]:
    if group.connection == "shared":
        if not dialect.finds_device:
            yield Problem(
                where,
                f"the commands of {dialect.name} do not name a device, so that devices cannot share"
                " a connection",
                "{deviceId} in the topic or the payload of every command",
            )
    elif not dialect.names_device and not group.has_own_logins:
        yield Problem(
            where,
            f"the topics of {dialect.name} carry no device id, and all devices share one login:"
            " each would get the commands of all",
            'a login for each device, such as username = "{id}", or {deviceId} in the topics',
        )
