"""Options of a load: validation, device selection, and the fleet to start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.errors import FileError, UsageError
from broker.operator.readers import KnownDevice, read_state
from fleet.config.loader import FleetConfig
from fleet.config.sections import read_workers
from fleet.load.options import LoadOptions
from fleet.load.own_fleet import fleet_for
from fleet.load.schedule import ActionMix
from tests.support.fake_fleet import Fake


def options(**changed: Any) -> LoadOptions:
    usual: dict[str, Any] = {
        "devices": None,
        "rate": 10.0,
        "duration": 5.0,
        "ramp": 0.0,
        "timeout": 5.0,
        "mix": ActionMix.parse("reset=8,lock=2"),
        "seed": 7,
        "broker": None,
        "root": None,
        "platforms": (),
        "thresholds": (),
        "storm": False,
    }
    return LoadOptions(**usual | changed)


def fleet(*devices: Fake) -> dict[str, KnownDevice]:
    return {d.device_id: KnownDevice(d.device_id, read_state(d.state())) for d in devices}


THREE = fleet(Fake("a"), Fake("b"), Fake("c", platform="android"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rate": 0.0}, "--rate 0 sends nothing"),
        ({"rate": -1.0}, "--rate -1 sends nothing"),
        ({"rate": float("nan")}, "--rate nan sends nothing"),
        ({"rate": float("inf")}, "--rate goes up to 100000"),
        ({"rate": 1e9}, "goes up to"),
        ({"duration": 1e9}, "go up to 24h"),
        ({"ramp": 6.0}, "--ramp is part of the duration"),
        ({"devices": 0}, "at least one"),
        ({"thresholds": ("reset.kiosk.p99<1s",)}, "no metric 'reset.kiosk.p99'"),
        ({"thresholds": ("reset.android.p99<1s",)}, "no metric 'reset.android.p99'"),
        ({"thresholds": ("back.p99<1s",)}, "no metric 'back.p99'"),
    ],
)
def test_invalid_options_are_refused_before_the_load(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options(**changed).check({"ios"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fleet": Path("fleet.toml")}, "--fleet is for a fleet that the load starts"),
        ({"workers": 2}, "--workers is for a fleet that the load starts"),
        ({"thresholds": ("fleetLag.p99<1s",)}, "no metric 'fleetLag.p99'"),
    ],
)
def test_options_of_a_started_fleet_are_refused_for_a_running_one(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        options(**changed).check(None)
    options(**changed).check({"ios"})


def test_a_running_fleet_may_have_custom_platforms() -> None:
    asked = options(platforms=("kiosk",), thresholds=("reset.kiosk.p99<1.5s",))
    asked.check(None)
    with pytest.raises(UsageError, match="no metric"):
        asked.parse_thresholds({"ios"}, own_fleet=False)


@pytest.mark.parametrize(("text", "workers"), [("1", 1), ("1024", 1024), ("auto", "auto")])
def test_workers_are_a_number_or_one_a_core(text: str, workers: int | str) -> None:
    assert read_workers(text) == workers


@pytest.mark.parametrize("text", ["0", "1025", "-1", "2.5", "two", "", "9" * 5000])
def test_workers_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--workers: got .{1,80}; expected a whole number"):
        read_workers(text)


def test_devices_are_drawn_by_the_seed() -> None:
    assert set(options().select_devices(THREE)) == {"a", "b", "c"}
    assert set(options(platforms=("ios",)).select_devices(THREE)) == {"a", "b"}
    two = options(devices=2)
    assert (
        two.select_devices(THREE).keys() == two.select_devices(dict(reversed(THREE.items()))).keys()
    )
    drawn = {tuple(options(devices=2, seed=seed).select_devices(THREE)) for seed in range(30)}
    assert len(drawn) == 3


def test_more_devices_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="the fleet has 3 such devices"):
        options(devices=4).select_devices(THREE)
    with pytest.raises(UsageError, match="no device of platform 'windows_rt'"):
        options(platforms=("windows_rt",)).select_devices(THREE)


# -- the fleet that is started -----------------------------------------------------------------

KIOSKS = """
[fleet]
workers = 3
root = "shop"
seed = 11
state = "fleet.db"
[broker]
url = "mqtts://broker.example:8883"
username = "fleet"
password = { file = "not-there" }
[platforms.kiosk]
extends = "android"
[[group]]
name = "kiosks"
platform = "kiosk"
count = 4
[[group]]
name = "phones"
platform = "ios"
count = 2
"""


def counts(config: FleetConfig) -> dict[str, int]:
    return {group.platform: group.count for group in config.groups}


def test_a_started_fleet_follows_the_fleet_file_except_its_broker(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(KIOSKS, encoding="utf-8")
    config = fleet_for(options(fleet=file))
    assert counts(config) == {"kiosk": 4, "ios": 2}
    assert (config.workers, config.root, config.seed) == (3, "shop", 11)
    assert config.state is None
    assert config.password() is None
    assert config.broker.url == "embedded"
    assert config.platforms["kiosk"].id == "kiosk"


def test_command_line_options_override_the_fleet_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(KIOSKS, encoding="utf-8")
    config = fleet_for(options(fleet=file, workers=2, root="r", platforms=("kiosk",), devices=7))
    assert counts(config) == {"kiosk": 7}
    assert (config.workers, config.root) == (2, "r")
    with pytest.raises(UsageError, match="no platform 'kisok'"):
        fleet_for(options(fleet=file, platforms=("kisok",)))


def test_fleet_toml_in_the_current_folder_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fleet_for(options()).device_count == 100
    assert fleet_for(options(platforms=("android",))).device_count == 100
    (tmp_path / "fleet.toml").write_text(KIOSKS, encoding="utf-8")
    assert fleet_for(options()).device_count == 6
    with pytest.raises(FileError, match="no such file"):
        fleet_for(options(fleet=tmp_path / "other.toml"))
