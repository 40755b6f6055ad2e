"""Settings of the web server: address, token, TLS, and what the fleet file adds.

This module imports none of the packages of the extra `passfleet[web]`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from broker.address import is_loopback_host
from broker.errors import UsageError
from fleet.config.loader import FleetConfig

__all__ = ["WebOptions", "WebSettings", "web_options"]

_ADDRESS: Final = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]*):)?(?P<port>\d{1,5})")
_MAX_PORT: Final = 65535
_TOKEN_LENGTH: Final = 16
"""Characters of the shortest token that is accepted."""
_SOURCES: Final = "env:NAME or file:PATH"


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """Options of the command line for the web server.

    `port` 0 means a free one. `cert` and `key` are PEM files; `key` None means that `cert` holds
    both.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    cert: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """True if only programs on this machine can connect."""
        return is_loopback_host(self.host)


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Settings of the application: its server and its fleet.

    `url` is the server's own address, such as `http://127.0.0.1:8765`. `graph_token` is the bearer
    token of the Graph API, None where it needs none; `passwords` are those of users who have one.
    """

    config: FleetConfig
    options: WebOptions
    url: str
    graph_token: str | None = field(default=None, repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


def web_options(
    address: str, *, token: str | None = None, cert: Path | None = None, key: Path | None = None
) -> WebOptions:
    """Options for `--web HOST:PORT`, `--web-token SOURCE`, `--web-cert` and `--web-key`.

    Raises UsageError for a malformed address, a token that cannot be read, missing PEM files, and
    for an address beyond loopback without a token.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise UsageError(
            f"--web: {address!r} is not an address",
            hint=f"write HOST:PORT, such as 127.0.0.1:8080; the port is 0 to {_MAX_PORT}",
        )
    if key is not None and cert is None:
        raise UsageError("--web-key needs --web-cert beside it", hint="--web-cert CERT.pem")
    for name, path in (("--web-cert", cert), ("--web-key", key)):
        if path is not None and not path.is_file():
            raise UsageError(f"{name}: there is no file {path}", hint="name a PEM file")
    options = WebOptions(
        host=(match["host"] or "127.0.0.1").strip("[]"),
        port=int(match["port"]),
        token=None if token is None else _read_token(token),
        cert=cert,
        key=key,
    )
    if not options.loopback and options.token is None:
        raise UsageError(
            f"--web {address} can be reached from other machines, and there is no token",
            hint=f"add --web-token {_SOURCES} (and --web-cert for TLS), or use 127.0.0.1",
        )
    return options


def _read_token(source: str) -> str:
    kind, colon, name = source.partition(":")
    if not colon or kind not in ("env", "file") or not name:
        raise UsageError(
            "--web-token takes the place where the token is, never the token itself",
            hint=f"--web-token {_SOURCES}",
        )
    token = os.environ.get(name, "") if kind == "env" else _file_text(Path(name))
    if len(token) < _TOKEN_LENGTH:
        what = "environment variable" if kind == "env" else "file"
        raise UsageError(
            f"--web-token: the {what} {name} must hold a token of at least {_TOKEN_LENGTH}"
            " characters",
            hint="make one with: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        hint = "name a file that holds the token alone"
        raise UsageError(f"--web-token: {path} cannot be read: {why}", hint=hint) from None
