"""What every command shares: consoles, JSON, how an error ends, where the running fleet is.

Data goes to stdout, progress and errors to stderr. Under `--json` stdout carries one JSON document
or JSON lines and nothing else. Colour is for terminals, and never under NO_COLOR (rich sees to it).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, Final, TextIO, TypeVar

import typer
from rich.console import Console

from broker.errors import PassfleetError

__all__ = [
    "BrokerOption",
    "JsonOption",
    "RootOption",
    "err",
    "out",
    "print_error",
    "print_json",
    "print_json_line",
    "run_async",
]

T = TypeVar("T")

_OFF_TERMINAL_WIDTH: Final = 200
"""Columns of a table that goes to a file or a pipe, where nothing says how wide it may be."""


def _width(stream: TextIO) -> int | None:
    """None leaves the width to the terminal, or to COLUMNS."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _OFF_TERMINAL_WIDTH


_CANCEL_AGAIN: Final = 5.0
"""Seconds that a cancelled command has to clean up after itself."""

out = Console(highlight=False, soft_wrap=True, width=_width(sys.stdout))
"""Stdout: data."""
err = Console(stderr=True, highlight=False, soft_wrap=True, width=_width(sys.stderr))
"""Stderr: progress, warnings, errors."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")
]
BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        envvar="PASSFLEET_BROKER",
        show_envvar=True,
        help="The broker of the running fleet; unsaid, .passfleet/up.json tells.",
    ),
]
RootOption = Annotated[
    str | None, typer.Option("--root", help="The fleet's topic root, default: passfleet/v1.")
]


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_json_line(document: Any) -> None:
    """One line of JSON lines on stdout, flushed: somebody may be waiting for it in a pipe."""
    sys.stdout.write(json.dumps(document, separators=(",", ":"), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_error(error: PassfleetError) -> None:
    """What went wrong and what to do about it, on stderr."""
    err.print(f"[bold red]error:[/] {_plain(str(error))}")
    if error.hint:
        err.print(f"[bold]hint:[/] {_plain(error.hint)}")


def _plain(text: str) -> str:
    """Keep rich from reading brackets in a message as markup."""
    return text.replace("[", r"\[")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; Ctrl-C cancels it and ends with 130 (see `fleet.cli.main`)."""
    return asyncio.run(_ended_by_cancelling(main))


async def _ended_by_cancelling(main: Coroutine[Any, Any, T]) -> T:
    """Cancel again what did not end: on Python 3.11 a library's `wait_for` may swallow a Ctrl-C."""
    work = asyncio.ensure_future(main)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            work.cancel()
            await asyncio.wait([work], timeout=_CANCEL_AGAIN)
        return work.result()
