"""Ledger of a load test: each command sent gets exactly one outcome.

    done, failed, notSupported   the device's final answer arrived in time
    lost                         acknowledged by the broker, device online, no answer in time
    unknown                      not acknowledged by the broker, or device or host disconnected,
                                 or the answer could not have been received: never a success

Two more counters change no outcome: `duplicate` (final answers after a command's first) and `late`
(answers to commands that had timed out).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["COLUMNS", "CommandOutcome", "Ledger", "SentCommand"]


class CommandOutcome(StrEnum):
    """Outcome of a command."""

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
    """Command that was sent. Times are seconds after the start of the load."""

    number: int
    action: str
    platform: str
    device_id: str
    due: float
    sent: float
    during_storm: bool = False
    """True if it was sent during a reconnect storm."""
    accepted: bool = False
    """True once the broker has acknowledged it."""


@dataclass
class Ledger:
    """Outcomes of one run. `timeout` is in seconds, from the sending of each command."""

    timeout: float
    sent: int = 0
    duplicate: int = 0
    late: int = 0
    columns: Counter[tuple[str, str, CommandOutcome]] = field(default_factory=Counter)
    """Number of commands by (action, platform, outcome)."""
    storm: Counter[CommandOutcome] = field(default_factory=Counter)
    """Commands sent during a storm by outcome; `columns` counts them as well."""
    _waiting: dict[int, SentCommand] = field(default_factory=dict)
    _order: deque[SentCommand] = field(default_factory=deque)
    _timed_out: set[int] = field(default_factory=set)
    _numbers: int = 0

    @property
    def in_flight(self) -> int:
        """Number of commands without an outcome."""
        return len(self._waiting)

    def send(self, command: SentCommand) -> None:
        """Record a sent command. Numbers and times must not decrease."""
        self.sent += 1
        self._numbers = command.number + 1
        self._waiting[command.number] = command
        self._order.append(command)

    def accept(self, number: int) -> None:
        """Record that the broker has acknowledged a command."""
        command = self._waiting.get(number)
        if command is not None:
            command.accepted = True

    def answer(self, number: int, action_state: str) -> SentCommand | None:
        """Record an answer. Returns the command if this is its first final answer, in time."""
        column = _BY_STATE.get(action_state)
        if column is None or not 0 <= number < self._numbers:
            return None
        command = self._waiting.pop(number, None)
        if command is None:
            self._record_extra_answer(number)
            return None
        self._record_outcome(command, column)
        return command

    def _record_extra_answer(self, number: int) -> None:
        if number in self._timed_out:
            self._timed_out.discard(number)
            self.late += 1
        else:
            self.duplicate += 1

    def expire(self, now: float, was_receivable: Callable[[SentCommand], bool]) -> None:
        """Close each command that has waited longer than `timeout` without an answer.

        `was_receivable` returns True where the device was online and the load was subscribed all
        the time: then a missing answer means `lost`, else `unknown`.
        """
        while self._order and self._order[0].sent + self.timeout <= now:
            self._time_out(self._order.popleft(), was_receivable)

    def close(self) -> None:
        """Close the ledger: commands in flight become `unknown`."""
        while self._order:
            self._time_out(self._order.popleft(), lambda _: False)

    def _time_out(
        self, command: SentCommand, was_receivable: Callable[[SentCommand], bool]
    ) -> None:
        if self._waiting.pop(command.number, None) is None:
            return
        self._timed_out.add(command.number)
        lost = command.accepted and was_receivable(command)
        self._record_outcome(command, CommandOutcome.LOST if lost else CommandOutcome.UNKNOWN)

    def _record_outcome(self, command: SentCommand, column: CommandOutcome) -> None:
        self.columns[command.action, command.platform, column] += 1
        if command.during_storm:
            self.storm[column] += 1

    def count(
        self, column: CommandOutcome, *, action: str | None = None, platform: str | None = None
    ) -> int:
        """Return the number of commands with an outcome, optionally of one action or platform."""
        return sum(
            number
            for (its_action, its_platform, its_column), number in self.columns.items()
            if its_column is column
            and action in (None, its_action)
            and platform in (None, its_platform)
        )

    @property
    def answered(self) -> int:
        """Number of commands that were answered in time, with any outcome."""
        return sum(
            self.count(c)
            for c in (CommandOutcome.DONE, CommandOutcome.FAILED, CommandOutcome.NOT_SUPPORTED)
        )

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Return the (action, platform) pairs with outcomes, sorted."""
        yield from sorted({(action, platform) for action, platform, _ in self.columns})
