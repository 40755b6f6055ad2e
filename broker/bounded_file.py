"""Reading of a file that a user names, with a limit on its size."""

from __future__ import annotations

from pathlib import Path

from broker.errors import FileError

__all__ = ["read_bounded"]

_KIB = 1024


def read_bounded(path: Path, limit: int, what: str) -> bytes:
    """Return the content of a file of at most `limit` bytes; never read more than that.

    `what` names the kind of file in the error. Raises FileError for a larger file, OSError for one
    that cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        size = f"at most {limit // _KIB} KiB"
        raise FileError(f"too large to be {what}", path=path, expected=size)
    return data
