"""Every error that passfleet raises on purpose, by whose fault it was.

    PassfleetError               exit code 1 unless a branch says otherwise
    ├── UsageError               the command line's or a file's: exit 2
    │   └── FileError            with file, line and key where they are known
    ├── BrokerError              the broker's: not there, refused, lost: exit 3
    └── PeerError                the other side's: a device or host that did not do its part: exit 1

They stand here, on the ground floor, because every floor above raises or catches one.
A message is one sentence for the user; `hint` is what to do about it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["BrokerError", "FileError", "PassfleetError", "PeerError", "UsageError"]


class PassfleetError(Exception):
    """The root: anything passfleet itself says went wrong.

    `hint` says what to do about it and is printed on a line of its own.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PassfleetError):
    """What was asked for cannot be: a wrong argument, an unknown name."""

    exit_code = 2


class FileError(UsageError):
    """A file is not as it must be.

    `line` and `column` count from 1; `key` is the dotted path of the key at fault; `expected` is
    what would have been right.
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
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = str(path)
        self.line = line
        self.column = column
        self.key = key
        self.expected = expected

    def __str__(self) -> str:
        """`fleet.toml:12: phones.platform: …; expected …` on one line."""
        where = (self.line, self.column)
        place = ":".join([self.path, *(str(number) for number in where if number is not None)])
        parts = [place, *([self.key] if self.key else []), self.message]
        text = ": ".join(parts)
        return f"{text}; expected {self.expected}" if self.expected else text


class BrokerError(PassfleetError):
    """The broker is not there, refuses login or certificate, or went away."""

    exit_code = 3


class PeerError(PassfleetError):
    """The other side did not do its part within the time it had."""
