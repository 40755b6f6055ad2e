"""Address with which a broker is probed before a fleet starts."""

from __future__ import annotations

from broker.address import BrokerAddress
from broker.errors import UsageError
from fleet.config.loader import FleetConfig

__all__ = ["probed_address"]


def probed_address(config: FleetConfig, address: BrokerAddress) -> BrokerAddress:
    """Return the devices' broker with a login that must be accepted.

    It is that of `[broker]`, or of the first device if only devices connect to the broker. Raises
    UsageError for certificates of devices on a connection without TLS.
    """
    logins = [spec.login for spec in config.devices()]
    if not address.tls and any(login is not None and login.cert for login in logins):
        raise UsageError(
            f"{address.scheme}:// is not encrypted and uses no certificates",
            hint="use mqtts:// or wss://, or remove cert and key from the group",
        )
    first = logins[0]
    if config.control is None or first is None:
        return address
    return first.address(address)
