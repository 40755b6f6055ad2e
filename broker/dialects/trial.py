"""Trial of a dialect: each template is rendered with sample values and read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from broker.contract import ACTIONS
from broker.dialects.dialect import Dialect
from broker.dialects.names import KEYS, VOCABULARY
from broker.dialects.sections import IncomingTemplate, OutgoingTemplate
from broker.dialects.template import IGNORED, MISSING, MisfitError, Values

__all__ = ["SectionTrial", "try_dialect"]

_INSTANT: Final = "2015-12-10T20:19:07Z"
_CONSTANTS: Final = {
    "deviceId": "phone-001",
    "group": "phones",
    "platform": "ios",
    "management": "standalone",
    "owner": "alex",
    "root": "passfleet/v1",
}
_SAMPLES: Final[Mapping[str, Any]] = {
    "commandId": "c-1",
    "actionName": "resetPasscode",
    "actionState": "done",
    "issuedBy": "user",
    "message": "a text",
    "policy": {"minLength": 6},
    "errorCode": "wrongUser",
    "status": "online",
    "session": 3,
    "version": 7,
    "resetNumber": 2,
    "failedAttempts": 0,
    "locked": True,
    "wiped": False,
    "enrolled": True,
    "lostMode": False,
    "duplicate": False,
    "native": {"protocol": "mdm", "status": "Acknowledged"},
    "biometrics": {"touchId": "enrolled", "face": "none"},
    "buttons": ["later"],
    "passcode": "none",
    "compliance": "compliant",
}
_VARIANTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "actionName": ACTIONS,
    "actionState": VOCABULARY["actionState"],
    "issuedBy": VOCABULARY["issuedBy"],
    "status": VOCABULARY["status"],
    "errorCode": (None, "wrongUser"),
    "newPasscode": (None, "k3Wq9T"),
    "passcodeDeadline": (None, _INSTANT),
}


@dataclass(frozen=True)
class SectionTrial:
    """Outcome of one section.

    `missing` are keys of the contract that its templates do not contain. `changed` describes values
    that do not survive the way back. `unreadable` is the reason for which nothing can be read back.
    """

    section: str
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unreadable: str | None = None


def try_dialect(dialect: Dialect) -> list[SectionTrial]:
    """Try every section with sample values, both ways."""
    skipped = ("accepted", "rejected", "connect")
    return [_try(each) for each in dialect.sections if each.section not in skipped]


def _try(section: IncomingTemplate | OutgoingTemplate) -> SectionTrial:
    keys = KEYS[section.section]
    if section.payload is None:
        return SectionTrial(section.section, (), ())
    names = {p.name for p in section.placeholders()} - {IGNORED}
    fixed = section.fixed if isinstance(section, IncomingTemplate) else {}
    missing = tuple(sorted(keys - names - fixed.keys() - _CONSTANTS.keys()))
    changed: dict[str, None] = {}
    for sample in _samples(section, names):
        try:
            found = _there_and_back(section, sample)
        except (MisfitError, ValueError) as error:
            return SectionTrial(section.section, missing, tuple(changed), str(error))
        for name in sorted(names & keys):
            if found.get(name) != sample.get(name):
                changed[f"{name} {_shown(sample[name])} is read as {_shown(found.get(name))}"] = (
                    None
                )
    return SectionTrial(section.section, missing, tuple(changed))


def _samples(section: IncomingTemplate | OutgoingTemplate, names: set[str]) -> Iterator[Values]:
    """Yield sample values: each variant of each name, beside the usual values of the others."""
    usual = {name: _sample(name) for name in names}
    yield usual
    for name in sorted(names & _VARIANTS.keys()):
        for value in _VARIANTS[name]:
            states = section.states if isinstance(section, OutgoingTemplate) else None
            if name == "actionState" and states is not None and value not in states:
                continue
            yield usual | {name: value}


def _sample(name: str) -> Any:
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    return _INSTANT if name.endswith(("DateTime", "Deadline")) else _SAMPLES.get(name, "17")


def _there_and_back(section: IncomingTemplate | OutgoingTemplate, sample: Values) -> Values:
    values = {name: section.words.translate(name, value) for name, value in sample.items()}
    for placeholder in section.placeholders():
        if values.get(placeholder.name) is None and placeholder.default is not MISSING:
            default = section.words.translate(placeholder.name, placeholder.default)
            values[placeholder.name] = default
    values[IGNORED] = "any"
    topic = section.topics[0]
    found: Values = {}
    if not topic.match(topic.render(values), found):
        raise MisfitError("the topic cannot be read back")
    assert section.payload is not None  # noqa: S101  # checked by `_try`
    section.payload.read(section.payload.render(values), found)
    unknown = section.words.translate_back(found)
    if unknown is not None:
        raise MisfitError(f"the word for {unknown} cannot be read back")
    return found


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)
