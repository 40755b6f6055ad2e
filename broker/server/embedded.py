"""Embedded broker as a child process, which leaves a whole CPU core to the devices.

On loopback it needs no login. With logins it refuses other clients and enforces their rules. The
child reads its settings from stdin, since a command line is visible to all users.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from broker.address import BrokerAddress
from broker.child_command import module_command
from broker.errors import UsageError
from broker.server.child_process import BrokerHandle, ChildProcess
from broker.server.listen import LOOPBACK, ListenAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from broker.access import Login

__all__ = ["EmbeddedSettings", "embedded_broker"]

_NAME = "the embedded broker"
# Seconds. An idle machine needs 0.3; a busy CI machine needs more.
_START_LIMIT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """Settings of the embedded broker.

    `listen` None is 127.0.0.1, on port 1883 if that is free and on any free port otherwise.
    `logins` are the clients that are accepted; without logins, all clients are. The first login is
    the fleet's own. `deny_subscribe` are filters whose subscriptions are refused.
    """

    listen: ListenAddress | None = None
    logins: tuple[Login, ...] = ()
    deny_subscribe: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UsageError if the broker would accept clients of other machines without a login."""
        if self.listen is not None and not self.listen.is_loopback and not self.logins:
            raise UsageError(
                f"the embedded broker needs a login to listen on {self.listen}",
                hint='set `username` and `password` under [broker], or listen = "127.0.0.1:1883"',
            )

    def as_json(self) -> bytes:
        """Settings as one line for the child, passwords included."""
        document = {
            "logins": [asdict(login) for login in self.logins],
            "deny_subscribe": self.deny_subscribe,
        }
        return json.dumps(document).encode() + b"\n"


@asynccontextmanager
async def embedded_broker(
    settings: EmbeddedSettings | None = None,
    *,
    port: int | None = None,
    log_level: str = "WARNING",
) -> AsyncIterator[BrokerHandle]:
    """Run the embedded broker for as long as the context lasts.

    `port` is a port of 127.0.0.1, 0 for any free one; it is used if `settings` have no address.
    `log_level` applies to the child's stderr. Error messages quote its last line.
    Raises BrokerError if the broker does not start, UsageError as `EmbeddedSettings.check` does.
    """
    settings = settings or EmbeddedSettings()
    if settings.listen is None and port is not None:
        settings = replace(settings, listen=ListenAddress(LOOPBACK, port))
    settings.check()
    listen = settings.listen
    argv = [*_argv(listen, log_level), "--settings"]
    child = ChildProcess(argv, name=_NAME, sent=settings.as_json())
    try:
        ready = json.loads(await child.first_line(_START_LIMIT))
        own = settings.logins[0] if settings.logins else None
        address = BrokerAddress(
            scheme="mqtt",
            host=listen.client_host if listen else LOOPBACK,
            port=ready["port"],
            username=own.username if own else None,
            password=own.password if own else None,
        )
        yield BrokerHandle(address=address, pid=child.pid, died=child.died)
    finally:
        await child.stop()


def _argv(listen: ListenAddress | None, log_level: str) -> list[str]:
    chosen = ["--listen", str(listen)] if listen else []
    return module_command(
        "broker.server.embedded_process",
        *(*chosen, "--log-level", log_level),
        # A user's PYTHONWARNINGS=error must not end the child.
        python=("-W", "ignore"),
    )
