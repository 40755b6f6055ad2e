"""Measurements: histograms that merge, and time slices."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.load.measurements import STATS, Measurements, TimeHistogram

without_hurry = settings(deadline=None, max_examples=25)
some_times = st.lists(st.floats(1e-6, 60), max_size=60)


def times(values: list[float]) -> TimeHistogram:
    histogram = TimeHistogram()
    for value in values:
        histogram.record(value)
    return histogram


@without_hurry
@given(some_times, some_times)
def test_merged_histograms_are_those_of_all_values(one: list[float], other: list[float]) -> None:
    merged = times(one)
    merged.merge(times(other))
    assert merged.count == len(one) + len(other)
    assert merged.milliseconds() == times(one + other).milliseconds()


@without_hurry
@given(st.lists(st.floats(1e-6, 60), min_size=1, max_size=60))
def test_percentiles_are_within_a_thousandth(values: list[float]) -> None:
    histogram = times(values)
    ordered = sorted(values)
    assert histogram.stat("max") == pytest.approx(ordered[-1], rel=2e-3, abs=2e-6)
    assert histogram.stat("p50") == pytest.approx(
        ordered[-(-len(ordered) // 2) - 1], rel=2e-3, abs=2e-6
    )
    assert [percent for percent, _ in histogram.curve()][-1] == 100.0


def test_nothing_recorded_is_none_and_not_zero() -> None:
    assert times([]).milliseconds() == dict.fromkeys(STATS)
    assert list(times([]).curve()) == []


@pytest.mark.parametrize(("seconds", "stays"), [(-1.0, 1e-6), (0.0, 1e-6), (1e9, 3600.0)])
def test_times_out_of_range_are_clamped(seconds: float, stays: float) -> None:
    assert times([seconds]).stat("max") == pytest.approx(stays, rel=2e-3)


def test_latency_counts_from_the_instant_due() -> None:
    measurements = Measurements(10.0, 10.0)
    # Generator or broker stalled for four seconds: five commands were sent at once.
    for due in range(5):
        measurements.record_answered(("reset", "ios"), float(due), 4.0, 4.5, during_storm=False)
    latencies = measurements.of("reset", "ios")
    assert latencies.latency.stat("max") == pytest.approx(4.5, rel=2e-3)
    assert latencies.latency.stat("p50") == pytest.approx(2.5, rel=2e-3)
    assert latencies.service.stat("max") == pytest.approx(0.5, rel=2e-3)


def test_latencies_are_selected_by_action_and_platform() -> None:
    measurements = Measurements(1.0, 1.0)
    for kind in (("reset", "ios"), ("reset", "android"), ("lock", "ios")):
        measurements.record_answered(kind, 0.0, 0.0, 0.1, during_storm=kind == ("lock", "ios"))
    assert measurements.of().latency.count == 3
    assert measurements.of("reset").latency.count == 2
    assert measurements.of(platform="ios").latency.count == 2
    assert measurements.of("lock", "android").latency.count == 0
    assert measurements.storm.count == 1


@without_hurry
@given(st.floats(0.05, 86_400), st.floats(0, 200_000))
def test_a_run_has_a_bounded_number_of_slices(duration: float, at: float) -> None:
    measurements = Measurements(duration, 10.0)
    measurements.record_sent(at, at)
    assert len(measurements.slices) <= (duration + 10.0) / measurements.width + 1
    assert sum(part.sent for part in measurements.slices) == 1
