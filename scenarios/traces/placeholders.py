"""Placeholders that replace passcodes and passwords in a trace.

A passcode becomes `{"$passcode": 1, "like": "9999"}`: a number, which is equal for equal passcodes
of one trace, and a character pattern (`9` digit, `a` lower-case letter, `A` upper-case letter, `!`
other character). A replay can generate a passcode from it that a device and its policy treat in the
same way, but the original passcode cannot be recovered. Passwords become `{"$password": 1, ...}`
and are numbered separately.

A payload that is not JSON may contain a secret anywhere, so a trace stores its size only
(`$bytes`); a device answers all such payloads in the same way. A JSON value that is not an object,
such as `2580`, is treated as a passcode. An original key that begins with `$` gets a second `$`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import copysign, isfinite
from sys import float_info
from typing import Any, Final

from pydantic_core import from_json

from agent.passcode import Traits, traits_of
from broker.contract import MAX_PAYLOAD

__all__ = [
    "BYTES",
    "PASSCODE",
    "PASSWORD",
    "Redactor",
    "character_pattern",
    "describe_pattern",
    "generate_similar_secret",
    "is_placeholder",
    "pattern_from_traits",
    "restore_payload",
]

PASSCODE: Final = "$passcode"
PASSWORD: Final = "$password"  # noqa: S105  # the name of a placeholder
BYTES: Final = "$bytes"
_LIKE: Final = "like"
_SIMPLE: Final = "simple"
_TYPE: Final = "type"

_SECRET_KEYS: Final[Mapping[str, str]] = {
    "passcode": PASSCODE,
    "newpasscode": PASSCODE,
    "password": PASSWORD,
    "confirm": PASSWORD,
}
"""Keys after `_normalize_key`. Devices refuse misspelt keys, but their values are secret, too."""
_CHARACTERS: Final[Mapping[str, str]] = {
    "9": "0123456789",
    "a": "abcdefghijklmnopqrstuvwxyz",
    "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "!": "!#$%&*+-=?@",
}
_KINDS: Final = ("none", "user", "temporary")
_TRIES: Final = 2_000


class Redactor:
    """Redactor of the payloads of one trace; equal secrets get equal placeholders."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {PASSCODE: {}, PASSWORD: {}}

    def payload(self, leaf: str, payload: bytes) -> Any:
        """Return the redacted payload for a trace. `leaf` is the last topic level."""
        if len(payload) > MAX_PAYLOAD:
            return {BYTES: len(payload)}
        try:
            document = from_json(payload, allow_inf_nan=False)
        except ValueError:
            return {BYTES: len(payload)}
        if isinstance(document, dict) or document is None:
            return self._value(document, top=leaf)
        return self.secret(PASSCODE, document)

    def secret(self, kind: str, value: object) -> dict[str, Any]:
        """Return the placeholder of one secret; `kind` is PASSCODE or PASSWORD."""
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        numbers = self._numbers[kind]
        number = numbers.setdefault(text, len(numbers) + 1)
        if not isinstance(value, str):
            # Devices refuse this type with any value, so a replay sends a value of the same type.
            return {kind: number, _TYPE: type(value).__name__}
        placeholder: dict[str, Any] = {kind: number, _LIKE: character_pattern(value)}
        if traits_of(value).simple:
            placeholder[_SIMPLE] = True
        return placeholder

    def _value(self, value: Any, *, top: str = "") -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, float) and not isfinite(value):
            # 1e999 is valid JSON, but Python reads it as infinity and would write invalid JSON.
            return copysign(float_info.max, value)
        if not isinstance(value, dict):
            return value
        redacted = {}
        for key, each in value.items():
            kind = _SECRET_KEYS.get(_normalize_key(key))
            # In a state, the key `passcode` is the kind of passcode, which is no secret.
            is_kind = top == "state" and each in _KINDS
            # None and "" contain no secret; devices refuse them.
            secret = kind is not None and each not in (None, "") and not is_kind
            name = f"${key}" if key.startswith("$") else key
            redacted[name] = self.secret(kind or "", each) if secret else self._value(each)
        return redacted


def _normalize_key(key: str) -> str:
    """Return a key in lower case without spaces, dashes and underscores."""
    return "".join(character for character in key if character not in " -_").casefold()


def describe_pattern(placeholder: Mapping[str, Any]) -> str:
    """Describe the length and the kinds of characters of a secret: `6 digits and letters`."""
    like = str(placeholder.get(_LIKE, ""))
    kinds = [("digits", "9"), ("letters", "aA"), ("symbols", "!")]
    made_of = [kind for kind, characters in kinds if set(characters) & set(like)]
    return f"{len(like)} {' and '.join(made_of)}"


def is_placeholder(value: object) -> bool:
    """Return True if a value of a trace is a placeholder."""
    if not isinstance(value, dict):
        return False
    kind = next(iter(value), "")
    # The file may have been edited by hand: refuse numbers of another type.
    return kind in (PASSCODE, PASSWORD) and type(value[kind]) is int


def restore_payload(document: Any, secret: Callable[[Mapping[str, Any]], str]) -> bytes:
    """Return the payload for a redacted document; `secret` returns the value of a placeholder."""
    if isinstance(document, dict) and BYTES in document:
        return b" " * int(document[BYTES])
    return json.dumps(_restore_value(document, secret), ensure_ascii=False).encode()


def _restore_value(value: Any, secret: Callable[[Mapping[str, Any]], str]) -> Any:
    if isinstance(value, list):
        return [_restore_value(each, secret) for each in value]
    if not isinstance(value, dict):
        return value
    if is_placeholder(value):
        samples: dict[str, Any] = {"int": 1, "float": 1.5, "bool": True, "list": [], "dict": {}}
        return samples[value[_TYPE]] if value.get(_TYPE) in samples else secret(value)
    return {key.removeprefix("$"): _restore_value(each, secret) for key, each in value.items()}


def generate_similar_secret(placeholder: Mapping[str, Any], taken: Callable[[str], bool]) -> str:
    """Return a secret with the pattern of a placeholder for which `taken` returns False."""
    like = str(placeholder.get(_LIKE) or "9999")
    simple = bool(placeholder.get(_SIMPLE))
    number = placeholder.get(PASSCODE) or placeholder.get(PASSWORD)
    wanted = _traits_of_pattern(like, simple=simple)
    candidate = like
    for attempt in range(_TRIES):
        candidate = _candidate(like, f"{number}/{attempt}", simple=simple, attempt=attempt)
        if traits_of(candidate) == wanted and not taken(candidate):
            return candidate
    return candidate


def character_pattern(text: str) -> str:
    """Return the character pattern of a text; the module docstring lists its characters."""
    return "".join(_class_of(character) for character in text)


def pattern_from_traits(traits: Traits) -> str:
    """Return a pattern from which `generate_similar_secret` makes passcodes with these traits."""
    kinds = [(traits.digits, "9"), (traits.small, "a"), (traits.capitals, "A")]
    classes = "".join(kind for has, kind in kinds if has)
    rest = traits.length - len(classes) - traits.symbols
    return classes + (classes[:1] or "!") * rest + "!" * traits.symbols


def _class_of(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return "!"


def _traits_of_pattern(like: str, *, simple: bool) -> Traits:
    return Traits(
        length=len(like),
        digits="9" in like,
        small="a" in like,
        capitals="A" in like,
        symbols=sum(c not in "9aA" for c in like),
        simple=simple,
    )


def _candidate(like: str, salt: str, *, simple: bool, attempt: int) -> str:
    if simple:
        characters = _CHARACTERS.get(like[:1], _CHARACTERS["9"])
        start, step = divmod(attempt, 3)
        first = ord(characters[start % len(characters)])
        return "".join(chr(first + (0, 1, -1)[step] * n) for n in range(len(like)))
    bits = int.from_bytes(blake2b(salt.encode(), digest_size=64).digest())
    drawn = []
    for kind in like:
        characters = _CHARACTERS.get(kind, _CHARACTERS["!"])
        bits, index = divmod(bits, len(characters))
        drawn.append(characters[index])
    return "".join(drawn)
