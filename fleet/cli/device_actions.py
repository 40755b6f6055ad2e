"""Commands `tap`, `simulate`, `clock` and `clean`: inputs, outside events, time, cleanup."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, Final

from agent.clock import parse_duration
from agent.events import InputAction
from broker.contract import SIMULATIONS
from broker.errors import BrokerError, UsageError
from broker.file_validation import suggest
from broker.operator.operator import Operator
from broker.operator.readers import SimulationOutcome
from broker.timestamps import format_timestamp, parse_timestamp
from fleet.cli.console import err, out, print_json
from fleet.cli.options import FleetLocation, Selection
from fleet.cli.send_request import progress_bar
from fleet.cli.tables import clean_text, effect_table, outcome_table, print_table
from fleet.cli.targets import (
    find_device,
    operator_at,
    parse_duration_option,
    resolve_targets,
    topics_of,
)
from fleet.config.loader import load_fleet
from fleet.plural import count_noun
from fleet.service.run_file import find_running

__all__ = ["clean", "clock_advance", "clock_now", "simulate", "tap"]

_INPUTS: Final = tuple(action.value for action in InputAction)
_MAX_LISTED: Final = 50
_EFFECT_TIMEOUT: Final = 15.0
_EFFECT_TIMEOUT_PER_DEVICE: Final = 0.005
"""Seconds to wait for a simulation's effect: a fixed time, and more for each device."""


async def tap(
    location: FleetLocation,
    device_id: str,
    name: str,
    *,
    passcode: str | None,
    user: str | None,
    key: str | None,
    limit: str,
    as_json: bool,
) -> int:
    """Send a user's input to a device and print its answer."""
    action = _parse_name(name, _INPUTS, "input")
    seconds = parse_duration_option(limit, "--timeout")
    async with operator_at(location) as operator:
        seen = await find_device(operator, device_id)
        outcome = await operator.tap(
            device_id, action, passcode=passcode, user=user, key=key, limit=seconds
        )
    if as_json:
        unanswered = [] if outcome.result else [device_id]
        results = [outcome.document] if outcome.result else []
        print_json({"inputId": outcome.request_id, "results": results, "unanswered": unanswered})
    else:
        print_table(outcome_table([outcome], {device_id: seen}))
        if outcome.result is None and not seen.online:
            err.print(f"{device_id} is offline and will handle the input once it is online")
    return 0 if outcome.done else 1


async def simulate(
    location: FleetLocation, name: str, selection: Selection, *, limit: str | None, as_json: bool
) -> int:
    """Simulate an outside event on devices and print its observed effect."""
    action = _parse_name(name, SIMULATIONS, "simulation")
    asked = None if limit is None else parse_duration_option(limit, "--timeout")
    async with operator_at(location) as operator:
        chosen = await resolve_targets(operator, selection)
        # The host limits the rate at which a whole fleet reconnects.
        seconds = asked or _EFFECT_TIMEOUT + _EFFECT_TIMEOUT_PER_DEVICE * len(chosen.devices)
        shown = 0
        with progress_bar(action, len(chosen.devices)) as step:

            def on_outcome(effect: SimulationOutcome) -> None:
                del effect
                nonlocal shown
                shown += 1
                step()

            try:
                effects = await operator.simulate(
                    list(chosen.devices), action, limit=seconds, on_effect=on_outcome
                )
            except (asyncio.CancelledError, BrokerError):
                err.print(f"{action} so far: {shown} of {len(chosen.devices)} devices")
                raise
    if as_json:
        print_json(_simulation_document(action, effects))
    else:
        _print_effects(effects, action)
    return 1 if any(effect.effect == "unseen" for effect in effects) else 0


async def clock_now(location: FleetLocation, *, as_json: bool) -> int:
    """Print the fleet's time."""
    async with operator_at(location) as operator:
        _print_clock(await operator.now(), await _clock_kind(operator), as_json=as_json)
    return 0


async def clock_advance(
    location: FleetLocation, duration: str | None, to: str | None, *, limit: str, as_json: bool
) -> int:
    """Advance virtual time and print the new time."""
    by, instant = _parse_advance(duration, to)
    seconds = parse_duration_option(limit, "--timeout")
    async with operator_at(location) as operator:
        now = await operator.advance(by=by, to=instant, limit=seconds)
        _print_clock(now, await _clock_kind(operator), as_json=as_json)
    return 0


async def clean(location: FleetLocation, fleet: Path | None, *, force: bool, as_json: bool) -> int:
    """Remove a fleet's retained messages and sessions from a broker and print their number."""
    device_ids = [device.device_id for device in load_fleet(fleet).devices()] if fleet else []
    async with _operator_to_clean(location) as operator:
        cleaned = await operator.clean(device_ids, force=force)
    if as_json:
        print_json({"retained": cleaned.retained, "sessions": cleaned.sessions})
    else:
        out.print(
            f"removed {cleaned.retained} retained messages, "
            f"ended the sessions of {count_noun(cleaned.sessions, 'device')}"
        )
    return 0


def _operator_to_clean(location: FleetLocation) -> Operator:
    """Return an operator as `operator_at` does, also for a fleet whose process has died."""
    found = find_running(Path.cwd()) if location.broker is None else None
    if found is None or found[1].alive:
        return operator_at(location)
    _, dead = found
    return Operator(dead.address(), topics_of(location.root or dead.root))


def _parse_name(name: str, known: tuple[str, ...], what: str) -> str:
    """Return the contract's spelling of swipeUp, swipe-up or swipe_up. Raises UsageError."""
    plain = name.replace("-", "").replace("_", "").lower()
    for candidate in known:
        if candidate.lower() == plain:
            return candidate
    raise UsageError(
        f"there is no {what} {name!r}",
        hint=suggest(name, known) or f"known are: {', '.join(known)}",
    )


def _parse_advance(duration: str | None, to: str | None) -> tuple[int | None, int | None]:
    """Return (milliseconds to advance by, timestamp to advance to); one of them is None."""
    if (duration is None) == (to is None):
        raise UsageError(
            "give either a duration or --to, not both",
            hint="such as passfleet clock advance 61m, or --to 2015-12-10T21:20:00Z",
        )
    try:
        if duration is not None:
            return round(parse_duration(duration).total_seconds() * 1000), None
        return None, parse_timestamp(to or "")
    except ValueError as error:
        raise UsageError(str(error) if to is None else f"--to {to!r}: {error}") from None


async def _clock_kind(operator: Operator) -> str:
    clock = await operator.clock()
    return clock.clock if clock else "real"


def _print_clock(now: int, kind: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"now": format_timestamp(now), "clock": kind})
    else:
        out.print(clean_text(f"{format_timestamp(now)} ({kind})"))


def _simulation_document(action: str, effects: list[SimulationOutcome]) -> dict[str, Any]:
    count = Counter(effect.effect for effect in effects)
    return {
        "action": action,
        "seen": count["seen"],
        "sent": count["sent"],
        "unseen": count["unseen"],
        "devices": [{"deviceId": e.device_id, "effect": e.effect} for e in effects],
    }


def _print_effects(effects: list[SimulationOutcome], action: str) -> None:
    listed = effects if len(effects) <= _MAX_LISTED else [e for e in effects if e.effect != "seen"]
    if listed:
        print_table(effect_table(listed, action))
    count = Counter(effect.effect for effect in effects)
    words = ", ".join(f"{count[word]} {word}" for word in ("seen", "sent", "unseen") if count[word])
    out.print(f"{action} on {count_noun(len(effects), 'device')}: {words}")
