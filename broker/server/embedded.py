"""Embedded broker as a child process: no installation, no configuration, no login.

A separate process leaves a whole CPU core to the devices.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broker.address import BrokerAddress
from broker.child_command import module_command
from broker.server.child_process import BrokerHandle, ChildProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["embedded_broker"]

_NAME = "the embedded broker"
# Seconds. An idle machine needs 0.3; a busy CI machine needs more.
_START_LIMIT = 20.0


@asynccontextmanager
async def embedded_broker(
    *, port: int | None = None, log_level: str = "WARNING"
) -> AsyncIterator[BrokerHandle]:
    """Run the embedded broker on 127.0.0.1 for as long as the context lasts.

    `port` None takes 1883 if it is free, else any free port; 0 takes any free port. `log_level`
    applies to the child's stderr. Error messages quote its last line.
    Raises BrokerError if the broker does not start.
    """
    child = ChildProcess(_argv(port, log_level), name=_NAME)
    try:
        ready = json.loads(await child.first_line(_START_LIMIT))
        address = BrokerAddress(scheme="mqtt", host="127.0.0.1", port=ready["port"])
        yield BrokerHandle(address=address, pid=child.pid, died=child.died)
    finally:
        await child.stop()


def _argv(port: int | None, log_level: str) -> list[str]:
    chosen = [] if port is None else ["--port", str(port)]
    return module_command(
        "broker.server.embedded_process",
        *(*chosen, "--log-level", log_level),
        # A user's PYTHONWARNINGS=error must not end the child.
        python=("-W", "ignore"),
    )
