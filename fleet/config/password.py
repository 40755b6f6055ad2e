"""Reading of secrets from an environment variable or a file.

The fleet file names the source and never holds the secret.
"""

from __future__ import annotations

import os
from pathlib import Path

from broker.file_validation import KeyPath, Problem
from fleet.config.sections import PasswordSource

__all__ = ["read_secret"]


def read_secret(
    source: PasswordSource,
    folder: Path,
    *,
    key: KeyPath = ("broker", "password"),
    what: str = "the broker's password",
) -> str | Problem:
    """The secret, or the problem with its source.

    `folder` is the base of a relative path, `key` the key that names the source, `what` the
    secret's name in messages.
    """
    if source.env is not None:
        return _from_environment(source.env, (*key, "env"), what)
    return _from_file(folder / (source.file or ""), (*key, "file"), what)


def _from_environment(name: str, key: KeyPath, what: str) -> str | Problem:
    secret = os.environ.get(name)
    if secret:
        return secret
    return Problem(
        key,
        f"{what} is read from the environment variable {name}, which is"
        f" {'not set' if secret is None else 'empty'}",
        hint=f"export {name}=... before you start passfleet",
    )


def _from_file(path: Path, key: KeyPath, what: str) -> str | Problem:
    try:
        secret = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        return Problem(key, f"{what} cannot be read from {path}: {why}")
    if not secret:
        return Problem(key, f"{what} is read from {path}, which is empty")
    return secret
