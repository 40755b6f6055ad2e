"""Logging: to stderr, one line a record, at the level the user asks for."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

from broker.errors import UsageError

__all__ = ["configure_logging"]


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at that moment: above a live table while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)


_LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(level: str) -> None:
    """Log passfleet's own records from `level` on; libraries' from warning on.

    Libraries are kept at warning whatever is asked: below that, some of them write payloads, which
    hold passcodes. Raises UsageError for an unknown level.
    """
    if level.lower() not in _LEVELS:
        raise UsageError(
            f"--log-level: {level!r} is not a level", hint=f"one of {', '.join(_LEVELS)}"
        )
    logging.basicConfig(
        handlers=[_ToStderr()],
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("passfleet").setLevel(level.upper())
