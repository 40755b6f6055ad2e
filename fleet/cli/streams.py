"""Standard output and error that tolerate a closed pipe.

When the reader of a pipe exits (`passfleet devices | head -1`), the command runs to its end and
exits with its usual code; further output is discarded. Only commands that print without end check
`reader_left`.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

__all__ = ["discard_stdout", "prepare_streams", "reader_left"]


class _Pipe(io.FileIO):
    """Pipe that discards output once its reader has closed it."""

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
    """Replace sys.stdout and sys.stderr by streams that can always be written to.

    A character outside the terminal's encoding is written as an escape. A stream that was closed
    at the start (`>&-`) discards all output.
    """
    sys.stdout = _prepared("stdout", sys.stdout)
    sys.stderr = _prepared("stderr", sys.stderr)


def reader_left() -> bool:
    """Return True if a write to stdout has found that the pipe's reader is gone."""
    pipe = _pipes.get("stdout")
    return pipe is not None and pipe.reader_left


def discard_stdout() -> None:
    """Redirect stdout to nowhere: else the interpreter tries to flush it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepared(name: str, stream: TextIO | None) -> TextIO:
    # None where the descriptor was closed, although typeshed has no None.
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
        # Under PYTHONUNBUFFERED flush after each line.
        line_buffering=stream.line_buffering or stream.write_through,
    )
