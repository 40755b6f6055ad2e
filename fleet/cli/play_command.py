"""Command `play`: run scenarios and write reports."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.errors import UsageError
from broker.safe_files import check_report
from fleet.cli.console import (
    HTML_MARK,
    JUNIT_MARK,
    ForceOption,
    JsonOption,
    check_folder,
    err,
    out,
    print_json,
    run_async,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios.model.coverage import Coverage
    from scenarios.model.outcome import ScenarioOutcome

__all__ = ["register"]


_Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE",
        help="Scenario files or folders.  \\[default: the scenario library]",
    ),
]
_Names = Annotated[
    list[str] | None,
    typer.Option(
        "-k", metavar="TEXT", help="Only scenarios whose name or file contains this text."
    ),
]
_Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, metavar="N", help="Number of scenarios to run at once."),
]
_Fleet = Annotated[
    Path | None,
    typer.Option(
        "--fleet", metavar="FILE", help="Fleet file, for its platforms and behaviour table."
    ),
]
_Broker = Annotated[
    str,
    typer.Option(
        "--broker", metavar="URL", help="Broker: embedded, mosquitto or mqtt://host:port."
    ),
]
_Clock = Annotated[
    str | None,
    typer.Option(
        "--clock",
        metavar="CLOCK",
        help="Clock: virtual, real, or a speed such as 60x.  "
        "\\[default: virtual, real for scenarios with http steps]",
    ),
]
_Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Random seed, for every file."),
]
_JUnit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit XML report.")
]
_Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML report.")]
_Record = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE", help="Write the messages as a trace, without passcodes."
    ),
]
_Coverage = Annotated[
    bool, typer.Option("--coverage", help="Show the rules of the platforms that the run exercised.")
]
_FailUnder = Annotated[
    float | None,
    typer.Option(
        "--fail-under",
        min=0,
        max=100,
        metavar="PERCENT",
        help="With --coverage: exit with 1 if less of the rules is exercised.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("play", epilog="Example: passfleet play scenarios/ -k hybrid --junit report.xml")(
        play
    )


def play(
    paths: _Paths = None,
    names: _Names = None,
    jobs: _Jobs = None,
    fleet: _Fleet = None,
    broker: _Broker = "embedded",
    clock: _Clock = None,
    seed: _Seed = None,
    junit: _JUnit = None,
    html: _Html = None,
    record: _Record = None,
    coverage: _Coverage = False,  # noqa: FBT002  # a command-line flag
    fail_under: _FailUnder = None,
    force: ForceOption = False,  # noqa: FBT002  # a command-line flag
    as_json: JsonOption = False,  # noqa: FBT002  # a command-line flag
) -> None:
    """Run scenarios of portal, console and users against virtual devices."""
    from broker.dialects.reader import NO_DIALECTS  # noqa: PLC0415
    from fleet.service import play as playing  # noqa: PLC0415
    from scenarios.run.runner import DEFAULT_JOBS, PlayOptions  # noqa: PLC0415

    started = time.perf_counter()
    if fail_under is not None and not coverage:
        raise UsageError("--fail-under needs --coverage")
    speed = _speed(clock or "virtual")
    options = PlayOptions(
        broker=broker,
        speed=speed,
        jobs=jobs or DEFAULT_JOBS,
        seed=seed,
        coverage=coverage,
    )
    known, own = None, NO_DIALECTS
    if fleet is not None:
        from fleet.config.loader import load_dialects, load_platforms  # noqa: PLC0415

        known, own = load_platforms(fleet), load_dialects(fleet)
    scenarios = playing.chosen(paths or [], names or [], known, own)
    if clock is not None and speed is None:
        playing.refuse_virtual_time(scenarios)
    _check_outputs(junit, html, record, force=force)
    show = None if as_json else playing.Show(out, len(scenarios))
    outcomes = run_async(playing.play(scenarios, options, show))
    covered = _coverage(outcomes) if coverage else None
    _write(outcomes, covered, junit, html, record)
    if as_json:
        from scenarios.reports.json_report import as_document  # noqa: PLC0415

        print_json(as_document(outcomes, covered))
    else:
        out.print(playing.summary(outcomes, time.perf_counter() - started))
        if covered is not None:
            from fleet.cli.coverage_table import print_coverage  # noqa: PLC0415

            print_coverage(covered)
    too_low = covered is not None and fail_under is not None and covered.percent < fail_under
    if too_low and covered is not None:
        err.print(f"coverage of {covered.percent:.1f} % is below {fail_under:g} %")
    if too_low or not all(outcome.passed for outcome in outcomes):
        raise typer.Exit(1)


def _check_outputs(
    junit: Path | None, html: Path | None, record: Path | None, *, force: bool
) -> None:
    """Refuse files that cannot, or must not, be written, before anything runs."""
    for path in (junit, html, record):
        check_folder(path)
    for path, mark in ((junit, JUNIT_MARK), (html, HTML_MARK)):
        if path is not None:
            check_report(path, mark, force=force)


def _coverage(outcomes: Sequence[ScenarioOutcome]) -> Coverage:
    from fleet.service.coverage import coverage_of_scenarios  # noqa: PLC0415

    return coverage_of_scenarios(outcomes)


def _speed(clock: str) -> float | None:
    from fleet.config.sections import parse_speed  # noqa: PLC0415

    try:
        return parse_speed(clock)
    except ValueError as error:
        raise UsageError(f"--clock: {error}") from None


def _write(
    outcomes: Sequence[ScenarioOutcome],
    coverage: Coverage | None,
    junit: Path | None,
    html: Path | None,
    record: Path | None,
) -> None:
    for path, name in ((junit, "junit"), (html, "html"), (record, "trace_files")):
        if path is None:
            continue
        extra = {"coverage": coverage} if name == "html" else {}
        try:
            import_module(f"scenarios.reports.{name}").write(path, outcomes, **extra)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None
