"""Thresholds: parsing, refusal and evaluation."""

from __future__ import annotations

import pytest

from broker.errors import UsageError
from fleet.load.thresholds import Threshold, metric_names, parse_threshold, with_default_thresholds

NAMES = metric_names(["reset", "lock"], ["ios", "android"], storm=False, own_fleet=True)


@pytest.mark.parametrize(
    ("text", "metric", "seen", "holds"),
    [
        ("reset.p99<500ms", "reset.p99", 0.4999, True),
        ("reset.p99<500ms", "reset.p99", 0.5, False),
        ("reset.p99 <= 0.5s", "reset.p99", 0.5, True),
        ("lock.max>=2m", "lock.max", 120.0, True),
        ("all.p50 > 200us", "all.p50", 0.0002, False),
        ("reset.ios.p999!=1h", "reset.ios.p999", 1.0, True),
        ("lock.android.mean<1s", "lock.android.mean", 2.0, False),
        ("lag.p99<10ms", "lag.p99", 0.001, True),
        ("fleetLag.max<10ms", "fleetLag.max", 0.02, False),
        ("lost==0", "lost", 0.0, True),
        ("lost == 0", "lost", 1.0, False),
        ("done>=100", "done", 100.0, True),
        ("notSupported<5", "notSupported", 5.0, False),
        ("duplicate!=0", "duplicate", 0.0, False),
        ("all.rate>99.5", "all.rate", 99.6, True),
        ("reset.rate>=40/s", "reset.rate", 39.0, False),
        ("reset.p99<500ms", "reset.p99", None, False),
        ("lost!=0", "lost", None, False),
    ],
)
def test_a_threshold_is_parsed_and_evaluated(
    text: str, metric: str, seen: float | None, *, holds: bool
) -> None:
    threshold = parse_threshold(text, NAMES)
    assert threshold.metric == metric
    verdict = threshold.evaluate(seen)
    assert verdict.holds is holds
    assert verdict.as_json()["passed"] is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reset.p98<5ms", "did you mean 'reset.p99'?"),
        ("lots==0", "did you mean 'lost'?"),
        ("lock.iso.p99<1s", "did you mean 'lock.ios.p99'?"),
        ("sync.p99<1s", "no metric 'sync.p99' in this load"),
        ("back.p99<1s", "no metric 'back.p99' in this load"),
        ("reset.p99<500", "compares a time"),
        ("reset.p99<fast", "compares a time"),
        ("lost==0ms", "compares a count"),
        ("lost==-1", "compares a count"),
        ("all.rate>1m", "compares commands a second"),
        ("reset.p99", "is not a metric, a comparison and a value"),
        ("reset.p99=5ms", "is not a metric, a comparison and a value"),
        ("<5ms", "is not a metric, a comparison and a value"),
        ("", "is not a metric, a comparison and a value"),
    ],
)
def test_an_invalid_threshold_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_threshold(text, NAMES)
    assert said in f"{refused.value} {refused.value.hint}"


def test_a_storm_has_additional_metrics() -> None:
    names = metric_names(["reset"], [], storm=True, own_fleet=False)
    assert parse_threshold("back.max<2s", names).evaluate(1.0).holds
    assert parse_threshold("back.missing==0", names).evaluate(0.0).holds


def test_failed_lost_and_unknown_must_be_0_by_default() -> None:
    given = parse_threshold("lost<5", NAMES)
    assert [t.metric for t in with_default_thresholds([given])] == ["lost", "failed", "unknown"]
    assert with_default_thresholds([])[0] == Threshold.zero("failed")
    assert [t.implied for t in with_default_thresholds([given])] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "seen", "words"),
    [
        ("reset.p99<5s", 0.0005, "500us"),
        ("reset.p99<5s", 0.01234, "12.34ms"),
        ("reset.p99<5s", 2.5, "2.500s"),
        ("lost==0", 3.0, "3"),
        ("all.rate>1", 12.34, "12.3/s"),
        ("reset.p99<5s", None, "nothing measured"),
    ],
)
def test_a_measured_value_is_shown_with_its_unit(text: str, seen: float | None, words: str) -> None:
    assert parse_threshold(text, NAMES).evaluate(seen).seen_text == words
