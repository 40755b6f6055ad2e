"""Address and login of the fleet's broker."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pytest_passfleet.errors import FleetError

__all__ = ["Address", "address_of"]

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Address and login of a broker; `websocket` is the path of a WebSocket URL, else None."""

    url: str
    host: str
    port: int
    websocket: str | None = None
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None


def address_of(url: str, fleet_file: Path, asked: str | None) -> Address:
    """Return the address of the broker at `url`, with the login of the fleet file's `[broker]`.

    A login in `asked`, the URL of the marker or the settings, has precedence, as in `passfleet up`.
    """
    parts, login = urlsplit(url), urlsplit(asked or "")
    table: dict[str, Any] = tomllib.loads(fleet_file.read_text("utf-8")).get("broker", {})
    files = {
        name: str(fleet_file.parent / table[name])
        for name in ("ca", "cert", "key")
        if name in table
    }
    return Address(
        url=url,
        host=parts.hostname or "127.0.0.1",
        port=parts.port or _PORTS.get(parts.scheme, 1883),
        websocket=(parts.path or "/mqtt") if parts.scheme in ("ws", "wss") else None,
        tls=parts.scheme in ("mqtts", "wss"),
        username=unquote(login.username) if login.username else table.get("username"),
        password=(
            unquote(login.password)
            if login.password
            else _password(table.get("password"), fleet_file.parent)
        ),
        **files,
    )


def _password(where: dict[str, str] | None, folder: Path) -> str | None:
    """Return the password from the environment variable or file that the fleet file names."""
    if where is None:
        return None
    if "env" in where:
        return os.environ.get(where["env"])
    try:
        return (folder / where["file"]).read_text("utf-8").removesuffix("\n")
    except OSError as error:
        raise FleetError(f"the broker's password cannot be read: {error}") from None
