"""Results of commands and answers to inputs, and the last ones that a device remembers.

A command that is sent again gets the same result, word for word. A fleet remembers hundreds of
thousands, so they are kept in columns: what many of them say alike is there once for all devices,
and numbers (instants, a draw) are bytes.
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
"""Number of results, and of answers to inputs, that a device remembers."""


class ActionState(StrEnum):
    """A result's `actionState`, in Microsoft Graph's words."""

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
    """Result of a command. `passcode` is set where the result may contain it."""

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


# A fleet's results say a handful of things; past this many (bounds that policies break, told word
# for word), what is said again is merely kept again.
@lru_cache(maxsize=1024)
def _alike(words: _Words) -> _Words:
    """Interned tuple of words."""
    return words


class _Remembered(Sequence[_Record], Generic[_Record]):
    """The last `RESULTS_KEPT` of them, the oldest first, no id twice.

    `ids` is their ids end to end, `words` what each says as many others do, and `numbers` the rest,
    packed: what is its own, then how long its id is.
    """

    __slots__ = ()

    _NUMBERS: ClassVar[Struct]
    ids: str
    words: tuple[Any, ...]
    numbers: bytes

    @classmethod
    def of(cls, records: Iterable[_Record]) -> Self:
        """Columns of `records`, or of the last of them where there are too many."""
        return reduce(cls.plus, records, cls())

    @abstractmethod
    def plus(self, last: _Record) -> Self:
        """These and one more, the last; the oldest is forgotten where there are too many."""

    def _with(
        self, name: str, words: _Words, *numbers: int
    ) -> tuple[str, tuple[_Words, ...], bytes]:
        ids, kept, packed = self.ids, self.words, self.numbers
        if len(kept) == RESULTS_KEPT:
            *_, oldest = self._NUMBERS.unpack_from(packed)
            ids, kept, packed = ids[oldest:], kept[1:], packed[self._NUMBERS.size :]
        packed += self._NUMBERS.pack(*numbers, len(name))
        # A sum, because a tuple of what is unpacked is copied twice.
        return ids + name, kept + (_alike(words),), packed  # noqa: RUF005

    def find(self, name: str) -> _Record | None:
        """The one of this id, None where it is not remembered."""
        # Nearly every id is a new one, which is found out at once.
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
        """The record that these are of."""

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

    `words`: action, state, message, error, native, and what the passcode is that a result tells;
    `numbers`: its start, its end, and the draw of that passcode.
    """

    _NUMBERS = Struct("<qqQI")

    ids: str = ""
    words: tuple[
        tuple[Action, ActionState, str, ErrorCode | None, NativeCase | None, PasscodeSpec | None],
        ...,
    ] = ()
    numbers: bytes = b""

    def plus(self, last: Result) -> Self:
        """These and one more result."""
        r, told = last, last.passcode
        spec, draw = (told.spec, told.draw) if told is not None else (None, 0)
        words = (r.action, r.state, r.message, r.error, r.native, spec)
        return type(self)(*self._with(r.command_id, words, r.started, r.updated, draw))

    @staticmethod
    def _whole(name: str, words: Any, row: tuple[Any, ...]) -> Result:
        action, state, message, error, native, spec = words
        started, updated, draw, _ = row
        told = PasscodeRef(draw, spec) if spec is not None else None
        return Result(name, action, state, message, started, updated, error, native, told)


@fast_dataclass
class PastAnswers(_Remembered[InputAnswer]):
    """The last answers of a device to inputs.

    `words`: action, state, message, error; `numbers`: its instant.
    """

    _NUMBERS = Struct("<qI")

    ids: str = ""
    words: tuple[tuple[str, ActionState, str, ErrorCode | None], ...] = ()
    numbers: bytes = b""

    def plus(self, last: InputAnswer) -> Self:
        """These and one more answer."""
        words = (last.action, last.state, last.message, last.error)
        return type(self)(*self._with(last.input_id, words, last.at))

    @staticmethod
    def _whole(name: str, words: Any, row: tuple[Any, ...]) -> InputAnswer:
        action, state, message, error = words
        at, _ = row
        return InputAnswer(name, action, state, message, at, error)
