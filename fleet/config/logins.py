"""Logins of single devices: `client_id`, `username`, `password`, `cert` and `key` of a group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from broker.client.login import DeviceLogin
from broker.client.sas_token import decode_key
from broker.file_validation import KeyPath, Problem
from fleet.config.password import read_secret
from fleet.config.sections import GroupSection, PasswordSource

__all__ = ["LOGIN_KEYS", "device_login", "login_problems"]

LOGIN_KEYS: Final = ("client_id", "username", "password", "cert", "key")
_FIELD: Final = re.compile(r"\{(?:id|n)\b")


def login_problems(groups: Iterable[tuple[KeyPath, GroupSection]]) -> Iterator[Problem]:
    """Yield the problems of the groups' logins that can be known without reading files."""
    for path, group in groups:
        given = [key for key in LOGIN_KEYS if getattr(group, key) is not None]
        if given and group.connection == "shared":
            message = "devices that share a connection have no login of their own"
            yield Problem((*path, given[0]), message, "the login of [broker]")
            continue
        if group.key is not None and group.cert is None:
            expected = 'cert = "certs/{id}.pem" beside it'
            yield Problem((*path, "key"), "a client key needs its certificate", expected)
        if group.password is not None:
            yield from _password_problems(group, (*path, "password"))
        client_id = group.client_id
        if client_id is not None and group.count > 1 and not _FIELD.search(client_id):
            message = "devices with the same client id disconnect each other"
            yield Problem((*path, "client_id"), message, 'a template such as "{id}"')


def _password_problems(group: GroupSection, path: KeyPath) -> Iterator[Problem]:
    source = group.password
    assert source is not None  # noqa: S101  # checked by the caller
    if sum(each is not None for each in (source.env, source.file, source.sas_key)) != 1:
        expected = '{ file = "secrets/{id}" }, { env = "PW_{n}" } or { sas_key = "secrets/{id}" }'
        yield Problem(path, "a password has exactly one source", expected)
    if group.username is None:
        yield Problem(path, "a password needs a user name", 'username = "{id}"')


def device_login(
    group: GroupSection, n: int, device_id: str, folder: Path
) -> DeviceLogin | Problem | None:
    """Return the login of device `n` of a group, or the problem with its password.

    None if the group sets none. The path of a problem is the key within the group.
    """
    if all(getattr(group, key) is None for key in LOGIN_KEYS):
        return None

    def filled(template: str | None) -> str | None:
        return None if template is None else template.format(id=device_id, n=n)

    cert, key = filled(group.cert), filled(group.key)
    login = DeviceLogin(
        device_id=device_id,
        client_id=filled(group.client_id),
        username=filled(group.username),
        cert=None if cert is None else folder / cert,
        key=None if key is None else folder / key,
    )
    if group.password is None:
        return login
    source = group.password
    sas = source.sas_key is not None
    what = f"the {'key' if sas else 'password'} of device {device_id}"
    read = PasswordSource(env=filled(source.env), file=filled(source.sas_key or source.file))
    secret = read_secret(read, folder, key=("password",), what=what)
    if isinstance(secret, Problem):
        return secret
    return _with_secret(login, secret, what, sas=sas)


def _with_secret(login: DeviceLogin, secret: str, what: str, *, sas: bool) -> DeviceLogin | Problem:
    if not sas:
        return replace(login, password=secret)
    try:
        return replace(login, sas_key=decode_key(secret))
    except ValueError:
        return Problem(("password", "sas_key"), f"{what} is no Base64 text")
