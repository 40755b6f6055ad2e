"""Taking passcodes and passwords out of what is shown: steps, payloads, expectations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

__all__ = ["MASK", "mask", "mask_payload"]

MASK: Final = "•••"
"""What stands for a passcode or password."""
_SECRET_KEYS: Final = frozenset({"newPasscode", "passcode", "password", "confirm"})
_WORDS: Final = ("absent", "present")
_SPOKEN_OF: Final = frozenset({"state"})
"""Payloads in which `passcode` is the kind of passcode."""


def mask(value: Any, keys: Collection[str]) -> Any:
    """`value` with what stands under any of `keys` hidden, but for the words of expectations."""
    if isinstance(value, Mapping):
        return {
            key: MASK if key in keys and _is_secret(each) else mask(each, keys)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(each, keys) for each in value]
    return value


def _is_secret(value: object) -> bool:
    return isinstance(value, str | int | float) and value not in _WORDS


def mask_payload(leaf: str, payload: Any) -> Any:
    """What was published on a device's topic, as it may be shown."""
    keys = {"newPasscode"} if leaf in _SPOKEN_OF else _SECRET_KEYS
    return mask(payload, keys)
