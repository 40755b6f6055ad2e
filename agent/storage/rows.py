"""Rows of a state file: a device's state and its stored publications as JSON.

Formats 1 to 3 are read as well; their digests are those of the memory, without form bits.
"""

from __future__ import annotations

from dataclasses import fields, replace
from struct import error as StructError  # noqa: N812  # a class, by any name
from typing import Annotated, Any, Final, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    create_model,
)

from agent import effects
from agent.events import Command
from agent.passcode import DIGEST_BYTES, FORM_BITS, TEMPORARY_BIT
from agent.state import (
    DeviceState,
    Enrollment,
    InputAnswer,
    PasscodeKind,
    PastAnswers,
    PastResults,
    Result,
    Secret,
)
from agent.storage.digests import FileKey

__all__ = [
    "FORMAT",
    "UNREADABLE",
    "dump_publication",
    "dump_state",
    "passcode_digests",
    "read_publication",
    "read_state",
]

FORMAT: Final = 4
_BEFORE_FORMS: Final = 3
"""Last format whose digests have no form bits."""
UNREADABLE: Final = (ValueError, LookupError, TypeError, StructError)
"""Exceptions of `read_state` and `read_publication` for a row that is not readable."""
_ADDED: Final[dict[str, Any]] = {
    "enrolled": True,
    "lost_mode": False,
    "last_check_in": None,
    "waiting": (),
    "push_at": None,
    "check_in_at": None,
    "open_until": None,
    "refusals": (),
}
"""Fields that formats 3 and 4 added, with the values of a device stored before."""
_NOT_KEPT: Final = {"enrollment"}
"""Fields that come from the fleet file."""


def _in_short(remembered: PastResults | PastAnswers) -> dict[str, Any]:
    """Columns as they are written: words that many results share, once."""
    words = list(dict.fromkeys(remembered.words))
    which = [words.index(each) for each in remembered.words]
    numbers = remembered.numbers.hex()
    return {"ids": remembered.ids, "words": words, "which": which, "numbers": numbers}


def _at_length(written: Any) -> Any:
    if not isinstance(written, dict):
        return written  # format 1: a list of records
    words, which = written.pop("words"), written.pop("which")
    return {**written, "words": [words[each] for each in which]}


def _joined(written: Any) -> Any:
    return "".join(written) if isinstance(written, list) else written  # format 1: a list


_IN_THE_FILE: Final = {
    "history": Annotated[bytes, BeforeValidator(_joined)],
    "results": Annotated[
        PastResults | tuple[Result, ...],
        BeforeValidator(_at_length),
        AfterValidator(PastResults.of),
        PlainSerializer(_in_short),
    ],
    "answers": Annotated[
        PastAnswers | tuple[InputAnswer, ...],
        BeforeValidator(_at_length),
        AfterValidator(PastAnswers.of),
        PlainSerializer(_in_short),
    ],
}
_hints = get_type_hints(DeviceState) | _IN_THE_FILE
_Kept: type[BaseModel] = create_model(
    "_Kept",
    # Digests are hexadecimal digits.
    __config__=ConfigDict(ser_json_bytes="hex", val_json_bytes="hex"),
    **{
        f.name: (_hints[f.name], _ADDED.get(f.name, ...))
        for f in fields(DeviceState)
        if f.name not in _NOT_KEPT
    },
)  # type: ignore[call-overload]
_OUTGOING: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        effects.PublishNotification,
        effects.PublishEscrow,
        effects.PublishResult,
        effects.PublishAnswer,
    )
}


def dump_state(state: DeviceState, key: FileKey) -> str:
    """JSON of a state, with its digests in the forms of the file."""
    values = {name: getattr(state, name) for name in _Kept.model_fields}
    # Work in progress goes on after a restart. Its delivery does not: it belongs to a connection
    # that is closed. The broker has no acknowledgement and sends the command again.
    if state.work is not None:
        values["work"] = replace(state.work, command=_unmarked(state.work.command))
    values["inbox"] = tuple(map(_unmarked, state.inbox))
    values["waiting"] = tuple(map(_unmarked, state.waiting))
    first = _first(state.enrollment)
    if state.secret is not None:
        values["secret"] = replace(state.secret, digest=key.kept(state.secret.digest, first))
    values["history"] = key.kept(state.history, first)
    return _Kept.model_construct(**values).model_dump_json()


def read_state(text: str, enrollment: Enrollment, form: int) -> DeviceState:
    """State of an enrollment from its JSON, written in format `form`. Raises `UNREADABLE`."""
    kept = dict(_Kept.model_validate_json(text))
    secret: Secret | None = kept["secret"]
    first = _first(enrollment)
    if form <= _BEFORE_FORMS:
        current = secret.digest if secret else b""
        temporary = secret is not None and secret.kind is PasscodeKind.TEMPORARY
        restored = _with_form(current, TEMPORARY_BIT if temporary else 0)
        # A history of these formats does not name the temporary passcodes, which are most of it.
        kept["history"] = _with_form(kept["history"], TEMPORARY_BIT)
    else:
        restored = FileKey.restored(secret.digest if secret else b"", first)
        kept["history"] = FileKey.restored(kept["history"], first)
    if secret is not None:
        kept["secret"] = replace(secret, digest=restored)
    return DeviceState(enrollment=enrollment, **kept)


def passcode_digests(state: DeviceState) -> tuple[bytes, bytes | None]:
    """Digests that a state keeps, end to end, and that of the passcode of the fleet file."""
    current = state.secret.digest if state.secret else b""
    return current + state.history, _first(state.enrollment)


def dump_publication(publication: effects.Publication) -> tuple[str, str] | None:
    """(kind, JSON) of a publication, None for a kind that is not stored."""
    kind = type(publication).__name__
    adapter = _OUTGOING.get(kind)
    return None if adapter is None else (kind, adapter.dump_json(publication).decode())


def read_publication(kind: str, body: str) -> effects.Publication:
    """Publication from its row. Raises `UNREADABLE`."""
    found: effects.Publication = _OUTGOING[kind].validate_json(body)
    return found


def _first(enrollment: Enrollment) -> bytes | None:
    return enrollment.first.digest if enrollment.first else None


def _with_form(digests: bytes, form: int) -> bytes:
    made = bytearray(digests)
    for at in range(0, len(made), DIGEST_BYTES):
        made[at] = made[at] & ~FORM_BITS & 0xFF | form
    return bytes(made)


def _unmarked(command: Command) -> Command:
    return replace(command, delivery=None)
