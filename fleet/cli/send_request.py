"""Commands `reset`, `lock`, `sync` and `policy`: send a request, wait for results, print them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from broker.contract import Policy
from broker.errors import BrokerError, UsageError
from broker.operator.readers import RequestOutcome
from fleet.cli.console import err, out, print_json
from fleet.cli.options import FleetLocation, Selection
from fleet.cli.tables import outcome_table, print_table, summary_line, summary_table
from fleet.cli.targets import ChosenDevices, operator_at, parse_duration_option, resolve_targets

__all__ = ["policy_from_options", "progress_bar", "send"]

_MAX_LISTED = 50
"""Number of devices up to which each gets a line; above, only those without `done` do."""
_MAX_LISTED_FAILURES = 200
"""Highest number of lines for devices without `done`; --json has them all."""


async def send(
    location: FleetLocation,
    selection: Selection,
    action: str,
    *,
    issued_by: str,
    limit: str,
    as_json: bool,
    policy: Policy | None = None,
) -> int:
    """Send a request, wait for every result and print them. Returns the exit code."""
    seconds = parse_duration_option(limit, "--timeout")
    async with operator_at(location) as operator:
        chosen = await resolve_targets(operator, selection)
        answered: list[RequestOutcome] = []
        with progress_bar(action, len(chosen.devices)) as step:

            def on_outcome(outcome: RequestOutcome) -> None:
                answered.append(outcome)
                step()

            try:
                outcomes = await operator.send(
                    chosen.target,
                    action,
                    policy=policy,
                    issued_by=issued_by,
                    timeout=seconds,
                    on_outcome=on_outcome,
                )
            except (asyncio.CancelledError, BrokerError):
                err.print(f"answered so far, of {len(chosen.devices)}: {summary_line(answered)}")
                raise
    if as_json:
        print_json(_document(action, outcomes))
    else:
        _print_outcomes(outcomes, chosen)
    return 0 if all(outcome.done for outcome in outcomes) else 1


def policy_from_options(options: dict[str, int | bool | None], *, lift: bool) -> Policy:
    """Build the policy from the options. Raises UsageError if no rule is given."""
    given = {name: value for name, value in options.items() if value is not None}
    if lift and given:
        raise UsageError("--lift removes the whole policy and cannot be combined with rules")
    if not lift and not given:
        raise UsageError(
            "no rule is given", hint="name at least one, such as --min-length 6, or use --lift"
        )
    try:
        return Policy.model_validate(given)
    except ValidationError as invalid:
        # The options have checked types and signs; devices check the limits of their platform.
        option = str(invalid.errors(include_input=False)[0]["loc"][0]).replace("_", "-")
        raise UsageError(f"--{option} is too large for any device") from None


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr for more than one device; none without a terminal."""
    if total < 2 or not err.is_terminal:  # noqa: PLR2004  # more than one
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _print_outcomes(outcomes: list[RequestOutcome], chosen: ChosenDevices) -> None:
    listed = outcomes
    if len(outcomes) > _MAX_LISTED:
        print_table(summary_table(outcomes, chosen.devices))
        listed = [outcome for outcome in outcomes if not outcome.done]
    if listed:
        print_table(outcome_table(listed[:_MAX_LISTED_FAILURES], chosen.devices))
    if len(listed) > _MAX_LISTED_FAILURES:
        out.print(f"and {len(listed) - _MAX_LISTED_FAILURES} more; --json has them all")
    out.print(summary_line(outcomes))


def _document(action: str, outcomes: list[RequestOutcome]) -> dict[str, Any]:
    """Return the JSON document: results in order of arrival, unanswered devices, and counts."""
    count = Counter(outcome.word for outcome in outcomes)
    return {
        "commandId": outcomes[0].request_id,
        "actionName": action,
        "devices": len(outcomes),
        "done": count["done"],
        "failed": count["failed"],
        "notSupported": count["notSupported"],
        "canceled": count["canceled"],
        "results": [outcome.document for outcome in outcomes if outcome.result],
        "unanswered": [outcome.device_id for outcome in outcomes if outcome.result is None],
    }
