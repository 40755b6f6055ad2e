"""Tables of a dialect as pydantic models, and the dialects that passfleet ships."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from broker.dialects.names import INCOMING, OUTGOING

__all__ = [
    "NONE",
    "PRESETS",
    "SECTIONS",
    "About",
    "AnswerSection",
    "CommandSection",
    "PublishSection",
    "ResultSection",
    "Section",
    "WordsSection",
    "merge",
    "preset",
    "tables_of",
]

NONE: Final = "none"
"""Value that removes an inherited section or word table."""
SECTIONS: Final = (*INCOMING, *OUTGOING)
_HERE: Final = Path(__file__).parent
PRESETS: Final = tuple(sorted(path.stem for path in _HERE.glob("*.toml")))
"""Names of the dialects that passfleet ships."""


def _listed(value: object) -> object:
    # A single text is short for a list with one; strict pydantic takes no list for a tuple.
    return (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    )


Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed), Field(min_length=1)
]
_TOPIC: Final = 'a topic such as "acme/{deviceId}/cmd/{commandId}"'
_QOS: Final = "0 or 1"


class Section(BaseModel):
    """Base class of all tables: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CommandSection(Section):
    """A message that arrives and asks something of the device.

    `payload` None is the contract's payload. `subscribe` replaces the topic filters made from
    `topic`. A message without the key `only_with` (a dotted path) is ignored. `action` is the
    actionName of a topic that is for one action alone.
    """

    topic: Texts = Field(description=f"{_TOPIC}, or a list of them")
    payload: Any = Field(default=None, description="a table, a list or a text")
    qos: Literal[0, 1] = Field(default=1, description=_QOS)
    subscribe: Texts = Field(default=(), min_length=0, description="a topic filter, or a list")
    only_with: str | None = Field(
        default=None, min_length=1, description='a key of the payload such as "execution"'
    )
    action: str | None = Field(default=None, description="an actionName")


class AnswerSection(Section):
    """A back-end's answer to a result: `accepted` or `rejected`."""

    topic: Texts = Field(description=f"{_TOPIC}, or a list of them")
    payload: Any = Field(default=None, description="a table, a list or a text")
    qos: Literal[0, 1] = Field(default=1, description=_QOS)
    subscribe: Texts = Field(default=(), min_length=0, description="a topic filter, or a list")


class PublishSection(Section):
    """A message that the device publishes. `payload` None is the contract's payload."""

    topic: str = Field(min_length=1, description=_TOPIC)
    payload: Any = Field(default=None, description="a table, a list or a text")
    qos: Literal[0, 1] = Field(default=1, description=_QOS)
    retain: bool | None = Field(default=None, description="true or false")


class ResultSection(PublishSection):
    """A published result. `states` are the actionStates to publish, None for all."""

    states: Texts | None = Field(default=None, description="a list of actionStates")


Word = str | int | float | bool
WordsSection = dict[str, dict[str, Word]]


class About(Section):
    """Keys of a dialect besides its sections: base, title, source and date of what it maps to."""

    extends: str | None = Field(default=None, description="the name of a dialect")
    title: str | None = Field(default=None, min_length=1, description="a text")
    source: str | None = Field(default=None, min_length=1, description="a text")
    date: str | None = Field(default=None, min_length=1, description='a text such as "2026-11-24"')
    notes: str | None = Field(default=None, min_length=1, description="a text")


@cache
def preset(name: str) -> Mapping[str, Any]:
    """Return the table of a dialect that passfleet ships, without what it extends."""
    return tomllib.loads((_HERE / f"{name}.toml").read_text(encoding="utf-8"))


def merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dialect's table with the keys of `own` over those of `base`.

    Sections are merged by key, words by name and word. "none" removes a section or a name's words.
    """
    merged = dict(base)
    for key, value in own.items():
        inherited = merged.get(key)
        if value == NONE and key in (*SECTIONS, "words"):
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(inherited, dict):
            merged[key] = _merge_words(inherited, value) if key == "words" else inherited | value
        else:
            merged[key] = value
    return merged


def _merge_words(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, words in own.items():
        if words == NONE:
            merged.pop(name, None)
        elif isinstance(words, dict) and isinstance(merged.get(name), dict):
            merged[name] = merged[name] | words
        else:
            merged[name] = words
    return merged


def tables_of(value: object) -> list[Any]:
    """Return the tables of a section, which is one table or an array of tables."""
    return list(value) if isinstance(value, list) else [value]
