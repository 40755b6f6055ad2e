"""`passfleet load`: its arguments and help. What it does stands in `fleet.load`."""

# options have defaults, and imports their moment# ruff: noqa: FBT002, PLC0415  # options have defaults, and imports their moment
from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.errors import FileError, UsageError
from fleet.cli.console import (
    JsonOption,
    RootOption,
    err,
    out,
    print_error,
    print_json,
    run_async,
)

if TYPE_CHECKING:
    from fleet.load.options import LoadOptions
    from fleet.load.result import LoadResult

__all__ = ["register"]

_EXAMPLE: Final = (
    "Example: passfleet load --devices 200 --rate 100 --duration 30s"
    " --threshold 'reset.p99<500ms' 'lost==0'"
)


class Profile(StrEnum):
    """What happens besides the commands."""

    STEADY = "steady"
    STORM = "storm"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("load", epilog=_EXAMPLE)(load)


def load(
    more_thresholds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[THRESHOLD]...", show_default=False, help="More thresholds, as --threshold."
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            help="How many devices; unsaid, all of the running fleet or the fleet file, else 100."
        ),
    ] = None,
    rate: Annotated[
        float, typer.Option(help="Commands a second that arrive, answered or not.")
    ] = 50.0,
    duration: Annotated[
        str, typer.Option(metavar="DURATION", help="How long commands arrive: 30s, 5m.")
    ] = "30s",
    mix: Annotated[
        str, typer.Option(metavar="MIX", help="Actions by their share: reset, lock, sync.")
    ] = "reset=8,lock=2",
    ramp: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="The first part of the duration, in which the rate grows."
        ),
    ] = None,
    profile: Annotated[
        Profile, typer.Option(help="storm: after a third of it everybody reconnects at once.")
    ] = Profile.STEADY,
    platform: Annotated[str | None, typer.Option(help="Only devices of this platform.")] = None,
    seed: Annotated[int, typer.Option(help="Draws each command's action and device.")] = 7,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="An answer after that is none.")
    ] = "10s",
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK",
            show_default=False,
            help="What must hold, else exit 1: 'reset.p99<500ms', 'lost==0'. May be repeated.",
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the run over time (ms) as CSV.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a page with charts, one file.")
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker",
            metavar="URL",
            envvar="PASSFLEET_BROKER",
            help="Where the fleet runs; embedded or mosquitto: start one there.",
        ),
    ] = None,
    root: RootOption = None,
    fleet: Annotated[
        Path | None,
        typer.Option(
            "--fleet",
            "-f",
            metavar="FILE",
            show_default=False,
            help="What a fleet that it starts is made of.  \\[default: fleet.toml where there is"
            " one, else as `passfleet init` writes it]",
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Processes of a fleet that it starts, auto: one a core.  \\[default: as the fleet"
            " file says, else 1]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Load a fleet with commands at a fixed rate of arrival, and judge what comes of it.

    Loads the fleet that runs from here, or on --broker URL. FleetLocation none runs,
    or with --broker embedded or mosquitto, it starts one and stops it again.

    Latency is counted from the instant a command was due, and is in
    milliseconds in JSON, CSV and tables.

    Exit codes: 1 where a threshold is missed, or anything failed, was lost or
    is unknown; 2 wrong usage; 3 no broker; 130 interrupted.
    """
    from fleet.cli.targets import parse_duration_option
    from fleet.config.tables import read_workers
    from fleet.load.options import LoadOptions
    from fleet.load.schedule import ActionMix

    options = LoadOptions(
        devices=devices,
        rate=rate,
        duration=parse_duration_option(duration, "--duration"),
        ramp=parse_duration_option(ramp, "--ramp") if ramp else 0.0,
        timeout=parse_duration_option(timeout, "--timeout"),
        mix=ActionMix.parse(mix),
        seed=seed,
        broker=broker,
        root=root,
        platform=platform,
        thresholds=(*(threshold or ()), *(more_thresholds or ())),
        storm=profile is Profile.STORM,
        fleet=fleet,
        workers=None if workers is None else read_workers(workers),
    )
    for path in (csv, html):
        _check_writable(path)
    if csv is not None and html is not None and csv.resolve() == html.resolve():
        raise UsageError(f"--csv and --html are both to be written to {csv}")
    _finish(options, csv, html, as_json=as_json)


def _check_writable(path: Path | None) -> None:
    """Refuse now what would fail once the load is over."""
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise UsageError(f"{path} cannot be written: its folder is not there, or it is one")


def _finish(options: LoadOptions, csv: Path | None, html: Path | None, *, as_json: bool) -> None:
    from fleet.load.progress import progress_on
    from fleet.load.run import run_load

    def say(text: str) -> None:
        err.print(text, markup=False)

    try:
        result = run_async(run_load(options, say, progress_on(err)))
    except asyncio.CancelledError:
        # A second Ctrl-C, or one before anything ran: there is nothing to sum up.
        say("interrupted")
        raise typer.Exit(130) from None
    written = _write(result, csv, html)
    if as_json:
        print_json(result.document())
    else:
        _print(result)
    # A file that is asked for and is not there is not all well, whatever the thresholds say.
    if code := result.exit_code or (0 if written else 2):
        raise typer.Exit(code)


def _print(result: LoadResult) -> None:
    from rich.table import Table

    from fleet.cli.tables import print_table
    from fleet.load.report.terminal import summary

    for part in summary(result, out.width if out.is_terminal else None):
        if isinstance(part, Table):
            print_table(part)
        else:
            out.print(part)


def _write(result: LoadResult, csv: Path | None, html: Path | None) -> bool:
    """Write the files that are asked for; False where one cannot be."""
    from fleet.load.report.csv_file import render_csv
    from fleet.load.report.html_page import render_page

    written = True
    for path, render in ((csv, render_csv), (html, render_page)):
        if path is None:
            continue
        try:
            path.write_text(render(result), encoding="utf-8")
        except OSError as error:
            # The figures are still printed: a load is not thrown away for its file.
            print_error(FileError(f"cannot be written: {error.strerror}", path=path))
            written = False
    return written
