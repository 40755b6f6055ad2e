"""Standard output and error that may go away: what a command does does not hang on its reader.

A reader who leaves (`passfleet devices | head -1`) wants no more lines. The command goes on to its
end and to the exit code that it has earned; what it still writes goes nowhere. Only a stream that
never ends by itself asks `reader_left`.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

__all__ = ["discard_stdout", "prepare_streams", "reader_left"]


class _Pipe(io.FileIO):
    """A descriptor whose reader may leave; from then on what is written goes nowhere."""

    reader_left = False

    def write(self, data: Any, /) -> int:
        if not self.reader_left:
            try:
                return super().write(data)
            except BrokenPipeError:
                self.reader_left = True
        return memoryview(data).nbytes


_pipes: dict[str, _Pipe] = {}


def prepare_streams() -> None:
    """Make stdout and stderr streams that can be written to, whatever has become of them.

    A character that the terminal's encoding does not have is written as an escape. A stream that
    was closed before we came (`>&-`) takes everything and keeps nothing.
    """
    sys.stdout = _prepared("stdout", sys.stdout)
    sys.stderr = _prepared("stderr", sys.stderr)


def reader_left() -> bool:
    """Whether stdout was a pipe of which the other end is closed, as far as writing has told."""
    pipe = _pipes.get("stdout")
    return pipe is not None and pipe.reader_left


def discard_stdout() -> None:
    """Let go of what could not be written: the interpreter would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepared(name: str, stream: TextIO | None) -> TextIO:
    # None where the descriptor was closed, whatever typeshed says.
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    if stream.isatty():
        return stream
    _pipes[name] = pipe = _Pipe(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(pipe),
        encoding=stream.encoding,
        errors=stream.errors,
        # Unbuffered (PYTHONUNBUFFERED) is a line at a time: nobody reads half of one.
        line_buffering=stream.line_buffering or stream.write_through,
    )
