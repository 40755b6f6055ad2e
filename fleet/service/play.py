"""`passfleet play`: scenarios chosen, played, and shown while they are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from agent.definition.platforms import Platforms
from broker.dialects.dialect import Dialect
from broker.dialects.reader import NO_DIALECTS
from broker.errors import FileError, UsageError
from broker.timestamps import format_timestamp
from fleet.hosting.system_limits import check_system_limits
from scenarios.model.outcome import Failure, ScenarioOutcome, Status, StepOutcome
from scenarios.model.scenario import Scenario
from scenarios.parsing.parser import LIBRARY, find_scenarios, load_scenarios
from scenarios.run.runner import PlayOptions, play_all

__all__ = ["Show", "chosen", "play", "refuse_virtual_time", "summary"]

_TICKS: Final = {
    Status.PASSED: "[green]✓[/]",
    Status.FAILED: "[red]✗[/]",
    Status.SKIPPED: "[dim]·[/]",
}
_RUNNING_SHOWN: Final = 8
_CONNECTIONS_A_SCENARIO: Final = 1
"""Connections of a scenario beside those of its devices."""


def chosen(
    paths: Sequence[Path],
    names: Sequence[str],
    known: Platforms | None = None,
    own: Mapping[str, Dialect] = NO_DIALECTS,
) -> list[Scenario]:
    """The scenarios of files and folders, or of the library if `paths` is empty.

    `names` keeps those whose name or file name contains one of them; `known` has the platforms and
    the dated table of a fleet file, `own` are its dialects. Raises FileError for a file with a
    mistake, UsageError if no scenario is left.
    """
    scenarios = load_scenarios(find_scenarios(paths or [LIBRARY]), known, own)
    if not names:
        return scenarios
    wanted = [name.lower() for name in names]
    kept = [
        scenario
        for scenario in scenarios
        if any(w in scenario.name.lower() or w in Path(scenario.path).stem.lower() for w in wanted)
    ]
    if not kept:
        raise UsageError(
            f"none of {len(scenarios)} scenarios is called {' or '.join(names)}",
            hint="-k takes a part of a scenario's name or of its file's",
        )
    return kept


def refuse_virtual_time(scenarios: Sequence[Scenario]) -> None:
    """Raise FileError for the first scenario with `http` steps: virtual time is not for them."""
    for scenario in scenarios:
        step = scenario.http_step
        if step is not None:
            raise FileError(
                "a scenario with http steps cannot run on virtual time",
                path=scenario.path,
                line=step.line,
                column=step.column,
                key=f'steps[{step.number}]."{step.name}"',
                expected="--clock real, or a speed such as 60x",
                hint="a back-end cannot be told to jump to another time",
            )


async def play(
    scenarios: Sequence[Scenario], options: PlayOptions, show: Show | None
) -> list[ScenarioOutcome]:
    """Play scenarios and show their progress. Raises the errors of `scenarios.run.runner`."""
    if sys.platform == "win32":
        raise UsageError(
            "scenarios cannot be played on Windows' own event loop, which does not watch sockets",
            hint="run them under WSL",
        )
    largest = sorted((len(s.devices) + _CONNECTIONS_A_SCENARIO for s in scenarios), reverse=True)
    check_system_limits(sum(largest[: options.jobs]))
    if show is None:
        return await play_all(scenarios, options)
    with show.live():
        return await play_all(scenarios, options, show)


class Show:
    """List of scenarios on a console: a line for each that ended, and those that are running."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._live: Live | None = None
        self._running: dict[int, tuple[Scenario, int]] = {}
        self._ended = 0

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Show the running scenarios at the end of the list, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, transient=True, refresh_per_second=12) as live:
            self._live = live
            yield
        self._live = None

    def started(self, number: int, scenario: Scenario) -> None:
        """A scenario begins."""
        self._running[number] = (scenario, 0)
        self._refresh()

    def stepped(self, number: int, step: StepOutcome) -> None:
        """A step was taken."""
        self._running[number] = (self._running[number][0], step.number)
        self._refresh()

    def ended(self, number: int, outcome: ScenarioOutcome) -> None:
        """A scenario has ended: its line, and what failed."""
        del self._running[number]
        self._ended += 1
        took = f"{_lasted(outcome.ended - outcome.began)} in {outcome.seconds:.2f} s"
        name = escape(outcome.name)
        self._console.print(f"{_TICKS[outcome.status]} {name}  [dim]{took}[/]")
        if outcome.failure is not None:
            self._failed(outcome, outcome.failure)
        self._refresh()

    def _failed(self, outcome: ScenarioOutcome, failure: Failure) -> None:
        step = next(step for step in outcome.steps if step.failure is not None)
        place = f"{failure.path}:{failure.line}:{failure.column}"
        lines = [
            f"    {place}  {step.text}",
            f"      expected  {failure.expected}",
            f"      seen      {failure.seen}",
        ]
        lines += [
            f"      {format_timestamp(each.at)}  {each.device or ''} {each.kind}: {each.text}"
            for each in failure.messages
        ]
        self._console.print("\n".join(lines), markup=False)

    def _refresh(self) -> None:
        if self._live is None:
            return
        running = list(self._running.values())
        lines = [
            Text(f"… {scenario.name}  step {step} of {len(scenario.steps)}", style="dim")
            for scenario, step in running[:_RUNNING_SHOWN]
        ]
        lines.append(Text(f"{self._ended} of {self._total}", style="bold"))
        self._live.update(Group(*lines))


def summary(outcomes: Sequence[ScenarioOutcome], seconds: float) -> str:
    """One line about all of them."""
    failed = sum(not outcome.passed for outcome in outcomes)
    passed = len(outcomes) - failed
    lasted = _lasted(sum(outcome.ended - outcome.began for outcome in outcomes))
    bad = f", [bold red]{failed} failed[/]" if failed else ""
    return f"[bold]{passed} passed[/]{bad}: {lasted} of scenario time in {seconds:.1f} s"


def _lasted(milliseconds: int) -> str:
    """`1:06:02`, as long as the scenario's own time was."""
    return str(timedelta(seconds=milliseconds // 1000))
