"""Names of the contract that a dialect's templates may use, by section."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from pydantic import BaseModel

from broker import contract

__all__ = [
    "CONSTANTS",
    "INCOMING",
    "KEYS",
    "OUTGOING",
    "RETAINED",
    "VOCABULARY",
    "Incoming",
    "Outgoing",
    "section_names",
]

Incoming = Literal["command", "input", "message", "accepted", "rejected"]
Outgoing = Literal["result", "state", "presence", "notification", "escrow", "connect"]
INCOMING: Final[tuple[Incoming, ...]] = get_args(Incoming)
"""Sections of messages that arrive; the last two are a back-end's answers to results."""
OUTGOING: Final[tuple[Outgoing, ...]] = get_args(Outgoing)
"""Sections of messages that a device publishes; `connect` after every connection."""
RETAINED: Final = ("state", "presence")
"""Sections that the contract retains, and a dialect unless it sets `retain`."""
CONSTANTS: Final = ("deviceId", "group", "platform", "management", "owner", "root")
"""Values of a device that never change; `root` is the topic root of the fleet."""


def _keys(*models: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        field.alias or name for model in models for name, field in model.model_fields.items()
    )


KEYS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "command": _keys(contract.DeviceCommand, contract.LockCommand, contract.PolicyCommand),
        "input": _keys(contract.PasscodeInput, contract.SignInInput, contract.KeyInput),
        "message": _keys(contract.Message),
        "accepted": frozenset({"commandId"}),
        "rejected": frozenset({"commandId", "code", "message"}),
        "result": _keys(contract.ActionResult),
        "state": _keys(contract.DeviceState),
        "presence": _keys(contract.Presence),
        "notification": _keys(contract.Notification),
        "escrow": _keys(contract.Escrow),
        "connect": frozenset(),
    }
)
"""Keys of the contract's payload, by section."""

VOCABULARY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "actionName": contract.ACTIONS,
        "actionState": get_args(contract.ActionStateName),
        "issuedBy": ("user", "admin"),
        "status": ("online", "offline"),
        "passcode": ("none", "user", "temporary"),
        "compliance": ("compliant", "inGracePeriod", "noncompliant"),
        "management": ("standalone", "hybrid", "exchange_activesync"),
    }
)
"""Values of the names that have a fixed vocabulary."""


def section_names(section: str) -> frozenset[str]:
    """Return the names that templates of a section may use, without carried ones."""
    return KEYS[section] | set(CONSTANTS)
