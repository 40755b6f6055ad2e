"""Comparison of a replay with its trace, per device and message.

Some differences are expected and ignored. Presence sessions start at another number, and a Last
Will may arrive early or late, so presence is compared by the order of sessions. Passcodes are
compared as placeholders, temporary passcodes also by the kinds of their characters. Instants of a
trace recorded in real time may differ by the time that a message needs; in virtual time they must
be equal.
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
"""Allowed difference between instants of a real-time recording, in milliseconds."""
_INSTANTS: Final = frozenset(
    {"startDateTime", "lastUpdatedDateTime", "dateTime", "passcodeDeadline"}
)
_UNKNOWN_NUMBER: Final = 0
"""Placeholder number of a passcode that does not occur in the trace."""

_ADDED_STATE_KEYS: Final = {"enrolled": True, "lostMode": False}
"""Keys of a state that traces of an earlier passfleet lack, with the values they had then."""


@dataclass(frozen=True, slots=True)
class PublishedMessage:
    """Message published by a device. `line` is its line in the trace, 0 in a replay."""

    device_id: str
    leaf: str
    document: Any = field(repr=False)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of one message. `kind` is `changed`, `missing` or `extra`.

    `keys` are (dotted key, recorded value, replayed value); an absent value is None.
    """

    device_id: str
    leaf: str
    kind: str
    line: int
    keys: tuple[tuple[str, Any, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """Return the difference as an object for `--json`."""
        return {
            "deviceId": self.device_id,
            "topic": self.leaf,
            "kind": self.kind,
            "line": self.line or None,
            "keys": [{"key": k, "recorded": old, "replayed": new} for k, old, new in self.keys],
        }


class PlaceholderBindings:
    """Map from the placeholders of a trace to the passcodes of its replay."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, int], str] = {}

    def bind(self, placeholder: Mapping[str, Any], value: str) -> None:
        """Bind `placeholder` to `value`; a second binding of a placeholder is ignored."""
        self._values.setdefault(_key(placeholder), value)

    def value(self, placeholder: Mapping[str, Any]) -> str | None:
        """Return the value of a placeholder, or None if it is not bound yet."""
        return self._values.get(_key(placeholder))

    def taken(self, value: str) -> bool:
        """Return True if a placeholder is bound to `value`."""
        return value in self._values.values()

    def number(self, value: str) -> int:
        """Return the number of the passcode placeholder bound to `value`, 0 if there is none."""
        for (kind, number), bound in self._values.items():
            if kind == PASSCODE and bound == value:
                return number
        return _UNKNOWN_NUMBER


def _key(placeholder: Mapping[str, Any]) -> tuple[str, int]:
    kind = next(iter(placeholder))
    return kind, int(placeholder[kind])


def compare(
    trace: Trace, replayed: Sequence[PublishedMessage], bindings: PlaceholderBindings
) -> list[Difference]:
    """Return all differences, ordered by device id and message."""
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
            (_messages_except_presence(old, version), _messages_except_presence(new, version)),
            (_presence(old, online=online), _presence(new, online=online)),
        ):
            found += _compare(ours, theirs, tolerance, open_end=trace.broken_off)
    return found


def clock_tolerance(clock: str) -> int:
    """Return the allowed difference of instants in milliseconds for the `clock` of a header."""
    if clock == "virtual":
        return 0
    return round(_REAL_TOLERANCE * (parse_clock_speed(clock) or 1.0))


def _messages_except_presence(
    messages: Sequence[PublishedMessage], version: int
) -> list[PublishedMessage]:
    """Return the messages except presence, without leading copies of the initial state."""
    others = [message for message in messages if message.leaf != "presence"]
    while others and others[0].leaf == "state" and _get(others[0].document, "version") == version:
        others.pop(0)
    return others


def _presence(messages: Sequence[PublishedMessage], *, online: bool) -> list[PublishedMessage]:
    """Return the presence messages by session, with sessions renumbered from 0."""
    messages = [m for m in messages if m.leaf == "presence" and isinstance(m.document, dict)]

    def sort_key(message: PublishedMessage) -> tuple[int, bool]:
        session = _get(message.document, "session")
        number = session if isinstance(session, int) else 0
        return number, _get(message.document, "status") != "online"

    messages.sort(key=sort_key)
    if online and messages and _get(messages[0].document, "status") == "online":
        messages.pop(0)  # the header already contains this presence
    sessions = sorted({sort_key(message)[0] for message in messages})
    return [
        PublishedMessage(
            message.device_id,
            message.leaf,
            {**message.document, "session": sessions.index(sort_key(message)[0])},
            message.line,
        )
        for message in messages
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
    """Yield the differences; with `open_end`, extra messages at the end are none."""
    matcher = SequenceMatcher(
        None, [_message_key(m) for m in old], [_message_key(m) for m in new], False
    )
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            for recorded, replayed in zip(old[i:i_end], new[j:j_end], strict=True):
                keys = tuple(_changed_keys("", _complete(recorded), replayed.document, tolerance))
                if keys:
                    yield Difference(
                        recorded.device_id, recorded.leaf, "changed", recorded.line, keys
                    )
            continue
        for message in old[i:i_end]:
            yield _whole_message(message, "missing", message.line)
        if not (open_end and i_end == len(old)):
            for message in new[j:j_end]:
                yield _whole_message(message, "extra", 0)


def _complete(message: PublishedMessage) -> Any:
    """Return the document; a state of an earlier passfleet gets the keys added since."""
    document = message.document
    if message.leaf == "state" and isinstance(document, dict) and document:
        return {**_ADDED_STATE_KEYS, **document}
    return document


def _message_key(message: PublishedMessage) -> tuple[str, str]:
    """Return the key that identifies the same message in trace and replay."""
    document = message.document
    identifier = _get(document, "commandId") or _get(document, "inputId")
    if message.leaf == "presence":
        identifier = _get(document, "status")
    return message.leaf, str(identifier)


def _get(document: object, key: str) -> Any:
    return document.get(key) if isinstance(document, dict) else None


def _whole_message(message: PublishedMessage, kind: str, line: int) -> Difference:
    document = _comparable(message.document)
    entries = document.items() if isinstance(document, dict) else [("payload", document)]
    pairs = [(k, v, None) if kind == "missing" else (k, None, v) for k, v in entries]
    return Difference(message.device_id, message.leaf, kind, line, tuple(pairs))


def _changed_keys(key: str, old: Any, new: Any, tolerance: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys in which two values differ."""
    old, new = _comparable(old), _comparable(new)
    if isinstance(old, dict) and isinstance(new, dict) and not is_placeholder(old):
        for name in (*old, *(name for name in new if name not in old)):
            dotted = f"{key}.{name}" if key else name
            yield from _changed_keys(dotted, old.get(name), new.get(name), tolerance)
    elif old != new and not _same_instant(key, old, new, tolerance):
        yield key or "payload", old, new


def _comparable(value: Any) -> Any:
    """Return a placeholder of the trace in the form used for the replay."""
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
