"""Commands `devices`, `show` and `watch`: list of devices, one device, live messages."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from broker.contract import Inspection
from broker.errors import PeerError
from broker.operator.operator import Operator
from broker.operator.readers import KnownDevice, ReceivedMessage, read_state
from broker.timestamps import format_timestamp
from fleet.cli.console import err, print_json, print_json_line, print_warning
from fleet.cli.options import FleetLocation, Selection
from fleet.cli.streams import reader_left
from fleet.cli.tables import (
    clean_text,
    device_lines,
    device_table,
    print_hanging,
    print_table,
)
from fleet.cli.targets import (
    find_device,
    matching_devices,
    no_devices_error,
    no_match_error,
    operator_at,
    parse_duration_option,
    unknown_target_error,
)
from fleet.plural import count_noun

__all__ = ["list_devices", "masked", "show", "watch"]

MASK: Final = "***"
"""Replacement for a passcode in the output of `watch` and `show`."""
_INSPECT_TIMEOUT: Final = 3.0
_QUIET_SECONDS: Final = 1.0
"""Seconds without a retained message after which a watch has received all of them."""
_LABEL_WIDTH: Final = 12
"""Width of the label column of `show`."""
_TABLE_ROWS: Final = 500
"""Number of devices above which the list is printed without a rich table."""


async def list_devices(location: FleetLocation, selection: Selection, *, as_json: bool) -> int:
    """Print the devices and their state."""
    async with operator_at(location) as operator:
        known = await operator.devices()
        devices = list(matching_devices(known, selection).values())
        if not devices:
            error = no_match_error(operator, known, selection)
            print_warning(error.message, error.hint)
    if as_json:
        print_json({"devices": [_device_document(seen) for seen in devices]})
        return 0
    if len(devices) > _TABLE_ROWS:
        sys.stdout.writelines(f"{line}\n" for line in device_lines(devices))
    elif devices:
        print_table(device_table(devices))
    online = sum(seen.online for seen in devices)
    platforms = Counter(seen.platform for seen in devices)
    counts = ", ".join(f"{count} {platform}" for platform, count in sorted(platforms.items()))
    err.print(
        f"{count_noun(len(devices), 'device')}, {online} online{f': {counts}' if counts else ''}"
    )
    return 0


async def show(location: FleetLocation, device_id: str, *, as_json: bool) -> int:
    """Print one device: state, deadline, policy, last results and notifications."""
    async with operator_at(location) as operator:
        seen = await find_device(operator, device_id)
        now = await operator.now()
        inspection: Inspection | None = None
        unanswered: str | None = None
        try:
            inspection = await operator.inspect(device_id, limit=_INSPECT_TIMEOUT)
        except PeerError as error:
            unanswered = str(error)
    document = masked(inspection.model_dump(mode="json", by_alias=True)) if inspection else None
    if as_json:
        device = _device_document(seen)
        print_json({**device, "now": format_timestamp(now), "inspection": document})
    else:
        _print_device(seen, now)
        if isinstance(document, dict):
            _print_inspection(document)
    if unanswered is not None:
        print_warning(f"{unanswered}: policy, results and notifications are unknown")
    return 0


async def watch(
    location: FleetLocation,
    patterns: Iterable[str],
    *,
    duration: str | None,
    show_passcodes: bool,
    as_json: bool,
) -> int:
    """Print messages of devices as they arrive, until `duration` is over or Ctrl-C."""
    limit = None if duration is None else parse_duration_option(duration, "--for")
    wanted = tuple(patterns)
    async with operator_at(location) as operator:
        missing_warning = _MissingDeviceWarning(operator, wanted)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit), contextlib.aclosing(operator.watch()) as stream:
                async for message in stream:
                    missing_warning.on_message(message)
                    if not wanted or _is_wanted(message.device_id, wanted):
                        _print_message(operator, message, show=show_passcodes, as_json=as_json)
                    if reader_left():
                        break
    return 0


class _MissingDeviceWarning:
    """Warning about patterns that match no device, printed once all retained messages are in.

    The watch goes on: such a device may still connect.
    """

    def __init__(self, operator: Operator, wanted: Sequence[str]) -> None:
        self._operator = operator
        self._wanted = wanted
        self._load_platforms: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._loop.call_later(_QUIET_SECONDS, self._check)

    def on_message(self, message: ReceivedMessage) -> None:
        """Record the device of a message."""
        if message.retained:
            self._since = self._loop.time()
        if message.device_id is not None:
            self._load_platforms.add(message.device_id)

    def _check(self) -> None:
        left = self._since + _QUIET_SECONDS - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self._check)
            return
        wanted = self._wanted if self._load_platforms else ()
        for error in (unknown_target_error(pattern, self._load_platforms) for pattern in wanted):
            if error is not None:
                print_warning(f"{error.message} yet", error.hint)
        if not self._load_platforms:
            error = no_devices_error(self._operator)
            print_warning(f"{error.message} yet", error.hint)


def masked(value: object) -> object:
    """Return a copy in which every `newPasscode` that is not null is masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if key == "newPasscode" and inner is not None else masked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def _is_wanted(device_id: str | None, patterns: tuple[str, ...]) -> bool:
    return device_id is not None and any(fnmatch.fnmatchcase(device_id, p) for p in patterns)


def _device_document(seen: KnownDevice) -> dict[str, Any]:
    parts = {"presence": seen.presence, "state": seen.state}
    return {
        "deviceId": seen.device_id,
        **{
            name: part.model_dump(mode="json", by_alias=True) if part else None
            for name, part in parts.items()
        },
    }


# -- one device -------------------------------------------------------------------------------


def _print_device(seen: KnownDevice, now: int) -> None:
    _line("device", seen.device_id)
    presence = seen.presence
    _line("presence", f"{presence.status}, session {presence.session}" if presence else "unknown")
    state = seen.state
    if state is None:
        _line("state", "unknown")
        return
    _line("platform", f"{state.platform}, {state.management}")
    _line("group", state.group)
    same = state.owner == state.current_user
    _line("owner", state.owner if same else f"{state.owner}, now {state.current_user} is signed in")
    _line("screen", "locked" if state.locked else "open")
    _line("passcode", "wiped" if state.wiped else state.passcode)
    _line("compliance", state.compliance)
    if state.passcode_deadline is not None:
        left = max(0, state.passcode_deadline - now) // 1000
        minutes, seconds = divmod(left, 60)
        when = format_timestamp(state.passcode_deadline)
        _line("deadline", f"{when}, in {minutes} min {seconds} s of the fleet's time")
    if state.failed_attempts:
        _line("attempts", f"{state.failed_attempts} failed")
    _line("biometrics", f"Touch ID {state.biometrics.touch_id}, face {state.biometrics.face}")
    _line("version", str(state.version))


def _print_inspection(inspection: Mapping[str, Any]) -> None:
    policy = inspection.get("policy") or {}
    rules = [f"{name} {_value(value)}" for name, value in policy.items() if value is not None]
    _line("policy", ", ".join(rules) or "none")
    for title, key, describe in (
        ("results", "results", _describe_result),
        ("notifications", "notifications", _describe_notification),
    ):
        entries = inspection.get(key) or []
        if not entries:
            _line(title, "none")
        for number, entry in enumerate(entries):
            if isinstance(entry, Mapping):
                when = entry.get("lastUpdatedDateTime") or entry.get("dateTime") or ""
                _line("" if number else title, describe(entry), f"{when}  ")


def _line(name: str, text: str, before: str = "") -> None:
    """Print a line of `show`, with a hanging indent where it does not fit."""
    head = clean_text(f"{name:<{_LABEL_WIDTH}}", "bold").append_text(clean_text(before, "not bold"))
    print_hanging(head, clean_text(text))


# -- live messages ----------------------------------------------------------------------------


def _print_message(
    operator: Operator, message: ReceivedMessage, *, show: bool, as_json: bool
) -> None:
    document = message.document()
    if not show:
        document = masked(document)
    if as_json:
        line = {"topic": message.topic, "retained": message.retained, "payload": document}
        print_json_line(line)
        return
    if message.retained or message.leaf is None:
        # Retained messages are shown by `devices`, and each line has the fleet's time.
        return
    when = format_timestamp(operator.last_now() // 1000 * 1000)
    what = _describe(message, document)
    print_hanging(clean_text(f"{when}  {message.device_id:<16}  "), clean_text(what))


def _describe(message: ReceivedMessage, document: object) -> str:
    """Describe a message in words."""
    if not message.payload:
        return f"{message.leaf} removed"
    if message.leaf == "state":
        return _describe_state(message.payload)
    if document is None:
        return f"{message.leaf}: not JSON"
    keys, describe = _DESCRIBED[message.leaf or ""]
    if not isinstance(document, Mapping) or any(document.get(key) is None for key in keys):
        return f"{message.leaf}: not a valid message"
    return describe(document)


def _describe_result(document: Mapping[Any, Any]) -> str:
    # The answer to an unreadable request has no action name.
    what = document.get("actionName") or "unreadable request"
    text = f"{what} {document.get('actionState')}: {document.get('message')}"
    if document.get("newPasscode") is not None:
        text += f" {_passcode_words(document)}"
    if document.get("errorCode"):
        text += f" ({document['errorCode']})"
    return f"{text} (duplicate)" if document.get("duplicate") else text


def _describe_notification(document: Mapping[Any, Any]) -> str:
    title, body, buttons = (document.get(key) for key in ("title", "body", "buttons"))
    pressed = ", ".join(str(b) for b in buttons) if isinstance(buttons, list) else ""
    return f"{title}: {body}{f' [{pressed}]' if pressed else ''}"


def _describe_state(payload: bytes) -> str:
    state = read_state(payload)
    if state is None:
        return "state: not a valid message"
    words = [
        "wiped" if state.wiped else "locked" if state.locked else "open",
        f"passcode {state.passcode}",
        state.compliance,
    ]
    if state.passcode_deadline is not None:
        words.append(f"until {format_timestamp(state.passcode_deadline)}")
    return f"state {state.version}: {', '.join(words)}"


def _describe_presence(document: Mapping[Any, Any]) -> str:
    return f"{document.get('status')}, session {document.get('session')}"


def _describe_escrow(document: Mapping[Any, Any]) -> str:
    return f"escrow, reset {document.get('resetNumber')}: {_passcode_words(document)}"


def _passcode_words(document: Mapping[Any, Any]) -> str:
    return f"New Passcode: {document.get('newPasscode')}"


_DESCRIBED: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[Any, Any]], str]]]] = {
    "results": (("actionState", "message"), _describe_result),
    "notifications": (
        ("title", "body"),
        lambda document: f"on its screen: {_describe_notification(document)}",
    ),
    "presence": (("status", "session"), _describe_presence),
    "escrow": (("resetNumber", "newPasscode"), _describe_escrow),
}
"""Required keys and description of each message, by the last level of its topic."""


def _value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
