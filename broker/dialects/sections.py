"""Sections of a dialect, compiled: messages that arrive, and messages that are published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from broker.client.messages import OutgoingMessage
from broker.contract import MAX_PAYLOAD, PayloadModel, Refusal
from broker.dialects.payload import JsonPayload, PayloadTemplate
from broker.dialects.template import (
    MisfitError,
    Placeholder,
    TextTemplate,
    TopicTemplate,
    Values,
)
from broker.dialects.words import Words

__all__ = ["TEXT_KEYS", "Arrival", "IncomingTemplate", "OutgoingTemplate"]

TEXT_KEYS: Final = frozenset({"commandId", "message", "phoneNumber", "inputId", "messageId"})
"""Keys of the contract that are texts; a back-end may have numbers there."""


@dataclass(slots=True)
class Arrival:
    """A message that was read.

    `values` are the contract's keys, `carried` the other values, for the results. `device_id` is
    the device that it names. `refusal` is the reason for which it does not fit. `plain`: the
    payload is the contract's own. `ignored`: it contains nothing for the device.
    """

    section: str
    values: Values
    carried: Values = field(default_factory=dict)
    device_id: str | None = None
    refusal: Refusal | None = None
    plain: bool = False
    ignored: bool = False


@dataclass(frozen=True, kw_only=True)
class IncomingTemplate:
    """Messages of one section that arrive.

    `template` is the payload as written. `fixed` are contract values that the section itself sets,
    `defaults` those for absent values. `carry` are the names that results need. `path_needed` are
    the keys on the way to the value without which a message is ignored.
    """

    section: str
    topics: tuple[TopicTemplate, ...]
    payload: PayloadTemplate | None
    template: Any
    qos: int
    subscribe: tuple[TextTemplate, ...]
    path_needed: tuple[str, ...]
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    carry: frozenset[str]
    words: Words
    names: tuple[str, ...]
    """Names of the contract in the templates."""
    texts: tuple[str, ...]
    """Names among them whose values are texts, although a back-end may have numbers."""

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders of topics and payload."""
        for topic in self.topics:
            yield from topic.placeholders()
        if self.payload is not None:
            yield from self.payload.placeholders()

    def filters(self, constants: Mapping[str, str]) -> list[str]:
        """Return the topic filters for a device with these constants."""
        if self.subscribe:
            return [_filter(text, constants) for text in self.subscribe]
        return [topic.filter(constants) for topic in self.topics]

    def read(self, found: Values, payload: bytes) -> Arrival:
        """Read the payload of a message whose topic gave `found`."""
        if self.payload is None:
            return Arrival(self.section, {}, device_id=_device_id(found), plain=True)
        refusal = None
        try:
            if not self._read_payload(payload, found):
                return Arrival(self.section, {}, device_id=_device_id(found), ignored=True)
        except MisfitError as misfit:
            refusal = ("invalidCommand", f"The payload does not fit the dialect: {misfit}.")
        except ValueError:
            refusal = ("invalidJson", "The payload is not JSON.")
        return self._arrival(found, refusal)

    def _read_payload(self, payload: bytes, found: Values) -> bool:
        """Read a payload; False if it contains nothing for the device."""
        template = self.payload
        assert template is not None  # noqa: S101  # checked by `read`
        if len(payload) > MAX_PAYLOAD:
            raise MisfitError(f"it is above {MAX_PAYLOAD} bytes")
        if not self.path_needed or not isinstance(template, JsonPayload):
            template.read(payload, found)
            return True
        document = from_json(payload, allow_inf_nan=False)
        value: Any = document
        for key in self.path_needed:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return False
        template.read_value(document, found)
        return True

    def _arrival(self, found: Values, refused: tuple[str, str] | None) -> Arrival:
        carried = {name: found[name] for name in self.carry if name in found}
        for name in self.texts:
            value = found.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                # Results repeat the number as it came.
                carried[name], found[name] = value, str(value)
        unknown = self.words.translate_back(found)
        if refused is None and unknown is not None:
            error = "unknownAction" if unknown == "actionName" else "invalidCommand"
            refused = (error, f"{unknown} is not a word of the dialect.")
        values = {name: found[name] for name in self.names if name in found}
        for name, default in self.defaults.items():
            values.setdefault(name, default)
        if self.fixed:
            values.update(self.fixed)
        refusal = None if refused is None else _refusal(*refused, values)
        return Arrival(self.section, values, carried, _device_id(found), refusal)


def _device_id(found: Values) -> str | None:
    device_id = found.get("deviceId")
    return device_id if isinstance(device_id, str) else None


def _filter(text: TextTemplate, constants: Mapping[str, str]) -> str:
    names = (placeholder.name for placeholder in text.placeholders())
    return text.render({name: constants.get(name, "+") for name in names}) or ""


def _refusal(error: str, message: str, values: Mapping[str, Any]) -> Refusal:
    command_id, action = values.get("commandId"), values.get("actionName")
    return Refusal(
        error,
        message,
        command_id=command_id if isinstance(command_id, str) else None,
        action=action[:256] if isinstance(action, str) else None,
    )


@dataclass(frozen=True, kw_only=True)
class OutgoingTemplate:
    """Messages of one section that are published.

    `needs` are the carried values without which the message cannot be made. `counting` are carried
    numbers that grow by one with each message. `states` are the actionStates to publish, None for
    all.
    """

    section: str
    topic: TopicTemplate
    payload: PayloadTemplate | None
    template: Any
    qos: int
    retain: bool
    states: frozenset[str] | None
    needs: frozenset[str]
    counting: tuple[str, ...]
    constants: tuple[str, ...]
    """Names of constants of the device, which no payload of the section contains."""
    translated: tuple[str, ...]
    defaults: Mapping[str, Any]
    words: Words

    @property
    def topics(self) -> tuple[TopicTemplate, ...]:
        """The topic, as for messages that arrive."""
        return (self.topic,)

    def placeholders(self) -> Iterator[Placeholder]:
        """Yield the placeholders of topic and payload."""
        yield from self.topic.placeholders()
        if self.payload is not None:
            yield from self.payload.placeholders()

    def render(
        self, payload: PayloadModel | None, constants: Mapping[str, str], carried: Mapping[str, Any]
    ) -> OutgoingMessage:
        """Return the message of a contract payload. Raises MisfitError if it cannot be made."""
        values: Values = {}
        if payload is not None:
            values = payload.__pydantic_serializer__.to_python(payload, mode="json", by_alias=True)
        for name in self.constants:
            values[name] = constants.get(name)
        for name in self.translated:
            values[name] = self.words.translate(name, values.get(name))
        for name, default in self.defaults.items():
            if values.get(name) is None:
                values[name] = default
        if carried:
            values |= carried
        topic = self.topic.render(values)
        if self.payload is not None:
            body = self.payload.render(values)
        else:
            body = b"{}" if payload is None else payload.to_bytes()
        return OutgoingMessage(topic, body, self.retain, qos=self.qos)
