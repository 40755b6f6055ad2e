"""Secrets out of payloads, and back in: what a trace holds in place of passcodes and passwords.

A passcode becomes `{"$passcode": 1, "like": "9999"}`: a number, the same for equal passcodes of
one trace, and what its characters are (`9` a digit, `a` a small letter, `A` a capital, `!` another
character). That is enough to make up one that a device and its policy treat alike, and not enough
to open anything. Passwords become `{"$password": 1, ...}`, counted by themselves.

What is not JSON could hide a secret anywhere: of it a trace keeps the size alone (`$bytes`), for a
device answers any such payload alike. JSON that is no object, `2580` for one, is taken for a
passcode as a whole. A key of the payload's own that begins with `$` gets another.
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
"""As `_folded` has them: a misspelt key is refused, and yet what stands there is a secret."""
_CHARACTERS: Final[Mapping[str, str]] = {
    "9": "0123456789",
    "a": "abcdefghijklmnopqrstuvwxyz",
    "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "!": "!#$%&*+-=?@",
}
_KINDS: Final = ("none", "user", "temporary")
_TRIES: Final = 2_000


class Redactor:
    """Takes the secrets of one trace out of its payloads; equal ones get equal placeholders."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {PASSCODE: {}, PASSWORD: {}}

    def payload(self, leaf: str, payload: bytes) -> Any:
        """A payload as a trace holds it. `leaf` is the last level of its topic."""
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
        """The placeholder of one secret; `kind` is PASSCODE or PASSWORD."""
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        numbers = self._numbers[kind]
        number = numbers.setdefault(text, len(numbers) + 1)
        if not isinstance(value, str):
            # Refused for its type, whatever it says; a replay sends something of that type.
            return {kind: number, _TYPE: type(value).__name__}
        placeholder: dict[str, Any] = {kind: number, _LIKE: character_pattern(value)}
        if traits_of(value).simple:
            placeholder[_SIMPLE] = True
        return placeholder

    def _value(self, value: Any, *, top: str = "") -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, float) and not isfinite(value):
            # 1e999 is JSON and too large for Python, whose way to write it is no JSON.
            return copysign(float_info.max, value)
        if not isinstance(value, dict):
            return value
        redacted = {}
        for key, each in value.items():
            kind = _SECRET_KEYS.get(_folded(key))
            # A state says which kind of passcode there is, by the same key.
            told = top == "state" and each in _KINDS
            # None and "" hide nothing, and are refused.
            secret = kind is not None and each not in (None, "") and not told
            name = f"${key}" if key.startswith("$") else key
            redacted[name] = self.secret(kind or "", each) if secret else self._value(each)
        return redacted


def _folded(key: str) -> str:
    """A key without what it may be misspelt by: capitals, spaces, dashes, underscores."""
    return "".join(character for character in key if character not in " -_").casefold()


def describe_pattern(placeholder: Mapping[str, Any]) -> str:
    """What a placeholder's secret is made of, without telling the order: `6 digits and letters`."""
    like = str(placeholder.get(_LIKE, ""))
    kinds = [("digits", "9"), ("letters", "aA"), ("symbols", "!")]
    made_of = [kind for kind, characters in kinds if set(characters) & set(like)]
    return f"{len(like)} {' and '.join(made_of)}"


def is_placeholder(value: object) -> bool:
    """Whether a value of a trace stands for a secret."""
    if not isinstance(value, dict):
        return False
    kind = next(iter(value), "")
    # No float, no text: somebody may have written into the file.
    return kind in (PASSCODE, PASSWORD) and type(value[kind]) is int


def restore_payload(document: Any, secret: Callable[[Mapping[str, Any]], str]) -> bytes:
    """The payload that a trace's document stands for; `secret` gives what a placeholder means."""
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
    """A secret that is like the one that a placeholder stands for, and not `taken`."""
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
    """What each character is: `9` a digit, `a` a small letter, `A` a capital, `!` another."""
    return "".join(_class_of(character) for character in text)


def pattern_from_traits(traits: Traits) -> str:
    """A pattern of which `generate_similar_secret` makes passcodes with these traits."""
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
