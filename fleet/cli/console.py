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
from rich.text import Text

from broker.errors import BrokerError, PassfleetError, UsageError

__all__ = [
    "BrokerOption",
    "JsonOption",
    "RootOption",
    "check_root",
    "err",
    "out",
    "print_error",
    "print_json",
    "print_json_line",
    "print_warning",
    "run_async",
]

T = TypeVar("T")

_CONTROLS: Final = dict.fromkeys(
    [*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)], "\N{REPLACEMENT CHARACTER}"
)
"""All but the line feed: a name that is repeated must not move a terminal's cursor."""

_OFF_TERMINAL_WIDTH: Final = 200
"""Columns of a table that goes to a file or a pipe, where nothing says how wide it may be."""


def _width(stream: TextIO | None) -> int | None:
    """None leaves the width to the terminal, or to COLUMNS. A closed descriptor has no stream."""
    if (stream is not None and stream.isatty()) or "COLUMNS" in os.environ:
        return None
    return _OFF_TERMINAL_WIDTH


_CANCEL_INTERVAL: Final = 5.0
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


def check_root(root: str | None) -> str | None:
    """`root` as it is. Raises UsageError where topics cannot start with it."""
    if root is None:
        return None
    from broker.contract import ROOT_WORDS, is_root  # noqa: PLC0415  # takes time

    if not is_root(root):
        raise UsageError(f"--root is no topic root; expected {ROOT_WORDS}")
    return root


RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="TOPIC",
        callback=check_root,
        help="What the fleet's topics start with; unsaid, .passfleet/up.json tells, else it is"
        " passfleet/v1.",
    ),
]


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    _write_json(document, indent=2)


def print_json_line(document: Any) -> None:
    """One line of JSON lines on stdout, flushed: somebody may be waiting for it in a pipe."""
    _write_json(document, separators=(",", ":"))


def _write_json(document: Any, **layout: Any) -> None:
    """A number too large for Python to hold (1e999), which may have come over the wire, is null."""
    from pydantic_core import to_jsonable_python  # noqa: PLC0415  # takes time

    # Not `to_json`: a file's name may hold bytes that are no UTF-8, which it cannot write.
    plain = to_jsonable_python(document, inf_nan_mode="null")
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, **layout) + "\n")
    sys.stdout.flush()


def print_error(error: PassfleetError) -> None:
    """What went wrong and what to do about it, on stderr."""
    _print_labelled("error", "bold red", str(error), error.hint)


def print_warning(text: str, hint: str | None = None) -> None:
    """What is not as it should be and yet stops nothing, on stderr."""
    _print_labelled("warning", "bold yellow", text, hint)


def _print_labelled(what: str, style: str, text: str, hint: str | None) -> None:
    err.print(Text.assemble((f"{what}:", style), " ", text.translate(_CONTROLS)))
    if hint:
        err.print(Text.assemble(("hint:", "bold"), " ", hint.translate(_CONTROLS)))


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; Ctrl-C cancels it and ends with 130 (see `fleet.cli.main`).

    Raises BrokerError for a broken connection that nobody has translated: all that a coroutine
    connects to is a broker.
    """
    try:
        return asyncio.run(_run_cancellable(main))
    except ConnectionError as error:
        told = error.strerror or error
        raise BrokerError(f"the connection to the broker failed: {told}") from error


async def _run_cancellable(main: Coroutine[Any, Any, T]) -> T:
    """Cancel again what did not end: on Python 3.11 a library's `wait_for` may swallow a Ctrl-C."""
    work = asyncio.ensure_future(main)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            work.cancel()
            await asyncio.wait([work], timeout=_CANCEL_INTERVAL)
        return work.result()
