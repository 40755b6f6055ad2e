"""Logging to stderr, one line per record, at the level that the user chooses."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

from broker.errors import UsageError

__all__ = ["configure_logging"]


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Handler for the current sys.stderr, which rich replaces while a live table is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)


_LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(level: str) -> None:
    """Log passfleet's own records from `level` on, those of libraries from warning on.

    Libraries stay at warning for every `level`: below that, some write payloads, which hold
    passcodes. Raises UsageError for an unknown level.
    """
    if level.lower() not in _LEVELS:
        raise UsageError(
            f"--log-level: {level!r} is not a level", hint=f"one of {', '.join(_LEVELS)}"
        )
    logging.basicConfig(
        handlers=[_StderrHandler()],
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("passfleet").setLevel(level.upper())
