"""Results of commands and answers to inputs, and the storage of the last ones of a device.

A command that is sent again gets the identical stored result. A fleet stores hundreds of thousands
of results, so they are kept in columns: texts that many of them share are stored once for all
devices, and numbers (instants, a draw) are packed into bytes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache, reduce
from struct import Struct
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, overload

from agent.fast_dataclass import fast_dataclass
from agent.passcode import PasscodeRef, PasscodeSpec
from platforms.profile import Action, NativeCase

__all__ = [
    "RESULTS_KEPT",
    "ActionState",
    "ErrorCode",
    "InputAnswer",
    "PastAnswers",
    "PastResults",
    "Result",
]

RESULTS_KEPT: Final = 32
"""Number of results, and of answers to inputs, that a device stores."""


class ActionState(StrEnum):
    """`actionState` of a result, with the values of Microsoft Graph."""

    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    NOT_SUPPORTED = "notSupported"


class ErrorCode(StrEnum):
    """A result's `errorCode`."""

    INVALID_JSON = "invalidJson"
    INVALID_COMMAND = "invalidCommand"
    UNKNOWN_ACTION = "unknownAction"
    RETAINED_COMMAND = "retainedCommand"
    EXPIRED = "expired"
    COMMAND_ID_REUSED = "commandIdReused"
    WRONG_USER = "wrongUser"
    PASSCODE_NOT_SET = "passcodeNotSet"
    POLICY_VIOLATION = "policyViolation"
    NOT_ENROLLED = "notEnrolled"
    PAYLOAD_TOO_LARGE = "payloadTooLarge"
    REFUSED = "refused"
    # Inputs only.
    WRONG_PASSCODE = "wrongPasscode"
    DEVICE_LOCKED = "deviceLocked"
    PASSCODE_REQUIRED = "passcodeRequired"
    TOO_MANY_ATTEMPTS = "tooManyAttempts"
    BIOMETRIC_NOT_ENROLLED = "biometricNotEnrolled"
    BIOMETRIC_BLOCKED = "biometricBlocked"
    NOT_ON_SCREEN = "notOnScreen"
    INPUT_ID_REUSED = "inputIdReused"


@fast_dataclass
class Result:
    """Result of a command. `passcode` is set if the result may contain it."""

    command_id: str
    action: Action
    state: ActionState
    message: str
    started: int
    updated: int
    error: ErrorCode | None = None
    native: NativeCase | None = None
    passcode: PasscodeRef | None = None


@fast_dataclass
class InputAnswer:
    """Answer to an input."""

    input_id: str
    action: str
    state: ActionState
    message: str
    at: int
    error: ErrorCode | None = None


_Record = TypeVar("_Record", Result, InputAnswer)
_Words = TypeVar("_Words", bound=tuple[Any, ...])


# Results of a fleet have few different texts. Beyond this number (messages that quote the bounds of
# policies) equal texts are stored more than once, which costs memory only.
@lru_cache(maxsize=1024)
def _alike(words: _Words) -> _Words:
    """Return one shared tuple for equal tuples."""
    return words


class _Remembered(Sequence[_Record], Generic[_Record]):
    """The last `RESULTS_KEPT` records, the oldest first, with unique ids.

    `ids` is the concatenation of the ids, `words` has the shared texts of each record, and
    `numbers` the packed numbers of each record, followed by the length of its id.
    """

    __slots__ = ()

    _NUMBERS: ClassVar[Struct]
    ids: str
    words: tuple[Any, ...]
    numbers: bytes

    @classmethod
    def of(cls, records: Iterable[_Record]) -> Self:
        """Return the columns of the last `RESULTS_KEPT` of `records`."""
        return reduce(cls.plus, records, cls())

    @abstractmethod
    def plus(self, last: _Record) -> Self:
        """Return a copy with `last` added; drops the oldest record beyond `RESULTS_KEPT`."""

    def _with(
        self, name: str, words: _Words, *numbers: int
    ) -> tuple[str, tuple[_Words, ...], bytes]:
        ids, kept, packed = self.ids, self.words, self.numbers
        if len(kept) == RESULTS_KEPT:
            *_, oldest = self._NUMBERS.unpack_from(packed)
            ids, kept, packed = ids[oldest:], kept[1:], packed[self._NUMBERS.size :]
        packed += self._NUMBERS.pack(*numbers, len(name))
        # Concatenation: unpacking into a tuple copies the elements twice.
        return ids + name, kept + (_alike(words),), packed  # noqa: RUF005

    def find(self, name: str) -> _Record | None:
        """Return the record with this id, None if there is none."""
        # Fast path: nearly every id is new.
        if name not in self.ids:
            return None
        end = len(self.ids)
        for index in reversed(range(len(self))):
            row = self._NUMBERS.unpack_from(self.numbers, index * self._NUMBERS.size)
            start = end - row[-1]
            if self.ids[start:end] == name:
                return self._whole(name, self.words[index], row)
            end = start
        return None

    def __iter__(self) -> Iterator[_Record]:
        start = 0
        rows = self._NUMBERS.iter_unpack(self.numbers)
        for words, row in zip(self.words, rows, strict=True):
            end = start + row[-1]
            yield self._whole(self.ids[start:end], words, row)
            start = end

    @staticmethod
    @abstractmethod
    def _whole(name: str, words: Any, row: tuple[Any, ...]) -> _Record:
        """Build the record of one row."""

    def __len__(self) -> int:
        return len(self.words)

    @overload
    def __getitem__(self, index: int) -> _Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[_Record, ...]: ...
    def __getitem__(self, index: int | slice) -> _Record | tuple[_Record, ...]:
        return tuple(self)[index]


@fast_dataclass
class PastResults(_Remembered[Result]):
    """The last results of a device.

    `words`: action, state, message, error, native, and the spec of the passcode in the result;
    `numbers`: start, end, and the draw of that passcode.
    """

    _NUMBERS = Struct("<qqQI")

    ids: str = ""
    words: tuple[
        tuple[Action, ActionState, str, ErrorCode | None, NativeCase | None, PasscodeSpec | None],
        ...,
    ] = ()
    numbers: bytes = b""

    def plus(self, last: Result) -> Self:
        """Return a copy with one more result."""
        r, passcode = last, last.passcode
        spec, draw = (passcode.spec, passcode.draw) if passcode is not None else (None, 0)
        words = (r.action, r.state, r.message, r.error, r.native, spec)
        return type(self)(*self._with(r.command_id, words, r.started, r.updated, draw))

    @staticmethod
    def _whole(name: str, words: Any, row: tuple[Any, ...]) -> Result:
        action, state, message, error, native, spec = words
        started, updated, draw, _ = row
        passcode = PasscodeRef(draw, spec) if spec is not None else None
        return Result(name, action, state, message, started, updated, error, native, passcode)


@fast_dataclass
class PastAnswers(_Remembered[InputAnswer]):
    """The last answers of a device to inputs.

    `words`: action, state, message, error; `numbers`: the instant.
    """

    _NUMBERS = Struct("<qI")

    ids: str = ""
    words: tuple[tuple[str, ActionState, str, ErrorCode | None], ...] = ()
    numbers: bytes = b""

    def plus(self, last: InputAnswer) -> Self:
        """Return a copy with one more answer."""
        words = (last.action, last.state, last.message, last.error)
        return type(self)(*self._with(last.input_id, words, last.at))

    @staticmethod
    def _whole(name: str, words: Any, row: tuple[Any, ...]) -> InputAnswer:
        action, state, message, error = words
        at, _ = row
        return InputAnswer(name, action, state, message, at, error)
