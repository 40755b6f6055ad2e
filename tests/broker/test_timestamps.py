"""Timestamps on the wire. Instants in payloads: `tests/broker/test_contract.py`."""

from __future__ import annotations

import pytest

from broker.timestamps import parse_clock_speed


@pytest.mark.parametrize(
    ("clock", "speed"),
    [
        ("real", 1.0),
        ("60x", 60.0),
        ("0.5x", 0.5),
        # As a host writes its fastest and a slow one.
        ("1e+06x", 1_000_000.0),
        ("1e-05x", 0.00001),
        ("virtual", 0.0),
        # What others may have written.
        *((text, 0.0) for text in ("", "x", "60", "fastx", "\u00b2x", "nanx", "infx", "-1x")),
        ("1000001x", 0.0),
    ],
)
def test_clock_text_is_parsed_to_its_speed(clock: str, speed: float) -> None:
    assert parse_clock_speed(clock) == speed
