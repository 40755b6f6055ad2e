"""What became of every command sent: each ends in exactly one column.

    done, failed, notSupported   the device's final answer came in time
    lost                         the broker acknowledged it, the device is there, no answer in time
    unknown                      the broker did not acknowledge it, or the device or its host was
                                 gone, or we could not have heard the answer: never a success

Beside the columns stand `duplicate` (final answers beyond a command's first) and `late` (answers to
commands that had been given up); neither changes a column.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["COLUMNS", "CommandOutcome", "Ledger", "SentCommand"]


class CommandOutcome(StrEnum):
    """How a command ended."""

    DONE = "done"
    FAILED = "failed"
    NOT_SUPPORTED = "notSupported"
    LOST = "lost"
    UNKNOWN = "unknown"


COLUMNS: Final = tuple(column.value for column in CommandOutcome)
_BY_STATE: Final = {
    "done": CommandOutcome.DONE,
    "failed": CommandOutcome.FAILED,
    "notSupported": CommandOutcome.NOT_SUPPORTED,
    "canceled": CommandOutcome.FAILED,
}


@dataclass(slots=True)
class SentCommand:
    """One command on its way. Times are seconds after the start of the load."""

    number: int
    action: str
    platform: str
    device_id: str
    due: float
    sent: float
    during_storm: bool = False
    """Whether it was sent while a storm of reconnects was on."""
    accepted: bool = False
    """Whether the broker has acknowledged it."""


@dataclass
class Ledger:
    """The books of one run. `timeout` is how long a command may go unanswered, from its sending."""

    timeout: float
    sent: int = 0
    duplicate: int = 0
    late: int = 0
    columns: Counter[tuple[str, str, CommandOutcome]] = field(default_factory=Counter)
    """By (action, platform, column)."""
    storm: Counter[CommandOutcome] = field(default_factory=Counter)
    """The commands sent during a storm, by column; counted in `columns` as well."""
    _waiting: dict[int, SentCommand] = field(default_factory=dict)
    _order: deque[SentCommand] = field(default_factory=deque)
    _given_up: set[int] = field(default_factory=set)
    _numbers: int = 0

    @property
    def in_flight(self) -> int:
        """How many are neither answered nor given up."""
        return len(self._waiting)

    def send(self, command: SentCommand) -> None:
        """Take a command in, as it is sent; numbers and times only grow."""
        self.sent += 1
        self._numbers = command.number + 1
        self._waiting[command.number] = command
        self._order.append(command)

    def accept(self, number: int) -> None:
        """The broker has acknowledged a command."""
        command = self._waiting.get(number)
        if command is not None:
            command.accepted = True

    def answer(self, number: int, action_state: str) -> SentCommand | None:
        """Take an answer; returns the command where this is its first final one, in time."""
        column = _BY_STATE.get(action_state)
        if column is None or not 0 <= number < self._numbers:
            return None
        command = self._waiting.pop(number, None)
        if command is None:
            self._answer_again(number)
            return None
        self._book(command, column)
        return command

    def _answer_again(self, number: int) -> None:
        if number in self._given_up:
            self._given_up.discard(number)
            self.late += 1
        else:
            self.duplicate += 1

    def expire(self, now: float, was_receivable: Callable[[SentCommand], bool]) -> None:
        """Close each command that has waited longer than `timeout` without an answer.

        `was_receivable` returns True where the device was online and the load was subscribed all
        the time: then a missing answer means `lost`, else `unknown`.
        """
        while self._order and self._order[0].sent + self.timeout <= now:
            self._give_up(self._order.popleft(), was_receivable)

    def close(self) -> None:
        """End the books before time: nobody knows what becomes of what is still on its way."""
        while self._order:
            self._give_up(self._order.popleft(), lambda _: False)

    def _give_up(self, command: SentCommand, was_receivable: Callable[[SentCommand], bool]) -> None:
        if self._waiting.pop(command.number, None) is None:
            return
        self._given_up.add(command.number)
        lost = command.accepted and was_receivable(command)
        self._book(command, CommandOutcome.LOST if lost else CommandOutcome.UNKNOWN)

    def _book(self, command: SentCommand, column: CommandOutcome) -> None:
        self.columns[command.action, command.platform, column] += 1
        if command.during_storm:
            self.storm[column] += 1

    def count(
        self, column: CommandOutcome, *, action: str | None = None, platform: str | None = None
    ) -> int:
        """How many ended in a column, of one action and platform where they are named."""
        return sum(
            number
            for (its_action, its_platform, its_column), number in self.columns.items()
            if its_column is column
            and action in (None, its_action)
            and platform in (None, its_platform)
        )

    @property
    def answered(self) -> int:
        """How many were answered in time, however."""
        return sum(
            self.count(c)
            for c in (CommandOutcome.DONE, CommandOutcome.FAILED, CommandOutcome.NOT_SUPPORTED)
        )

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The (action, platform) pairs that something was booked for, in order."""
        yield from sorted({(action, platform) for action, platform, _ in self.columns})
