"""Logins of a fleet's broker: what each device, the fleet and operators may read and write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.device_factory import DeviceSpec, dialect_constants
from broker.access import Access, Login, Rule, device_rules
from broker.client.client_ids import device_client_id
from broker.contract import Topics
from broker.dialects.dialect import Dialect
from broker.errors import UsageError

__all__ = ["back_end_rules", "device_access", "device_logins", "hosting_rules"]


def device_access(spec: DeviceSpec, topics: Topics) -> list[Rule]:
    """Rules of a device that logs in as itself, in the contract or in its dialect."""
    if spec.dialect is None:
        return device_rules(topics, spec.device_id, spec.setup.name)
    constants = dialect_constants(spec.device_id, spec.owner, spec.setup, topics.root)
    return list(_dialect_rules(spec.dialect, constants, reads="read", writes="write"))


def hosting_rules(specs: Iterable[DeviceSpec], topics: Topics) -> list[Rule]:
    """Rules for dialects of the processes that host the devices."""
    constants = {"root": topics.root}
    return [
        rule
        for dialect in _dialects(specs)
        for rule in _dialect_rules(dialect, constants, reads="readwrite", writes="readwrite")
    ]


def back_end_rules(specs: Iterable[DeviceSpec], topics: Topics) -> list[Rule]:
    """Rules for dialects of an operator: it writes what devices read, and reads their answers."""
    constants = {"root": topics.root}
    return [
        rule
        for dialect in _dialects(specs)
        for rule in _dialect_rules(dialect, constants, reads="write", writes="read")
    ]


def device_logins(specs: Iterable[DeviceSpec], topics: Topics) -> list[Login]:
    """Logins of the devices that have one, for a broker that passfleet starts.

    Devices with the same user name have the permissions of all of them. Raises UsageError for a
    login that such a broker cannot check.
    """
    found: dict[str, Login] = {}
    for spec in specs:
        login = spec.login
        if login is None or login.username is None:
            continue
        if not login.password:
            raise UsageError(
                f"device {spec.device_id} logs in to a broker that passfleet starts without a"
                " password",
                hint='set password = { file = "secrets/{id}" } in its group',
            )
        client_id = login.client_id or device_client_id(topics.root, spec.device_id)
        known = found.get(login.username)
        if known is not None and known.password != login.password:
            raise UsageError(f"the user name {login.username!r} has two different passwords")
        found[login.username] = Login(
            username=login.username,
            password=login.password,
            rules=(*(known.rules or () if known else ()), *device_access(spec, topics)),
            client_ids=(*(known.client_ids if known else ()), client_id),
        )
    return list(found.values())


def _dialects(specs: Iterable[DeviceSpec]) -> Iterable[Dialect]:
    return {spec.dialect.name: spec.dialect for spec in specs if spec.dialect}.values()


def _dialect_rules(
    dialect: Dialect, constants: dict[str, str], *, reads: Access, writes: Access
) -> Iterator[Rule]:
    rules = {Rule(reads, name): None for name, _ in dialect.filters(constants)}
    rules |= {Rule(writes, each.topic.filter(constants)): None for each in dialect.outgoing}
    yield from rules
