"""`--metrics PORT`: what a running fleet does, as Prometheus text, all workers in one.

Read from the backend at each request. No label carries a device id: a label for each of ten
thousand devices would cost the reader more than the fleet costs us.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from broker.errors import UsageError
from fleet.hosting.backend import HostingBackend
from fleet.hosting.counters import DURATION_BUCKETS

__all__ = ["check_port", "serve_metrics"]

_HOST: Final = "127.0.0.1"


def check_port(port: int) -> None:
    """Raise UsageError where the metrics cannot be served on this loopback port."""
    with socket.socket() as probe:
        # The server sets this too: connections of an earlier one may still be in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise _unusable(port, error) from None


def _unusable(port: int, error: OSError) -> UsageError:
    return UsageError(
        f"--metrics: port {port} cannot be used: {error.strerror}", hint="name another port"
    )


def serve_metrics(backend: HostingBackend, port: int) -> str:
    """Serve the metrics on a loopback port, 0 for a free one, until the process ends.

    Returns their address. Raises UsageError where the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(_FleetCollector(backend))
    try:
        server, _ = start_http_server(port, addr=_HOST, registry=registry)
    except OSError as error:
        raise _unusable(port, error) from None
    return f"http://{_HOST}:{server.server_port}/metrics"


class _FleetCollector(Collector):
    """Collector that turns the backend's counts into metrics, on the server's thread."""

    def __init__(self, backend: HostingBackend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield self._devices()
        yield self._commands()
        yield self._durations()
        yield self._dialects()
        reconnects = CounterMetricFamily(
            "passfleet_reconnects", "Connections to the broker that were lost or closed."
        )
        reconnects.add_metric([], self._backend.reconnects())
        yield reconnects
        lag = GaugeMetricFamily(
            "passfleet_loop_lag_seconds",
            "The longest the event loop of a worker was late since it was asked before.",
            labels=["worker"],
        )
        for worker, seconds in self._backend.lag().items():
            lag.add_metric([worker], seconds)
        yield lag
        deaths = CounterMetricFamily(
            "passfleet_worker_deaths",
            "Worker processes that died and were started again.",
            labels=["worker"],
        )
        for worker, count in self._backend.deaths().items():
            deaths.add_metric([worker], count)
        yield deaths

    def _devices(self) -> Metric:
        devices = GaugeMetricFamily(
            "passfleet_devices",
            "Devices by platform and state; a device is in several of the states at once.",
            labels=["platform", "state"],
        )
        for platform, counts in self._backend.counts().items():
            for state, count in counts.items():
                devices.add_metric([platform, "all" if state == "devices" else state], count)
        return devices

    def _commands(self) -> Metric:
        commands = CounterMetricFamily(
            "passfleet_commands",
            "Commands answered, duplicates not counted.",
            labels=["platform", "action", "outcome"],
        )
        for key, count in dict(self._backend.counters.outcomes).items():
            commands.add_metric(key, count)
        return commands

    def _dialects(self) -> Metric:
        messages = CounterMetricFamily(
            "passfleet_dialect_messages",
            "Messages that a dialect could not translate, and a back-end's answers to results.",
            labels=["dialect", "event"],
        )
        for key, count in dict(self._backend.counters.dialect_events).items():
            messages.add_metric(key, count)
        return messages

    def _durations(self) -> Metric:
        durations = HistogramMetricFamily(
            "passfleet_command_duration_seconds",
            "From a device taking a command up to its result, by the fleet's clock.",
            labels=["platform", "action"],
        )
        for key, counts in dict(self._backend.counters.durations).items():
            *buckets, total_ms = counts
            bounds = [*map(str, DURATION_BUCKETS), "+Inf"]
            cumulative = list(zip(bounds, accumulate(buckets), strict=True))
            durations.add_metric(list(key), cumulative, total_ms / 1000)
        return durations
