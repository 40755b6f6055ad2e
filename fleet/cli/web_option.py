"""Option `--web [HOST:PORT]`, whose value is optional.

typer has no options with an optional value, so a default value is inserted before typer parses the
arguments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["DEFAULT_WEB", "with_web_address"]

DEFAULT_WEB: Final = "127.0.0.1:0"
"""The address of `--web` without a value: loopback, and a free port."""
_ADDRESS: Final = re.compile(r"\[[^\]]*\]:\d+|[^\s:/]*:[^\s:/]*|\d+")
"""Argument taken as an address, valid or not; a fleet file has no colon in its name."""


def with_web_address(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, with DEFAULT_WEB as the value of a `--web` without address."""
    completed: list[str] = []
    following = [*arguments[1:], ""]
    for argument, after in zip(arguments, following, strict=True):
        bare = argument == "--web" and _ADDRESS.fullmatch(after) is None
        completed.append(f"--web={DEFAULT_WEB}" if bare else argument)
    return completed
