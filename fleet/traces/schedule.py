"""Schedule of the messages that a replay sends.

In virtual time each message has its exact instant. In real time a message took some time to arrive:
the instant that counts is the one at which the device began with it, which its result has. So a
group's command is then sent to each of its devices, at the instant of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from broker.timestamps import parse_timestamp
from scenarios.traces.format import OPERATOR_LEAVES, Trace, TraceMessage

__all__ = ["ScheduledMessage", "build_schedule"]

_VIRTUAL: Final = "virtual"


@dataclass(frozen=True, slots=True)
class ScheduledMessage:
    """One message to send at `at`. `topic` is below the root; `device_id` is None for a group."""

    at: int
    topic: str
    payload: Any = field(repr=False)
    device_id: str | None

    @property
    def leaf(self) -> str:
        """The topic's last level."""
        return self.topic.rpartition("/")[2]

    @property
    def document(self) -> dict[str, Any]:
        """The payload, empty where it is no JSON object."""
        return self.payload if isinstance(self.payload, dict) else {}


def build_schedule(trace: Trace) -> list[ScheduledMessage]:
    """The operator's messages of a trace, in the order in which to send them.

    Retained messages are left out: they had reached the devices before the trace began.
    """
    sent = [
        message
        for message in trace.messages
        if message.leaf in (*OPERATOR_LEAVES, "clock") and not message.retained
    ]
    if trace.header.clock == _VIRTUAL:
        return [ScheduledMessage(m.at, m.topic, m.payload, m.device_id) for m in sent]
    start_times = _start_times(trace)
    found: list[ScheduledMessage] = []
    last: dict[str, int] = {}
    for message in sent:
        for device_id in _addressed_devices(trace, message):
            # The device began with the first of the messages that have the same id.
            began = start_times.pop((device_id, _request_key(message)), message.at)
            at = last[device_id] = max(began, last.get(device_id, trace.header.start))
            topic = f"devices/{device_id}/{message.leaf}"
            found.append(ScheduledMessage(at, topic, message.payload, device_id))
    return sorted(found, key=lambda message: message.at)


def _addressed_devices(trace: Trace, message: TraceMessage) -> Iterator[str]:
    if message.device_id is not None:
        yield message.device_id
        return
    parts = message.topic.split("/")
    if parts[0] != "groups":
        return  # the clock, which cannot be moved in real time
    for device_id, device in trace.devices.items():
        if parts[1] in ("all", device.state.group):
            yield device_id


def _start_times(trace: Trace) -> dict[tuple[str, str], int]:
    """Instant at which each device began with each command and input, from its results."""
    found: dict[tuple[str, str], int] = {}
    for message in trace.messages:
        if message.leaf != "results" or message.device_id is None:
            continue
        try:
            began = parse_timestamp(message.payload["startDateTime"])
        except (KeyError, TypeError, ValueError):
            continue
        found.setdefault((message.device_id, _request_key(message)), began)
    return found


def _request_key(message: TraceMessage) -> str:
    document = message.payload if isinstance(message.payload, dict) else {}
    kind = "inputId" if "inputId" in document else "commandId"
    return f"{kind}/{document.get(kind)}"
