"""Traces read from their files, with the line of what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from broker.contract import DEVICE_ID
from broker.errors import FileError
from broker.validation import shorten_value
from scenarios.traces.format import (
    FORMAT,
    VERSION,
    Trace,
    TraceClock,
    TraceDevice,
    TraceEnd,
    TraceHeader,
    TraceMessage,
    is_trace_topic,
)

__all__ = ["read_trace"]

M = TypeVar("M", bound=BaseModel)

_READ: Final = (1, VERSION)
_NAME: Final = re.compile(DEVICE_ID)
_WORDS: Final = {"missing": "this key is missing", "extra_forbidden": "unknown key"}
_EXPECTED: Final = "a trace that `passfleet record` or `passfleet play --record` wrote"


def read_trace(path: Path, *, partial: bool = False) -> Trace:
    """Read a whole trace, or with `partial` what there is of one that breaks off.

    Raises FileError, with the line, for a file that cannot be read, is no trace, or breaks off.
    """
    return _Reader(path, partial=partial).read()


class _Reader:
    """Reads one file, line by line."""

    def __init__(self, path: Path, *, partial: bool) -> None:
        self._path = path
        self._partial = partial
        self._number = self._count = 0
        self._devices: dict[str, TraceDevice] = {}
        self._messages: list[TraceMessage] = []

    def read(self) -> Trace:
        """The trace."""
        lines = self._lines()
        if not lines:
            raise self._error("the file is empty", line=1)
        self._number, self._count = 1, len(lines)
        self._head = self._header(self._json(lines[0]))
        for device in self._head.devices:
            self._join(device)
        end: TraceEnd | None = None
        for self._number, text in enumerate(lines[1:], 2):
            if end is not None:
                raise self._error("there is more after the end of the trace")
            if self._partial and self._number == len(lines) and not _is_whole(text):
                break
            end = self._take(self._json(text))
        if end is not None and end.messages != len(self._messages):
            raise self._error(
                f"the trace has lost lines: {len(self._messages)} of {end.messages} messages"
            )
        if end is None and not self._partial:
            raise self._broken_off("the trace breaks off here: its last line is missing")
        last = max((message.at for message in self._messages), default=self._head.start)
        return Trace(
            path=self._path,
            header=self._head,
            devices=self._devices,
            messages=tuple(self._messages),
            end=end.end if end else last,
            broken_off=end is None,
        )

    def _lines(self) -> list[str]:
        try:
            # Not splitlines(): JSON text may hold the line separators of other alphabets.
            text = self._path.read_bytes().decode()
            return text.removesuffix("\n").split("\n") if text else []
        except FileNotFoundError:
            raise FileError("there is no such file", path=self._path) from None
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
            raise FileError(why, path=self._path, expected=_EXPECTED) from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise self._error("not UTF-8 text", line=line) from None

    def _json(self, text: str) -> dict[str, Any]:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            if self._number == self._count > 1:
                raise self._broken_off("the line is not JSON; the trace breaks off here") from None
            raise self._error("the line is not JSON") from None
        if not isinstance(document, dict):
            raise self._error("the line is no JSON object")
        return document

    def _header(self, document: dict[str, Any]) -> TraceHeader:
        if document.get("format") != FORMAT:
            raise self._error("this is no trace: its first line does not say so")
        version = document.get("version")
        if version not in _READ:
            newer = isinstance(version, int) and version > VERSION
            raise self._error(
                f"the trace is of version {shorten_value(version)},"
                " which this passfleet cannot read",
                expected=f"version {' or '.join(map(str, _READ))}",
                hint="a newer passfleet wrote it: replay it with that one" if newer else None,
            )
        return self._checked(TraceHeader, document)

    def _take(self, document: dict[str, Any]) -> TraceEnd | None:
        if "end" in document:
            return self._checked(TraceEnd, document)
        if "clock" in document:
            self._set_clock(self._checked(TraceClock, document))
            return None
        if "device" in document:
            device = self._checked(TraceDevice, document["device"])
            self._join(device.model_copy(update={"line": self._number}))
            return None
        # Aside: JSON as a device takes it may be nested deeper than the line around it could be.
        if "payload" not in document:
            raise self._error(_WORDS["missing"], key="payload")
        payload = document.pop("payload")
        message = self._checked(TraceMessage, document)
        if not is_trace_topic(message.topic):
            raise self._error(f"no such topic below the root: {message.topic[:80]!r}")
        told = {"payload": payload, "line": self._number}
        self._messages.append(message.model_copy(update=told))
        return None

    def _set_clock(self, told: TraceClock) -> None:
        self._head = self._head.model_copy(update={"clock": told.clock, "start": told.now})
        self._messages = [m.model_copy(update={"at": told.now}) for m in self._messages]

    def _join(self, device: TraceDevice) -> None:
        if not _NAME.fullmatch(device.device_id):
            raise self._error(
                f"{shorten_value(device.device_id)} cannot be the id of a device",
                expected="1 to 64 letters, digits, dots, dashes or underscores",
            )
        known = self._devices.get(device.device_id)
        # Of one that joined later there may be a second line: what its host told of it meanwhile.
        if known is None or (known.setup is None and device.setup is not None):
            self._devices[device.device_id] = device

    def _checked(self, model: type[M], document: object) -> M:
        try:
            # JSON mode: instants are text in a file, numbers in the program.
            return model.model_validate_json(json.dumps(document))
        except ValidationError as invalid:
            problem = invalid.errors(include_url=False, include_input=False)[0]
            words = str(problem.get("ctx", {}).get("error", problem["msg"]))
            where = ".".join(str(part) for part in problem["loc"])
            raise self._error(_WORDS.get(problem["type"], words), key=where or None) from None

    def _broken_off(self, message: str) -> FileError:
        return self._error(message, hint="--partial plays what there is of it")

    def _error(
        self,
        message: str,
        *,
        line: int | None = None,
        key: str | None = None,
        expected: str = _EXPECTED,
        hint: str | None = None,
    ) -> FileError:
        return FileError(
            message,
            path=self._path,
            line=line or max(1, self._number),
            key=key,
            expected=expected,
            hint=hint,
        )


def _is_whole(line: str) -> bool:
    """Whether a line was written to its end."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
