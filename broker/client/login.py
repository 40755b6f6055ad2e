"""Login of one device: client id, user name, password, and certificate of its own."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from broker.address import BrokerAddress
from broker.client.sas_token import sas_token

__all__ = ["DeviceLogin"]

_TOKEN_LASTS: Final = 3600
"""Seconds for which a SAS token is valid; each connection gets a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLogin:
    """Login of a device. None means the value of the fleet's broker, or passfleet's client id.

    `sas_key` is the key from which a SAS token is made as the password; the token is for the device
    `device_id` at the hub that `username` begins with, else at the host of the broker. `key` None:
    `cert` contains the private key as well.
    """

    device_id: str
    client_id: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sas_key: bytes | None = field(default=None, repr=False)
    cert: Path | None = None
    key: Path | None = None

    def address(self, broker: BrokerAddress) -> BrokerAddress:
        """Return the address of a broker with this login."""
        address = broker
        if self.username is not None:
            password = self.current_password(broker)
            address = replace(address, username=self.username, password=password)
        if self.cert is not None:
            address = replace(address, cert=self.cert, key=self.key)
        return address

    def current_password(self, broker: BrokerAddress) -> str | None:
        """Return the password for a connection that begins now."""
        if self.sas_key is None:
            return self.password
        # The user name begins with the hub; the broker may be a gateway to it.
        hub, slash, _ = (self.username or "").partition("/")
        resource = f"{hub if slash else broker.host}/devices/{self.device_id}"
        return sas_token(resource, self.sas_key, int(time.time()) + _TOKEN_LASTS)

    def check_certificate(self) -> None:
        """Load certificate and key. Raises UsageError for a file that is missing or invalid."""
        if self.cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            BrokerAddress.load_certificate(context, self.cert, self.key)
