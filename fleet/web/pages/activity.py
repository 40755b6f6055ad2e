"""Command log and load figures of the whole fleet. Passcodes are taken out."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from broker.errors import BrokerError
from broker.operator.readers import ReceivedMessage, read_result
from broker.timestamps import format_timestamp
from fleet.web.fleet_view import FleetView
from scenarios.model.masking import mask

__all__ = ["Activity"]

_LOG_KEPT: Final = 200
_SENT_AT_ONCE: Final = 60
"""Log entries that a viewer gets at once at most; the newest count."""
_POINTS_KEPT: Final = 120
_NATIVE_SHOWN: Final = 400
_LOAD_LASTS: Final = 2.5
"""Seconds after which a load that publishes no figures counts as ended."""
_NAME_SHOWN: Final = 64
_LATENCIES: Final = 100
"""Latencies of a second that its percentiles are taken from."""
_INPUT_ID: Final = b'"inputId"'
_SECRET: Final = frozenset({"newPasscode", "passcode"})


class Activity:
    """Results of all devices, and per second their rate, latency and failures.

    Latency is the time from the start of a command on its device to the arrival of the result here,
    by the fleet's clock.
    """

    def __init__(self, view: FleetView) -> None:
        self._view = view
        self._raw: deque[tuple[int, ReceivedMessage]] = deque(maxlen=_LOG_KEPT)
        self._count = 0
        self._points: deque[_Point] = deque(maxlen=_POINTS_KEPT)
        self._point = 0
        self._second = int(time.monotonic())
        self._results: list[tuple[int, bytes]] = []
        self._in_second = 0
        self._load_until = 0.0

    def on_message(self, received: ReceivedMessage) -> None:
        """Keep a result unread, what is not shown is never parsed; take a load's figures."""
        if received.device_id is None:
            self._take_figures(received.document())
            return
        if received.leaf != "results" or _INPUT_ID in received.payload:
            return
        self._count += 1
        self._raw.append((self._count, received))
        self._close_seconds()
        self._in_second += 1
        if len(self._results) < _LATENCIES:
            self._results.append((self._now(), received.payload))

    def _take_figures(self, document: object) -> None:
        """Show the figures that a running load publishes in place of computed ones."""
        if not isinstance(document, dict):
            return
        self._close_seconds()
        self._load_until = time.monotonic() + _LOAD_LASTS
        numbers = {key: document.get(key) for key in ("rate", "failures", "p50", "p99")}
        if all(value is None or isinstance(value, int | float) for value in numbers.values()):
            figures = {"load": str(document.get("load", ""))[:_NAME_SHOWN], **numbers}
            self._point += 1
            self._points.append(_Point(self._point, figures=figures))

    def _now(self) -> int:
        try:
            return self._view.now()
        except BrokerError:
            return 0  # what still arrives of a lost connection is not measured

    def log_since(self, seen: int) -> tuple[int, list[dict[str, Any]]]:
        """(number of the last entry, entries after number `seen`, oldest first)."""
        fresh = [received for number, received in self._raw if number > seen]
        return self._count, [_entry(received) for received in fresh[-_SENT_AT_ONCE:]]

    def load_since(self, seen: int) -> tuple[int, list[dict[str, Any]]]:
        """(number of the last second, figures of the seconds after number `seen`)."""
        self._close_seconds()
        return self._point, [point.read() for point in self._points if point.number > seen]

    def _close_seconds(self) -> None:
        """Turn each second that is over into a point of the charts."""
        now = int(time.monotonic())
        if now == self._second:
            return
        passed = min(now - self._second, _POINTS_KEPT)
        count, sample = self._in_second, self._results
        self._results, self._in_second = [], 0
        self._second = now
        if time.monotonic() < self._load_until:
            return
        for _ in range(passed):
            self._point += 1
            self._points.append(_Point(self._point, count, sample))
            count, sample = 0, []


@dataclass(slots=True)
class _Point:
    """Figures of one second; `count` results, of which `sample` is read when a viewer asks."""

    number: int
    count: int = 0
    sample: list[tuple[int, bytes]] = field(default_factory=list)
    figures: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """Return the figures."""
        if self.figures is None:
            self.figures = _figures(self.count, self.sample)
            self.sample = []
        return self.figures


def _figures(count: int, sample: list[tuple[int, bytes]]) -> dict[str, Any]:
    """Rate, failures and latency percentiles in milliseconds; `sample` is (arrival, payload)."""
    failed, latencies = 0, []
    for arrived, payload in sample:
        result = read_result(payload)
        if result is None:
            continue
        failed += result.action_state == "failed"
        latencies.append(max(0, arrived - result.start_date_time))
    latencies.sort()
    return {
        "rate": count,
        "failures": round(count * failed / len(sample)) if sample else 0,
        "p50": _percentile(latencies, 50),
        "p99": _percentile(latencies, 99),
    }


def _percentile(ordered: list[int], percent: int) -> int | None:
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def _entry(received: ReceivedMessage) -> dict[str, Any]:
    """A line of the log; a result that cannot be read is shown as such."""
    result = read_result(received.payload)
    if result is None:
        return {
            "time": "",
            "device": received.device_id,
            "action": "",
            "state": "",
            "error": "",
            "message": "The result cannot be read.",
            "native": "",
        }
    native = "" if result.native is None else _native(result.native)
    return {
        "time": format_timestamp(result.last_updated_date_time)[11:19],
        "device": received.device_id,
        "action": result.action_name or "",
        "state": result.action_state,
        "error": result.error_code or "",
        "message": result.message,
        "native": native,
    }


def _native(native: Mapping[str, Any]) -> str:
    words = " ".join(f"{key}={value}" for key, value in mask(native, _SECRET).items())
    return words[:_NATIVE_SHOWN]
