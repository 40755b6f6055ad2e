"""Consoles, JSON output, error output, and the runner of asynchronous commands.

Data goes to stdout, progress and errors to stderr. Under `--json` stdout carries one JSON document
or JSON lines and nothing else. Colour is used on terminals only, and never under NO_COLOR (rich
implements both).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TextIO, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from broker.errors import BrokerError, FileError, PassfleetError, UsageError

__all__ = [
    "BrokerOption",
    "JsonOption",
    "RootOption",
    "check_folder",
    "check_root",
    "err",
    "out",
    "print_error",
    "print_json",
    "print_json_line",
    "print_warning",
    "run_and_exit",
    "run_async",
]

T = TypeVar("T")

_CONTROLS: Final = dict.fromkeys(
    [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}"
)
"""Control characters except the line feed: printed text must not move a terminal's cursor."""

_MOST_PROBLEMS: Final = 20
"""Problems of a file that are listed after the first one."""

_OFF_TERMINAL_WIDTH: Final = 200
"""Width in columns of output to a file or pipe, which have no width of their own."""


def _width(stream: TextIO | None) -> int | None:
    """Return None to use the width of the terminal or COLUMNS; `stream` may be closed (None)."""
    if (stream is not None and stream.isatty()) or "COLUMNS" in os.environ:
        return None
    return _OFF_TERMINAL_WIDTH


_CANCEL_INTERVAL: Final = 5.0
"""Seconds to wait for a cancelled command before it is cancelled again."""

out = Console(highlight=False, soft_wrap=True, width=_width(sys.stdout))
"""Stdout: data."""
err = Console(stderr=True, highlight=False, soft_wrap=True, width=_width(sys.stderr))
"""Stderr: progress, warnings, errors."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        envvar="PASSFLEET_BROKER",
        show_envvar=True,
        help="Broker of the running fleet.  \\[default: from .passfleet/up.json]",
    ),
]


def check_folder(path: Path | None) -> None:
    """Raise UsageError if the folder of an output file is missing, before anything runs."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to write {path.name} to")


HTML_MARK: Final = '<meta name="generator" content="passfleet">'
JUNIT_MARK: Final = 'name="passfleet"'
CSV_MARK: Final = "seconds,rateAsked,sent"
"""Texts at the start of reports, by which a former report is recognized."""

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Let a report overwrite a file that is not a former report."),
]


def check_root(root: str | None) -> str | None:
    """Return `root` unchanged. Raises UsageError if it is no valid start of a topic."""
    if root is None:
        return None
    from broker.contract import ROOT_WORDS, is_root  # noqa: PLC0415  # takes time

    if not is_root(root):
        raise UsageError(f"--root is not a topic root; expected {ROOT_WORDS}")
    return root


RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="TOPIC",
        callback=check_root,
        help="Topic prefix of the fleet.  \\[default: from .passfleet/up.json, else passfleet/v1]",
    ),
]


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    _write_json(document, indent=2)


def print_json_line(document: Any) -> None:
    """Print one line of JSON on stdout and flush, so that a pipe's reader gets it at once."""
    _write_json(document, separators=(",", ":"))


def _write_json(document: Any, **layout: Any) -> None:
    """Write JSON; a number from the wire that Python cannot hold (1e999) becomes null."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415  # takes time

    # Not `to_json`: it fails for a file name with bytes that are not UTF-8.
    plain = to_jsonable_python(document, inf_nan_mode="null")
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, **layout) + "\n")
    sys.stdout.flush()


def print_error(error: PassfleetError) -> None:
    """Print an error and its hint on stderr, then the further problems of the same file."""
    _print_labelled("error", "bold red", str(error), error.hint)
    others = error.others if isinstance(error, FileError) else ()
    for other in others[:_MOST_PROBLEMS]:
        _print_labelled("error", "bold red", str(other), other.hint)


def print_warning(text: str, hint: str | None = None) -> None:
    """Print a warning and its hint on stderr; the command goes on."""
    _print_labelled("warning", "bold yellow", text, hint)


def _print_labelled(label: str, style: str, text: str, hint: str | None) -> None:
    err.print(Text.assemble((f"{label}:", style), " ", text.translate(_CONTROLS)))
    if hint:
        err.print(Text.assemble(("hint:", "bold"), " ", hint.translate(_CONTROLS)))


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. Ctrl-C cancels it and exits with 130 (see `fleet.cli.main`).

    Raises BrokerError for a ConnectionError: commands connect to brokers only.
    """
    try:
        return asyncio.run(_run_cancellable(main))
    except ConnectionError as error:
        reason = error.strerror or error
        raise BrokerError(f"the connection to the broker failed: {reason}") from error


def run_and_exit(main: Coroutine[Any, Any, int]) -> None:
    """Run a command's coroutine and exit with the code that it returns."""
    code = run_async(main)
    if code:
        raise typer.Exit(code)


async def _run_cancellable(main: Coroutine[Any, Any, T]) -> T:
    """Cancel until it ends: on Python 3.11 a library's `wait_for` may swallow a cancellation."""
    work = asyncio.ensure_future(main)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            work.cancel()
            await asyncio.wait([work], timeout=_CANCEL_INTERVAL)
        return work.result()
