"""Fixtures for tests that run brokers and `passfleet` itself."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from broker.server.open import MOSQUITTO
from tests.support.fleet_processes import Server, Start, processes, running

# A fresh checkout makes Hypothesis' table of characters first; with the cores busy, that and any
# example take seconds. pytest-timeout ends what really hangs.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# A shell starts background jobs (`&`, nohup) with SIGINT ignored, and children inherit that. The
# tests send SIGINT to the processes that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """A broker of the kind that `fleet_processes.both` asks for."""
    async with running(request.param, tmp_path) as started:
        yield started


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Server]:
    """A Mosquitto that the fleet under test did not start."""
    async with running(MOSQUITTO, tmp_path) as started:
        yield started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts `passfleet` in the test's folder."""
    with processes(tmp_path) as starting:
        yield starting
