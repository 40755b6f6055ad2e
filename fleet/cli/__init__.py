"""Command line of passfleet: the application, its commands and exit codes.

Exit codes: 0 success; 1 a device's result was not `done`, or a scenario or threshold failed; 2
wrong usage or file; 3 no broker, or the broker refused the login or certificate; 130 interrupted.
Each PassfleetError is printed as a message with a hint, without a traceback.

Modules: `*_commands` and `*_command` declare arguments and help; `send_request`, `inspect_devices`
and `device_actions` implement the commands for a running fleet; `options` and `targets` hold the
shared options and turn them into a connection and a list of devices; `console`, `streams`,
`tables`, `reference_tables` and `plain_help` write output.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from functools import cache
from typing import Annotated

import typer

from broker.errors import PassfleetError, UsageError
from fleet.cli.console import err, out, print_error
from fleet.cli.plain_help import PlainGroup, use_plain_help
from fleet.cli.streams import discard_stdout, prepare_streams
from fleet.cli.web_option import with_web_address

__all__ = ["app", "application", "main"]

app = typer.Typer(
    name="passfleet",
    cls=PlainGroup,
    help="Simulate a fleet of managed phones over MQTT.",
    epilog="Example: passfleet demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001  # typer passes the option's value
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
    """Parse the options before the command."""
    del version  # handled by its callback


@cache
def application() -> typer.Typer:
    """Application with all commands. A command imports what it needs when it runs."""
    # The command modules import this package.
    from fleet.cli import (  # noqa: PLC0415
        acl_command,
        action_commands,
        device_commands,
        dialect_command,
        fleet_commands,
        load_command,
        play_command,
        reference_commands,
        trace_commands,
    )

    for module in (
        fleet_commands,
        action_commands,
        device_commands,
        play_command,
        load_command,
        trace_commands,
        dialect_command,
        reference_commands,
        acl_command,
    ):
        module.register(app)
    use_plain_help(app)
    return app


@contextlib.contextmanager
def _keyboard_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, and restore the launcher's handler at the end.

    The launcher's handler ends the process at once: the interpreter is imported, or shut down,
    under it. An ignored SIGINT stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def main() -> None:
    """Run the command line and exit with its code."""
    prepare_streams()
    run = application()
    try:
        with _keyboard_interrupts():
            run(args=with_web_address(sys.argv[1:]))
    except PassfleetError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
    except OSError as error:
        # Such as a file that the user named, or a full disk.
        discard_stdout()
        where = f"{error.filename}: " if error.filename else ""
        print_error(UsageError(f"{where}{error.strerror or error}"))
        sys.exit(2)
