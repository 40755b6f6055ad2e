"""Outcomes of scenarios as one JSON document.

Two runs with the same seed give the same document, so it contains no real times, topic roots or
brokers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broker.timestamps import format_timestamp
from scenarios.model.coverage import Coverage
from scenarios.model.outcome import Failure, ScenarioOutcome, StepOutcome, TimelineEvent

__all__ = ["as_document"]


def as_document(
    outcomes: Sequence[ScenarioOutcome], coverage: Coverage | None = None
) -> dict[str, Any]:
    """Return the document of `passfleet play --json`; `coverage` is its last key, if given."""
    passed = sum(outcome.passed for outcome in outcomes)
    document: dict[str, Any] = {
        "passed": passed,
        "failed": len(outcomes) - passed,
        "scenarios": [_scenario(outcome) for outcome in outcomes],
    }
    return document if coverage is None else {**document, "coverage": coverage.as_json()}


def _scenario(outcome: ScenarioOutcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "path": outcome.path,
        "source": outcome.source,
        "proves": list(outcome.proves),
        "status": outcome.status.value,
        "began": format_timestamp(outcome.began),
        "ended": format_timestamp(outcome.ended),
        "devices": [
            {"name": name, "platform": platform, "management": management}
            for name, platform, management in outcome.devices
        ],
        "steps": [_step(step) for step in outcome.steps],
        "happenings": [_event(each) for each in outcome.events],
    }


def _step(step: StepOutcome) -> dict[str, Any]:
    return {
        "number": step.number,
        "step": step.name,
        "text": step.text,
        "line": step.line,
        "status": step.status.value,
        "began": format_timestamp(step.began),
        "ended": format_timestamp(step.ended),
        "failure": _failure(step.failure) if step.failure else None,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "path": failure.path,
        "line": failure.line,
        "column": failure.column,
        "expected": failure.expected,
        "seen": failure.seen,
        "messages": [_event(each) for each in failure.messages],
    }


def _event(each: TimelineEvent) -> dict[str, Any]:
    return {
        "at": format_timestamp(each.at),
        "step": each.step,
        "lane": each.lane.value,
        "kind": each.kind,
        "actor": each.actor,
        "device": each.device,
        "text": each.text,
        "document": each.document,
    }
