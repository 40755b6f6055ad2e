"""Masking of passcodes, passwords and other secrets in steps, payloads and expectations.

Two ways: by the key of a value (`mask`), and by the text of a known secret (`Redactor`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

__all__ = ["MASK", "Redactor", "mask", "mask_http", "mask_http_text", "mask_payload"]

MASK: Final = "•••"
"""Replacement text for passcodes and passwords."""
_SECRET_KEYS: Final = frozenset(
    {"newPasscode", "newPasscodeLine", "passcode", "password", "confirm"}
)
_MATCHER_KEYWORDS: Final = ("absent", "present")
_PASSCODE_KIND_TOPICS: Final = frozenset({"state"})
"""Topics whose `passcode` key is the kind of passcode (none, user, temporary), not a secret."""
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SECRET_WORDS: Final = frozenset(
    {
        *("authorization", "bearer", "cookie", "credential", "credentials", "passcode"),
        *("passcodes", "passphrase", "passwd", "password", "passwords", "pin", "pins", "pwd"),
        *("secret", "secrets", "signature", "token", "tokens"),
    }
)
_KEY_WORDS: Final = frozenset(
    {"access", "api", "auth", "encryption", "private", "shared", "signing"}
)
_SHORTEST_PART: Final = 4
"""Shortest secret that is masked as a part of a longer text."""


class _SecretNames(Container[str]):
    """All names of HTTP headers and JSON keys that stand for a secret, such as `X-Api-Key`."""

    def __contains__(self, name: object) -> bool:
        words = [word.lower() for word in _WORD.findall(str(name))]
        compact = "".join(words)
        return (
            any(word in _SECRET_WORDS for word in words)
            or compact in _SECRET_WORDS
            or ("key" in words and any(word in _KEY_WORDS for word in words))
            or compact.endswith("apikey")
        )


_HTTP_SECRETS: Final = _SecretNames()
_PARAMETER: Final = re.compile(r"((?:^|[?&])([^=&?#\s]{1,100})=)[^&#\s\"']+")
_LOGIN: Final = re.compile(r"(https?://)[^/@\s]*@")


def mask_http(value: Any) -> Any:
    """Return a copy of a JSON value of a request or answer with its secrets masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if key in _HTTP_SECRETS and _is_secret(each) else mask_http(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_http(each) for each in value]
    return mask_http_text(value) if isinstance(value, str) else value


def mask_http_text(text: str) -> str:
    """Return an address or a form with its login and secret parameters masked."""

    def hide(match: re.Match[str]) -> str:
        return match[1] + MASK if match[2] in _HTTP_SECRETS else match[0]

    return _PARAMETER.sub(hide, _LOGIN.sub(rf"\1{MASK}@", text))


def mask(value: Any, keys: Container[str]) -> Any:
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


class Redactor:
    """Replacement of known secrets by other texts, in texts and in JSON values.

    A secret of at least four characters is replaced wherever it occurs, also as JSON or URLs write
    it; a shorter one only where it is the whole value.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str, replacement: str = MASK) -> None:
        """Replace `secret` by `replacement` from now on; the first replacement stays."""
        if not secret or secret in self._secrets:
            return
        for form in (secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe="")):
            self._secrets.setdefault(form, replacement)
        self._pattern = _any_of(each for each in self._secrets if len(each) >= _SHORTEST_PART)

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        if text in self._secrets:
            return self._secrets[text]
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: self._secrets[match[0]], text)

    def value(self, value: Any) -> Any:
        """Return a copy of a JSON value without secrets, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._secrets.get(str(value), value)
        return value


def _any_of(texts: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(texts, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
