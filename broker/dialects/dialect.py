"""A dialect: translation of messages between the contract and a back-end, compiled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from broker.client.messages import OutgoingMessage
from broker.contract import DEFAULT_ROOT, PayloadModel
from broker.dialects.compiler import compile_table
from broker.dialects.definition import About
from broker.dialects.names import Outgoing
from broker.dialects.sections import Arrival, IncomingTemplate, OutgoingTemplate
from broker.dialects.template import MisfitError
from broker.errors import UsageError
from broker.file_validation import Problem

__all__ = ["CONTRACT", "Dialect"]

CONTRACT: Final = "passfleet"
"""Name of the dialect that is the contract itself."""


class Dialect:
    """Topics and payloads of a back-end. Can be pickled for a worker process.

    `table` is its definition with the base merged in. Raises UsageError if that is invalid: the
    dialects of a file are checked by `broker.dialects.reader`, with lines.
    """

    def __init__(self, name: str, table: Mapping[str, Any], root: str = DEFAULT_ROOT) -> None:
        problems: list[Problem] = []
        compiled = compile_table(table, ("dialects", name), root, problems)
        if compiled is None:
            raise UsageError(f"dialect {name}: {problems[0].message}", hint=problems[0].expected)
        self.name = name
        self.table = table
        self.root = root
        self.incoming: Sequence[IncomingTemplate] = compiled.incoming
        self.outgoing: Sequence[OutgoingTemplate] = compiled.outgoing
        self.about: About = compiled.about
        self.words = compiled.words
        self._memo: tuple[str, bytes, Arrival | None] = ("", b"", None)
        self._topics = tuple((topic, each) for each in self.incoming for topic in each.topics)
        self._sections: dict[str, tuple[OutgoingTemplate, ...]] = {}
        self.counting = tuple(name for each in self.outgoing for name in each.counting)
        """Names of carried numbers that grow with each message."""
        for each in self.outgoing:
            self._sections[each.section] = (*self._sections.get(each.section, ()), each)

    def __reduce__(self) -> tuple[type[Dialect], tuple[Any, ...]]:
        return Dialect, (self.name, self.table, self.root)

    def at_root(self, root: str) -> Dialect:
        """Return the dialect for another topic root."""
        return self if root == self.root else Dialect(self.name, self.table, root)

    @property
    def is_contract(self) -> bool:
        """True for the contract itself."""
        return self.name == CONTRACT

    @property
    def names_device(self) -> bool:
        """True if the topic of every command contains the device id."""
        return all(
            any(p.name == "deviceId" for p in topic.placeholders())
            for each in self.incoming
            if each.section == "command"
            for topic in each.topics
            if not topic.text.startswith(f"{self.root}/groups/")
        )

    @property
    def finds_device(self) -> bool:
        """True if every command contains the device id, in its topic or its payload."""
        return all(
            any(p.name == "deviceId" for p in each.placeholders())
            for each in self.incoming
            if each.section == "command"
        )

    @property
    def sections(self) -> list[IncomingTemplate | OutgoingTemplate]:
        """Sections of what arrives, then of what is published."""
        return [*self.incoming, *self.outgoing]

    def publishes(self, section: Outgoing) -> bool:
        """Return True if the dialect has a section of this name."""
        return section in self._sections

    def filters(self, constants: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return (topic filter, QoS) for a device with these constants."""
        found = {
            topic_filter: each.qos
            for each in self.incoming
            for topic_filter in each.filters(constants)
        }
        return list(found.items())

    def read(self, topic: str, payload: bytes) -> Arrival | None:
        """Read a message; None if its topic is of no section."""
        known, body, arrival = self._memo
        if body is payload and known is topic:
            return arrival
        for template, section in self._topics:
            found: dict[str, Any] = {}
            if template.match(topic, found):
                return section.read(found, payload)
        return None

    def device_of(self, topic: str, payload: bytes) -> str | None:
        """Return the id of the device that a message is for, None if it names none.

        Empty for a message that is to be ignored. The next `read` of the message is free.
        """
        arrival = self.read(topic, payload)
        self._memo = (topic, payload, arrival)
        if arrival is None:
            return None
        return "" if arrival.ignored else arrival.device_id

    def render(
        self,
        section: Outgoing,
        payload: PayloadModel | None,
        constants: Mapping[str, str],
        carried: Mapping[str, Any],
    ) -> OutgoingMessage | None:
        """Return the message for a contract payload; None if the dialect publishes none.

        Raises MisfitError if it needs a value that is not known.
        """
        templates = self._sections.get(section)
        if templates is None:
            return None
        state = getattr(payload, "action_state", None)
        missing: frozenset[str] = frozenset()
        for template in templates:
            missing = template.needs - carried.keys()
            if not missing:
                wanted = template.states is None or state in template.states
                return template.render(payload, constants, carried) if wanted else None
        raise MisfitError(f"{', '.join(sorted(missing))} of the command is not known")

    def render_all(self, section: Outgoing, constants: Mapping[str, str]) -> list[OutgoingMessage]:
        """Return the messages of every table of a section without a contract payload."""
        templates = self._sections.get(section, ())
        return [template.render(None, constants, {}) for template in templates]
