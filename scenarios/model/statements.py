"""Numbered statements of the source documents, which scenarios prove with their key `proves`.

The data is `scenarios/library/statements.toml`. A statement is proven by a scenario of the library,
or the data has the reason for which it is not simulated or not proven yet.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

__all__ = ["STATEMENT_NUMBERS", "Document", "Statement", "nearest_number", "statements"]

STATEMENT_NUMBERS: Final = "numbers of docs/sources.md, as [000.12, 002.3]"
_DATA: Final = Path(__file__).resolve().parents[1] / "library" / "statements.toml"
_NUMBER: Final = re.compile(r"\s*([0-9]{1,9})(?:[.,]([0-9]{1,9}))?\s*")


@dataclass(frozen=True, slots=True)
class Document:
    """Source document. `date` is a date, a month, or `no date`."""

    number: str
    title: str
    publisher: str
    date: str

    @property
    def cite(self) -> str:
        """Title, publisher and date on one line."""
        return f"{self.title} ({self.publisher}, {self.date})"


@dataclass(frozen=True, slots=True)
class Statement:
    """Statement of a document, in passfleet's own words.

    `not_simulated` is the reason for which no scenario is needed; `open` is what is missing until a
    scenario proves the statement. Both are None for a statement that a library scenario proves.
    """

    number: str
    text: str
    document: Document
    not_simulated: str | None = None
    open: str | None = None


@cache
def statements() -> Mapping[str, Statement]:
    """Return all statements by number, in the order of the documents."""
    data = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    documents = {number: Document(number, **table) for number, table in data["documents"].items()}
    return MappingProxyType(
        {
            number: Statement(
                number,
                text,
                documents[number.partition(".")[0]],
                data["not_simulated"].get(number),
                data["open"].get(number),
            )
            for number, text in data["statements"].items()
        }
    )


def nearest_number(number: str) -> str | None:
    """Return the known number nearest to an unknown one, or None if it is no number at all.

    The document counts first, then the position within the document.
    """
    parts = _NUMBER.fullmatch(number)
    if parts is None:
        return None
    document, position = int(parts[1]), int(parts[2] or 1)

    def distance(known: str) -> tuple[int, int]:
        left, _, right = known.partition(".")
        return abs(int(left) - document), abs(int(right) - position)

    return min(statements(), key=distance)
