"""Lists of all payloads and channels of the wire contract, for the generated documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from broker import contract
from broker.contract import Topics

__all__ = ["CHANNELS", "PAYLOADS", "PAYLOADS_BY_NAME", "Channel", "InspectionRequest", "Payload"]


class InspectionRequest(contract.PayloadModel):
    """Request to the host of a device. The answer is published on `inspection`."""

    request_id: contract.Id


@dataclass(frozen=True, slots=True)
class Payload:
    """One kind of payload.

    `schema` is its name among the components of the AsyncAPI document. `published` is true for
    payloads of devices and hosts, which always have every key.
    """

    name: str
    schema: str
    model: Any
    title: str
    description: str
    published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One topic from the device's point of view: it subscribes if `action` is `receive`.

    `address` returns the topic, with parameters in braces. `reply` is (channel, payload).
    """

    key: str
    address: Callable[[Topics], str]
    publisher: str
    action: Literal["send", "receive"]
    payloads: tuple[str, ...]
    summary: str
    retained: bool = False
    reply: tuple[str, str] | None = None


def _received(name: str, schema: str, model: Any, description: str) -> Payload:
    return Payload(name, schema, model, _title(schema), description, published=False)


def _published(name: str, schema: str, model: Any, description: str) -> Payload:
    return Payload(name, schema, model, _title(schema), description, published=True)


def _title(schema: str) -> str:
    """Convert `DeviceState` to `Device state`."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in schema)
    return words.strip().capitalize()


PAYLOADS: Final = (
    _received("command", "Command", contract.Command, "A command for a device."),
    _received("input", "Input", contract.Input, "An action of the virtual user."),
    _received("message", "Message", contract.Message, "A text message or a call for the device."),
    _received("simulate", "Simulate", contract.Simulate, "An event, such as a lost connection."),
    _received("clock", "ClockTo", contract.ClockTo, "Moves the fleet's virtual time."),
    _received(
        "inspect",
        "InspectionRequest",
        InspectionRequest,
        "Requests an inspection of a device.",
    ),
    _published(
        "result",
        "ActionResult",
        contract.ActionResult,
        "The result of a command, as portal and console read it.",
    ),
    _published(
        "input-result",
        "InputResult",
        contract.InputResult,
        "The result of an input, with `inputId` in place of `commandId`.",
    ),
    _published(
        "notification",
        "Notification",
        contract.Notification,
        "A notification on the device's screen.",
    ),
    _published(
        "escrow",
        "Escrow",
        contract.Escrow,
        "The new passcode, for the administrator only.",
    ),
    _published(
        "state",
        "DeviceState",
        contract.DeviceState,
        "The state of a device, without a passcode.",
    ),
    _published("presence", "Presence", contract.Presence, "The connection status of a device."),
    _published(
        "clock-now",
        "ClockNow",
        contract.ClockNow,
        "The fleet's time, published unless it is the time of day.",
    ),
    _published(
        "inspection",
        "Inspection",
        contract.Inspection,
        "Policy in force, last results and last notifications of a device, without passcodes.",
    ),
)
PAYLOADS_BY_NAME: Final = {payload.name: payload for payload in PAYLOADS}


def _device(leaf: str) -> Callable[[Topics], str]:
    return lambda topics: topics.device("{deviceId}", leaf)


CHANNELS: Final = (
    Channel(
        key="commands",
        address=_device("commands"),
        publisher="operator",
        action="receive",
        payloads=("command",),
        summary="Commands for one device. One that arrives with the retained flag is refused"
        " (`retainedCommand`).",
        reply=("results", "result"),
    ),
    Channel(
        key="groupCommands",
        address=lambda topics: topics.group("{group}"),
        publisher="operator",
        action="receive",
        payloads=("command",),
        summary="The same command for every device of a group; the group `all` is every device.",
        reply=("results", "result"),
    ),
    Channel(
        key="results",
        address=_device("results"),
        publisher="device",
        action="send",
        payloads=("result", "input-result"),
        summary="Results of commands and inputs, as portal and console read them.",
    ),
    Channel(
        key="escrow",
        address=_device("escrow"),
        publisher="device",
        action="send",
        payloads=("escrow",),
        summary="The new passcode for the administrator only, after every hybrid reset that"
        " creates one; the console shows it from `resetNumber` 2 on.",
    ),
    Channel(
        key="notifications",
        address=_device("notifications"),
        publisher="device",
        action="send",
        payloads=("notification",),
        summary="A notification on the device's screen.",
    ),
    Channel(
        key="messages",
        address=_device("messages"),
        publisher="operator",
        action="receive",
        payloads=("message",),
        summary="A text message or call for the device, such as a verification code.",
    ),
    Channel(
        key="state",
        address=_device("state"),
        publisher="device",
        action="send",
        payloads=("state",),
        summary="The device's state after each change, without a passcode.",
        retained=True,
    ),
    Channel(
        key="presence",
        address=_device("presence"),
        publisher="device",
        action="send",
        payloads=("presence",),
        summary="The device's connection status; `offline` is also the Last Will.",
        retained=True,
    ),
    Channel(
        key="inputs",
        address=_device("inputs"),
        publisher="anyone allowed",
        action="receive",
        payloads=("input",),
        summary="Actions of the virtual user, for example of a test that presses buttons. Each"
        " is answered on `results` with its `inputId`.",
        reply=("results", "input-result"),
    ),
    Channel(
        key="simulate",
        address=_device("simulate"),
        publisher="operator",
        action="receive",
        payloads=("simulate",),
        summary="Simulated events. The host process handles them, also while the device is"
        " offline. `restore` resets the device to its first state; `refuse` lets commands fail.",
    ),
    Channel(
        key="clock",
        address=lambda topics: topics.clock,
        publisher="operator",
        action="receive",
        payloads=("clock",),
        summary="Moves virtual time. The host answers once all messages due by then have been"
        " published. It does not answer an invalid request; its log has the reason.",
        reply=("clockNow", "clock-now"),
    ),
    Channel(
        key="clockNow",
        address=lambda topics: topics.clock_now,
        publisher="host",
        action="send",
        payloads=("clock-now",),
        summary="The fleet's time.",
        retained=True,
    ),
    Channel(
        key="inspect",
        address=_device("inspect"),
        publisher="operator",
        action="receive",
        payloads=("inspect",),
        summary="For passfleet's own commands: requests an inspection of the device.",
        reply=("inspection", "inspection"),
    ),
    Channel(
        key="inspection",
        address=_device("inspection"),
        publisher="host",
        action="send",
        payloads=("inspection",),
        summary="For passfleet's own commands: the host's answer to `inspect`.",
    ),
)
"""All channels in the order of the contract. The QoS is always 1."""
