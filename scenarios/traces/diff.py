"""What a replay did otherwise than its trace: compared device by device, message by message.

Some things differ by right. Sessions of presence count from another number, and a Last Will may
come early or late: presence is compared as the order of sessions. Passcodes are compared as
placeholders, temporary ones by what they are made of too. Instants of a trace that was recorded in
real time may be off by what a message needs on its way; in virtual time they must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final

from broker.timestamps import parse_clock_speed, parse_timestamp
from scenarios.traces.format import PUBLISHED_LEAVES, Trace
from scenarios.traces.placeholders import (
    PASSCODE,
    character_pattern,
    describe_pattern,
    is_placeholder,
)

__all__ = ["Difference", "PlaceholderBindings", "PublishedMessage", "compare"]

_REAL_TOLERANCE: Final = 2_000
"""Milliseconds of the time of day by which an instant of a recording may be off."""
_INSTANTS: Final = frozenset(
    {"startDateTime", "lastUpdatedDateTime", "dateTime", "passcodeDeadline"}
)
_ANOTHER: Final = 0
"""The number shown for a passcode that the trace does not know."""


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """Something a device published. `line` is where it stands in the trace, 0 in a replay."""

    device_id: str
    leaf: str
    document: Any = field(repr=False)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """A message that is not the same: `changed` with its keys, `missing`, or `extra`.

    `keys` are (dotted key, recorded value, replayed value), one of them None where absent.
    """

    device_id: str
    leaf: str
    kind: str
    line: int
    keys: tuple[tuple[str, Any, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """The difference for `--json`."""
        return {
            "deviceId": self.device_id,
            "topic": self.leaf,
            "kind": self.kind,
            "line": self.line or None,
            "keys": [{"key": k, "recorded": old, "replayed": new} for k, old, new in self.keys],
        }


class PlaceholderBindings:
    """Which passcodes of the replay stand for which placeholders of the trace."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], str] = {}

    def bind(self, placeholder: Mapping[str, Any], value: str) -> None:
        """The fresh device made `value` where the trace has `placeholder`; the first one counts."""
        self._values.setdefault(_key(placeholder), value)

    def value(self, placeholder: Mapping[str, Any]) -> str | None:
        """What a placeholder stands for, None where nothing does yet."""
        return self._values.get(_key(placeholder))

    def taken(self, value: str) -> bool:
        """Whether some placeholder stands for `value`."""
        return value in self._values.values()

    def number(self, value: str) -> int:
        """The placeholder's number for `value`."""
        for (kind, number), bound in self._values.items():
            if kind == PASSCODE and bound == value:
                return number
        return _ANOTHER


def _key(placeholder: Mapping[str, Any]) -> tuple[str, int]:
    kind = next(iter(placeholder))
    return kind, int(placeholder[kind])


def compare(
    trace: Trace, replayed: Sequence[PublishedMessage], bindings: PlaceholderBindings
) -> list[Difference]:
    """All differences, in the order of the devices' ids and of their messages."""
    recorded = [
        PublishedMessage(message.device_id, message.leaf, message.payload, message.line)
        for message in trace.messages
        if message.device_id is not None and message.leaf in PUBLISHED_LEAVES
    ]
    tolerance = clock_tolerance(trace.header.clock)
    found: list[Difference] = []
    for device_id in sorted({p.device_id for p in (*recorded, *replayed)}):
        old = [p for p in recorded if p.device_id == device_id]
        new = [_with_placeholders(p, bindings) for p in replayed if p.device_id == device_id]
        known = trace.devices.get(device_id)
        version = known.state.version if known else 0
        online = known.online if known else True
        for ours, theirs in (
            (_story(old, version), _story(new, version)),
            (_presence(old, online=online), _presence(new, online=online)),
        ):
            found += _compare(ours, theirs, tolerance, open_end=trace.broken_off)
    return found


def clock_tolerance(clock: str) -> int:
    """By how many milliseconds instants may differ, for a header's `clock`."""
    if clock == "virtual":
        return 0
    return round(_REAL_TOLERANCE * (parse_clock_speed(clock) or 1.0))


def _story(messages: Sequence[PublishedMessage], version: int) -> list[PublishedMessage]:
    """A device's messages beside presence, without repetitions of the state it began with."""
    told = [message for message in messages if message.leaf != "presence"]
    while told and told[0].leaf == "state" and _get(told[0].document, "version") == version:
        told.pop(0)
    return told


def _presence(messages: Sequence[PublishedMessage], *, online: bool) -> list[PublishedMessage]:
    """Presence in the order of sessions, counted from 0."""
    heard = [m for m in messages if m.leaf == "presence" and isinstance(m.document, dict)]

    def place(message: PublishedMessage) -> tuple[int, bool]:
        session = _get(message.document, "session")
        number = session if isinstance(session, int) else 0
        return number, _get(message.document, "status") != "online"

    heard.sort(key=place)
    if online and heard and _get(heard[0].document, "status") == "online":
        heard.pop(0)  # it says what the header says
    sessions = sorted({place(message)[0] for message in heard})
    return [
        PublishedMessage(
            message.device_id,
            message.leaf,
            {**message.document, "session": sessions.index(place(message)[0])},
            message.line,
        )
        for message in heard
    ]


def _with_placeholders(
    message: PublishedMessage, bindings: PlaceholderBindings
) -> PublishedMessage:
    document = message.document
    if isinstance(document, dict) and isinstance(document.get("newPasscode"), str):
        value = document["newPasscode"]
        placeholder = {
            PASSCODE: bindings.number(value),
            "kinds": describe_pattern({"like": character_pattern(value)}),
        }
        document = {**document, "newPasscode": placeholder}
    return PublishedMessage(message.device_id, message.leaf, document)


def _compare(
    old: Sequence[PublishedMessage],
    new: Sequence[PublishedMessage],
    tolerance: int,
    *,
    open_end: bool,
) -> Iterator[Difference]:
    """The differences; with `open_end` what comes besides at the end is none."""
    matcher = SequenceMatcher(None, [_name(m) for m in old], [_name(m) for m in new], False)
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            for ours, theirs in zip(old[i:i_end], new[j:j_end], strict=True):
                keys = tuple(_keys("", ours.document, theirs.document, tolerance))
                if keys:
                    yield Difference(ours.device_id, ours.leaf, "changed", ours.line, keys)
            continue
        for message in old[i:i_end]:
            yield _whole(message, "missing", message.line)
        if not (open_end and i_end == len(old)):
            for message in new[j:j_end]:
                yield _whole(message, "extra", 0)


def _name(message: PublishedMessage) -> tuple[str, str]:
    """What tells that two messages are the same one."""
    document = message.document
    named = _get(document, "commandId") or _get(document, "inputId")
    if message.leaf == "presence":
        named = _get(document, "status")
    return message.leaf, str(named)


def _get(document: object, key: str) -> Any:
    return document.get(key) if isinstance(document, dict) else None


def _whole(message: PublishedMessage, kind: str, line: int) -> Difference:
    document = _shown(message.document)
    entries = document.items() if isinstance(document, dict) else [("payload", document)]
    pairs = [(k, v, None) if kind == "missing" else (k, None, v) for k, v in entries]
    return Difference(message.device_id, message.leaf, kind, line, tuple(pairs))


def _keys(key: str, old: Any, new: Any, tolerance: int) -> Iterator[tuple[str, Any, Any]]:
    """The keys in which two values differ."""
    old, new = _shown(old), _shown(new)
    if isinstance(old, dict) and isinstance(new, dict) and not is_placeholder(old):
        for name in (*old, *(name for name in new if name not in old)):
            dotted = f"{key}.{name}" if key else name
            yield from _keys(dotted, old.get(name), new.get(name), tolerance)
    elif old != new and not _same_instant(key, old, new, tolerance):
        yield key or "payload", old, new


def _shown(value: Any) -> Any:
    """A placeholder of the trace, as a replay's is written."""
    if isinstance(value, dict) and is_placeholder(value) and "like" in value:
        return {PASSCODE: value.get(PASSCODE), "kinds": describe_pattern(value)}
    return value


def _same_instant(key: str, old: Any, new: Any, tolerance: int) -> bool:
    if key.rpartition(".")[2] not in _INSTANTS or not tolerance:
        return False
    try:
        return abs(parse_timestamp(old) - parse_timestamp(new)) <= tolerance
    except (TypeError, ValueError):
        return False
