"""Masking of passcodes and passwords in steps, payloads and expectations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = ["MASK", "mask", "mask_payload"]

MASK: Final = "•••"
"""Replacement text for passcodes and passwords."""
_SECRET_KEYS: Final = frozenset(
    {"newPasscode", "newPasscodeLine", "passcode", "password", "confirm"}
)
_MATCHER_KEYWORDS: Final = ("absent", "present")
_PASSCODE_KIND_TOPICS: Final = frozenset({"state"})
"""Topics whose `passcode` key is the kind of passcode (none, user, temporary), not a secret."""


def mask(value: Any, keys: Collection[str]) -> Any:
    """Return a copy of `value` with the values of `keys` masked, at any depth.

    `absent` and `present` stay: they are matchers, not secrets.
    """
    if isinstance(value, Mapping):
        return {
            key: MASK if key in keys and _is_secret(each) else mask(each, keys)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(each, keys) for each in value]
    return value


def _is_secret(value: object) -> bool:
    return isinstance(value, str | int | float) and value not in _MATCHER_KEYWORDS


def mask_payload(leaf: str, payload: Any) -> Any:
    """Return the payload of the topic `devices/<id>/<leaf>` with its secrets masked."""
    keys = {"newPasscode"} if leaf in _PASSCODE_KIND_TOPICS else _SECRET_KEYS
    return mask(payload, keys)
