"""Two-way text templates: `acme/{deviceId}/cmd/{commandId}` renders a text and reads one.

A placeholder is `{name}`, `{name=default}`, `{name?}` (the key is dropped when null), `{name+}` (a
carried number, one more after each use) or `{_}` (matches any text and is ignored). `{{` and `}}`
are braces. Matching takes time in proportion to the text: it searches for the literal parts from
left to right and never goes back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

__all__ = [
    "IGNORED",
    "MISSING",
    "MisfitError",
    "Placeholder",
    "TemplateError",
    "TextTemplate",
    "TopicTemplate",
    "Values",
    "text_of",
]

Values = dict[str, Any]
"""Values by placeholder name, in the words of the back-end."""

_TOKEN: Final = re.compile(
    r"\{\{|\}\}"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})(?P<counts>\+?)(?P<optional>\??)"
    r"(?:=(?P<default>[^{}]*))?\}"
    r"|[{}]"
)
IGNORED: Final = "_"
"""Name of a placeholder whose value is ignored."""
_BRACES: Final = {"{{": "{", "}}": "}"}
_NOT_IN_TOPICS: Final = re.compile(r"[/+#\x00-\x1f\x7f]")
_NEVER_IN_TOPICS: Final = re.compile(r"[+#\x00-\x1f\x7f]")


class _Missing:
    """Type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Value of a placeholder without a value, where null is a value."""


class TemplateError(ValueError):
    """Invalid template; `hint` is the remedy."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class MisfitError(ValueError):
    """Text or payload that does not fit its template, or values that it cannot contain.

    The message names the place and never repeats a value, which may be a passcode.
    """


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder. `default` is MISSING where there is none."""

    name: str
    default: Any = MISSING
    optional: bool = False
    counts: bool = False

    @property
    def required(self) -> bool:
        """True if the value must be present."""
        return not self.optional and self.default is MISSING and self.name != IGNORED

    def __str__(self) -> str:
        default = "" if self.default is MISSING else f"={text_of(self.default)}"
        return f"{{{self.name}{'+' * self.counts}{'?' * self.optional}{default}}}"


def text_of(value: Any) -> str:
    """Return a JSON value as text: strings as they are, anything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def parse_parts(text: str) -> tuple[str | Placeholder, ...]:
    """Split a template into literal texts and placeholders. Raises TemplateError."""
    parts: list[str | Placeholder] = []
    literal, at = "", 0
    for match in _TOKEN.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[0] in _BRACES:
            literal += _BRACES[match[0]]
            continue
        if match["name"] is None:
            raise TemplateError(
                f"a brace in {text!r} has no partner",
                "write {name}, or {{ and }} for the braces themselves",
            )
        if literal:
            parts.append(literal)
        parts.append(_placeholder(match))
        literal = ""
    literal += text[at:]
    if literal:
        parts.append(literal)
    for one, other in pairwise(parts):
        if isinstance(one, Placeholder) and isinstance(other, Placeholder):
            raise TemplateError(f"{one}{other}: two placeholders need a text between them")
    return tuple(parts)


def _placeholder(match: re.Match[str]) -> Placeholder:
    name, default = match["name"], match["default"]
    if match["optional"] and default is not None:
        raise TemplateError(f"{match[0]} has both ? and a default", "keep one of them")
    if name.startswith(IGNORED) and (match[0] != f"{{{name}}}"):
        raise TemplateError(f"{match[0]}: an ignored value has no default and no ?", "write {_}")
    return Placeholder(
        IGNORED if name.startswith(IGNORED) else name,
        MISSING if default is None else _default(default),
        bool(match["optional"]),
        bool(match["counts"]),
    )


def _default(text: str) -> Any:
    """Return a default: numbers, true and false as such, anything else as text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


class TextTemplate:
    """Text with placeholders. `whole` is the placeholder if there is nothing else."""

    __slots__ = ("_parts", "_prefix", "_rest", "parts", "whole")

    def __init__(self, text: str) -> None:
        self.parts = parse_parts(text)
        first = self.parts[0] if self.parts else ""
        only = len(self.parts) == 1 and isinstance(first, Placeholder)
        self.whole: Placeholder | None = first if only and isinstance(first, Placeholder) else None
        self._prefix = first if isinstance(first, str) else ""
        self._rest = tuple(self._pairs())

    def _pairs(self) -> Iterator[tuple[Placeholder, str]]:
        """Yield each placeholder with the literal that follows it."""
        for number, part in enumerate(self.parts):
            if isinstance(part, Placeholder):
                after = self.parts[number + 1 : number + 2]
                yield part, after[0] if after and isinstance(after[0], str) else ""

    @property
    def literal(self) -> str | None:
        """The text if there is no placeholder in it, else None."""
        return None if self._rest else self._prefix

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""
        return (placeholder for placeholder, _ in self._rest)

    def render(self, values: Mapping[str, Any]) -> str | None:
        """Return the text; None if an optional value is null."""
        text = self._prefix
        for placeholder, after in self._rest:
            value = values.get(placeholder.name)
            if value is None:
                if placeholder.optional:
                    return None
                value = "" if placeholder.default is MISSING else placeholder.default
            text += (value if isinstance(value, str) else text_of(value)) + after
        return text

    def match(self, text: str, found: Values, *, least: int = 0) -> bool:
        """Read a text into `found`; False if it does not fit. Values have `least` characters."""
        if not text.startswith(self._prefix):
            return False
        at, last = len(self._prefix), len(self._rest) - 1
        if last < 0:
            return len(text) == at
        for number, (placeholder, after) in enumerate(self._rest):
            if number == last:
                end = len(text) - len(after)
                fits = text.endswith(after)
            else:
                end = text.find(after, at + least)
                fits = end >= 0
            if not fits or end < at + least or not keep(found, placeholder.name, text[at:end]):
                return False
            at = end + len(after)
        return True


def keep(found: Values, name: str, value: Any) -> bool:
    """Store a value that was read; False if the name was read before with another value."""
    if name == IGNORED:
        return True
    if name in found:
        return bool(found[name] == value)
    found[name] = value
    return True


class TopicTemplate:
    """Topic with placeholders, none of which contains a slash."""

    __slots__ = ("_levels", "_literals", "_required", "_slashes", "_texts", "_whole", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        levels = text.split("/")
        self._levels = tuple(TextTemplate(level) for level in levels)
        _check_topic(text, self._levels)
        self._whole = TextTemplate(text)
        self._slashes = len(levels) - 1
        names = (placeholder for level in self._levels for placeholder in level.placeholders())
        self._required = tuple(p.name for p in names if p.default is MISSING)
        self._literals = tuple(
            (n, level.literal) for n, level in enumerate(self._levels) if level.literal is not None
        )
        self._texts = tuple(
            (n, level) for n, level in enumerate(self._levels) if level.literal is None
        )

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders."""
        for level in self._levels:
            yield from level.placeholders()

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the topic. Raises MisfitError if a value is absent or not valid in a topic."""
        text = self._whole.render(values) or ""
        if text.count("/") != self._slashes or _NEVER_IN_TOPICS.search(text):
            named = (n for n in self._required if _NOT_IN_TOPICS.search(text_of(values.get(n))))
            name = next(named, "a default")
            raise MisfitError(f"{name} has a character that no topic level can have")
        for name in self._required:
            if values.get(name) is None:
                raise MisfitError(f"{name} is not known, which the topic contains")
        return text

    def match(self, topic: str, found: Values) -> bool:
        """Read a topic into `found`; False if it does not fit."""
        levels = topic.split("/")
        if len(levels) != len(self._levels):
            return False
        return all(levels[n] == literal for n, literal in self._literals) and all(
            text.match(levels[n], found, least=1) for n, text in self._texts
        )

    def filter(self, constants: Mapping[str, str]) -> str:
        """Return the topic filter of a device: its own values, `+` for a level with any other."""
        names = ((level, [p.name for p in level.placeholders()]) for level in self._levels)
        return "/".join(
            str(level.render(constants)) if all(name in constants for name in known) else "+"
            for level, known in names
        )

    def overlaps(self, other: TopicTemplate) -> bool:
        """Return True if one topic may fit both templates."""
        pairs = zip(self._levels, other._levels, strict=False)
        same = len(self._levels) == len(other._levels)
        return same and all(_may_be_equal(one, two) for one, two in pairs)


def _check_topic(text: str, levels: tuple[TextTemplate, ...]) -> None:
    for level in levels:
        for part in level.parts:
            if isinstance(part, str) and _NOT_IN_TOPICS.search(part):
                raise TemplateError("a topic has no + and no #", "write {_} for any level")
            if isinstance(part, Placeholder) and part.optional:
                raise TemplateError(f"{part}: only a key of a payload can be dropped")
    if not text or text.startswith("/") or text.endswith("//"):
        raise TemplateError("a topic must not be empty or start with a slash")


def _may_be_equal(one: TextTemplate, other: TextTemplate) -> bool:
    """Return True if a topic level may fit both."""
    for literal, text in ((one.literal, other), (other.literal, one)):
        if literal is not None:
            return text.match(literal, _Anything(), least=1)
    starts = _edge(one, 0), _edge(other, 0)
    ends = _edge(one, -1), _edge(other, -1)
    return (starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])) and (
        ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    )


def _edge(text: TextTemplate, at: int) -> str:
    part = text.parts[at]
    return part if isinstance(part, str) else ""


class _Anything(Values):
    """Values that forget what is stored, so that a name may have two values."""

    def __contains__(self, key: object) -> bool:
        return False
