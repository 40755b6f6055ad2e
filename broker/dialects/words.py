"""Translation of values between the contract and a back-end, such as `done` to `SUCCEEDED`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from broker.dialects.names import VOCABULARY
from broker.dialects.template import Values, text_of
from broker.file_validation import KeyPath, Problem, suggest

__all__ = ["Words", "word_problems"]


class Words:
    """Words of a dialect by name. A value without a word stays as it is, both ways."""

    __slots__ = ("_back", "_out")

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        self._out = {name: dict(words) for name, words in tables.items()}
        self._back = {name: _inverse(words) for name, words in tables.items()}

    def names(self) -> Iterable[str]:
        """Return the names that have words."""
        return self._out

    def translate(self, name: str, value: Any) -> Any:
        """Return the back-end's word for a value of the contract."""
        words = self._out.get(name)
        return words.get(value, value) if words is not None and isinstance(value, str) else value

    def translate_back(self, values: Values) -> str | None:
        """Replace the back-end's words in `values`; return the name of an unknown word, or None.

        A value of the contract that has another word is unknown: else two words would mean it.
        """
        for name, words in self._back.items():
            value = values.get(name)
            if value is None or isinstance(value, dict | list):
                continue
            if value in words:
                values[name] = words[value]
            elif value in self._out[name]:
                return name
        return None


def _inverse(words: Mapping[str, Any]) -> dict[Any, str]:
    """Return contract values by word; a word that is no text also by its text, as in a topic."""
    texts = {text_of(word): value for value, word in words.items()}
    return texts | {word: value for value, word in words.items()}


def word_problems(tables: Mapping[str, Mapping[str, Any]], path: KeyPath) -> Iterator[Problem]:
    """Yield the problems of word tables: unknown values, and one word for two values."""
    for name, words in tables.items():
        known = VOCABULARY.get(name, ())
        taken: dict[str, str] = {}
        for value, word in words.items():
            where = (*path, name, value)
            if known and value not in known:
                expected = f"one of {', '.join(known)}"
                yield Problem(where, f"{name} is never {value!r}", expected, suggest(value, known))
            other = taken.setdefault(text_of(word), value)
            if other != value:
                yield Problem(
                    where,
                    f"{text_of(word)!r} is the word for {other!r} already",
                    "a different word for each value: it is also read",
                )
        for word, value in taken.items():
            if word in known and word not in words:
                yield Problem(
                    (*path, name, value),
                    f"{word!r} is itself a value of {name}",
                    f"a word for {word!r} as well, or another word here",
                )
