"""Trace files of scenario runs, one file per scenario."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from broker.contract import DEFAULT_ROOT, DeviceState
from broker.errors import UsageError
from broker.operator.readers import read_state
from scenarios.model.outcome import InitialDevice, ScenarioOutcome
from scenarios.traces.device_facts import collect_device_facts
from scenarios.traces.format import TraceDevice, TraceHeader, TraceWriter

__all__ = ["write"]


def write(path: Path, outcomes: Sequence[ScenarioOutcome]) -> None:
    """Write the trace of one scenario to the file `path`, of several to files in folder `path`.

    Raises UsageError if the folder cannot be created, FileError if a file cannot be written.
    """
    if len(outcomes) == 1:
        _write(path, outcomes[0])
        return
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be created as a folder: {error.strerror}",
            hint="give a folder: several scenarios are recorded into one file each",
        ) from None
    taken: set[str] = set()
    for outcome in outcomes:
        stem = name = Path(outcome.path).stem
        number = 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        _write(path / f"{name}.jsonl", outcome)


def _write(path: Path, outcome: ScenarioOutcome) -> None:
    # Each device publishes its initial state before the first step.
    states: dict[str, DeviceState] = {}
    for message in outcome.wire:
        parts = message.topic.split("/")
        if parts[-1] == "state" and (state := read_state(message.payload)) is not None:
            states.setdefault(state.device_id, state)
    initial_devices = {start.name: start for start in outcome.initial_devices}
    devices = tuple(_device(state, initial_devices[name]) for name, state in states.items())
    platforms = outcome.platforms
    header = TraceHeader(
        root=DEFAULT_ROOT,
        clock=outcome.clock,
        start=outcome.began,
        conformance=platforms.conformance,
        platforms=platforms.definitions(device.state.platform for device in devices),
        devices=devices,
    )
    with TraceWriter(path, header) as writer:
        for message in outcome.wire:
            writer.message(message.at, message.topic, message.payload, message.retained)
        writer.close(outcome.ended)


def _device(state: DeviceState, start: InitialDevice) -> TraceDevice:
    facts = collect_device_facts(start.state)
    return TraceDevice(
        state=state,
        policy=facts.policy,
        passcode=start.passcode,
        setup=facts.setup,
        memory=facts.memory,
    )
