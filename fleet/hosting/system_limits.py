"""Check of system limits before a fleet starts: file descriptors and local ports.

Every connection takes one file descriptor and, towards the same broker, one local port.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Final

from broker.errors import UsageError

if sys.platform != "win32":
    import resource

__all__ = ["check_system_limits"]

_OTHER_DESCRIPTORS: Final = 128
"""Descriptors for pipes, the state file, libraries and the host's own connections."""
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PORTS_ELSEWHERE: Final = 16_384
"""Assumed number of ports if the range cannot be read: the size of IANA's dynamic range."""


def check_system_limits(connections: int, workers: int = 1) -> None:
    """Raise the soft limit of file descriptors if needed, for one worker's share of connections.

    Raises UsageError, with the remedy, if there are too few descriptors or local ports.
    """
    _check_descriptors(-(-connections // workers))
    _check_ports(connections)


def _check_descriptors(devices: int) -> None:
    if sys.platform == "win32":
        return
    needed = devices + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{devices} devices need {needed} file descriptors; this process may have {hard}",
            hint=f"raise the limit first: `ulimit -Hn {needed}` as root, or LimitNOFILE= in a"
            " systemd unit, or start fewer devices (--devices)",
        )
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _check_ports(devices: int) -> None:
    ports = _local_ports()
    if devices > ports:
        raise UsageError(
            f"{devices} devices need as many local ports to reach one broker; this machine"
            f" has {ports} of them",
            hint="widen the range: `sysctl -w net.ipv4.ip_local_port_range='1024 65535'`, or start"
            " fewer devices (--devices)",
        )


def _local_ports() -> int:
    with contextlib.suppress(OSError, ValueError):
        low, high = _PORT_RANGE.read_text(encoding="ascii").split()
        return int(high) - int(low) + 1
    return _PORTS_ELSEWHERE
