"""Mosquitto's access rules and passwords as files: `acl_file` and `password_file`."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from broker.access import Login, Rule
from broker.errors import UsageError

__all__ = ["acl_lines", "check_username", "login_lines", "password_line"]

_ITERATIONS: Final = 101
"""Iterations of PBKDF2, as `mosquitto_passwd` has them: the broker repeats them at each CONNECT."""
_SALT: Final = 12
"""Bytes of salt, as `mosquitto_passwd` has them."""
_LONGEST_LINE: Final = 1023
"""Characters that Mosquitto 2.0 reads of one line of these files."""


def check_username(username: str) -> None:
    """Raise UsageError for a user name that Mosquitto's files cannot contain."""
    if not username or ":" in username or username != username.strip() or username[0] == "#":
        problem = "has spaces around it, a colon, or # at its start, or is empty"
    elif not username.isprintable() or len(username) > _LONGEST_LINE // 2:
        problem = "has control characters or is too long"
    else:
        return
    raise UsageError(
        f"the user name {username[:40]!r} cannot be written into Mosquitto's files: it {problem}",
        hint="use letters, digits, dots, dashes and underscores",
    )


def acl_lines(username: str, rules: Iterable[Rule]) -> Iterator[str]:
    """Yield the lines of one user in the access file. Raises UsageError for a bad user name."""
    check_username(username)
    yield f"user {username}"
    for access, topic_filter in rules:
        yield f"topic {access} {topic_filter}"
    yield ""


def password_line(username: str, password: str) -> str:
    """Return the line of one user in the password file; the salt is new at each call."""
    check_username(username)
    salt = secrets.token_bytes(_SALT)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"{username}:$7${_ITERATIONS}${_text(salt)}${_text(digest)}"


def login_lines(logins: Iterable[Login]) -> tuple[list[str], list[str]]:
    """Return the lines of the access file and of the password file for some logins."""
    everything = (Rule("readwrite", "#"), Rule("readwrite", "$aws/#"))
    acl: list[str] = []
    passwords: list[str] = []
    for login in logins:
        acl += acl_lines(login.username, everything if login.rules is None else login.rules)
        passwords.append(password_line(login.username, login.password))
    return acl, passwords


def _text(data: bytes) -> str:
    return b64encode(data).decode()
