"""Child process that hosts a fleet for a load test: `passfleet up` with other output.

It reads a `FleetJob` from stdin and writes JSON lines to stdout: first that the fleet is ready,
then twice a second the loop lag and the deaths of each worker, or the error that ended it. When the
reader of stdout is gone, the fleet stops.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from broker.errors import PassfleetError
from fleet.config.loader import FleetConfig
from fleet.hosting.backend import HostingBackend
from fleet.logging_setup import configure_logging
from fleet.service import run

__all__ = ["FleetJob", "main"]

_REPORT_INTERVAL: Final = 0.5
"""Seconds between reports; workers report as often."""


@dataclass(frozen=True, kw_only=True)
class FleetJob:
    """Fleet to host, and the broker to start for it: `embedded` or `mosquitto`."""

    config: FleetConfig
    broker: str

    def packed(self) -> bytes:
        """Return the job in the form that the process reads from stdin."""
        return pickle.dumps(self)


def main() -> None:
    """Host the fleet until SIGTERM, or until the reader of stdout is gone."""
    job: FleetJob = pickle.load(sys.stdin.buffer)  # noqa: S301  # from our own load, over a pipe
    configure_logging("warning")
    options = run.UpOptions(broker=job.broker, as_json=True, view=_report_worker_stats)
    out, err = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    try:
        asyncio.run(run.run(job.config, options, out, err))
    except PassfleetError as error:
        _write_event(event="error", message=error.message, hint=error.hint, code=error.exit_code)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Else the interpreter would try to flush stdout again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


async def _report_worker_stats(console: Console, crew: HostingBackend) -> None:
    """Write loop lag and deaths of the workers until stdout is closed."""
    del console
    while True:
        await asyncio.sleep(_REPORT_INTERVAL)
        _write_event(event="loops", lag=dict(crew.lag()), deaths=dict(crew.deaths()))


def _write_event(**message: Any) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
