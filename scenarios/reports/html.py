"""One HTML page for people: every scenario a timeline on its own virtual time.

One file that needs no network and no server: style and script stand in it, and its content policy
lets it load nothing. Everything that came from a scenario is escaped by the template engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from broker.timestamps import format_timestamp
from scenarios.model.outcome import Lane, ScenarioOutcome, Status, StepOutcome, TimelineEvent

__all__ = ["write"]

_FOLDER: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.j2"
_GAP: Final = 30_000
"""Milliseconds after which the timeline says how much time passed."""
_UNITS: Final = ((3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))
_PARTS_SHOWN: Final = 2


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of a timeline: a gap, or something that happened in its lane."""

    gap: str = ""
    clock: str = ""
    instant: str = ""
    event: TimelineEvent | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class _Band:
    """A step and what happened during it; without a step, what happened before the first."""

    step: StepOutcome | None
    clock: str
    gap: str
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _Dot:
    """An event on the overview: its lane and its position from 0 (beginning) to 100 (end)."""

    lane: str
    left: str
    title: str


def write(path: Path, outcomes: Sequence[ScenarioOutcome]) -> None:
    """Write the page of `outcomes` to `path`."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(lasted=_lasted, clock=_clock)
    page = environment.get_template(_TEMPLATE).render(
        scenarios=[_scenario(outcome) for outcome in outcomes],
        total=len(outcomes),
        failed=sum(not outcome.passed for outcome in outcomes),
        passed=sum(outcome.passed for outcome in outcomes),
        virtual=_lasted(sum(outcome.ended - outcome.began for outcome in outcomes)),
        real=_lasted(round(1000 * sum(outcome.seconds for outcome in outcomes))),
        steps=sum(len(outcome.steps) for outcome in outcomes),
        style=_own("report.css"),
        script=_own("report.js"),
    )
    path.write_text(page.encode("utf-8", "replace").decode(), encoding="utf-8")


def _own(name: str) -> Markup:
    """A file of ours, to stand in the page as it is."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704  # nothing foreign


def _scenario(outcome: ScenarioOutcome) -> dict[str, Any]:
    failed_step = next((step for step in outcome.steps if step.failure is not None), None)
    return {
        "outcome": outcome,
        "lanes": [lane.value for lane in Lane],
        "bands": tuple(_bands(outcome)),
        "dots": tuple(_dots(outcome)),
        "marks": tuple(_marks(outcome)),
        "failed_step": failed_step,
        "messages": _message_rows(outcome),
        "done": sum(step.status is Status.PASSED for step in outcome.steps),
    }


def _message_rows(outcome: ScenarioOutcome) -> list[_Row]:
    messages = outcome.failure.messages if outcome.failure else ()
    return [_row(event, outcome.began) for event in messages]


def _bands(outcome: ScenarioOutcome) -> Iterator[_Band]:
    by_step: dict[int, list[TimelineEvent]] = {}
    for event in outcome.events:
        by_step.setdefault(event.step, []).append(event)
    last = outcome.began
    if before := by_step.get(0):
        rows = tuple(_rows(before, outcome.began, last))
        yield _Band(None, _clock(0), "", rows)
        last = before[-1].at
    for step in outcome.steps:
        # The step's own row says what was done; its lane need not say it again.
        happened = [h for h in by_step.get(step.number, []) if h.text != step.text]
        gap = _gap(last, step.began)
        rows = tuple(_rows(happened, outcome.began, max(last, step.began)))
        yield _Band(step, _clock(step.began - outcome.began), gap, rows)
        last = max([last, step.began, *(event.at for event in happened)])


def _rows(events: Sequence[TimelineEvent], began: int, last: int) -> Iterator[_Row]:
    for event in events:
        if gap := _gap(last, event.at):
            yield _Row(gap=gap)
        last = max(last, event.at)
        yield _row(event, began)


def _row(event: TimelineEvent, began: int) -> _Row:
    return _Row(
        clock=_clock(event.at - began),
        instant=format_timestamp(event.at),
        event=event,
        document=_pretty(event.document),
    )


def _pretty(document: Mapping[str, Any] | None) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) if document else ""


def _gap(before: int, after: int) -> str:
    return f"{_lasted(after - before)} later" if after - before >= _GAP else ""


def _dots(outcome: ScenarioOutcome) -> Iterator[_Dot]:
    for event in outcome.events:
        left = _place(event.at, outcome)
        title = f"{_clock(event.at - outcome.began)} {event.kind}: {event.text}"
        yield _Dot(event.lane.value, left, title)


def _marks(outcome: ScenarioOutcome) -> Iterator[tuple[str, str]]:
    """Where a step failed: a line through all lanes."""
    for step in outcome.steps:
        if step.status is Status.FAILED:
            yield _place(step.ended, outcome), f"step {step.number} failed"


def _place(at: int, outcome: ScenarioOutcome) -> str:
    length = max(1, outcome.ended - outcome.began)
    share = min(1.0, max(0.0, (at - outcome.began) / length))
    return f"{100 * share:.2f}"


def _clock(milliseconds: int) -> str:
    """How far into the scenario: `1:02:07`, `2:00`, `0:02.500`."""
    seconds, rest = divmod(max(0, milliseconds), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{rest:03}" if rest else text


def _lasted(milliseconds: int) -> str:
    """A length in words, its two largest parts: `1 h 3 min`, `41 ms`."""
    parts = []
    left = max(0, milliseconds)
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:_PARTS_SHOWN]) or "0 s"
