"""Arguments and help of the command `load`, which `fleet.load` implements."""

# ruff: noqa: FBT002, PLC0415  # options have defaults; a command imports what it needs when it runs
from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from broker.errors import FileError, UsageError
from broker.safe_files import check_report
from fleet.cli.console import (
    CSV_MARK,
    HTML_MARK,
    ForceOption,
    JsonOption,
    RootOption,
    err,
    out,
    print_error,
    print_json,
    run_async,
)
from fleet.cli.options import PlatformOption

if TYPE_CHECKING:
    from fleet.load.options import LoadOptions
    from fleet.load.result import LoadResult

__all__ = ["register"]

_EXAMPLE: Final = (
    "Example: passfleet load --devices 200 --rate 100 --duration 30s"
    " --threshold 'reset.p99<500ms' 'lost==0'"
)


class LoadProfile(StrEnum):
    """Load profile: commands only, or commands and a reconnect storm."""

    STEADY = "steady"
    STORM = "storm"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("load", epilog=_EXAMPLE)(load)


MoreThresholdsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="THRESHOLD", show_default=False, help="More thresholds, as for --threshold."
    ),
]
DevicesOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of devices.  \\[default: all of the running fleet or the fleet file,"
        " else 100]",
    ),
]
RateOption = Annotated[
    float, typer.Option(metavar="N", help="Commands per second, sent whether answered or not.")
]
DurationOption = Annotated[
    str, typer.Option(metavar="DURATION", help="Time to send commands for, such as 5m.")
]
MixOption = Annotated[
    str, typer.Option(metavar="MIX", help="Actions (reset, lock, sync) and their shares.")
]
RampOption = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="First part of the duration, in which the rate grows."),
]
ProfileOption = Annotated[
    LoadProfile,
    typer.Option(
        metavar="PROFILE",
        help="steady, or storm: all devices reconnect at once after a third of the duration.",
    ),
]
SeedOption = Annotated[
    int, typer.Option(metavar="N", help="Random seed for each command's action and device.")
]
TimeoutOption = Annotated[
    str, typer.Option(metavar="DURATION", help="Time to wait for each answer.")
]
ThresholdOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="THRESHOLD",
        show_default=False,
        help="Condition for exit code 0, such as 'reset.p99<500ms' or 'lost==0'. Repeatable.",
    ),
]
CsvOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the timeline (ms) as CSV.")
]
HtmlOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write an HTML page with charts.")
]
TargetBrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        envvar="PASSFLEET_BROKER",
        help="Broker of the running fleet; embedded or mosquitto: start a fleet there.",
    ),
]
FleetOption = Annotated[
    Path | None,
    typer.Option(
        "--fleet",
        "-f",
        metavar="FILE",
        show_default=False,
        help="Fleet file of a fleet that is started.  \\[default: fleet.toml, if it exists,"
        " else the sample of `passfleet init`]",
    ),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        show_default=False,
        help="Processes of a fleet that is started; auto: one per core.  \\[default: from the"
        " fleet file, else 1]",
    ),
]


def load(
    more_thresholds: MoreThresholdsArgument = None,
    devices: DevicesOption = None,
    rate: RateOption = 50.0,
    duration: DurationOption = "30s",
    mix: MixOption = "reset=8,lock=2",
    ramp: RampOption = None,
    profile: ProfileOption = LoadProfile.STEADY,
    platform: PlatformOption = None,
    seed: SeedOption = 7,
    timeout: TimeoutOption = "10s",
    threshold: ThresholdOption = None,
    csv: CsvOption = None,
    html: HtmlOption = None,
    broker: TargetBrokerOption = None,
    root: RootOption = None,
    fleet: FleetOption = None,
    workers: WorkersOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a load test with a fixed command rate and check thresholds.

    The target is the running fleet, or the fleet on --broker URL. If none runs,
    or with --broker embedded or mosquitto, a fleet is started and stopped.

    Latency counts from the time a command was due. JSON, CSV and tables give
    it in milliseconds.

    Exit codes: 1 if a threshold was missed or commands failed, were lost or are
    unknown; 2 wrong usage; 3 no broker; 130 interrupted.
    """
    from fleet.cli.targets import parse_duration_option
    from fleet.config.sections import read_workers
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
        platforms=tuple(platform or ()),
        thresholds=(*(threshold or ()), *(more_thresholds or ())),
        storm=profile is LoadProfile.STORM,
        fleet=fleet,
        workers=None if workers is None else read_workers(workers),
    )
    for path, mark in ((csv, CSV_MARK), (html, HTML_MARK)):
        _check_writable(path)
        if path is not None:
            check_report(path, mark, force=force)
    if csv is not None and html is not None and csv.resolve() == html.resolve():
        raise UsageError(f"--csv and --html name the same file {csv}")
    _finish(options, csv, html, as_json=as_json)


def _check_writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before the load starts."""
    if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
        raise UsageError(f"{path} cannot be written: its folder does not exist, or it is a folder")


def _finish(options: LoadOptions, csv: Path | None, html: Path | None, *, as_json: bool) -> None:
    from fleet.load.progress import progress_on
    from fleet.load.run import run_load

    def log(text: str) -> None:
        err.print(text, markup=False)

    try:
        result = run_async(run_load(options, log, progress_on(err)))
    except asyncio.CancelledError:
        # A second Ctrl-C, or one before the load started: there is no result to print.
        log("interrupted")
        raise typer.Exit(130) from None
    written = _write(result, csv, html)
    if as_json:
        print_json(result.document())
    else:
        _print(result)
    # A missing output file is an error even if all thresholds hold.
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
    """Write the requested files. Returns False if one cannot be written."""
    from fleet.load.report.csv_file import render_csv
    from fleet.load.report.html_page import render_page

    written = True
    for path, render in ((csv, render_csv), (html, render_page)):
        if path is None:
            continue
        try:
            path.write_text(render(result), encoding="utf-8")
        except OSError as error:
            # The result is still printed.
            print_error(FileError(f"cannot be written: {error.strerror}", path=path))
            written = False
    return written
