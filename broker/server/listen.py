"""Address on which the embedded broker listens: `host:port`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from broker.address import is_loopback_host
from broker.errors import UsageError

__all__ = ["LOOPBACK", "ListenAddress"]

LOOPBACK: Final = "127.0.0.1"
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})"
)
_LAST_PORT: Final = 65_535
_HINT: Final = "write it as 127.0.0.1:1883, 0.0.0.0:1883 or [::1]:1883"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Host and port; port 0 is any free port. An IPv6 address has no brackets in `host`."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Parse `host:port`. Raises UsageError."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _LAST_PORT:
            raise UsageError("the address to listen on is not host:port", hint=_HINT)
        return cls(match["bracketed"] or match["host"], int(match["port"]))

    @property
    def is_loopback(self) -> bool:
        """True for localhost and loopback addresses. No name is looked up."""
        return is_loopback_host(self.host)

    @property
    def client_host(self) -> str:
        """Host to which clients on this machine connect."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host
        if not address.is_unspecified:
            return self.host
        return LOOPBACK if address.version == 4 else "::1"  # noqa: PLR2004 - the IP version

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
