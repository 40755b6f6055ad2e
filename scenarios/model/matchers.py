"""Matchers of `expect` steps.

An expected value is compared by equality, `absent`, `present`, `{matches: regex}` (found anywhere
in the text) or `{contains: text}`. A mapping is compared key by key; other keys are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.file_validation import KeyPath, Problem, shorten_value

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
_KEYWORDS: Final = (ABSENT, PRESENT)
_SEARCHES: Final = frozenset({"matches", "contains"})


@dataclass(frozen=True, slots=True)
class TextVariants:
    """Value with several texts, such as a notification with a title and a body.

    It equals each of `texts`. A mapping is compared with `document`. `matches` and `contains`
    search all texts.
    """

    texts: tuple[str, ...]
    document: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Matcher:
    """Comparison other than equality.

    `kind` is `absent`, `present`, `matches` or `contains`; `pattern` is set for `matches` only.
    """

    kind: str
    text: str = ""
    pattern: re.Pattern[str] | None = None


def parse_matcher(value: object, path: KeyPath, problems: list[Problem]) -> Matcher | None:
    """Parse the expected value `value`; return None for a plain value (compared by equality).

    Appends a Problem to `problems` for a malformed matcher.
    """
    if isinstance(value, str) and value in _KEYWORDS:
        return Matcher(value)
    if not isinstance(value, Mapping) or not value or not set(value) <= _SEARCHES:
        return None
    if len(value) > 1:
        problems.append(Problem(path, "matches and contains exclude each other", "one of them"))
    kind, text = next(iter(value.items()))
    if not isinstance(text, str) or not text:
        problems.append(Problem((*path, kind), f"got {shorten_value(text)}", "a string"))
        return Matcher(kind)
    if kind == "contains":
        return Matcher(kind, text)
    try:
        return Matcher(kind, text, re.compile(text))
    except re.error as error:
        problems.append(
            Problem((*path, kind), f"not a regular expression: {error.msg}", "a regular expression")
        )
        return Matcher(kind)


def matches(expected: object, seen: object) -> bool:
    """Return True if `seen` matches `expected`; None means an absent value."""
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
        return len(expected) == len(seen) and all(
            matches(each, other) for each, other in zip(expected, seen, strict=True)
        )
    # In Python 1 == True; a scenario file must not mix numbers and truth values.
    return isinstance(expected, bool) is isinstance(seen, bool) and expected == seen


def _matches(matcher: Matcher, seen: object) -> bool:
    is_present = seen is not None and seen is not False and seen not in ((), [])
    if matcher.kind == ABSENT:
        return not is_present
    if matcher.kind == PRESENT:
        return is_present
    texts = searchable_texts(seen)
    if matcher.pattern is not None:
        return any(matcher.pattern.search(text) for text in texts)
    return any(matcher.text in text for text in texts)


def searchable_texts(seen: object) -> Iterator[str]:
    """Yield all texts in a value, at any depth, for `matches` and `contains`."""
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
    """Return an expected or actual value as text for a report."""
    if isinstance(value, Matcher):
        return value.kind if value.kind in _KEYWORDS else f"{{{value.kind}: {_plain(value.text)}}}"
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
