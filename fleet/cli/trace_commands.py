"""Commands `record` and `replay`: write a broker's traffic to a trace file and replay it."""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.cli.console import (
    BrokerOption,
    JsonOption,
    RootOption,
    err,
    out,
    print_json,
    print_json_line,
    run_async,
)

if TYPE_CHECKING:
    from fleet.traces.replay import ReplayResult
    from scenarios.traces.diff import Difference

__all__ = ["register"]

_PANEL = "Scenarios and traces"
_OWN = ("embedded", "mosquitto")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(
        "record",
        epilog="Example: passfleet record -o trace.jsonl --for 30s",
        rich_help_panel=_PANEL,
    )(record)
    app.command("replay", epilog="Example: passfleet replay trace.jsonl", rich_help_panel=_PANEL)(
        replay
    )


def record(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Trace file to write.")
    ],
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after this time, such as 30s."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    broker: BrokerOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a fleet's messages until Ctrl-C, without passcodes and passwords."""
    from fleet.cli.options import FleetLocation
    from fleet.cli.targets import operator_at, parse_duration_option, topics_of
    from fleet.plural import count_noun
    from fleet.service.run_file import locate
    from fleet.traces import recorder as recording

    seconds = None if duration is None else parse_duration_option(duration, "--for")
    recording.check_output_path(output, overwrite=force)
    operator_at(
        FleetLocation(broker, root)
    )  # raises UsageError for a broker on which no fleet can run
    address, found_root = locate(broker, root)

    def started(devices: int) -> None:
        if as_json:
            event = {"event": "recording", "devices": devices, "broker": address.url}
            print_json_line(event | {"root": found_root})
            return
        print(f"recording devices={devices} broker={address.url}", file=out.file, flush=True)
        if seconds is None:
            err.print("Ctrl-C ends the recording", markup=False)

    done = run_async(
        recording.record(
            address,
            topics_of(found_root),
            output,
            seconds=seconds,
            started=started,
            overwrite=force,
        )
    )
    if as_json:
        written = {"event": "written", "trace": str(output), "messages": done.messages}
        print_json_line(written | {"devices": done.devices})
    else:
        messages, devices = count_noun(done.messages, "message"), count_noun(done.devices, "device")
        out.print(f"{messages} of {devices} in {output}", markup=False)
    if done.interrupted:
        raise typer.Exit(130)


def replay(
    traces: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Trace files that `record` wrote, or folders."),
    ],
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME",
            help="Replay up to this time of the trace: 12:30, 12:30:05 or 2015-12-10T20:30:00Z.",
        ),
    ] = None,
    broker: Annotated[
        str,
        typer.Option("--broker", metavar="NAME", help="Broker to start: embedded or mosquitto."),
    ] = "embedded",
    partial: Annotated[
        bool, typer.Option("--partial", help="Replay a trace that is cut off.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Replay traces on new devices and show the differences; exit 1 if any."""
    from broker.errors import UsageError
    from fleet.traces.files import find_traces

    if broker not in _OWN:
        raise UsageError(
            "--broker must be embedded or mosquitto: a replay starts its own broker",
            hint="leave out --broker; the replayed devices would disturb a running fleet",
        )
    paths = find_traces(traces)
    replayed = [_replayed(path, broker, until, partial=partial) for path in paths]
    if as_json:
        documents = [_document(*each) for each in zip(paths, replayed, strict=True)]
        print_json(documents if len(documents) > 1 else documents[0])
    else:
        for path, result in zip(paths, replayed, strict=True):
            _print_result(path, result, named=len(paths) > 1)
    if any(result.differences for result in replayed):
        raise typer.Exit(1)


def _replayed(path: Path, broker: str, until: str | None, *, partial: bool) -> ReplayResult:
    from fleet.cli.send_request import progress_bar
    from fleet.traces import replay as replaying
    from fleet.traces.files import cut_at
    from fleet.traces.schedule import build_schedule
    from scenarios.traces.reader import read_trace

    trace = read_trace(path, partial=partial)
    if until is not None:
        trace = cut_at(trace, until)
    with progress_bar("replaying", len(build_schedule(trace))) as step:
        return run_async(replaying.replay(trace, broker, step))


def _print_result(trace: Path, replayed: ReplayResult, *, named: bool) -> None:
    from fleet.plural import count_noun

    for difference in replayed.differences:
        _print_difference(trace, difference)
    count = len(replayed.differences)
    verdict = "no difference" if count == 0 else count_noun(count, "difference")
    devices, sent = count_noun(replayed.devices, "device"), count_noun(replayed.sent, "message")
    name = f"{trace}: " if named else ""
    out.print(
        f"{name}{devices}, {sent} sent, {replayed.published} received: {verdict}", markup=False
    )


def _document(trace: Path, replayed: ReplayResult) -> dict[str, Any]:
    return {
        "trace": str(trace),
        "devices": replayed.devices,
        "sent": replayed.sent,
        "published": replayed.published,
        "differences": [difference.as_json() for difference in replayed.differences],
    }


def _print_difference(trace: Path, difference: Difference) -> None:
    """Print one difference as a diff: `-` is the trace, `+` the replay."""
    place = f"{trace}:{difference.line}" if difference.line else "not in the trace"
    words = {"changed": "differs", "missing": "is missing", "extra": "is extra"}
    out.print(
        f"{difference.device_id} {difference.leaf} {words[difference.kind]} ({place})",
        style="bold",
        markup=False,
    )
    for key, old, new in difference.keys:
        if difference.kind != "extra":
            out.print(f"- {key}: {_json(old)}", style="red", markup=False)
        if difference.kind != "missing":
            out.print(f"+ {key}: {_json(new)}", style="green", markup=False)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
