"""One device as an operator sees it over MQTT: state, presence, results, notifications, passcodes.

Payloads are kept as they arrive and parsed when a viewer asks, so that a fleet without a viewer
costs a dictionary entry a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from broker.contract import (  # ification, Presence
    ActionResult,
    DeviceState,
    Escrow,
    Message,
    Notification,
    Presence,
)
from broker.operator.readers import (
    FINAL_STATES,
    ReceivedMessage,
    read_escrow,
    read_notification,
    read_presence,
    read_result,
    read_state,
    read_text_message,
)
from scenarios.actors.console import FIRST_VISIBLE_RESET

__all__ = ["DeviceAction", "DeviceView"]

T = TypeVar("T")

_KEPT: Final = 32
"""Results, notifications and messages kept for a device; the contract's own number of results."""
_UNREAD: Final = 4 * _KEPT
"""Messages kept unparsed for a device until a viewer asks."""


@dataclass(slots=True)
class DeviceAction:
    """One command and its last result; `result` is None until the device answers.

    Instants are milliseconds since the epoch, by the fleet's clock.
    """

    command_id: str
    action_name: str
    issued_by: Literal["user", "admin"] | None
    started: int
    result: ActionResult | None = None

    @property
    def action_state(self) -> str:
        """The contract's `actionState`; `pending` until the device answers."""
        return self.result.action_state if self.result else "pending"

    @property
    def updated(self) -> int:
        """The instant of the last change."""
        return self.result.last_updated_date_time if self.result else self.started


@dataclass(slots=True)
class DeviceView:
    """All messages read about one device since the view connected.

    `revision` grows with every message, so that a viewer can tell whether it has seen the latest.
    Passcodes are held in memory only, and dropped once the device no longer has them.
    `first_heard` and `last_heard` are instants of messages, by the fleet's clock.
    """

    device_id: str
    first_heard: int
    last_heard: int = 0
    revision: int = 0
    _state: DeviceState | bytes | None = None
    _presence: Presence | None = None
    _unread: list[ReceivedMessage] = field(default_factory=list)
    _actions: dict[str, DeviceAction] = field(default_factory=dict)
    _notifications: list[Notification] = field(default_factory=list)
    _messages: list[Message] = field(default_factory=list)
    _passcode: tuple[str, str] | None = field(default=None, repr=False)
    _escrow: Escrow | None = field(default=None, repr=False)

    # -- writing --------------------------------------------------------------------------------

    def take(self, received: ReceivedMessage, now: int) -> None:
        """Take in a message of this device's topics that arrived at the instant `now`."""
        self.revision += 1
        self.last_heard = now
        if received.leaf == "state":
            self._state = received.payload or None
            if self._unread or self._passcode or self._escrow:
                _append(self._unread, received, _UNREAD)
        elif received.leaf == "presence":
            self._take_presence(received.payload)
        elif not received.retained:
            _append(self._unread, received, _UNREAD)

    def sent(self, action: DeviceAction) -> None:
        """Remember a command that this process sent."""
        self.revision += 1
        self._read()
        self._actions[action.command_id] = action
        self._forget_old_actions()

    def _take_presence(self, payload: bytes) -> None:
        presence = read_presence(payload) if payload else None
        if presence is None or self._presence is None or presence.session >= self._presence.session:
            self._presence = presence

    # -- reading --------------------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """True where neither state nor presence is retained any more."""
        return self._state is None and self._presence is None

    @property
    def state(self) -> DeviceState | None:
        """The last state; None where the device has published none."""
        if isinstance(self._state, bytes):
            self._state = read_state(self._state)
        return self._state

    @property
    def presence(self) -> Presence | None:
        """The last presence; None where the device has published none."""
        return self._presence

    @property
    def online(self) -> bool:
        """True if the broker reports the device as online."""
        return self._presence is not None and self._presence.status == "online"

    @property
    def actions(self) -> Sequence[DeviceAction]:
        """The last commands in the order of their start, at most 32."""
        self._read()
        return tuple(self._actions.values())

    @property
    def notifications(self) -> Sequence[Notification]:
        """The last notifications on the device's screen, oldest first, at most 32."""
        self._read()
        return tuple(self._notifications)

    @property
    def messages(self) -> Sequence[Message]:
        """The last text messages and calls that reached the device, oldest first, at most 32."""
        self._read()
        return tuple(self._messages)

    @property
    def new_passcode(self) -> str | None:
        """The temporary passcode that a result carried, while the device has it."""
        held = self.new_passcode_of
        return None if held is None else held[1]

    @property
    def new_passcode_of(self) -> tuple[str, str] | None:
        """(command id, passcode) of `new_passcode`."""
        self._read()
        return self._passcode

    @property
    def administrator_passcode(self) -> tuple[str, str] | None:
        """(command id, passcode) that the administrator may see, while the device has it."""
        escrow = self.escrow
        if escrow is not None and escrow.reset_number >= FIRST_VISIBLE_RESET:
            return escrow.command_id, escrow.new_passcode
        return self.new_passcode_of

    @property
    def escrow(self) -> Escrow | None:
        """The last passcode in escrow, for the administrator alone, while the device has it."""
        self._read()
        return self._escrow

    def published(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (topic leaf, payload) of the state and of the last reset's passcode.

        A viewer that starts to follow the device now receives what it would have received before.
        """
        for leaf, model in (("state", self.state), ("escrow", self.escrow)):
            if model is not None:
                yield leaf, model.model_dump(mode="json", by_alias=True)
        if (held := self.new_passcode_of) is not None:
            action = {"actionName": "resetPasscode", "actionState": "done", "message": ""}
            yield "results", {"commandId": held[0], **action, "newPasscode": held[1]}

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        for received in unread:
            payload = received.payload
            if received.leaf == "results":
                self._read_result(payload)
            elif received.leaf == "notifications":
                _append(self._notifications, read_notification(payload))
            elif received.leaf == "messages":
                _append(self._messages, read_text_message(payload))
            elif received.leaf == "escrow":
                self._escrow = read_escrow(payload) or self._escrow
            elif received.leaf == "state":
                self._drop_passcodes(read_state(payload))
        if unread:
            self._drop_passcodes(self.state)

    def _read_result(self, payload: bytes) -> None:
        result = read_result(payload)
        if result is None or result.command_id is None or result.action_name is None:
            return
        known = self._actions.get(result.command_id)
        if known is not None and (result.duplicate or known.action_state in FINAL_STATES):
            return
        if known is None:
            known = DeviceAction(
                result.command_id, result.action_name, None, result.start_date_time
            )
            self._actions[result.command_id] = known
            self._forget_old_actions()
        known.result = result
        if result.new_passcode is not None and not result.duplicate:
            self._passcode = result.command_id, result.new_passcode

    def _drop_passcodes(self, state: DeviceState | None) -> None:
        """Forget passcodes that the device no longer has: its user set another, or a wipe."""
        if state is None or state.passcode != "temporary":
            self._passcode = self._escrow = None

    def _forget_old_actions(self) -> None:
        while len(self._actions) > _KEPT:
            del self._actions[next(iter(self._actions))]


def _append(kept: list[T], value: T | None, limit: int = _KEPT) -> None:
    """Append a value that is not None, and drop the oldest beyond the limit."""
    if value is not None:
        kept.append(value)
        del kept[:-limit]
