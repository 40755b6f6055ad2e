"""Reader of trace files; its errors contain the line number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from broker.bounded_file import read_bounded
from broker.contract import DEVICE_ID
from broker.errors import FileError
from broker.file_validation import shorten_value
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

_MAX_SIZE: Final = 256 * 1024 * 1024
_READABLE_VERSIONS: Final = (1, VERSION)
_NAME: Final = re.compile(DEVICE_ID)
_MESSAGES: Final = {"missing": "this key is missing", "extra_forbidden": "unknown key"}
_EXPECTED: Final = "a trace that `passfleet record` or `passfleet play --record` wrote"


def read_trace(path: Path, *, partial: bool = False) -> Trace:
    """Read a trace. With `partial`, accept an incomplete one and read it as far as possible.

    Raises FileError with the line if the file cannot be read, is not a trace, or is incomplete.
    """
    return _Reader(path, partial=partial).read()


class _Reader:
    """Line-by-line reader of one file."""

    def __init__(self, path: Path, *, partial: bool) -> None:
        self._path = path
        self._partial = partial
        self._number = self._count = 0
        self._devices: dict[str, TraceDevice] = {}
        self._messages: list[TraceMessage] = []

    def read(self) -> Trace:
        """Return the trace."""
        lines = self._lines()
        if not lines:
            raise self._error("the file is empty", line=1)
        self._number, self._count = 1, len(lines)
        self._head = self._header(self._json(lines[0]))
        for device in self._head.devices:
            self._add_device(device)
        end: TraceEnd | None = None
        for self._number, text in enumerate(lines[1:], 2):
            if end is not None:
                raise self._error("there are lines after the end of the trace")
            if self._partial and self._number == len(lines) and not _is_complete(text):
                break
            end = self._read_line(self._json(text))
        if end is not None and end.messages != len(self._messages):
            raise self._error(
                f"lines are missing in the trace: {len(self._messages)} of {end.messages} messages"
            )
        if end is None and not self._partial:
            raise self._incomplete("the trace is incomplete: its last line is missing")
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
            # Not splitlines(): it also splits at Unicode line separators inside JSON strings.
            text = read_bounded(self._path, _MAX_SIZE, "a trace").decode()
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
                raise self._incomplete("the line is not JSON: the trace is incomplete") from None
            raise self._error("the line is not JSON") from None
        if not isinstance(document, dict):
            raise self._error("the line is not a JSON object")
        return document

    def _header(self, document: dict[str, Any]) -> TraceHeader:
        if document.get("format") != FORMAT:
            raise self._error(
                "this is not a trace: the first line has no format key passfleet-trace"
            )
        version = document.get("version")
        if version not in _READABLE_VERSIONS:
            newer = isinstance(version, int) and version > VERSION
            raise self._error(
                f"the trace is of version {shorten_value(version)},"
                " which this passfleet cannot read",
                expected=f"version {' or '.join(map(str, _READABLE_VERSIONS))}",
                hint="a newer passfleet wrote it: replay the trace with that version"
                if newer
                else None,
            )
        return self._validate(TraceHeader, document)

    def _read_line(self, document: dict[str, Any]) -> TraceEnd | None:
        if "end" in document:
            return self._validate(TraceEnd, document)
        if "clock" in document:
            self._set_clock(self._validate(TraceClock, document))
            return None
        if "device" in document:
            device = self._validate(TraceDevice, document["device"])
            self._add_device(device.model_copy(update={"line": self._number}))
            return None
        # Validated separately: a payload may be nested as deeply as JSON allows, the line may not.
        if "payload" not in document:
            raise self._error(_MESSAGES["missing"], key="payload")
        payload = document.pop("payload")
        message = self._validate(TraceMessage, document)
        if not is_trace_topic(message.topic):
            raise self._error(f"unknown topic: {message.topic[:80]!r}")
        update = {"payload": payload, "line": self._number}
        self._messages.append(message.model_copy(update=update))
        return None

    def _set_clock(self, clock: TraceClock) -> None:
        self._head = self._head.model_copy(update={"clock": clock.clock, "start": clock.now})
        self._messages = [m.model_copy(update={"at": clock.now}) for m in self._messages]

    def _add_device(self, device: TraceDevice) -> None:
        if not _NAME.fullmatch(device.device_id):
            raise self._error(
                f"{shorten_value(device.device_id)} cannot be the id of a device",
                expected="1 to 64 letters, digits, dots, dashes or underscores",
            )
        known = self._devices.get(device.device_id)
        # A device that joined later has a second line once its host has sent its facts.
        if known is None or (known.setup is None and device.setup is not None):
            self._devices[device.device_id] = device

    def _validate(self, model: type[M], document: object) -> M:
        try:
            # JSON mode accepts instants as text.
            return model.model_validate_json(json.dumps(document))
        except ValidationError as invalid:
            problem = invalid.errors(include_url=False, include_input=False)[0]
            words = str(problem.get("ctx", {}).get("error", problem["msg"]))
            where = ".".join(str(part) for part in problem["loc"])
            raise self._error(_MESSAGES.get(problem["type"], words), key=where or None) from None

    def _incomplete(self, message: str) -> FileError:
        return self._error(message, hint="--partial replays the complete lines")

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


def _is_complete(line: str) -> bool:
    """Return True if a line is a complete JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
