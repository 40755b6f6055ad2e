"""Main program of the embedded broker's process, started by `broker.server.embedded`.

With --settings it reads its settings from stdin, as one line of JSON. It prints one line,
{"port": 1883}, once it listens, and exits when its stdin ends. It exits without closing
connections, since the kernel closes 3,000 sockets faster.
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
from collections.abc import Mapping
from typing import Any

from broker.access import Access, Login, Rule
from broker.errors import BrokerError
from broker.server.gate import Gate
from broker.server.listen import LOOPBACK, ListenAddress

__all__ = ["main"]

_USUAL_PORT = 1883
_BACKLOG = 4096
# Seconds between two checks that the parent process is alive. Usually the end of stdin shows it at
# once, but a process forked from the parent may hold the pipe open.
_PARENT_CHECK = 1.0
# New objects between two garbage collections. With the default of 700 the collector scans all
# sessions many times while a fleet connects, and finds almost no garbage.
_GC_THRESHOLD = 100_000


def main() -> None:
    """Serve until stdin ends. Exit with code 1 and one line on stderr after a failure."""
    parser = argparse.ArgumentParser(prog="passfleet embedded broker")
    parser.add_argument("--listen", type=ListenAddress.parse)
    parser.add_argument("--log-level", default="WARNING")
    parser.add_argument("--settings", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=args.log_level, format="%(levelname)s %(name)s: %(message)s")
    _raise_file_limit()
    try:
        settings = json.loads(sys.stdin.buffer.readline()) if args.settings else {}
        asyncio.run(_serve(args.listen, settings))
    except (BrokerError, OSError) as error:
        sys.exit(f"{error}")


async def _serve(listen: ListenAddress | None, settings: Mapping[str, Any]) -> None:
    # Imported late, so that a wrong version and a missing one have different error messages.
    from broker.server.amqtt_broker import RoutingBroker, check_amqtt_version  # noqa: PLC0415

    check_amqtt_version()
    logins = [_login(**each) for each in settings.get("logins", ())]
    gate = Gate(logins, tuple(settings.get("deny_subscribe", ())))
    listening = _listen(listen)
    broker = RoutingBroker(listening, gate)
    await broker.start()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for the parent's end
        await asyncio.sleep(_PARENT_CHECK)
    os._exit(0)


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def _login(*, rules: list[tuple[Access, str]] | None, client_ids: list[str], **login: str) -> Login:
    permitted = None if rules is None else tuple(Rule(*each) for each in rules)
    return Login(rules=permitted, client_ids=tuple(client_ids), **login)


def _listen(address: ListenAddress | None) -> socket.socket:
    """Listen on `address`; on None, on 1883 of loopback if it is free, else on any free port.

    Raises BrokerError if the port is taken or the address cannot be used.
    """
    if address is None:
        if not _accepts_connections(_USUAL_PORT):
            try:
                return _listen_on(ListenAddress(LOOPBACK, _USUAL_PORT))
            except OSError:
                pass  # taken meanwhile, or bound by a program that does not listen
        address = ListenAddress(LOOPBACK, 0)
    try:
        return _listen_on(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else f"cannot be used ({error.strerror})"
        raise BrokerError(f"port {address.port} on {address.host} {reason}") from error


def _listen_on(address: ListenAddress) -> socket.socket:
    # With the protocol given, asyncio sets TCP_NODELAY on accepted connections. Otherwise an answer
    # of two packets waits 40 ms for the client's acknowledgement of the first.
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, target = found[0]
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # A port with connections in TIME_WAIT counts as free. (On Windows the option would
            # share the port with another program.)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(target)
        # Listen at once: two processes may both bind, and the second fails here.
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _accepts_connections(port: int) -> bool:
    """Return True if a server listens. Some systems allow a second bind to 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(0.5)
        return client.connect_ex((LOOPBACK, port)) == 0


def _raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard limit."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        logging.getLogger(__name__).warning("the limit of open files could not be raised")


if __name__ == "__main__":
    main()
