"""Compilation of a dialect's table, with every problem of its templates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from broker.contract import ACTIONS
from broker.dialects.definition import (
    SECTIONS,
    About,
    AnswerSection,
    CommandSection,
    PublishSection,
    ResultSection,
    WordsSection,
    tables_of,
)
from broker.dialects.names import (
    CONSTANTS,
    INCOMING,
    KEYS,
    OUTGOING,
    RETAINED,
    VOCABULARY,
    section_names,
)
from broker.dialects.payload import PayloadTemplate, PlacedTemplateError, compile_payload
from broker.dialects.sections import TEXT_KEYS, IncomingTemplate, OutgoingTemplate
from broker.dialects.template import (
    IGNORED,
    MISSING,
    Placeholder,
    TemplateError,
    TextTemplate,
    TopicTemplate,
)
from broker.dialects.words import Words, word_problems
from broker.file_validation import KeyPath, Problem, shorten_value, suggest, validate

__all__ = ["Compiled", "compile_table"]

_MODELS: Final = {
    "command": CommandSection,
    "input": CommandSection,
    "message": CommandSection,
    "accepted": AnswerSection,
    "rejected": AnswerSection,
    "result": ResultSection,
}
_INDEPENDENT: Final = frozenset({"accepted", "rejected"})
_Read = CommandSection | AnswerSection | PublishSection


@dataclass(frozen=True)
class Compiled:
    """Compiled sections of a dialect and its key `about`."""

    about: About
    incoming: tuple[IncomingTemplate, ...]
    outgoing: tuple[OutgoingTemplate, ...]
    words: Words


@dataclass(frozen=True)
class _Draft:
    """A section with parsed templates."""

    section: str
    path: KeyPath
    read: _Read
    topics: tuple[TopicTemplate, ...]
    payload: PayloadTemplate | None
    subscribe: tuple[TextTemplate, ...]

    def placeholders(self) -> Iterator[Placeholder]:
        for topic in self.topics:
            yield from topic.placeholders()
        if self.payload is not None:
            yield from self.payload.placeholders()

    def names(self) -> set[str]:
        return {placeholder.name for placeholder in self.placeholders()} - {IGNORED}


def compile_table(
    table: Mapping[str, Any], path: KeyPath, root: str, problems: list[Problem]
) -> Compiled | None:
    """Compile a dialect's table with its base merged in; None with its problems in `problems`.

    `path` is the key of the table in the file, `root` the topic root of the fleet.
    """
    found: list[Problem] = []
    compiler = _Compiler(table, path, root, found)
    compiled = compiler.compiled()
    problems.extend(found)
    return None if found else compiled


class _Compiler:
    """Compilation of one table; problems are added to a list."""

    def __init__(
        self, table: Mapping[str, Any], path: KeyPath, root: str, problems: list[Problem]
    ) -> None:
        self._table = table
        self._path = path
        self._root = root.replace("{", "{{").replace("}", "}}")
        self._problems = problems

    def compiled(self) -> Compiled:
        about = self._about()
        tables = self._words()
        drafts = [draft for section in SECTIONS for draft in self._drafts(section)]
        incoming = [draft for draft in drafts if draft.section in INCOMING]
        outgoing = [draft for draft in drafts if draft.section in OUTGOING]
        self._check_command(incoming)
        self._check_names(incoming, outgoing)
        self._problems.extend(_overlaps(incoming, outgoing))
        self._problems.extend(word_problems(tables, (*self._path, "words")))
        words = Words(tables)
        carry = frozenset(
            name
            for draft in outgoing
            if draft.section == "result"
            for name in draft.names() - section_names("result")
        )
        return Compiled(
            about,
            tuple(_incoming(draft, words, carry) for draft in incoming),
            tuple(_outgoing(draft, words) for draft in outgoing),
            words,
        )

    def _about(self) -> About:
        sections = (*SECTIONS, "words")
        own = {key: value for key, value in self._table.items() if key not in sections}
        for key in own.keys() - About.model_fields.keys():
            names = (*About.model_fields, *sections)
            expected = f"one of {', '.join(names)}"
            self._add(Problem((*self._path, key), "unknown key", expected, suggest(key, names)))
        known = {key: value for key, value in own.items() if key in About.model_fields}
        return validate(About, known, self._path, self._problems) or About()

    def _words(self) -> WordsSection:
        tables = self._table.get("words", {})
        path = (*self._path, "words")
        if not isinstance(tables, dict):
            self._add(Problem(path, f"got {shorten_value(tables)}", "a table of words by name"))
            return {}
        good: WordsSection = {}
        for name, words in tables.items():
            valid = isinstance(words, dict) and all(
                isinstance(word, str | int | float) for word in words.values()
            )
            if valid:
                good[name] = words
            else:
                expected = 'a table such as { done = "OK", failed = "ERROR" }'
                self._add(Problem((*path, name), f"got {shorten_value(words)}", expected))
        return good

    def _add(self, problem: Problem) -> None:
        self._problems.append(problem)

    # -- sections ------------------------------------------------------------------------

    def _drafts(self, section: str) -> Iterator[_Draft]:
        value = self._table.get(section)
        if value is None:
            return
        several = isinstance(value, list)
        for number, table in enumerate(tables_of(value)):
            path: KeyPath = (*self._path, section, *((number,) if several else ()))
            if not isinstance(table, dict):
                self._add(
                    Problem(path, f"got {shorten_value(table)}", "a table, or a list of them")
                )
                continue
            model: Any = _MODELS.get(section, PublishSection)
            read = validate(model, table, path, self._problems)
            if read is not None:
                yield from self._draft(section, path, read)

    def _draft(self, section: str, path: KeyPath, read: _Read) -> Iterator[_Draft]:
        texts = (read.topic,) if isinstance(read, PublishSection) else read.topic
        before = len(self._problems)
        topics = [self._parsed(TopicTemplate, text, (*path, "topic")) for text in texts]
        filters = () if isinstance(read, PublishSection) else read.subscribe
        subscribe = [self._parsed(TextTemplate, text, (*path, "subscribe")) for text in filters]
        payload = self._payload(read.payload, (*path, "payload"))
        if len(self._problems) > before:
            return
        yield _Draft(
            section,
            path,
            read,
            tuple(topic for topic in topics if topic is not None),
            payload,
            tuple(text for text in subscribe if text is not None),
        )

    def _parsed(self, kind: type[Any], text: str, path: KeyPath) -> Any:
        try:
            return kind(text.replace("{root}", self._root))
        except TemplateError as error:
            self._add(Problem(path, error.message, hint=error.hint))
            return None

    def _payload(self, template: Any, path: KeyPath) -> PayloadTemplate | None:
        if template is None:
            return None
        try:
            return compile_payload(template)
        except PlacedTemplateError as error:
            self._add(Problem((*path, *error.path), error.message, hint=error.hint))
            return None

    # -- checks across sections ---------------------------------------------------------

    def _check_command(self, incoming: Sequence[_Draft]) -> None:
        if "command" not in self._table:
            expected = f"[{'.'.join(map(str, self._path))}.command] with a topic"
            self._add(Problem(self._path, "a dialect needs a command section", expected))
        for draft in incoming:
            if draft.section != "command" or not isinstance(draft.read, CommandSection):
                continue
            action = draft.read.action
            if action is not None and action not in ACTIONS:
                expected = f"one of {', '.join(ACTIONS)}"
                where = (*draft.path, "action")
                self._add(Problem(where, f"got {shorten_value(action)}", expected))
            if action is None and draft.payload is not None and "actionName" not in draft.names():
                self._add(
                    Problem(
                        draft.path,
                        "the section does not contain {actionName}",
                        '{actionName} in topic or payload, or action = "resetPasscode"',
                        self._similar(draft.names(), "actionName"),
                    )
                )

    def _similar(self, names: Iterable[str], wanted: str) -> str | None:
        close = next((n for n in names if suggest(n, [wanted]) is not None), None)
        return None if close is None else f"did you mean '{wanted}' by '{close}'?"

    def _check_names(self, incoming: Sequence[_Draft], outgoing: Sequence[_Draft]) -> None:
        """Check that every placeholder is a value of the contract, or carried to the results."""
        results = {n for d in outgoing if d.section == "result" for n in d.names()}
        captured = {n for d in incoming if d.section == "command" for n in d.names()}
        for draft in (*incoming, *outgoing):
            allowed = set(section_names(draft.section))
            if draft.section == "result":
                allowed |= captured
            elif draft.section == "command":
                allowed |= results
            elif draft.section in _INDEPENDENT:
                allowed |= captured | results
            for name in sorted(draft.names() - allowed):
                self._add(self._unknown(draft, name, allowed))
        for name in sorted(self._table.get("words", {})):
            self._check_word_name(name, captured)

    def _unknown(self, draft: _Draft, name: str, allowed: set[str]) -> Problem:
        path = _place(draft, name)
        names = sorted(allowed)
        expected = f"one of {', '.join(names)}"
        hint = suggest(name, names)
        if draft.section == "command":
            expected += ", a name that [result] uses too, or {_} for a value to ignore"
        elif draft.section == "result":
            expected += "; a carried value must be in [command] too"
        return Problem(path, f"unknown placeholder {{{name}}}", expected, hint)

    def _check_word_name(self, name: str, captured: set[str]) -> None:
        known = {*captured, *CONSTANTS, *VOCABULARY, *(n for keys in KEYS.values() for n in keys)}
        if name not in known:
            where = (*self._path, "words", name)
            hint = suggest(name, known)
            self._add(Problem(where, f"no section has a value {name!r}", hint=hint))


def _place(draft: _Draft, name: str) -> KeyPath:
    """Return the path of the key whose template contains a name."""
    if any(p.name == name for topic in draft.topics for p in topic.placeholders()):
        return (*draft.path, "topic")
    return (*draft.path, "payload", *_place_in(draft.read.payload, f"{{{name}", ()))


def _place_in(template: Any, text: str, path: KeyPath) -> KeyPath:
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(template, dict):
        items = template.items()
    elif isinstance(template, list):
        items = enumerate(template)
    for key, each in items:
        if isinstance(each, str) and text in each:
            return (*path, key)
        inner = _place_in(each, text, (*path, key))
        if inner != (*path, key):
            return inner
    return path


def _overlaps(incoming: Sequence[_Draft], outgoing: Sequence[_Draft]) -> Iterator[Problem]:
    """Yield a problem for each topic that two sections would take."""
    for one, other in combinations(incoming, 2):
        if any(a.overlaps(b) for a in one.topics for b in other.topics):
            yield Problem(
                (*other.path, "topic"),
                f"a message may fit both [{one.section}] and [{other.section}]",
                "topics that differ in a fixed level",
            )
    for sent in outgoing:
        for taken in incoming:
            filtered = isinstance(taken.read, CommandSection) and taken.read.only_with
            if not filtered and any(a.overlaps(b) for a in sent.topics for b in taken.topics):
                yield Problem(
                    (*sent.path, "topic"),
                    f"the device would take its own [{sent.section}] as a [{taken.section}]",
                    "another topic, or `only_with` in the section of what arrives",
                )


def _incoming(draft: _Draft, words: Words, carry: frozenset[str]) -> IncomingTemplate:
    read = draft.read
    assert not isinstance(read, PublishSection)  # noqa: S101  # by its section
    needed = read.only_with if isinstance(read, CommandSection) else None
    action = read.action if isinstance(read, CommandSection) else None
    return IncomingTemplate(
        section=draft.section,
        topics=draft.topics,
        payload=draft.payload,
        template=read.payload,
        qos=read.qos,
        subscribe=draft.subscribe,
        path_needed=tuple(needed.split(".")) if needed else (),
        fixed={} if action is None else {"actionName": action},
        defaults={p.name: p.default for p in draft.placeholders() if p.default is not MISSING},
        carry=carry & draft.names(),
        names=tuple(sorted(draft.names() & KEYS[draft.section])),
        texts=tuple(sorted(draft.names() & KEYS[draft.section] & TEXT_KEYS)),
        words=words,
    )


def _outgoing(draft: _Draft, words: Words) -> OutgoingTemplate:
    read = draft.read
    assert isinstance(read, PublishSection)  # noqa: S101  # by its section
    placeholders = list(draft.placeholders())
    foreign = [p for p in placeholders if p.name not in section_names(draft.section)]
    states = read.states if isinstance(read, ResultSection) else None
    retain = draft.section in RETAINED if read.retain is None else read.retain
    return OutgoingTemplate(
        section=draft.section,
        topic=draft.topics[0],
        payload=draft.payload,
        template=read.payload,
        qos=read.qos,
        retain=retain,
        states=None if states is None else frozenset(states),
        needs=frozenset(p.name for p in foreign if p.required),
        constants=tuple(sorted((draft.names() & set(CONSTANTS)) - KEYS[draft.section])),
        counting=tuple(p.name for p in placeholders if p.counts),
        translated=tuple(sorted(draft.names() & set(words.names()))),
        defaults={
            p.name: words.translate(p.name, p.default)
            for p in placeholders
            if p.default is not MISSING
        },
        words=words,
    )
