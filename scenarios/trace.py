"""Traces: what went over the wire, in a file that can be played again.

JSON lines. The first names format, version and topic root and tells of every device what is needed
to make a fresh one; then comes one line a message; the last says where the trace ends, so that one
that broke off is known for it:

    {"format": "passfleet-trace", "version": 1, "root": "passfleet/v1", "clock": "virtual", ...}
    {"at": "2015-12-10T20:19:07Z", "topic": "devices/ios-001/commands", "payload": {...},
     "retained": false}
    {"end": "2015-12-10T20:24:07Z", "messages": 12}

A device that joined later has a line of its own, `{"device": {...}}`. Passcodes and passwords are
placeholders (`scenarios.redaction`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from broker.contract import DeviceState, Instant, Policy
from broker.errors import FileError, UsageError
from broker.instants import format_instant
from scenarios.redaction import PASSCODE, Redactor

L = TypeVar("L", bound=BaseModel)

__all__ = [
    "FORMAT",
    "OPERATOR_LEAVES",
    "PUBLISHED_LEAVES",
    "VERSION",
    "Trace",
    "TraceDevice",
    "TraceHeader",
    "TraceMessage",
    "TraceWriter",
    "read_trace",
]

FORMAT: Final = "passfleet-trace"
VERSION: Final = 1
OPERATOR_LEAVES: Final = ("commands", "inputs", "messages", "simulate")
"""What is sent to devices, by the last level of the topic."""
PUBLISHED_LEAVES: Final = ("results", "escrow", "notifications", "state", "presence")
"""What devices publish."""
_EXPECTED: Final = "a trace that `passfleet record` or `passfleet play --record` wrote"


class _Line(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class TraceDevice(_Line):
    """What is known of a device at the trace's start.

    `state` is its snapshot, `policy` what was in force, `online` whether it had a connection.
    `passcode`, where the writer knows it, is the one it starts with: in clear when handed to
    `TraceWriter`, a placeholder in the file.
    """

    state: DeviceState
    policy: Policy | None = None
    online: bool = True
    passcode: Annotated[str | dict[str, Any] | None, Field(repr=False)] = None

    @property
    def device_id(self) -> str:
        """The device id."""
        return self.state.device_id


class TraceHeader(_Line):
    """The first line. `clock` is `virtual`, `real`, or a speed such as `60x`."""

    format: Literal["passfleet-trace"] = FORMAT
    version: Literal[1] = VERSION
    root: str
    clock: str
    start: Instant
    devices: tuple[TraceDevice, ...] = ()


class TraceMessage(_Line):
    """One message: instant, topic below the root, payload without its secrets.

    `line` is where it stands in the file.
    """

    at: Instant
    topic: str
    payload: Any
    retained: bool = False
    line: Annotated[int, Field(exclude=True)] = 0

    @property
    def leaf(self) -> str:
        """The topic's last level."""
        return self.topic.rpartition("/")[2]

    @property
    def device_id(self) -> str | None:
        """Whose topic it is, None for a group's and the clock's."""
        parts = self.topic.split("/")
        return parts[1] if parts[0] == "devices" else None


class _End(_Line):
    end: Instant
    messages: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole trace. `devices` are those of the header and those that joined later, by id."""

    path: Path
    header: TraceHeader
    devices: Mapping[str, TraceDevice]
    messages: tuple[TraceMessage, ...] = field(repr=False)
    end: int


class TraceWriter:
    """Writes a trace, message by message, and takes the secrets out.

    As a context manager it ends the trace on the way out, at the last instant it heard of. After an
    exception the trace is left broken off, which a reader then says.
    """

    def __init__(self, path: Path, header: TraceHeader) -> None:
        self._redactor = Redactor()
        self._last = header.start
        self.messages = 0
        """How many messages were written."""
        try:
            # Open as long as the trace is written: the writer is the context manager.
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None
        devices = tuple(self._without_passcode(device) for device in header.devices)
        self._write(header.model_copy(update={"devices": devices}))

    def __enter__(self) -> Self:
        """The writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the trace."""
        if error is None:
            self.close()
        else:
            self._file.close()

    def device(self, device: TraceDevice) -> None:
        """A device joined."""
        line = self._without_passcode(device).model_dump(mode="json", by_alias=True)
        self._write_line({"device": line})

    def message(self, instant: int, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        """A message went over the wire. `topic` is below the root: `devices/<id>/<leaf>`."""
        leaf = topic.rpartition("/")[2]
        self._last = max(self._last, instant)
        self.messages += 1
        self._write_line(
            {
                "at": format_instant(instant),
                "topic": topic,
                "payload": self._redactor.payload(leaf, payload),
                "retained": retained,
            }
        )

    def close(self, instant: int | None = None) -> None:
        """End the trace, at `instant` where something passed after the last message."""
        if self._file.closed:
            return
        end = max(self._last, instant or 0)
        self._write_line({"end": format_instant(end), "messages": self.messages})
        self._file.close()

    def _without_passcode(self, device: TraceDevice) -> TraceDevice:
        if not isinstance(device.passcode, str):
            return device
        placeholder = self._redactor.secret(PASSCODE, device.passcode)
        return device.model_copy(update={"passcode": placeholder})

    def _write(self, line: _Line) -> None:
        self._write_line(line.model_dump(mode="json", by_alias=True))

    def _write_line(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        # Whoever kills the recorder keeps what was recorded.
        self._file.flush()


def read_trace(path: Path) -> Trace:
    """Read a whole trace.

    Raises FileError, with the line, for a file that cannot be read, is no trace, or breaks off.
    """
    return _Reader(path).read()


class _Reader:
    """Reads one file, line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._devices: dict[str, TraceDevice] = {}
        self._messages: list[TraceMessage] = []

    def read(self) -> Trace:
        """The trace."""
        lines = self._lines()
        if not lines:
            raise self._error("the file is empty", line=1)
        self._number = 1
        header = self._header(self._json(lines[0]))
        for device in header.devices:
            self._devices[device.device_id] = device
        end: _End | None = None
        for self._number, text in enumerate(lines[1:], 2):
            if end is not None:
                raise self._error("there is more after the end of the trace")
            end = self._take(self._json(text))
        if end is None:
            raise self._error("the trace breaks off here: its last line is missing")
        if end.messages != len(self._messages):
            raise self._error(
                f"the trace has lost lines: {len(self._messages)} of {end.messages} messages"
            )
        return Trace(self._path, header, self._devices, tuple(self._messages), end.end)

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
        except ValueError:
            last = "" if self._number == 1 else "; the trace breaks off here"
            raise self._error(f"the line is not JSON{last}") from None
        if not isinstance(document, dict):
            raise self._error("the line is no JSON object")
        return document

    def _header(self, document: dict[str, Any]) -> TraceHeader:
        if document.get("format") != FORMAT:
            raise self._error("this is no trace: its first line does not say so")
        if document.get("version") != VERSION:
            raise self._error(
                "the trace is of a version that this passfleet cannot read",
                expected=f"version {VERSION}",
            )
        return self._checked(TraceHeader, document)

    def _take(self, document: dict[str, Any]) -> _End | None:
        if "end" in document:
            return self._checked(_End, document)
        if "device" in document:
            device = self._checked(TraceDevice, document["device"])
            self._devices.setdefault(device.device_id, device)
            return None
        message = self._checked(TraceMessage, document)
        if not _known(message.topic):
            raise self._error(f"no such topic below the root: {message.topic[:80]!r}")
        self._messages.append(message.model_copy(update={"line": self._number}))
        return None

    def _checked(self, model: type[L], document: object) -> L:
        try:
            # JSON mode: instants are text in a file, numbers in the program.
            return model.model_validate_json(json.dumps(document))
        except ValidationError as invalid:
            problem = invalid.errors(include_url=False, include_context=False, include_input=False)
            where = ".".join(str(part) for part in problem[0]["loc"])
            raise self._error(
                f"{where}: {problem[0]['msg']}" if where else problem[0]["msg"]
            ) from (None)

    def _error(
        self, message: str, *, line: int | None = None, expected: str = _EXPECTED
    ) -> FileError:
        return FileError(
            message, path=self._path, line=line or max(1, self._number), expected=expected
        )


def _known(topic: str) -> bool:
    """Whether a topic below the root is one of the contract's."""
    match topic.split("/"):
        case ["devices", device_id, leaf]:
            return bool(device_id) and leaf in (*OPERATOR_LEAVES, *PUBLISHED_LEAVES)
        case ["groups", group, "commands"]:
            return bool(group)
        case ["clock"]:
            return True
    return False
