"""Mosquitto's access and password files for a fleet: each device has a login and its own topics."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.device_factory import DeviceSpec
from broker.access import Rule, host_rules, operator_rules
from broker.contract import Topics
from broker.errors import FileError, UsageError
from broker.server.mosquitto_files import acl_lines, password_line
from fleet.config.access import back_end_rules, device_access, hosting_rules
from fleet.config.loader import FleetConfig
from fleet.config.sections import GroupSection

__all__ = ["AccessFiles", "Identity", "access_files", "write_access_files"]

_HOST: Final = "fleet"
_OPERATOR: Final = "operator"
_SECRETS: Final = "secrets"
_PASSWORD_BYTES: Final = 24
"""Random bytes of a password that is created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One login: `role` is `host`, `operator` or `device`.

    `file` is the password's file, None for a password from the environment or from no source.
    """

    username: str
    role: str
    rules: Sequence[Rule]
    device: str | None = None
    password: str | None = None
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFiles:
    """Texts of the files, and the identities; those of `missing` have no password yet."""

    acl: str
    passwords: str
    identities: Sequence[Identity]
    missing: Sequence[str]


def access_files(config: FleetConfig, folder: Path | None) -> AccessFiles:
    """Make the files. With `folder`, passwords that do not exist yet are created.

    They are created where the fleet file looks for them, otherwise in `folder`/secrets. Raises
    FileError or UsageError for a password that cannot be read or created, and for a user name that
    Mosquitto's files cannot contain.
    """
    found = [_with_password(each, create=folder is not None) for each in _all(config, folder)]
    repeated = {each.username for each in found if each.role != "device"}
    if any(each.username in repeated for each in found if each.role == "device"):
        raise UsageError(
            "a device has the user name of the fleet or of the operator",
            hint="change `username` of the group, or of [broker]",
        )
    acl = [line for each in found for line in acl_lines(each.username, each.rules)]
    passwords = [
        password_line(each.username, each.password)
        if each.password
        else f"# {each.username} has no password yet"
        for each in found
    ]
    return AccessFiles(
        acl="\n".join(acl),
        passwords="\n".join(passwords) + "\n",
        identities=found,
        missing=[each.username for each in found if each.password is None],
    )


def write_access_files(files: AccessFiles, folder: Path, *, force: bool) -> list[Path]:
    """Write the files into `folder`, readable by their owner alone; return their paths.

    Raises FileError for a file that exists, unless `force`, or that cannot be written.
    """
    access, passwords = folder / "mosquitto.acl", folder / "mosquitto.passwd"
    settings = (
        "# Access rules of passfleet: include this file in mosquitto.conf.\n"
        "allow_anonymous false\n"
        f"acl_file {access.resolve()}\npassword_file {passwords.resolve()}\n"
    )
    texts = {access: files.acl, passwords: files.passwords, folder / "mosquitto.conf": settings}
    for path in texts:
        if path.exists() and not force:
            raise FileError("exists already", path=path, hint="add --force to write it again")
    for path, text in texts.items():
        _write(path, text)
    return list(texts)


def _all(config: FleetConfig, folder: Path | None) -> Iterator[Identity]:
    topics = Topics(config.root)
    # Without their passwords, which may not exist yet.
    groups = [group.model_copy(update={"password": None}) for group in config.groups]
    specs = {
        group.name: replace(config, groups=(bare,)).devices()
        for group, bare in zip(config.groups, groups, strict=True)
    }
    every = [spec for group in specs.values() for spec in group]
    host = config.broker.username or _HOST
    rules = [*host_rules(topics), *hosting_rules(every, topics)]
    source = config.broker.password
    path = config.folder / source.file if source and source.file else _secret(folder, host)
    if source and source.env:
        yield Identity(username=host, role="host", rules=rules, password=config.password())
    else:
        yield Identity(username=host, role="host", rules=rules, file=path)
    rules = [*operator_rules(topics), *back_end_rules(every, topics)]
    yield Identity(
        username=_OPERATOR, role="operator", rules=rules, file=_secret(folder, _OPERATOR)
    )
    for group in config.groups:
        for n, spec in enumerate(specs[group.name], 1):
            if not spec.shared:
                yield _device(config, group, n, spec, folder)


def _device(
    config: FleetConfig, group: GroupSection, n: int, spec: DeviceSpec, folder: Path | None
) -> Identity:
    device_id, source = spec.device_id, group.password
    name = spec.login.username if spec.login is not None and spec.login.username else device_id
    identity = Identity(
        username=name,
        role="device",
        rules=device_access(spec, Topics(config.root)),
        device=device_id,
    )
    if source is not None and source.env:
        variable = source.env.format(id=device_id, n=n)
        return replace(identity, password=os.environ.get(variable) or None)
    if source is not None and source.file:
        return replace(identity, file=config.folder / source.file.format(id=device_id, n=n))
    return replace(identity, file=_secret(folder, device_id))


def _secret(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / _SECRETS / name


def _with_password(identity: Identity, *, create: bool) -> Identity:
    path = identity.file
    if path is None or identity.password is not None:
        return identity
    try:
        password = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        if not create:
            return identity
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        _write(path, password + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"the password cannot be read: {error}", path=path) from None
    if not password:
        raise FileError("the password is empty", path=path)
    return replace(identity, password=password)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read; a link in its place is replaced."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        scratch.replace(path)
    except OSError as error:
        raise FileError(f"cannot be written: {error.strerror}", path=path) from None
