"""The command line: `passfleet`.

Exit codes: 0 all well; 1 a device did not end `done`, or a scenario or threshold failed; 2 wrong
usage or file; 3 no broker, or it refused login or certificate; 130 interrupted. A user never sees a
traceback for what he did: whatever derives from `PassfleetError` is printed as a sentence.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated

import typer

from broker.errors import PassfleetError, UsageError
from fleet.cli.console import err, out, print_error
from fleet.cli.streams import discard_stdout, prepare_streams
from fleet.cli.web_option import with_web_address

__all__ = ["app", "application", "main"]

app = typer.Typer(
    name="passfleet",
    help="A fleet of virtual phones that reset their passcode and lock as the real ones do.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001  # typer hands over the option's value
    if asked:
        from importlib.metadata import version  # noqa: PLC0415  # takes time

        out.print(f"passfleet {version('passfleet')}", markup=False)
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options that go before a command."""
    del version  # by its callback


@cache
def application() -> typer.Typer:
    """The application with all commands, room by room; each stays light until it runs."""
    # They import this package.
    from fleet.cli import (  # noqa: PLC0415
        device_commands,
        fleet_commands,
        load_command,
        play_command,
        reference_commands,
        trace_commands,
    )

    for module in (
        fleet_commands,
        device_commands,
        play_command,
        load_command,
        trace_commands,
        reference_commands,
    ):
        module.register(app)
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    prepare_streams()
    run = application()
    try:
        run(args=with_web_address(sys.argv[1:]))
    except PassfleetError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
    except OSError as error:
        # A file that the user named, or the disk that his output goes to.
        discard_stdout()
        where = f"{error.filename}: " if error.filename else ""
        print_error(UsageError(f"{where}{error.strerror or error}"))
        sys.exit(2)
