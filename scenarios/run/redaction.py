"""Redaction of a scenario's secrets from its outcome.

Applies to scenarios with `http` steps or environment variables alone. Their secrets are the values
of the variables, and the passcodes of their devices: a back-end may show a passcode under any key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from scenarios.model.masking import Redactor
from scenarios.model.outcome import Failure, StepOutcome, TimelineEvent
from scenarios.model.scenario import Scenario

__all__ = ["add_passcodes", "redact_events", "redact_steps", "scenario_redactor"]

_NEW_PASSCODE: Final = "newPasscode"


def scenario_redactor(scenario: Scenario) -> Redactor | None:
    """Return the redactor of a scenario, or None if it cannot have such secrets."""
    if scenario.http_step is None and not scenario.secrets:
        return None
    redactor = Redactor()
    for secret, placeholder in scenario.secrets.items():
        redactor.add(secret, placeholder)
    for device in scenario.devices:
        redactor.add(device.passcode or "")
    return redactor


def add_passcodes(redactor: Redactor | None, document: object) -> None:
    """Add the new passcode of a result or of an escrow message."""
    if redactor is not None and isinstance(document, Mapping):
        passcode = document.get(_NEW_PASSCODE)
        if isinstance(passcode, str):
            redactor.add(passcode)


def redact_events(
    events: Iterable[TimelineEvent], redactor: Redactor | None
) -> tuple[TimelineEvent, ...]:
    """Return events without the secrets that are known at the end of the run."""
    if redactor is None:
        return tuple(events)
    return tuple(
        replace(each, text=redactor.text(each.text), document=redactor.value(each.document))
        for each in events
    )


def redact_steps(
    steps: Iterable[StepOutcome], redactor: Redactor | None
) -> tuple[StepOutcome, ...]:
    """Return the outcomes of steps without the secrets that are known at the end of the run."""
    if redactor is None:
        return tuple(steps)
    return tuple(
        replace(
            each,
            text=redactor.text(each.text),
            failure=None if each.failure is None else _redact_failure(each.failure, redactor),
        )
        for each in steps
    )


def _redact_failure(failure: Failure, redactor: Redactor) -> Failure:
    return replace(
        failure,
        expected=redactor.text(failure.expected),
        seen=redactor.text(failure.seen),
        messages=redact_events(failure.messages, redactor),
    )
