"""HTML report: one page with the timeline of each scenario on its virtual clock.

The page needs no network and no server: style and script are inline, and its content security
policy forbids loading anything. The template engine escapes all texts of scenarios.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from agent.coverage import RuleKind
from broker.timestamps import format_timestamp
from scenarios.model.coverage import Coverage, percent
from scenarios.model.outcome import Lane, ScenarioOutcome, Status, StepOutcome, TimelineEvent

__all__ = ["write"]

_FOLDER: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.j2"
_GAP: Final = 30_000
"""Shortest pause in milliseconds that the timeline shows as a separate row."""
_UNITS: Final = ((3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms"))
_PARTS_SHOWN: Final = 2


@dataclass(frozen=True, slots=True)
class _Row:
    """Row of a timeline: a pause, or an event in its lane."""

    gap: str = ""
    clock: str = ""
    instant: str = ""
    event: TimelineEvent | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class _Band:
    """Step and its events; `step` is None for the events before the first step."""

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


def write(
    path: Path, outcomes: Sequence[ScenarioOutcome], coverage: Coverage | None = None
) -> None:
    """Write the report of `outcomes` to `path`, with a section about `coverage`, if given."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=_duration, clock=_clock, percent=_percent)
    page = environment.get_template(_TEMPLATE).render(
        scenarios=[_scenario(outcome) for outcome in outcomes],
        total=len(outcomes),
        failed=sum(not outcome.passed for outcome in outcomes),
        passed=sum(outcome.passed for outcome in outcomes),
        virtual=_duration(sum(outcome.ended - outcome.began for outcome in outcomes)),
        real=_duration(round(1000 * sum(outcome.seconds for outcome in outcomes))),
        steps=sum(len(outcome.steps) for outcome in outcomes),
        coverage=coverage,
        kinds=list(RuleKind),
        style=_package_file("report.css"),
        script=_package_file("report.js"),
    )
    path.write_text(page.encode("utf-8", "replace").decode(), encoding="utf-8")


def _percent(part: int, whole: int) -> str:
    return f"{percent(part, whole):.1f} %"


def _package_file(name: str) -> Markup:
    """Return a file of this package for inclusion without escaping."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704  # only files of this package


def _scenario(outcome: ScenarioOutcome) -> dict[str, Any]:
    failed_step = next((step for step in outcome.steps if step.failure is not None), None)
    return {
        "outcome": outcome,
        "lanes": _lanes(outcome),
        "bands": tuple(_bands(outcome)),
        "dots": tuple(_dots(outcome)),
        "marks": tuple(_marks(outcome)),
        "failed_step": failed_step,
        "messages": _message_rows(outcome),
        "done": sum(step.status is Status.PASSED for step in outcome.steps),
    }


def _lanes(outcome: ScenarioOutcome) -> list[str]:
    """Return the lanes to show: that of the back-end only where there is one."""
    used = {event.lane for event in outcome.events}
    return [lane.value for lane in Lane if lane is not Lane.BACKEND or lane in used]


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
        # The row of the step already shows this text, so the lane omits it.
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
    return f"{_duration(after - before)} later" if after - before >= _GAP else ""


def _dots(outcome: ScenarioOutcome) -> Iterator[_Dot]:
    for event in outcome.events:
        left = _place(event.at, outcome)
        title = f"{_clock(event.at - outcome.began)} {event.kind}: {event.text}"
        yield _Dot(event.lane.value, left, title)


def _marks(outcome: ScenarioOutcome) -> Iterator[tuple[str, str]]:
    """Yield position and title of a line through all lanes for each failed step."""
    for step in outcome.steps:
        if step.status is Status.FAILED:
            yield _place(step.ended, outcome), f"step {step.number} failed"


def _place(at: int, outcome: ScenarioOutcome) -> str:
    length = max(1, outcome.ended - outcome.began)
    share = min(1.0, max(0.0, (at - outcome.began) / length))
    return f"{100 * share:.2f}"


def _clock(milliseconds: int) -> str:
    """Return the time since the start of the scenario: `1:02:07`, `2:00`, `0:02.500`."""
    seconds, rest = divmod(max(0, milliseconds), 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{text}.{rest:03}" if rest else text


def _duration(milliseconds: int) -> str:
    """Return a duration as text with its two largest units: `1 h 3 min`, `41 ms`."""
    parts = []
    left = max(0, milliseconds)
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:_PARTS_SHOWN]) or "0 s"
