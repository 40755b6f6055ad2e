"""Traces: what went over the wire, in a file that can be played again.

JSON lines. The first names format, version and topic root and tells of every device what is needed
to make a fresh one; then comes one line a message; the last says where the trace ends, so that one
that broke off is known for it:

    {"format": "passfleet-trace", "version": 2, "root": "passfleet/v1", "clock": "virtual", ...}
    {"at": "2015-12-10T20:19:07Z", "topic": "devices/ios-001/commands", "payload": {...},
     "retained": false}
    {"end": "2015-12-10T20:24:07Z", "messages": 12}

A device that joined later has a line of its own, `{"device": {...}}`, and a second one once its
host has told of it. Where the fleet that joined keeps a time of its own, a line `{"clock": ...,
"now": ...}` says so: what stands before happened at that instant. Passcodes and passwords are
placeholders (`scenarios.traces.placeholders`).

Version 1 did not tell how devices were set up (`scenarios.traces.device_facts`), nor of
platforms of a
fleet's own. It is still read: its devices are taken to be as the platform's usually are.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator

from agent.definition.device import Conformance
from broker.contract import DEVICE_ID, DeviceState, Instant, Policy
from broker.errors import FileError, UsageError
from broker.timestamps import format_timestamp
from platforms.conformance import DEFAULT_CONFORMANCE
from scenarios.traces.device_facts import DeviceMemory, DeviceSetup, TraceModel
from scenarios.traces.placeholders import PASSCODE, Redactor, is_placeholder

__all__ = [
    "FORMAT",
    "OPERATOR_LEAVES",
    "PUBLISHED_LEAVES",
    "VERSION",
    "Trace",
    "TraceClock",
    "TraceDevice",
    "TraceEnd",
    "TraceHeader",
    "TraceMessage",
    "TraceWriter",
    "is_trace_topic",
    "trace_exists_error",
]

FORMAT: Final = "passfleet-trace"
VERSION: Final = 2
"""What is written. Version 1 is read as well."""
OPERATOR_LEAVES: Final = ("commands", "inputs", "messages", "simulate")
"""What is sent to devices, by the last level of the topic."""
PUBLISHED_LEAVES: Final = ("results", "escrow", "notifications", "state", "presence")
"""What devices publish."""
_NAME: Final = re.compile(DEVICE_ID)
_ROOT: Final = r"^[^\x00-\x1f+#$/][^\x00-\x1f+#]*$"


class TraceDevice(TraceModel):
    """What is known of a device at the trace's start.

    `state` is its snapshot, `policy` what was in force, `online` whether it had a connection.
    `passcode`, where the writer knows it, is the one it starts with: in clear when handed to
    `TraceWriter`, a placeholder in the file. `setup` and `memory` are None where nobody told.
    `conformance` and `platforms`, for a device of another fleet than the rest, go before the
    header's. `line` is where it stands in the file.
    """

    state: DeviceState
    policy: Policy | None = None
    online: bool = True
    passcode: Annotated[str | dict[str, Any] | None, Field(repr=False)] = None
    setup: DeviceSetup | None = None
    memory: DeviceMemory | None = None
    conformance: Conformance | None = None
    platforms: dict[str, Any] | None = None
    line: Annotated[int, Field(exclude=True)] = 1

    @field_validator("passcode")
    @classmethod
    def _stands_for_one(cls, passcode: str | dict[str, Any] | None) -> object:
        if isinstance(passcode, dict) and not is_placeholder(passcode):
            raise ValueError("not what stands for a passcode")
        return passcode

    @property
    def device_id(self) -> str:
        """The device id."""
        return self.state.device_id


class TraceHeader(TraceModel):
    """The first line. `clock` is `virtual`, `real`, or a speed such as `60x`.

    `conformance` is the dated table in force; `platforms` are those of the fleet's own that its
    devices are of, as the fleet file has them.
    """

    format: Literal["passfleet-trace"] = FORMAT
    version: Literal[1, 2] = VERSION
    root: str = Field(pattern=_ROOT)
    clock: str
    start: Instant
    conformance: Conformance = DEFAULT_CONFORMANCE
    platforms: dict[str, Any] = Field(default_factory=dict)
    devices: tuple[TraceDevice, ...] = ()


class TraceMessage(TraceModel):
    """One message: instant, topic below the root, payload without its secrets.

    `line` is where it stands in the file.
    """

    at: Instant
    topic: str
    payload: Any = None
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


class TraceClock(TraceModel):
    """The fleet's time, in a trace that began before the fleet did."""

    clock: str
    now: Instant


class TraceEnd(TraceModel):
    """The last line: when the trace ends, and of how many messages it tells."""

    end: Instant
    messages: int


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace. `devices` are those of the header and those that joined later, by id.

    `broken_off`: it has no end, and `end` is the instant of its last message.
    """

    path: Path
    header: TraceHeader
    devices: Mapping[str, TraceDevice]
    messages: tuple[TraceMessage, ...] = field(repr=False)
    end: int
    broken_off: bool = False


class TraceWriter:
    """Writes a trace, message by message, and takes the secrets out.

    As a context manager it ends the trace on the way out, at the last instant it heard of. After an
    exception the trace is left broken off, which a reader then says.

    Every method raises FileError where the file cannot be written. With `overwrite` False, a file
    that is there already is refused with UsageError.
    """

    def __init__(self, path: Path, header: TraceHeader, *, overwrite: bool = True) -> None:
        self._path = path
        self._redactor = Redactor()
        self._last = header.start
        self.messages = 0
        """How many messages were written."""
        try:
            # Open as long as the trace is written: the writer is the context manager.
            self._file = path.open("w" if overwrite else "x", encoding="utf-8")
        except FileExistsError:
            raise trace_exists_error(path) from None
        except OSError as error:
            raise self._unwritable(error) from None
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
            with contextlib.suppress(OSError):
                self._file.close()

    def device(self, device: TraceDevice) -> None:
        """A device joined."""
        line = self._without_passcode(device).model_dump(mode="json", by_alias=True)
        self._write_line({"device": line})

    def clock(self, clock: str, now: int) -> None:
        """A fleet has joined that keeps a time of its own: what was written happened at `now`."""
        self._last = now
        self._write(TraceClock(clock=clock, now=now))

    def message(self, instant: int, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        """A message went over the wire. `topic` is below the root: `devices/<id>/<leaf>`."""
        leaf = topic.rpartition("/")[2]
        self._last = max(self._last, instant)
        self.messages += 1
        self._write_line(
            {
                "at": format_timestamp(instant),
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
        self._write_line({"end": format_timestamp(end), "messages": self.messages})
        self._file.close()

    def _without_passcode(self, device: TraceDevice) -> TraceDevice:
        if not isinstance(device.passcode, str):
            return device
        placeholder = self._redactor.secret(PASSCODE, device.passcode)
        return device.model_copy(update={"passcode": placeholder})

    def _write(self, line: TraceModel) -> None:
        self._write_line(line.model_dump(mode="json", by_alias=True))

    def _write_line(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            # Whoever kills the recorder keeps what was recorded.
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(f"cannot be written: {error.strerror}", path=self._path)


def trace_exists_error(path: Path) -> UsageError:
    """What is said of a trace that would take the place of a file."""
    return UsageError(f"{path} is there already", hint="--force writes over it")


def is_trace_topic(topic: str) -> bool:
    """Whether a topic below the root is one of the contract's."""
    match topic.split("/"):
        case ["devices", device_id, leaf]:
            named = _NAME.fullmatch(device_id) is not None
            return named and leaf in (*OPERATOR_LEAVES, *PUBLISHED_LEAVES)
        case ["groups", group, "commands"]:
            return _NAME.fullmatch(group) is not None
        case ["clock"]:
            return True
    return False
