"""MQTT client ids of devices, hosts and gateways.

They start with a digest of the topic root, so that two fleets on one broker do not disconnect each
other. They are the same at each start, so that the broker keeps each device's session.
"""

from __future__ import annotations

from hashlib import blake2s

__all__ = ["device_client_id", "dialect_gateway_client_id", "gateway_client_id", "host_client_id"]


def device_client_id(root: str, device_id: str) -> str:
    """Return the client id of a device: `pf-<8 hex digits of the root's digest>-<device id>`."""
    return f"pf-{_digest(root)}-{device_id}"


def host_client_id(root: str, number: int) -> str:
    """Return the client id of a process that hosts devices; `number` is unique in a fleet.

    It has a dot where the client id of a device has a dash, so the two cannot be equal.
    """
    return f"pf-{_digest(root)}.host-{number}"


def gateway_client_id(root: str, worker: int) -> str:
    """Return the client id of the connection that devices of a worker share."""
    return f"pf-{_digest(root)}.gateway-{worker}"


def dialect_gateway_client_id(root: str, worker: int, dialect: str) -> str:
    """Return the client id of the connection that devices of a worker and a dialect share."""
    return f"pf-{_digest(root)}.gateway-{worker}-{dialect}"


def _digest(root: str) -> str:
    return blake2s(root.encode(), digest_size=4).hexdigest()
