"""Broker address with credentials and certificates, parsed and checked once."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from broker.errors import UsageError

__all__ = ["DEFAULT_PORTS", "BrokerAddress", "is_loopback_host"]

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_TLS = frozenset({"mqtts", "wss"})
_WEBSOCKET = frozenset({"ws", "wss"})
# The default WebSocket path of most brokers and clients.
_WEBSOCKET_PATH = "/mqtt"
_HOST = re.compile(r"[A-Za-z0-9._-]+(%[A-Za-z0-9._-]+)?|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_HINT = "write it as mqtt://host:1883, mqtts://host:8883, ws://host:80/mqtt or wss://host:443/mqtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Address of one broker, with credentials and certificates.

    `path` is the path of a websocket, else empty. `host` has no brackets.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        ca: Path | str | None = None,
        cert: Path | str | None = None,
        key: Path | str | None = None,
    ) -> BrokerAddress:
        """Parse a broker URL. The keywords override user:password@ in the URL.

        Raises UsageError. It quotes only the scheme, since a malformed URL may have the password in
        any other part.
        """
        parts = _split(url)
        scheme = parts.scheme
        host, port = _host_and_port(parts)
        if username is None and parts.username:
            username = unquote(parts.username)
        if password is None and parts.password is not None:
            password = unquote(parts.password)
        address = cls(
            scheme=scheme,
            host=host,
            port=port,
            path=_path(parts),
            username=username,
            password=password,
            ca=_file(ca),
            cert=_file(cert),
            key=_file(key),
        )
        _check_credentials(address)
        return address

    @property
    def tls(self) -> bool:
        """True if the connection is encrypted."""
        return self.scheme in _TLS

    @property
    def websocket(self) -> bool:
        """True if MQTT runs over WebSocket."""
        return self.scheme in _WEBSOCKET

    @property
    def url(self) -> str:
        """URL with the port and without credentials, for logs and messages."""
        zoned = self.host.replace("%", "%25")
        host = f"[{zoned}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_loopback(self) -> bool:
        """True for localhost, names below it, and loopback addresses. No name is looked up."""
        named = self.host.rstrip(".") == "localhost" or self.host.endswith(".localhost")
        return named or is_loopback_host(self.host)

    @staticmethod
    def load_certificate(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
        """Load a client certificate. Raises UsageError for a file that is missing or invalid."""
        _load_client_certificate(context, cert, key)

    def ssl_context(self) -> ssl.SSLContext:
        """Return a context that verifies the broker's certificate and host name.

        `ca` replaces the system's authorities; `cert` and `key` are presented to the broker.
        Raises UsageError for a file that cannot be read or is invalid.
        """
        context = _verifying_context(self.ca)
        if self.cert is not None:
            _load_client_certificate(context, self.cert, self.key)
        return context


def _split(url: str) -> SplitResult:
    # Control characters and spaces are checked here because urlsplit silently drops some of them.
    if not url or any(ord(char) <= ord(" ") for char in url):
        raise UsageError("the broker URL is empty or contains spaces", hint=_HINT)
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise UsageError("the broker URL has no scheme such as mqtt://", hint=_HINT)
    if scheme.lower() not in DEFAULT_PORTS:
        # Text before "://" is quoted only if it can be a scheme, since it may be a password.
        shown = f" {scheme!r}" if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,15}", scheme) else ""
        raise UsageError(f"the broker URL's scheme{shown} is not supported", hint=_HINT)
    try:
        parts = urlsplit(url)
    except ValueError:
        # `from None`: urlsplit quotes the whole host part, password included.
        raise UsageError("the brackets of the broker URL hold no IPv6 address", hint=_HINT) from (
            None
        )
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise UsageError(
            "the broker URL must not have a query or a fragment",
            hint="write ?, # and / in a user name or password as %3F, %23 and %2F",
        )
    return parts


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    try:
        port = parts.port
    except ValueError:
        number = parts.netloc.rpartition(":")[2].isdecimal()
        raise UsageError(
            "the broker URL's port must be a number from 1 to 65535",
            hint="MQTT's port is 1883, over TLS 8883"
            if number
            else "write /, @ and : in a user name or password as %2F, %40 and %3A",
        ) from None
    if port == 0:
        raise UsageError("the broker URL's port must be a number from 1 to 65535", hint=_HINT)
    host = parts.hostname or ""
    if not _HOST.fullmatch(host):
        raise UsageError("the broker URL has no valid host", hint=_HINT)
    # The % of a zone (fe80::1%eth0) is written %25 in a URL.
    return host.replace("%25", "%", 1), port or DEFAULT_PORTS[parts.scheme]


def _path(parts: SplitResult) -> str:
    if parts.scheme in _WEBSOCKET:
        return parts.path if parts.path not in ("", "/") else _WEBSOCKET_PATH
    if parts.path not in ("", "/"):
        raise UsageError(
            f"a broker URL with {parts.scheme}:// has no path",
            hint="write / in a user name or password as %2F; topics start at `root`, not here",
        )
    return ""


def _file(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)


def _check_credentials(address: BrokerAddress) -> None:
    if address.password is not None and address.username is None:
        raise UsageError("a broker password needs a user name", hint="set `username`")
    if address.key is not None and address.cert is None:
        raise UsageError("a client key needs its certificate", hint="set `cert`")
    if not address.tls and (address.ca or address.cert):
        # Ignoring them would send passcodes unencrypted against the user's intention.
        raise UsageError(
            f"{address.scheme}:// is not encrypted and uses no certificates",
            hint="use mqtts:// or wss://, or remove ca, cert and key",
        )


def _verifying_context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise UsageError(
            f"{ca} contains no certificate authority", hint="`ca` must be a PEM file"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read the authority file {ca}: {error.strerror}") from error


def _load_client_certificate(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    files = f"{cert}" if key is None else f"{cert} and {key}"
    try:
        # With an empty password an encrypted key is an error. Without one OpenSSL asks for the
        # password at the terminal and blocks the program.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise UsageError(
            f"{files}: no client certificate with a matching key",
            hint="`cert` and `key` must be PEM files that match, and the key must not be encrypted",
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read {files}: {error.strerror}") from error


def is_loopback_host(host: str) -> bool:
    """Return True for localhost and loopback addresses. No name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
