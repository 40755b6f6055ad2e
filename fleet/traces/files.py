"""Trace files among files and folders, and traces cut at an instant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from broker.errors import UsageError
from broker.timestamps import parse_timestamp
from scenarios.traces.format import Trace

__all__ = ["cut_at", "find_traces"]

_ENDING: Final = ".jsonl"
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_DAY: Final = 24 * 60 * 60 * 1000


def find_traces(paths: Sequence[Path]) -> list[Path]:
    """Return the files among `paths` and the traces in the folders among them, each once.

    Raises UsageError for a folder without a trace.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        inside = sorted(path.rglob(f"*{_ENDING}"))
        if not inside:
            raise UsageError(f"there is no trace in {path}", hint=f"traces end in {_ENDING}")
        found.update(dict.fromkeys(inside))
    return list(found)


def cut_at(trace: Trace, until: str) -> Trace:
    """Return the trace up to a time: a time of day in UTC, or an instant.

    A time of day is the first one at or after the start. Raises UsageError for anything else, or
    for an instant before the start.
    """
    instant = _instant(trace.header.start, until)
    if instant < trace.header.start:
        raise UsageError(f"--until {until} is before the trace starts")
    messages = tuple(message for message in trace.messages if message.at <= instant)
    return replace(trace, messages=messages, end=min(trace.end, instant), broken_off=True)


def _instant(start: int, until: str) -> int:
    match = _TIME.fullmatch(until)
    if match is not None:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        at = start - start % _DAY + ((hours * 60 + minutes) * 60 + seconds) * 1000
        return at if at >= start else at + _DAY
    try:
        return parse_timestamp(until)
    except ValueError:
        raise UsageError(
            f"--until: {until!r} is not a time",
            hint="write 12:30, 12:30:05 or 2015-12-10T20:30:00Z",
        ) from None
