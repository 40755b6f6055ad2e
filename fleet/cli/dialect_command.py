"""Command `dialects`, which needs neither fleet nor broker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.errors import UsageError
from fleet.cli.console import JsonOption, out, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.dialects.dialect import Dialect

__all__ = ["dialects", "register"]

_FLEET_FILE = Path("fleet.toml")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("dialects", epilog="Example: passfleet dialects aws-iot-jobs")(dialects)


def dialects(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A dialect, such as aws-iot-jobs.")
    ] = None,
    *,
    fleet: Annotated[
        Path | None,
        typer.Option(
            "--fleet",
            metavar="FILE",
            help="Fleet file, for its dialects.  \\[default: fleet.toml, if it exists]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the dialects, or print one as a table and as TOML."""
    from fleet.reference.dialect_facts import dialect_facts  # noqa: PLC0415

    known = _known(fleet)
    if name is None:
        if as_json:
            print_json([dialect_facts(each) for each in known.values()])
        else:
            _print_list(known)
        return
    if name not in known:
        from broker.file_validation import suggest  # noqa: PLC0415

        names = f"known are: {', '.join(known)}"
        guess = suggest(name, known)
        hint = f"{guess} {names}" if guess else names
        raise UsageError(f"there is no dialect {name!r}", hint=hint)
    if as_json:
        print_json(dialect_facts(known[name]))
    else:
        _print_one(known[name])


def _known(fleet: Path | None) -> Mapping[str, Dialect]:
    """Return the dialects that passfleet ships and those of the fleet file."""
    from broker.dialects.reader import dialects as shipped  # noqa: PLC0415

    if fleet is None and not _FLEET_FILE.is_file():
        return shipped()
    from fleet.config.loader import load_dialects  # noqa: PLC0415

    return {**shipped(), **load_dialects(fleet or _FLEET_FILE)}


def _print_list(known: Mapping[str, Dialect]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from fleet.cli.tables import fit_to_terminal, print_table  # noqa: PLC0415

    table = Table()
    for heading in ("dialect", "title", "of"):
        table.add_column(heading, overflow="fold")
    for each in known.values():
        about = each.about
        table.add_row(Text(each.name), Text(about.title or ""), Text(about.date or "fleet file"))
    print_table(fit_to_terminal(table))
    out.print("More: passfleet dialects NAME", markup=False)


def _print_one(dialect: Dialect) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from broker.dialects.sections import IncomingTemplate  # noqa: PLC0415
    from broker.dialects.toml_text import dialect_toml  # noqa: PLC0415
    from broker.dialects.trial import try_dialect  # noqa: PLC0415
    from fleet.cli.tables import fit_to_terminal, print_table  # noqa: PLC0415
    from fleet.reference.dialect_facts import payload_text, trial_text  # noqa: PLC0415

    about = dialect.about
    out.print(about.title or dialect.name, style="bold", markup=False)
    if about.source:
        out.print(f"Source: {about.source} ({about.date})", markup=False)
    table = Table(show_lines=True)
    for heading in ("section", "", "topic", "QoS", "payload"):
        table.add_column(heading, overflow="fold")
    for each in dialect.sections:
        direction = "in" if isinstance(each, IncomingTemplate) else "out"
        topics = Text("\n".join(topic.text for topic in each.topics))
        payload = Text(payload_text(each.template))
        table.add_row(Text(each.section), direction, topics, str(each.qos), payload)
    print_table(fit_to_terminal(table))
    for trial in try_dialect(dialect):
        out.print(f"{trial.section}: {trial_text(trial)}", markup=False)
    out.print()
    out.print(dialect_toml(dialect.name, dialect.table), markup=False, highlight=False)
