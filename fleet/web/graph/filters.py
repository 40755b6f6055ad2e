"""`$filter`: the part of OData's language that Intune's lists understand.

Comparisons `eq`, `ne`, `lt`, `le`, `gt`, `ge` and the functions `contains` and `startswith`, joined
by `and`, with parentheses. Strings compare without regard to case, as in Intune. A null equals null
alone and is neither less nor greater than anything.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from broker.timestamps import parse_timestamp
from fleet.web.graph.errors import GraphError
from fleet.web.graph.managed_device import NOT_SIMULATED, PROPERTIES, ManagedDevice, Value

__all__ = ["Predicate", "parse_filter"]

Predicate = Callable[[ManagedDevice], bool]
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<instant>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark>[(),]))"
)
_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
)
_FUNCTIONS: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {"contains": operator.contains, "startswith": str.startswith}
)
_WORDS: Final[Mapping[str, bool | None]] = MappingProxyType(
    {"true": True, "false": False, "null": None}
)
_MAX_TERMS: Final = 50
_MAX_DEPTH: Final = 20
_SHOWN: Final = 80


class _Token(NamedTuple):
    kind: str
    text: str


def parse_filter(text: str) -> Predicate:
    """The predicate for a `$filter`. Raises GraphError (400) for what is not understood."""
    terms = _Parser(text).parse()
    return lambda device: all(term(device) for term in terms)


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0
        self._terms: list[Predicate] = []

    def parse(self) -> list[Predicate]:
        self._conjunction(0)
        if self._peek().kind != "end":
            self._refuse(f"{self._peek().text!r} is not supported here")
        return self._terms

    def _split(self) -> Iterator[_Token]:
        text, at = self._text.strip(), 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                self._refuse(f"it is not understood from {text[at : at + 20]!r} on")
            yield _Token(match.lastgroup, match[match.lastgroup])
            at = match.end()

    def _conjunction(self, depth: int) -> None:
        if depth > _MAX_DEPTH:
            self._refuse("it is too deeply nested")
        while True:
            self._term(depth)
            if self._peek() != ("word", "and"):
                return
            self._next()

    def _term(self, depth: int) -> None:
        if len(self._terms) >= _MAX_TERMS:
            self._refuse(f"it has more than {_MAX_TERMS} comparisons")
        token = self._next()
        if token == ("mark", "("):
            self._conjunction(depth + 1)
            self._expect(")")
        elif token.kind == "word" and self._peek() == ("mark", "("):
            self._terms.append(self._function(token.text))
        elif token.kind == "word":
            self._terms.append(self._comparison(token.text))
        else:
            self._refuse(f"{token.text!r} cannot begin a comparison")

    def _function(self, name: str) -> Predicate:
        function = _FUNCTIONS.get(name)
        if function is None:
            self._refuse(f"the function {name!r} is not supported")
        self._expect("(")
        read = self._property(self._next().text, "string")
        self._expect(",")
        wanted = self._literal()
        self._expect(")")
        if not isinstance(wanted, str):
            self._refuse(f"{name} takes a string in quotes")
        return lambda device: isinstance(value := read(device), str) and function(value, wanted)

    def _comparison(self, name: str) -> Predicate:
        verb = self._next().text
        if verb not in ("eq", "ne") and verb not in _ORDERED:
            self._refuse(f"the operator {verb!r} is not supported")
        token = self._peek()
        wanted = self._literal()
        kinds = {"string": "string", "instant": "dateTime"}
        kind = kinds.get(token.kind, "boolean") if wanted is not None else None
        read = self._property(name, kind)
        if verb in _ORDERED:
            if wanted is None or isinstance(wanted, bool):
                self._refuse(f"{verb} takes a string or a date and time")
            compare = _ORDERED[verb]
            return lambda device: (value := read(device)) is not None and compare(value, wanted)
        equal = verb == "eq"
        return lambda device: (read(device) == wanted) is equal

    def _property(self, name: str, kind: str | None) -> Callable[[ManagedDevice], Value]:
        """Reader of a property, for comparisons; `kind` None accepts any kind."""
        known = PROPERTIES.get(name)
        if known is None:
            why = "is not simulated" if name in NOT_SIMULATED else "does not exist"
            self._refuse(f"the property {name!r} {why}")
        if kind is not None and known.kind != kind:
            self._refuse(f"{name} is a {known.kind} and is compared with a {kind}")
        read = known.read
        return read if known.kind != "string" else lambda device: _folded(read(device))

    def _literal(self) -> Value:
        token = self._next()
        if token.kind == "string":
            return token.text[1:-1].replace("''", "'").casefold()
        if token.kind == "instant":
            return self._instant(token.text)
        if token.kind != "word" or token.text not in _WORDS:
            self._refuse(
                f"{token.text!r} is not a string in quotes, a date and time, true or false"
            )
        return _WORDS[token.text]

    def _instant(self, text: str) -> int:
        try:
            return parse_timestamp(text)
        except ValueError as error:
            self._refuse(f"{text!r} is {error}")

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "its end")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != ("mark", mark):
            self._refuse(f"{mark!r} is missing")

    def _refuse(self, why: str) -> NoReturn:
        shown = self._text[:_SHOWN]
        raise GraphError(400, f"Invalid filter clause: {why}. The filter is: {shown}")


def _folded(value: Value) -> Value:
    return value.casefold() if isinstance(value, str) else value
