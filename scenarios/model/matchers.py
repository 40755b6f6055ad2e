"""What an expectation says of a value, and whether a value is so.

Equality, `absent`, `present`, `{matches: regex}` (which searches) and `{contains: text}`. A mapping
is expected key by key: what it does not name may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.validation import KeyPath, Problem, shorten_value

__all__ = [
    "ABSENT",
    "PRESENT",
    "Matcher",
    "TextVariants",
    "describe",
    "matches",
    "parse_matcher",
    "searchable_texts",
]

ABSENT: Final = "absent"
PRESENT: Final = "present"
_WORDS: Final = (ABSENT, PRESENT)
_WAYS: Final = frozenset({"matches", "contains"})


@dataclass(frozen=True, slots=True)
class TextVariants:
    """Something with several wordings: a page with two names, a notification with title and body.

    It equals each of `texts`, or `document` key by key; a search looks through all of the texts.
    """

    texts: tuple[str, ...]
    document: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """One of the ways to expect other than by equality. `pattern` is None but for `matches`."""

    way: str
    text: str = ""
    pattern: re.Pattern[str] | None = None


def parse_matcher(value: object, path: KeyPath, problems: list[Problem]) -> Matcher | None:
    """The matcher that `value` is; None where it is a plain value to be equal to."""
    if isinstance(value, str) and value in _WORDS:
        return Matcher(value)
    if not isinstance(value, Mapping) or not value or not set(value) <= _WAYS:
        return None
    if len(value) > 1:
        problems.append(Problem(path, "matches and contains exclude each other", "one of them"))
    way, text = next(iter(value.items()))
    if not isinstance(text, str) or not text:
        problems.append(Problem((*path, way), f"got {shorten_value(text)}", "a string"))
        return Matcher(way)
    if way == "contains":
        return Matcher(way, text)
    try:
        return Matcher(way, text, re.compile(text))
    except re.error as error:
        problems.append(
            Problem((*path, way), f"not a regular expression: {error.msg}", "a regular expression")
        )
        return Matcher(way)


def matches(expected: object, seen: object) -> bool:
    """Whether `seen` is as `expected`; None stands for what is not there."""
    if isinstance(expected, Matcher):
        return _matches(expected, seen)
    if isinstance(expected, Mapping):
        document = seen.document if isinstance(seen, TextVariants) else seen
        return isinstance(document, Mapping) and all(
            matches(value, document.get(key)) for key, value in expected.items()
        )
    if isinstance(seen, TextVariants):
        return expected in seen.texts
    if isinstance(expected, list | tuple) and isinstance(seen, list | tuple):
        return list(expected) == list(seen)
    # 1 is no truth, though Python says so.
    return isinstance(expected, bool) is isinstance(seen, bool) and expected == seen


def _matches(matcher: Matcher, seen: object) -> bool:
    there = seen is not None and seen is not False and seen not in ((), [])
    if matcher.way == ABSENT:
        return not there
    if matcher.way == PRESENT:
        return there
    found = searchable_texts(seen)
    if matcher.pattern is not None:
        return any(matcher.pattern.search(text) for text in found)
    return any(matcher.text in text for text in found)


def searchable_texts(seen: object) -> Iterator[str]:
    """The texts in a value that can be searched."""
    if isinstance(seen, TextVariants):
        yield "\n".join(seen.texts)
    elif isinstance(seen, Mapping):
        for value in seen.values():
            yield from searchable_texts(value)
    elif isinstance(seen, list | tuple):
        for value in seen:
            yield from searchable_texts(value)
    elif isinstance(seen, bool):
        yield str(seen).lower()
    elif seen is not None:
        yield str(seen)


def describe(value: object) -> str:
    """A value, expected or seen, as a report shows it."""
    if isinstance(value, Matcher):
        return value.way if value.way in _WORDS else f"{{{value.way}: {_plain(value.text)}}}"
    if isinstance(value, TextVariants):
        return " / ".join(value.texts)
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {describe(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(describe(each) for each in value) + "]"
    return str(value)
