"""Blocking calls on daemon threads, for which the end of the program does not wait."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["run_on_daemon_thread"]

T = TypeVar("T")


def run_on_daemon_thread(function: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Start a blocking function on a new thread. Return a future of its result.

    `asyncio.to_thread` delays the end of the program until the function returns. That can take
    minutes: a name lookup cannot be interrupted.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()  # cancelling the asyncio future must not cancel this one

    def run() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  # raised where the future is awaited
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(outcome)
