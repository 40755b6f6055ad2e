"""File format of traces: recorded MQTT messages that can be replayed.

A trace is a JSON Lines file. The first line contains format, version, topic root and the data
needed to create each device. One line per message follows. The last line contains the end instant
and the message count; a trace without it is incomplete:

    {"format": "passfleet-trace", "version": 2, "root": "passfleet/v1", "clock": "virtual", ...}
    {"at": "2015-12-10T20:19:07Z", "topic": "devices/ios-001/commands", "payload": {...},
     "retained": false}
    {"end": "2015-12-10T20:24:07Z", "messages": 12}

A device that joined later has a line `{"device": {...}}`, and a second one once its host has
sent the device facts. If a fleet with its own clock joined later, a line
`{"clock": ..., "now": ...}` follows; the messages before it get that instant. Passcodes and
passwords are placeholders (`scenarios.traces.placeholders`).

Version 1 contains neither device facts (`scenarios.traces.device_facts`) nor custom platforms. It
can still be read: its devices get the defaults of their platform.
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
"""Version of written traces. Version 1 can still be read."""
OPERATOR_LEAVES: Final = ("commands", "inputs", "messages", "simulate")
"""Last topic levels of messages to devices."""
PUBLISHED_LEAVES: Final = ("results", "escrow", "notifications", "state", "presence")
"""Last topic levels of messages from devices."""
_NAME: Final = re.compile(DEVICE_ID)
_ROOT: Final = r"^[^\x00-\x1f+#$/][^\x00-\x1f+#]*$"


class TraceDevice(TraceModel):
    """Device at the start of the trace, or at the instant at which it joined.

    `state` is its published state, `policy` the policy in force, `online` True if it was connected.
    `passcode` is its passcode, if known: clear text when passed to `TraceWriter`, a placeholder in
    the file. `setup` and `memory` are None if its host did not send them. `conformance` and
    `platforms` override those of the header for a device of another fleet. `line` is its line in
    the file.
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
    def _check_placeholder(cls, passcode: str | dict[str, Any] | None) -> object:
        if isinstance(passcode, dict) and not is_placeholder(passcode):
            raise ValueError("not the placeholder of a passcode")
        return passcode

    @property
    def device_id(self) -> str:
        """Device id."""
        return self.state.device_id


class TraceHeader(TraceModel):
    """First line. `clock` is `virtual`, `real`, or a speed such as `60x`.

    `conformance` is the conformance table in force. `platforms` are the definitions of the custom
    platforms of the devices, as in the fleet file.
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
    """Message: instant, topic below the root, and redacted payload.

    `line` is its line in the file.
    """

    at: Instant
    topic: str
    payload: Any = None
    retained: bool = False
    line: Annotated[int, Field(exclude=True)] = 0

    @property
    def leaf(self) -> str:
        """Last level of the topic."""
        return self.topic.rpartition("/")[2]

    @property
    def device_id(self) -> str | None:
        """Device id in the topic; None for topics of a group and of the clock."""
        parts = self.topic.split("/")
        return parts[1] if parts[0] == "devices" else None


class TraceClock(TraceModel):
    """Clock of a fleet that joined after the trace began."""

    clock: str
    now: Instant


class TraceEnd(TraceModel):
    """Last line: the end instant and the number of messages."""

    end: Instant
    messages: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Complete trace. `devices` are the devices of the header and those that joined later, by id.

    `broken_off` is True if the last line is missing; `end` is then the instant of the last message.
    """

    path: Path
    header: TraceHeader
    devices: Mapping[str, TraceDevice]
    messages: tuple[TraceMessage, ...] = field(repr=False)
    end: int
    broken_off: bool = False


class TraceWriter:
    """Writes a trace, message by message, and takes the secrets out.

    As a context manager it ends the trace at the last known instant. After an exception the trace
    stays without its last line, and `scenarios.traces.reader` reports it as incomplete.

    Every method raises FileError if the file cannot be written. With `overwrite` False, an existing
    file raises UsageError.
    """

    def __init__(self, path: Path, header: TraceHeader, *, overwrite: bool = True) -> None:
        self._path = path
        self._redactor = Redactor()
        self._last = header.start
        self.messages = 0
        """Number of messages written so far."""
        try:
            # No `with`: the writer itself is the context manager and closes the file.
            self._file = path.open("w" if overwrite else "x", encoding="utf-8")
        except FileExistsError:
            raise trace_exists_error(path) from None
        except OSError as error:
            raise self._unwritable(error) from None
        devices = tuple(self._without_passcode(device) for device in header.devices)
        self._write(header.model_copy(update={"devices": devices}))

    def __enter__(self) -> Self:
        """Return the writer."""
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
        """Write a device that joined."""
        line = self._without_passcode(device).model_dump(mode="json", by_alias=True)
        self._write_line({"device": line})

    def clock(self, clock: str, now: int) -> None:
        """Write the clock of a fleet that joined; all messages so far happened at `now`."""
        self._last = now
        self._write(TraceClock(clock=clock, now=now))

    def message(self, instant: int, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001
        """Write a message. `topic` is relative to the topic root: `devices/<id>/<leaf>`."""
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
        """End the trace at `instant` or at the last message, whichever is later."""
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
            # A killed recorder must not lose the messages so far.
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> FileError:
        return FileError(f"cannot be written: {error.strerror}", path=self._path)


def trace_exists_error(path: Path) -> UsageError:
    """Return the error for a trace whose file already exists."""
    return UsageError(f"{path} already exists", hint="--force overwrites it")


def is_trace_topic(topic: str) -> bool:
    """Return True if a topic below the root belongs to the contract and to traces."""
    match topic.split("/"):
        case ["devices", device_id, leaf]:
            is_valid_id = _NAME.fullmatch(device_id) is not None
            return is_valid_id and leaf in (*OPERATOR_LEAVES, *PUBLISHED_LEAVES)
        case ["groups", group, "commands"]:
            return _NAME.fullmatch(group) is not None
        case ["clock"]:
            return True
    return False
