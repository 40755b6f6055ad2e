"""Figures of a running load, published once a second for the charts of the browser pages.

The topic `<root>/loads/<token>/figures` is not part of the wire contract.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from broker.client.connection import Connection
from broker.client.messages import OutgoingMessage
from broker.contract import Topics
from fleet.load.generator import Generator
from fleet.load.ledger import CommandOutcome
from fleet.load.measurements import Measurements

__all__ = ["figures_topic", "publish_figures"]

_EVERY: Final = 1.0
"""Seconds between two messages."""
_FAILURES: Final = (CommandOutcome.FAILED, CommandOutcome.LOST, CommandOutcome.UNKNOWN)


def figures_topic(topics: Topics, token: str) -> str:
    """Topic of a load's figures; `+` as token is the filter of all loads."""
    return f"{topics.root}/loads/{token}/figures"


async def publish_figures(
    connection: Connection, topics: Topics, generator: Generator, measurements: Measurements
) -> None:
    """Publish the figures until cancelled.

    `rate` and `failures` are per second, `p50` and `p99` milliseconds of the last commands.
    """
    ledger, topic = generator.ledger, figures_topic(topics, generator.token)
    answered = failed = 0
    while True:
        await asyncio.sleep(_EVERY)
        failures = sum(ledger.count(outcome) for outcome in _FAILURES)
        latencies = sorted(measurements.recent)
        figures = {
            "load": generator.token,
            "rate": round((ledger.answered - answered) / _EVERY),
            "failures": round((failures - failed) / _EVERY),
            "p50": _milliseconds(latencies, 50),
            "p99": _milliseconds(latencies, 99),
        }
        answered, failed = ledger.answered, failures
        if connection.up:
            connection.publish(OutgoingMessage(topic, json.dumps(figures).encode()))


def _milliseconds(ordered: list[float], percent: int) -> float | None:
    return round(ordered[len(ordered) * percent // 100] * 1e3, 1) if ordered else None
