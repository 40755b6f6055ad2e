"""`--web [HOST:PORT]`: an option whose value may be left out.

typer knows options with a value and options without one. So the value that was left out is put in
before typer reads the arguments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["DEFAULT_WEB", "with_web_address"]

DEFAULT_WEB: Final = "127.0.0.1:0"
"""The address of `--web` without a value: loopback, and a free port."""
_ADDRESS: Final = re.compile(r"\[[^\]]*\]:\d+|[^\s:/]*:[^\s:/]*|\d+")
"""What is meant as an address, right or wrong; a fleet file has no colon in its name."""


def with_web_address(arguments: Sequence[str]) -> list[str]:
    """The arguments, with DEFAULT_WEB after a `--web` that no address follows."""
    completed: list[str] = []
    following = [*arguments[1:], ""]
    for argument, after in zip(arguments, following, strict=True):
        bare = argument == "--web" and _ADDRESS.fullmatch(after) is None
        completed.append(f"--web={DEFAULT_WEB}" if bare else argument)
    return completed
