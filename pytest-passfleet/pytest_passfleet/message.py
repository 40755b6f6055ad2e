"""What goes over the wire, as tests see it."""

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
        """Its id, so that it fits into topics and texts."""
        return self.device_id


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `device` is empty where it is about none, `leaf` the topic's last level.

    `document` is the payload, None where that is no JSON object.
    """

    topic: str
    device: str
    leaf: str
    document: dict[str, Any] | None
    retained: bool = False

    def __str__(self) -> str:
        """One line for a reader, without passcodes."""
        shown = json.dumps(redacted(self), ensure_ascii=False)
        return f"{self.device or '-'} {self.leaf}: {shown}"


def read(root: str, topic: str, payload: bytes, *, retained: bool) -> Message:
    """The message that came on `topic`, which lies below `root`."""
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
    """The payload with the passcodes masked; `passcode` of a state is a word and no secret."""
    document = message.document or {}
    if message.leaf not in _LEAVES_WITH_SECRETS:
        return document
    return {
        key: _MASK if key in _SECRETS and value is not None else value
        for key, value in document.items()
    }
