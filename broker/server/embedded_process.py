"""The process of the embedded broker; `broker.server.embedded` starts it.

It prints one line, {"port": 1883}, when it listens, and ends when its stdin does. Ending is
immediate: nothing here outlives the process, and the kernel closes three thousand sockets faster
than any farewell.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import logging
import os
import socket
import sys
import threading

from broker.errors import BrokerError

__all__ = ["main"]

_HOST = "127.0.0.1"
_USUAL_PORT = 1883
_BACKLOG = 4096
# Seconds between two checks that the parent process is alive. The end of stdin shows it at once,
# unless a process forked from the parent holds the other end of the pipe open.
_PARENT_CHECK = 1.0
# New objects between two garbage collections. The default of 700 has the collector walk all
# sessions again and again while a fleet connects; there is next to nothing for it to find.
_GC_THRESHOLD = 100_000


def main() -> None:
    """Serve until stdin ends; exit with 1 and one line on stderr if that cannot be."""
    parser = argparse.ArgumentParser(prog="passfleet embedded broker")
    parser.add_argument("--port", type=int)
    parser.add_argument("--log-level", default="WARNING")
    args = parser.parse_args()
    logging.basicConfig(level=args.log_level, format="%(levelname)s %(name)s: %(message)s")
    _raise_file_limit()
    try:
        asyncio.run(_serve(args.port))
    except (BrokerError, OSError) as error:
        sys.exit(f"{error}")


async def _serve(port: int | None) -> None:
    # Imported late, so that a wrong version and a missing one have different error messages.
    from broker.server.amqtt_broker import RoutingBroker, check_amqtt_version  # noqa: PLC0415

    check_amqtt_version()
    listening = _bind(port)
    broker = RoutingBroker(listening)
    await broker.start()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - a parent's end is no event
        await asyncio.sleep(_PARENT_CHECK)
    os._exit(0)


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def _bind(port: int | None) -> socket.socket:
    """Bind `port`; without one 1883 if it is free, else any free one.

    Raises BrokerError if the port asked for is taken or forbidden.
    """
    if port is None:
        if not _answers(_USUAL_PORT):
            try:
                return _bound(_USUAL_PORT)
            except OSError:
                pass  # taken meanwhile, or bound by a program that does not listen
        port = 0
    try:
        return _bound(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else f"cannot be used ({error.strerror})"
        raise BrokerError(f"port {port} on {_HOST} {reason}") from error


def _bound(port: int) -> socket.socket:
    # Said to be TCP, and asyncio sends at once on what it accepts: else an answer of two packets
    # waits 40 ms for the client's acknowledgement of the first.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # A port whose last connections are still winding down is free. (On Windows the option
            # would share the port with another program.)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_HOST, port))
        # Now, not later: two processes may both bind, and the second fails here.
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _answers(port: int) -> bool:
    """Return True if a server listens: some systems allow a second bind to 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        return client.connect_ex((_HOST, port)) == 0


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets us have without asking."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        logging.getLogger(__name__).warning("the limit of open files could not be raised")
