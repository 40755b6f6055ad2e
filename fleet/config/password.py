"""The broker's password, fetched from where the fleet file says it is; it never stands in it."""

from __future__ import annotations

import os
from pathlib import Path

from broker.validation import Problem
from fleet.config.tables import PasswordSource

__all__ = ["fetched"]


def fetched(source: PasswordSource, folder: Path) -> str | Problem:
    """The password; or what is wrong with where it is to be. `folder` is where its path starts."""
    if source.env is not None:
        return _from_environment(source.env)
    return _from_file(folder / (source.file or ""))


def _from_environment(name: str) -> str | Problem:
    password = os.environ.get(name)
    if password:
        return password
    return Problem(
        ("broker", "password", "env"),
        f"the broker's password is to be in the environment variable {name}, which is"
        f" {'not set' if password is None else 'empty'}",
        hint=f"export {name}=... before you start passfleet",
    )


def _from_file(path: Path) -> str | Problem:
    where = ("broker", "password", "file")
    try:
        password = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        return Problem(where, f"the broker's password cannot be read from {path}: {why}")
    if not password:
        return Problem(where, f"the broker's password is to be in {path}, which is empty")
    return password
