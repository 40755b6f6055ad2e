"""What a load is asked to do, and what of that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from fake_fleet import Fake

from broker.answers import Seen, read_state
from broker.errors import UsageError
from fleet.load.options import LoadOptions
from fleet.load.schedule import Mix


def options(**changed: Any) -> LoadOptions:
    usual: dict[str, Any] = {
        "devices": None,
        "rate": 10.0,
        "duration": 5.0,
        "ramp": 0.0,
        "timeout": 5.0,
        "mix": Mix.parse("reset=8,lock=2"),
        "seed": 7,
        "broker": None,
        "root": None,
        "platform": None,
        "thresholds": (),
        "storm": False,
    }
    return LoadOptions(**usual | changed)


def fleet(*devices: Fake) -> dict[str, Seen]:
    return {d.device_id: Seen(d.device_id, read_state(d.state())) for d in devices}


THREE = fleet(Fake("a"), Fake("b"), Fake("c", platform="android"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rate": 0.0}, "--rate 0 sends nothing"),
        ({"rate": -1.0}, "--rate -1 sends nothing"),
        ({"rate": float("nan")}, "--rate nan sends nothing"),
        ({"rate": float("inf")}, "--rate inf sends nothing"),
        ({"rate": 1e9}, "goes up to"),
        ({"duration": 1e9}, "go up to 24h"),
        ({"ramp": 6.0}, "--ramp is part of the duration"),
        ({"devices": 0}, "at least one"),
        ({"platform": "iso"}, "no device of platform 'iso'"),
        ({"thresholds": ("reset.kiosk.p99<1s",)}, "no metric 'reset.kiosk.p99'"),
        ({"platform": "ios", "thresholds": ("reset.android.p99<1s",)}, "no metric"),
        ({"thresholds": ("back.p99<1s",)}, "no metric 'back.p99'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options(**changed).check(own_fleet=True)


def test_a_running_fleet_may_have_platforms_of_its_own() -> None:
    asked = options(platform="kiosk", thresholds=("reset.kiosk.p99<1s",))
    asked.check(own_fleet=False)
    with pytest.raises(UsageError, match="no metric"):
        asked.judges({"ios"})


def test_devices_are_drawn_by_the_seed() -> None:
    assert set(options().choose(THREE)) == {"a", "b", "c"}
    assert set(options(platform="ios").choose(THREE)) == {"a", "b"}
    two = options(devices=2)
    assert two.choose(THREE).keys() == two.choose(dict(reversed(THREE.items()))).keys()
    drawn = {tuple(options(devices=2, seed=seed).choose(THREE)) for seed in range(30)}
    assert len(drawn) == 3


def test_more_devices_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="the fleet has 3 such devices"):
        options(devices=4).choose(THREE)
    with pytest.raises(UsageError, match="no device of platform 'windows_rt'"):
        options(platform="windows_rt").choose(THREE)
