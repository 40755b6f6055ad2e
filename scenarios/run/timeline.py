"""Timeline events of the report, made from MQTT messages and changes of a screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from scenarios.model.masking import mask, mask_payload
from scenarios.model.matchers import describe
from scenarios.model.outcome import Lane, TimelineEvent
from scenarios.run.environment import TopicMessage

__all__ = ["message_event", "screen_event"]

_ON_DEVICE: Final = frozenset({"state", "notifications"})
_SECRET: Final = frozenset({"newPasscode", "newPasscodeLine"})


def message_event(message: TopicMessage, at: int, step: int) -> TimelineEvent:
    """Return the event of an MQTT message, with passcodes masked."""
    document = message.document if isinstance(message.document, Mapping) else None
    shown = mask_payload(message.leaf, document) if document is not None else None
    return TimelineEvent(
        at=at,
        lane=Lane.DEVICE if message.leaf in _ON_DEVICE else Lane.WIRE,
        kind=message.leaf,
        text=_text(message, document),
        step=step,
        device=message.device,
        document=shown,
    )


def _text(message: TopicMessage, document: Mapping[str, Any] | None) -> str:
    summarize = _SUMMARIES.get(message.leaf)
    if document is None or summarize is None:
        return f"{message.leaf}: {len(message.payload)} bytes"
    try:
        return summarize(document)
    except KeyError:
        # A `command` step with `payload` may publish an object that is not a Command.
        return f"{message.leaf}: {len(message.payload)} bytes"


def _state(state: Mapping[str, Any]) -> str:
    parts = ["wiped"] if state["wiped"] else []
    parts += ["locked" if state["locked"] else "open", f"passcode {state['passcode']}"]
    return ", ".join([*parts, state["compliance"]])


def _result(result: Mapping[str, Any]) -> str:
    text = f"{result['actionName']} {result['actionState']}: {result['message']}"
    error = f" ({result['errorCode']})" if result["errorCode"] else ""
    passcode = ", with a new passcode" if result.get("newPasscode") else ""
    return text + error + passcode + (", duplicate" if result["duplicate"] else "")


_SUMMARIES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "commands": lambda d: f"{d['actionName']} by {d.get('issuedBy', 'admin')}",
    "inputs": lambda d: f"{d['action']}",
    "messages": lambda d: f"{d['kind']} from {d['from']}",
    "simulate": lambda d: " ".join(str(value) for value in d.values()),
    "presence": lambda d: f"{d['status']}, session {d['session']}",
    "state": _state,
    "notifications": lambda d: f"{d['title']}: {d['body']}",
    "escrow": lambda d: f"a new passcode for the console, reset {d['resetNumber']}",
    "results": _result,
}


def screen_event(
    actor: str, before: Mapping[str, object], after: Mapping[str, object], at: int, step: int
) -> TimelineEvent | None:
    """Return the event of a changed screen of an actor, or None if nothing changed."""
    changed = {key: after.get(key) for key in after if after.get(key) != before.get(key)}
    changed |= {key: None for key in before if key not in after}
    if not changed:
        return None
    shown: Mapping[str, Any] = mask(changed, _SECRET)
    text = ", ".join(f"{key}: {describe(value)}" for key, value in shown.items())
    document = {key: _plain(value) for key, value in shown.items()}
    return TimelineEvent(
        at=at, lane=Lane.PORTAL, kind="screen", text=text, step=step, actor=actor, document=document
    )


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | bool | list | None) else describe(value)
