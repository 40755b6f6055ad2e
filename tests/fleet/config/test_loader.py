"""The fleet file: what it accepts, and the devices that come of it."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.device_factory import DeviceSpec
from agent.passcode import traits_of, violations
from broker.errors import FileError, UsageError
from fleet.config.loader import FleetConfig, load_fleet, parse_fleet
from fleet.config.sample import SAMPLE, default_config
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.profile import Biometric, Management
from tests.support.fleet_files import PHONES, group


def only_device(text: str) -> DeviceSpec:
    (device,) = parse_fleet(text).devices()
    return device


# --- what is accepted ------------------------------------------------------------------------


def test_a_group_without_options_has_the_defaults() -> None:
    device = only_device(PHONES)
    assert (device.device_id, device.owner, device.passcode) == ("phones-001", "user1", "2580")
    assert device.offline == 0
    setup = device.setup
    assert setup.profile is PLATFORMS_BY_ID["ios"]
    assert (setup.name, setup.management) == ("phones", Management.STANDALONE)
    assert (setup.policy, setup.reaction) == (None, (0, 0))
    assert setup.biometrics == {Biometric.TOUCH_ID}


def test_a_fleet_without_options_has_the_defaults() -> None:
    config = parse_fleet(PHONES)
    assert (config.seed, config.speed, config.workers) == (0, 1.0, 1)
    assert (config.state, config.root) == (None, "passfleet/v1")
    assert (config.broker.url, config.broker.username) == ("embedded", None)
    assert config.password() is None
    assert (config.ca, config.cert, config.key) == (None, None, None)


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_every_platform_can_be_a_group_with_its_biometrics(profile: object) -> None:
    platform = next(p for p in PLATFORMS if p is profile)
    device = only_device(group("a", platform.id))
    assert device.setup.profile is platform
    assert device.setup.biometrics == platform.biometrics


@pytest.mark.parametrize(
    ("line", "speed"),
    [
        ('clock = "real"', 1.0),
        ('clock = "virtual"', None),
        ('clock = "60x"', 60.0),
        ('clock = "0.5x"', 0.5),
        ("speed = 60", 60.0),
        ("speed = 2.5", 2.5),
    ],
)
def test_a_clock_is_read_as_a_speed(line: str, speed: float | None) -> None:
    assert parse_fleet(f"[fleet]\n{line}\n{PHONES}").speed == speed


@pytest.mark.parametrize(
    ("text", "reaction"),
    [("2s", (2000, 2000)), ("200ms..2s", (200, 2000)), ("0s", (0, 0)), ("1us..1m", (1, 60_000))],
)
def test_a_reaction_is_read_in_milliseconds(text: str, reaction: tuple[int, int]) -> None:
    assert only_device(group("a", reaction=f'"{text}"')).setup.reaction == reaction


@pytest.mark.parametrize(
    "url",
    ["embedded", "mosquitto", "mqtt://h:1", "mqtts://me@h:8883", "ws://h:80/x", "wss://[::1]:443"],
)
def test_a_broker_url_is_kept_as_written(url: str) -> None:
    assert parse_fleet(f'[broker]\nurl = "{url}"\n{PHONES}').broker.url == url


def test_paths_start_at_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("ca", "cert", "key"):
        (tmp_path / "certs" / name).touch()
    path = tmp_path / "fleet.toml"
    path.write_text(
        '[fleet]\nstate = "fleet.db"\nworkers = "auto"\n[broker]\nurl = "mqtts://h:1"\n'
        f'ca = "certs/ca"\ncert = "certs/cert"\nkey = "{tmp_path.as_posix()}/certs/key"\n{PHONES}'
    )
    config = load_fleet(path)
    assert config.state == tmp_path / "fleet.db"
    assert config.ca == tmp_path / "certs" / "ca"
    assert config.cert == tmp_path / "certs" / "cert"
    assert config.key == tmp_path / "certs" / "key"
    assert config.workers >= 1


def test_all_settings_of_a_policy_arrive() -> None:
    policy = only_device(
        group(
            "a",
            policy="{ minLength = 6, requireAlphanumeric = true, minComplexCharacters = 2,"
            " allowSimple = false, history = 3, maxFailedAttempts = 9, maxInactivityMinutes = 5,"
            " maxAgeDays = 90 }",
        )
    ).setup.policy
    assert policy is not None
    assert (policy.min_length, policy.require_alphanumeric) == (6, True)
    assert (policy.min_complex_characters, policy.allow_simple) == (2, False)
    assert (policy.history, policy.max_failed_attempts) == (3, 9)
    assert (policy.max_inactivity_minutes, policy.max_age_days) == (5, 90)


def test_an_empty_policy_is_none() -> None:
    assert only_device(group("a", policy="{}")).setup.policy is None


# --- passcodes -------------------------------------------------------------------------------


def test_an_explicit_passcode_is_kept_even_against_the_policy() -> None:
    device = only_device(group("a", passcode='"1"', policy="{ minLength = 6 }"))
    assert device.passcode == "1"


def test_an_empty_passcode_is_none() -> None:
    assert only_device(group("a", passcode='""')).passcode is None


POLICIES = [
    "{ minLength = 14 }",
    "{ requireAlphanumeric = true }",
    "{ minComplexCharacters = 3 }",
    "{ minComplexCharacters = 4, requireAlphanumeric = true, allowSimple = false }",
    "{ minLength = 5, allowSimple = false }",
]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("platform", sorted(PLATFORMS_BY_ID))
def test_a_drawn_passcode_obeys_the_policy(platform: str, policy: str) -> None:
    for device in parse_fleet(group("a", platform, policy=policy, count="40")).devices():
        setup = device.setup
        assert device.passcode is not None
        found = violations(traits_of(device.passcode), setup.policy, setup.profile.passcode)
        assert not found


def test_drawn_passcodes_hang_on_seed_and_device_alone() -> None:
    strict = group("b", policy="{ minLength = 8 }", count="9", id='"b{n}"')

    def drawn(text: str, seed: int) -> dict[str, str | None]:
        devices = parse_fleet(f"[fleet]\nseed = {seed}\n{text}").devices()
        return {d.device_id: d.passcode for d in devices if d.device_id.startswith("b")}

    assert drawn(strict, 1) == drawn(PHONES + strict, 1)
    assert drawn(strict, 1) != drawn(strict, 2)
    assert len(set(drawn(strict, 1).values())) == 9


def test_a_passcode_is_in_no_repr() -> None:
    config = parse_fleet(group("a", passcode='"hush-hush"'))
    assert "hush-hush" not in f"{config!r}{config.devices()!r}"


# --- the broker's password -------------------------------------------------------------------


def with_password(tmp_path: Path, source: str) -> FleetConfig:
    path = tmp_path / "fleet.toml"
    text = f'[broker]\nurl = "mqtt://h:1"\nusername = "me"\npassword = {source}\n{PHONES}'
    path.write_text(text)
    return load_fleet(path)


def test_a_password_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_password(tmp_path, '{ env = "PF_TEST_PW" }')
    monkeypatch.delenv("PF_TEST_PW", raising=False)
    place = r"fleet\.toml:4: broker\.password\.env: .* variable PF_TEST_PW, which is "
    with pytest.raises(FileError, match=f"{place}not set"):
        config.password()
    monkeypatch.setenv("PF_TEST_PW", "")
    with pytest.raises(FileError, match=f"{place}empty"):
        config.password()
    monkeypatch.setenv("PF_TEST_PW", "hush-hush")
    assert config.password() == "hush-hush"
    assert "hush-hush" not in repr(config)


def test_a_password_comes_from_a_file_beside_the_fleet_file(tmp_path: Path) -> None:
    config = with_password(tmp_path, '{ file = "pw" }')
    place = r"fleet\.toml:4: broker\.password\.file: the broker's password "
    with pytest.raises(FileError, match=f"{place}cannot be read from .*pw: No such file"):
        config.password()
    (tmp_path / "pw").write_bytes(b" hush-hush \r\n")
    assert config.password() == " hush-hush "
    (tmp_path / "pw").write_bytes(b"\n")
    with pytest.raises(FileError, match=f"{place}is read from .*pw, which is empty"):
        config.password()
    (tmp_path / "pw").write_bytes(b"\xff")
    with pytest.raises(FileError, match=f"{place}cannot be read from .*pw: not UTF-8"):
        config.password()


# --- devices, and how many -------------------------------------------------------------------


def test_devices_come_in_file_order_and_share_their_group() -> None:
    text = group("b", count="2", owner='"u{n:x}"') + group("a", count="2", id='"x{n:02}y"')
    devices = parse_fleet(text).devices()
    assert [d.device_id for d in devices] == ["b-001", "b-002", "x01y", "x02y"]
    assert [d.owner for d in devices] == ["u1", "u2", "user1", "user2"]
    assert devices[0].setup is devices[1].setup
    assert devices[2].setup is devices[3].setup


def test_a_hundred_thousand_devices_are_lean() -> None:
    config = parse_fleet(group("a", count="100000"))
    tracemalloc.start()
    try:
        devices = config.devices()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(devices) == 100_000
    assert devices[-1].device_id == "a-100000"
    assert held < 40_000_000
    assert peak < 60_000_000


def test_a_config_goes_to_another_process_and_gives_the_same_devices() -> None:
    config = parse_fleet(SAMPLE)
    config.devices()
    other = pickle.loads(pickle.dumps(config))  # noqa: S301  # our own
    assert other.devices() == config.devices()


def counts(config: FleetConfig) -> dict[str, int]:
    return {g.name: g.count for g in config.groups}


def test_devices_are_spread_in_proportion() -> None:
    config = parse_fleet(group("a", count="50") + group("b", count="25") + group("c", count="25"))
    assert counts(config.resized(8)) == {"a": 4, "b": 2, "c": 2}
    assert counts(config.resized(3)) == {"a": 1, "b": 1, "c": 1}
    assert counts(config.resized(1)) == {"a": 1}
    assert counts(config.resized(1001)) == {"a": 501, "b": 250, "c": 250}
    assert counts(config.resized()) == counts(config)


@given(weights=st.lists(st.integers(1, 500), min_size=1, max_size=6), wanted=st.integers(1, 2000))
def test_a_resized_fleet_has_as_many_devices_as_asked(weights: list[int], wanted: int) -> None:
    text = "".join(group(f"g{i}", count=str(w)) for i, w in enumerate(weights))
    config = parse_fleet(text).resized(wanted)
    assert config.device_count == wanted
    for i, weight in enumerate(weights):
        exact = wanted * weight / sum(weights)
        assert abs(counts(config).get(f"g{i}", 0) - exact) < 1


def test_a_platform_keeps_its_groups_or_gets_one() -> None:
    config = default_config()
    assert counts(config.resized(platforms=["windows_phone_8_1"])) == {"wp81": 5, "wp81-hybrid": 5}
    assert counts(config.resized(5000, ["ios"])) == {"phones": 5000}
    assert config.resized(5000, ["ios"]).devices()[-1].device_id == "ios-5000"
    assert counts(config.resized(platforms=["windows_8_1"])) == {"windows_8_1": 10}
    both = config.resized(platforms=["windows_8_1", "windows_phone_8_1", "windows_8_1"])
    assert counts(both) == {"wp81": 5, "wp81-hybrid": 5, "windows_8_1": 10}
    assert counts(config.resized(3, ["windows_8_1"])) == {"windows_8_1": 3}


def test_a_size_that_cannot_be_is_refused() -> None:
    config = parse_fleet(group("a", id='"one"') + group("b", id='"x{n}"') + group("c", id='"x2"'))
    with pytest.raises(UsageError, match="from 1 to"):
        config.resized(0)
    with pytest.raises(UsageError) as caught:
        config.resized(platforms=["andriod"])
    assert caught.value.hint == "did you mean 'android'?"
    with pytest.raises(UsageError, match=r"group a: .*cannot share"):
        config.resized(6)
    apart = parse_fleet(group("b", id='"x{n}"', count="2") + group("c", id='"x{n}{n}"'))
    with pytest.raises(UsageError, match='has a device "x11" as well'):
        apart.resized(30)


# --- the sample ------------------------------------------------------------------------------


def test_the_sample_is_the_repository_fleet_file() -> None:
    path = Path(__file__).parents[3] / "fleet.toml"
    assert path.read_text(encoding="utf-8") == SAMPLE
    config = load_fleet(path)
    assert config.device_count == 70
    assert config.groups == default_config().groups


def test_the_sample_names_every_key_and_every_platform() -> None:
    config = default_config()
    keys = {*type(config.fleet).model_fields, *type(config.broker).model_fields}
    keys |= set(type(config.groups[0]).model_fields)
    for word in {*keys, *PLATFORMS_BY_ID, *Management, *Biometric}:
        assert word in SAMPLE


def test_the_sample_with_its_comments_taken_in_is_right_as_well(tmp_path: Path) -> None:
    """Every option that stands in the sample as a comment can be used as it stands there."""
    for name in ("ca.pem", "fleet.pem", "fleet.key"):
        (tmp_path / name).touch()
    path = tmp_path / "fleet.toml"
    options = [line[2:] for line in SAMPLE.splitlines() if line.startswith("# ") and " = " in line]
    path.write_text(
        "\n".join(
            line[2:] if line[2:] in options else line for line in SAMPLE.splitlines()
        ).replace('url = "embedded"', 'url = "mqtts://localhost:8883"')
    )
    config = load_fleet(path)
    assert len(options) == 28
    assert config.groups[0].offline == 0.1
    assert config.cert == tmp_path / "fleet.pem"
