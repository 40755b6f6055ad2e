"""Lists of all payloads and channels of the wire contract, for the generated documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from broker import contract
from broker.contract import Topics

__all__ = ["CHANNELS", "PAYLOADS", "PAYLOADS_BY_NAME", "Channel", "InspectionRequest", "Payload"]


class InspectionRequest(contract.Wire):
    """Request to the host of a device; the answer has its own topic."""

    request_id: contract.Id


@dataclass(frozen=True, slots=True)
class Payload:
    """One kind of payload.

    `schema` is its name among the components of the AsyncAPI document. `published` is true for
    what devices and their host publish: there every key is always present.
    """

    name: str
    schema: str
    model: Any
    title: str
    description: str
    published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One topic, seen from the device: `receive` is what it subscribes to.

    `address` makes the topic; parameters stand in braces. `reply` is (channel, payload).
    """

    key: str
    address: Callable[[Topics], str]
    publisher: str
    action: Literal["send", "receive"]
    payloads: tuple[str, ...]
    summary: str
    retained: bool = False
    reply: tuple[str, str] | None = None


def _taken(name: str, schema: str, model: Any, description: str) -> Payload:
    return Payload(name, schema, model, _title(schema), description, published=False)


def _published(name: str, schema: str, model: Any, description: str) -> Payload:
    return Payload(name, schema, model, _title(schema), description, published=True)


def _title(schema: str) -> str:
    """`DeviceState` as `Device state`."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in schema)
    return words.strip().capitalize()


PAYLOADS: Final = (
    _taken("command", "Command", contract.Command, "What a device is told to do."),
    _taken("input", "Input", contract.Input, "The virtual user's thumb."),
    _taken("message", "Message", contract.Message, "A text message or a call for the device."),
    _taken("simulate", "Simulate", contract.Simulate, "What the world around a device does to it."),
    _taken("clock", "ClockTo", contract.ClockTo, "Moves virtual time; taken by virtual time only."),
    _taken("inspect", "InspectionRequest", InspectionRequest, "Asks the host about a device."),
    _published(
        "result",
        "ActionResult",
        contract.ActionResult,
        "What became of a command, as portal and console read it.",
    ),
    _published(
        "input-result",
        "InputResult",
        contract.InputResult,
        "What became of an input: `inputId` in place of `commandId`.",
    ),
    _published(
        "notification",
        "Notification",
        contract.Notification,
        "What appears on the device's own screen.",
    ),
    _published(
        "escrow",
        "Escrow",
        contract.Escrow,
        "The new passcode, for the administrator alone.",
    ),
    _published(
        "state",
        "DeviceState",
        contract.DeviceState,
        "A device's state; never a passcode.",
    ),
    _published("presence", "Presence", contract.Presence, "Whether a device is connected."),
    _published(
        "clock-now",
        "ClockNow",
        contract.ClockNow,
        "Where the fleet's time stands, where it is not the time of day.",
    ),
    _published(
        "inspection",
        "Inspection",
        contract.Inspection,
        "What a device's host knows about it beyond its state; never a passcode.",
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
        summary="What became of commands and inputs: what portal and console read.",
    ),
    Channel(
        key="escrow",
        address=_device("escrow"),
        publisher="device",
        action="send",
        payloads=("escrow",),
        summary="The new passcode for the administrator alone, after every reset in hybrid that"
        " makes one; the console shows it from `resetNumber` 2 on.",
    ),
    Channel(
        key="notifications",
        address=_device("notifications"),
        publisher="device",
        action="send",
        payloads=("notification",),
        summary="What appears on the device's own screen.",
    ),
    Channel(
        key="messages",
        address=_device("messages"),
        publisher="operator",
        action="receive",
        payloads=("message",),
        summary="A text message or call reaching the device (verification codes).",
    ),
    Channel(
        key="state",
        address=_device("state"),
        publisher="device",
        action="send",
        payloads=("state",),
        summary="The device's state, after each change; never a passcode.",
        retained=True,
    ),
    Channel(
        key="presence",
        address=_device("presence"),
        publisher="device",
        action="send",
        payloads=("presence",),
        summary="Whether the device is connected; `offline` is also the Last Will.",
        retained=True,
    ),
    Channel(
        key="inputs",
        address=_device("inputs"),
        publisher="anyone allowed",
        action="receive",
        payloads=("input",),
        summary="The virtual user's thumb, so that a test in any language can press buttons; each"
        " is answered on `results` with its `inputId`.",
        reply=("results", "input-result"),
    ),
    Channel(
        key="simulate",
        address=_device("simulate"),
        publisher="operator",
        action="receive",
        payloads=("simulate",),
        summary="The world around the device. Taken by the process that hosts it, so it works"
        " while the device is offline; `restore` is the first state again.",
    ),
    Channel(
        key="clock",
        address=lambda topics: topics.clock,
        publisher="operator",
        action="receive",
        payloads=("clock",),
        summary="Moves virtual time; taken by the host. Answered once all that was due has been"
        " published. What cannot be taken is not answered: the host's log says why.",
        reply=("clockNow", "clock-now"),
    ),
    Channel(
        key="clockNow",
        address=lambda topics: topics.clock_now,
        publisher="host",
        action="send",
        payloads=("clock-now",),
        summary="Where the fleet's time stands.",
        retained=True,
    ),
    Channel(
        key="inspect",
        address=_device("inspect"),
        publisher="operator",
        action="receive",
        payloads=("inspect",),
        summary="passfleet's own: asks the host what it knows about a device.",
        reply=("inspection", "inspection"),
    ),
    Channel(
        key="inspection",
        address=_device("inspection"),
        publisher="host",
        action="send",
        payloads=("inspection",),
        summary="passfleet's own: the host's answer to `inspect`.",
    ),
)
"""In the order of the contract. QoS is 1 everywhere."""
