"""Conversion between the records of the state machine and the MQTT payloads, in both directions.

The state machine does not import the payload models, and they do not import it: only this module
imports both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from agent import effects, events
from agent.passcode import PasscodePolicy, PasscodeRef, RandomSource, reveal
from agent.state import BiometricState, DeviceState, InputAnswer, Result
from broker import contract
from platforms.profile import Action

__all__ = [
    "command_event",
    "input_event",
    "message_event",
    "notification_payload",
    "policy_of",
    "policy_payload",
    "publication",
    "refusal_payload",
    "result_payload",
    "state_payload",
]


def command_event(command: contract.AnyCommand, delivery: object) -> events.Command:
    """Return the event of a command that arrived as `delivery`."""
    policy = policy_of(command.policy) if isinstance(command, contract.PolicyCommand) else None
    text = number = None
    if isinstance(command, contract.LockCommand):
        text, number = command.message, command.phone_number
    return events.Command(
        command.command_id,
        Action(command.action_name),
        command.expires_date_time,
        policy,
        delivery,
        text,
        number,
    )


def policy_of(policy: contract.Policy) -> PasscodePolicy:
    """Convert a policy payload to the policy of the state machine."""
    return PasscodePolicy(**dict(policy))


def policy_payload(policy: PasscodePolicy) -> contract.Policy:
    """Convert a policy of the state machine to its payload."""
    names = contract.Policy.model_fields
    return contract.Policy(**{name: getattr(policy, name) for name in names})


def input_event(
    press: contract.AnyInput,
) -> events.Input:
    """Return the event of an input."""
    return events.Input(
        press.input_id,
        events.InputAction(press.action),
        passcode=getattr(press, "passcode", None),
        user=getattr(press, "user", None),
        key=getattr(press, "key", None),
    )


def message_event(message: contract.Message) -> events.MessageArrived:
    """Return the event of a text message or a call."""
    return events.MessageArrived(
        message.message_id, events.MessageKind(message.kind), message.sender, message.body
    )


def publication(
    effect: effects.Publication, state: DeviceState, draws: RandomSource
) -> tuple[str, contract.PayloadModel, bool]:
    """Convert an effect to (last topic level, payload, retained)."""
    match effect:
        case effects.PublishState(snapshot):
            return "state", state_payload(snapshot), True
        case effects.PublishNotification():
            return "notifications", notification_payload(effect, state), False
        case effects.PublishEscrow(command_id, passcode, number):
            escrow = contract.Escrow(
                command_id=command_id, new_passcode=reveal(passcode, draws), reset_number=number
            )
            return "escrow", escrow, False
        case effects.PublishResult(result, duplicate):
            revealed = _revealed(result.passcode, draws)
            return "results", result_payload(result, state, revealed, duplicate), False
        case effects.PublishAnswer(answer, duplicate):
            return "results", _answer_payload(answer, state, duplicate), False


def _revealed(passcode: PasscodeRef | None, draws: RandomSource) -> str | None:
    return None if passcode is None else reveal(passcode, draws)


def state_payload(state: DeviceState) -> contract.DeviceState:
    """Return the payload of a state."""
    enrollment = state.enrollment
    setup = enrollment.setup
    return contract.DeviceState(
        device_id=enrollment.device_id,
        platform=setup.profile.id,
        management=setup.management.value,
        group=setup.name,
        owner=enrollment.owner,
        current_user=state.current_user,
        locked=state.locked,
        passcode=state.passcode.value,
        passcode_deadline=state.passcode_deadline,
        compliance=state.compliance.value,
        biometrics=_biometrics(state.touch_id, state.face),
        failed_attempts=state.failed_attempts,
        wiped=state.wiped,
        enrolled=state.enrolled,
        lost_mode=state.lost_mode,
        last_check_in=state.last_check_in,
        version=state.version,
    )


@cache
def _biometrics(touch_id: BiometricState, face: BiometricState) -> contract.Biometrics:
    return contract.Biometrics(touch_id=touch_id.value, face=face.value)


def notification_payload(
    shown: effects.PublishNotification, state: DeviceState
) -> contract.Notification:
    """Return the notification payload of a message on the device's screen."""
    return contract.Notification(
        device_id=state.enrollment.device_id,
        notification_id=f"n-{shown.number}",
        title=shown.title,
        body=shown.body,
        buttons=list(shown.buttons),
        date_time=shown.at,
    )


def result_payload(
    result: Result,
    state: DeviceState,
    new_passcode: str | None,
    duplicate: bool,  # noqa: FBT001  # a field of the payload
) -> contract.ActionResult:
    """Return the payload of a result; `new_passcode` is the passcode in clear, None for none."""
    native = None
    if result.native is not None:
        native = state.profile.native_answer(result.action, result.native, state.attributes)
    return contract.ActionResult(
        command_id=result.command_id,
        device_id=state.enrollment.device_id,
        action_name=result.action.value,
        action_state=result.state.value,
        message=result.message,
        new_passcode=new_passcode,
        error_code=result.error.value if result.error else None,
        start_date_time=result.started,
        last_updated_date_time=result.updated,
        duplicate=duplicate,
        native=_plain(native),
    )


def _answer_payload(
    answer: InputAnswer,
    state: DeviceState,
    duplicate: bool,  # noqa: FBT001  # a field of the payload
) -> contract.InputResult:
    return contract.InputResult(
        input_id=answer.input_id,
        device_id=state.enrollment.device_id,
        action_name=str(answer.action),
        action_state=answer.state.value,
        message=answer.message,
        error_code=answer.error.value if answer.error else None,
        start_date_time=answer.at,
        last_updated_date_time=answer.at,
        duplicate=duplicate,
    )


def refusal_payload(
    refusal: contract.Refusal, device_id: str, now: int
) -> contract.ActionResult | contract.InputResult:
    """Return the answer to an invalid message, with its id, or null if that is unreadable."""
    said: dict[str, Any] = {
        "device_id": device_id,
        "action_name": refusal.action,
        "action_state": "failed",
        "message": refusal.message,
        "error_code": refusal.error,
        "start_date_time": now,
        "last_updated_date_time": now,
    }
    if refusal.of_input:
        return contract.InputResult(input_id=refusal.input_id, **said)
    return contract.ActionResult(command_id=refusal.command_id, **said)


def _plain(value: Any) -> Any:
    """Convert platform data to JSON types."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value
