"""Payloads of an operator's requests. Invalid requests raise UsageError."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from broker.contract import (
    ACTIONS,
    SIMULATIONS,
    AnyCommand,
    Command,
    Input,
    Message,
    PlainSimulation,
    Policy,
    PolicyCommand,
    Topics,
)
from broker.errors import UsageError

__all__ = [
    "build_command",
    "build_input",
    "build_message",
    "build_simulation",
    "fresh_id",
    "running_clock_topic",
]

_COMMAND: Final[TypeAdapter[AnyCommand]] = TypeAdapter(Command)
_INPUT: Final[TypeAdapter[Any]] = TypeAdapter(Input)
_TEXT: Final = "1 to 256 characters of text"
_VALUES: Final = {"passcode": _TEXT, "user": _TEXT, "key": "one of 0 to 9, * and #"}
"""Descriptions of valid input values for error messages, which never repeat a value."""


def running_clock_topic(topics: Topics) -> str:
    """Topic that moves time that runs at a speed; passfleet's own, not part of the contract."""
    return f"{topics.root}/hosts/clock"


def fresh_id() -> str:
    """Return a new unique id for a command, an input or a request."""
    return f"cli-{uuid.uuid4().hex}"


def build_command(
    action: str, policy: Policy | None, issued_by: str, expires: int | None
) -> AnyCommand:
    """Return a command with a new id. It expires at the instant `expires`; None is never."""
    named = {"command_id": fresh_id(), "expires_date_time": expires, "issued_by": issued_by}
    try:
        if action == "applyPasscodePolicy":
            return PolicyCommand.model_validate({**named, "action_name": action, "policy": policy})
        return _COMMAND.validate_python({**named, "action_name": action}, by_name=True)
    except ValidationError as invalid:
        place = ".".join(str(part) for part in invalid.errors()[0]["loc"])
        wrong = place or "action_name"
        raise UsageError(
            f"invalid command: {wrong} is wrong or missing", hint=f"actions: {', '.join(ACTIONS)}"
        ) from None


def build_input(press: Mapping[str, str]) -> bytes:
    """Return the payload of an input. Errors never repeat a value: it may be a passcode."""
    try:
        model = _INPUT.validate_python(dict(press), by_alias=True, by_name=False)
    except ValidationError as invalid:
        problem = invalid.errors(include_input=False, include_context=False, include_url=False)[0]
        key = str(problem["loc"][-1]) if problem["loc"] else ""
        if problem["type"] == "missing":
            raise UsageError(f"{press['action']} needs a {key}", hint=f"--{key}") from None
        if problem["type"] == "extra_forbidden":
            raise UsageError(f"{press['action']} takes no {key}") from None
        if key in _VALUES:
            raise UsageError(f"the {key} of {press['action']} must be {_VALUES[key]}") from None
        raise UsageError(f"there is no input {press['action']!r}") from None
    return cast("bytes", model.to_bytes())


def build_simulation(action: str) -> bytes:
    """Return the payload of a simulation; `action` is one of SIMULATIONS."""
    if action not in SIMULATIONS:
        raise UsageError(
            f"there is no simulation {action!r}", hint=f"simulations: {', '.join(SIMULATIONS)}"
        )
    return PlainSimulation(action=action).to_bytes()


def build_message(kind: str, sender: str, body: str) -> bytes:
    """Return the payload of a text message or call; `kind` is `text` or `call`."""
    values = {"messageId": fresh_id(), "kind": kind, "from": sender, "body": body}
    try:
        return Message.model_validate(values, by_alias=True, by_name=False).to_bytes()
    except ValidationError:
        raise UsageError(
            "invalid message",
            hint="kind must be text or call, and the sender must have 1 to 256 characters",
        ) from None
