"""Error classes of passfleet, by cause.

    PassfleetError               exit code 1 unless a subclass sets another
    ├── UsageError               command line or file is wrong: exit 2
    │   └── FileError            with file, line and key if they are known
    ├── BrokerError              broker absent, refuses or is lost: exit 3
    └── PeerError                device or host did not answer in time: exit 1

A message is one sentence for the user; `hint` is the remedy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["BrokerError", "FileError", "PassfleetError", "PeerError", "UsageError"]


class PassfleetError(Exception):
    """Base class of all passfleet errors.

    `hint` is the remedy, printed on a separate line.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PassfleetError):
    """Wrong argument or unknown name."""

    exit_code = 2


class FileError(UsageError):
    """Invalid file.

    `line` and `column` count from 1; `key` is the dotted path of the wrong key; `expected`
    describes valid values. `others` are the further problems of the same file, in its order.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path | str,
        line: int | None = None,
        column: int | None = None,
        key: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
        others: Sequence[FileError] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.others = tuple(others)
        self.path = str(path)
        self.line = line
        self.column = column
        self.key = key
        self.expected = expected

    def __str__(self) -> str:
        """Return `fleet.toml:12: phones.platform: …; expected …` on one line."""
        numbers = (self.line, self.column)
        place = ":".join([self.path, *(str(number) for number in numbers if number is not None)])
        parts = [place, *([self.key] if self.key else []), self.message]
        text = ": ".join(parts)
        return f"{text}; expected {self.expected}" if self.expected else text


class BrokerError(PassfleetError):
    """Broker absent, connection refused or lost."""

    exit_code = 3


class PeerError(PassfleetError):
    """Device or host that did not answer in time."""
