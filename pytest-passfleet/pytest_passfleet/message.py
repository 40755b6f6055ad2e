"""Devices and MQTT messages of a fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Device", "Message", "read", "redacted"]

_SECRETS: Final = frozenset({"newPasscode", "passcode"})
_LEAVES_WITH_SECRETS: Final = frozenset({"results", "escrow", "inputs"})
_MASK: Final = "***"


@dataclass(frozen=True, slots=True)
class Device:
    """A virtual phone of the fleet."""

    device_id: str
    platform: str
    management: str
    group: str
    owner: str

    def __str__(self) -> str:
        """Return the id, for use in topics and messages."""
        return self.device_id


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. `device` is empty if the topic is not a device's.

    `leaf` is the last level of the topic. `document` is the payload, None if it is not a JSON
    object.
    """

    topic: str
    device: str
    leaf: str
    document: dict[str, Any] | None
    retained: bool = False

    def __str__(self) -> str:
        """Return one line for test reports, with passcodes masked."""
        shown = json.dumps(redacted(self), ensure_ascii=False)
        return f"{self.device or '-'} {self.leaf}: {shown}"


def read(root: str, topic: str, payload: bytes, *, retained: bool) -> Message:
    """Parse a message received on `topic`, a topic below `root`."""
    levels = topic.removeprefix(f"{root}/").split("/")
    about_device = len(levels) > 2 and levels[0] == "devices"  # noqa: PLR2004  # devices/<id>/<leaf>
    device = levels[1] if about_device else ""
    leaf = levels[-1] if about_device else "/".join(levels)
    try:
        document = json.loads(payload)
    except ValueError:
        document = None
    known = document if isinstance(document, dict) else None
    return Message(topic, device, leaf, known, retained)


def redacted(message: Message) -> Mapping[str, Any]:
    """Return the payload with passcodes masked; `passcode` of a state is an enum, not a secret."""
    document = message.document or {}
    if message.leaf not in _LEAVES_WITH_SECRETS:
        return document
    return {
        key: _MASK if key in _SECRETS and value is not None else value
        for key, value in document.items()
    }
