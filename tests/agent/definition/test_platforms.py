"""Platforms of one's own, the dated table and device attributes: what a fleet file may say."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path

import pytest

from agent.definition.platforms import Platforms, table_named
from broker.errors import FileError, UsageError
from fleet.config.loader import FleetConfig, load_platforms, parse_fleet
from fleet.reference.facts import explain
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.conformance import CONFORMANCE, differences, profile_under_table
from platforms.profile import (
    Action,
    Alphabet,
    Biometric,
    Bound,
    Fidelity,
    NativeCase,
    PlatformProfile,
    ResetOutcome,
    Source,
    WithoutPasscode,
)
from tests.support.fleet_files import group

KIOSK = """\
[platforms.kiosk]
extends = "android"
biometrics = ["touchId"]
native = { resetPasscode = { done = { protocol = "kiosk", steps = [1, { a = 2 }] } } }
[platforms.kiosk.reset]
default_length = 8
grace = "30m"
screen = { body = "Ask at the desk.", buttons = ["later"] }
shown_to_user = ["hybrid"]
limits = []
[platforms.kiosk.lock]
without_passcode = "refused"
source = "Kiosk manual"
[platforms.kiosk.passcode]
min_length = [6, 12]
attempt_delays = [[3, "1m"], [5, 600]]
cleared_kept_out_from = "2.5"
source = { cite = "Kiosk manual, 4", assumption = "all of it" }
[platforms.kiosk.attributes]
os_version = "2.0"
[platforms.kiosk.sources]
native = "Kiosk protocol"
"""


def fleet(text: str, platform: str = "kiosk", conformance: str | None = None) -> FleetConfig:
    head = f'[fleet]\nconformance = "{conformance}"\n' if conformance else ""
    return parse_fleet(f"{head}{text}{group('d', platform)}")


def profile(text: str, platform: str = "kiosk", conformance: str | None = None) -> PlatformProfile:
    return fleet(text, platform, conformance).platforms[platform]


# --- what is said is what comes of it ----------------------------------------------------------


def test_every_kind_of_value_arrives() -> None:
    kiosk = profile(KIOSK)
    assert (kiosk.id, kiosk.title) == ("kiosk", "Kiosk")
    assert kiosk.biometrics == {Biometric.TOUCH_ID}
    native = kiosk.native_answer(Action.RESET_PASSCODE, NativeCase.DONE)
    assert native == {"protocol": "kiosk", "steps": (1, {"a": 2})}
    assert (kiosk.reset.default_length, kiosk.reset.grace) == (8, 1800)
    assert kiosk.reset.limits == ()
    assert kiosk.reset.shown_to_user == {"hybrid"}
    assert kiosk.reset.screen is not None
    assert (kiosk.reset.screen.body, kiosk.reset.screen.buttons) == ("Ask at the desk.", ("later",))
    assert kiosk.lock.without_passcode is WithoutPasscode.REFUSED
    assert kiosk.lock.source == Source("Kiosk manual")
    assert kiosk.passcode.min_length == Bound(6, 12)
    assert kiosk.passcode.attempt_delays == ((3, 60), (5, 600))
    assert kiosk.passcode.cleared_kept_out_from == (2, 5)
    assert kiosk.passcode.source == Source("Kiosk manual, 4", "all of it")
    assert kiosk.attributes == replace(PLATFORMS_BY_ID["android"].attributes, os_version=(2, 0))
    assert kiosk.sources["native"] == Source("Kiosk protocol")


def test_a_missing_key_is_inherited() -> None:
    kiosk, android = profile(KIOSK), PLATFORMS_BY_ID["android"]
    assert kiosk.reset.alphabet is android.reset.alphabet
    assert kiosk.reset.message == android.reset.message
    assert kiosk.passcode.max_length == android.passcode.max_length
    assert kiosk.reset.screen is not None
    assert android.reset.screen is not None
    assert kiosk.reset.screen.title == android.reset.screen.title
    lock = (Action.REMOTE_LOCK, NativeCase.DONE)
    assert kiosk.native_answer(*lock) == android.native_answer(*lock)


@pytest.mark.parametrize("base", PLATFORMS, ids=lambda p: p.id)
@pytest.mark.parametrize("conformance", CONFORMANCE)
def test_an_empty_platform_behaves_as_the_one_it_extends(
    base: PlatformProfile, conformance: str
) -> None:
    text = f'[platforms.kiosk]\nextends = "{base.id}"\n'
    kiosk = profile(text, conformance=conformance)
    ruled = profile_under_table(base, CONFORMANCE[conformance], base.id)
    for field in fields(PlatformProfile):
        if field.name not in {"id", "title"}:
            assert getattr(kiosk, field.name) == getattr(ruled, field.name)


def test_one_may_extend_another_of_ones_own_in_any_order() -> None:
    text = '[platforms.booth]\nextends = "kiosk"\ntitle = "Booth"\nreset.grace = "none"\n' + KIOSK
    config = fleet(text, "booth")
    booth = config.platforms["booth"]
    assert (booth.title, booth.reset.grace, booth.reset.default_length) == ("Booth", None, 8)
    assert config.known.like("booth") == "android"
    assert [p for p in config.platforms if p not in PLATFORMS_BY_ID] == ["booth", "kiosk"]


def test_a_reset_that_makes_no_temporary_passcode_has_no_alphabet() -> None:
    text = '[platforms.kiosk]\nextends = "android"\nreset = { outcome = "removes" }\n'
    rule = profile(text).reset
    assert (rule.outcome, rule.alphabet) == (ResetOutcome.REMOVES, None)


def test_a_platform_that_could_not_reset_can_be_given_a_reset() -> None:
    text = """
[platforms.kiosk]
extends = "windows_rt"
[platforms.kiosk.reset]
outcome = "temporary"
alphabet = "digits"
default_length = 6
message = "Reset"
"""
    rule = profile(text).reset
    assert (rule.outcome, rule.alphabet) == (ResetOutcome.TEMPORARY, Alphabet.DIGITS)


# --- dated tables ------------------------------------------------------------------------------


def test_the_table_decides_support_if_the_file_does_not() -> None:
    text = '[platforms.kiosk]\nextends = "windows_phone_8"\nreset = { default_length = 8 }\n'
    assert profile(text).reset.outcome is ResetOutcome.TEMPORARY
    later = profile(text, conformance="azure-2018-02")
    assert later.reset.outcome is ResetOutcome.NOT_SUPPORTED
    assert not later.lock.supported


def test_support_in_the_file_takes_precedence_over_the_table() -> None:
    text = (
        '[platforms.kiosk]\nextends = "windows_phone_8"\n'
        'reset = { outcome = "temporary" }\nlock = { supported = true }\n'
    )
    later = profile(text, conformance="azure-2018-02")
    assert later.reset.outcome is ResetOutcome.TEMPORARY
    assert later.lock.supported


def test_devices_behave_as_the_table_in_force() -> None:
    config = fleet("", "android", "hybrid-2017-10")
    (spec,) = config.devices()
    assert len(spec.setup.profile.reset.limits) == 2
    assert config.known.table is CONFORMANCE["hybrid-2017-10"]
    assert fleet("", "android").platforms["android"] is PLATFORMS_BY_ID["android"]


def test_a_table_that_is_not_there_is_wrong_usage() -> None:
    with pytest.raises(UsageError) as caught:
        Platforms().at("hybrid-2017-01")
    assert "did you mean 'hybrid-2017-10'?" in (caught.value.hint or "")
    with pytest.raises(UsageError) as caught:
        table_named("zzz")
    assert (caught.value.hint or "").startswith("known are: intune-2015-12")


def test_two_tables_differ_where_their_rows_do_and_nowhere_else() -> None:
    first, second, third, _ = CONFORMANCE.values()
    ids = tuple(p.id for p in PLATFORMS)
    assert list(differences(first, second, ids)) == []
    found = [(d.platform, str(d.action)) for d in differences(second, third, ids)]
    assert found == [
        ("android", "resetPasscode"),
        ("windows_10_mobile", "resetPasscode"),
        ("windows_10_mobile", "remoteLock"),
        ("windows_rt", "resetPasscode"),
        ("windows_rt", "remoteLock"),
    ]


@pytest.mark.parametrize(
    ("platform", "action", "tables"),
    [
        ("ios", Action.RESET_PASSCODE, ["azure-2018-02"]),
        ("ios", Action.REMOTE_LOCK, ["azure-2018-02"]),
        ("android", Action.RESET_PASSCODE, ["hybrid-2017-10", "azure-2018-02"]),
        ("windows_phone_8_1", Action.RESET_PASSCODE, []),
        ("windows_10_mobile", Action.REMOTE_LOCK, ["hybrid-2017-10", "azure-2018-02"]),
        ("windows_rt", Action.REMOTE_LOCK, ["hybrid-2017-10", "azure-2018-02"]),
        ("android", Action.SYNC_DEVICE, []),
    ],
)
def test_explain_names_every_table_that_differs(
    platform: str, action: Action, tables: list[str]
) -> None:
    explanation = explain(PLATFORMS_BY_ID[platform], action)
    assert [dated.table for dated in explanation.otherwise] == tables
    assert all(dated.says and dated.cite for dated in explanation.otherwise)


# --- explanation ----------------------------------------------------------------------------


def test_a_users_rule_is_not_attributed_to_a_source() -> None:
    text = (
        '[platforms.kiosk]\nextends = "ios"\nreset = { grace = 60 }\n'
        "native = { resetPasscode = { done = { a = 1 } } }\n"
    )
    kiosk, ios = profile(text), PLATFORMS_BY_ID["ios"]
    assert kiosk.reset.source.cite.startswith("the fleet file, [platforms.kiosk], reset; ")
    assert ios.reset.source.cite in kiosk.reset.source.cite
    assert kiosk.reset.rule.endswith("But on Kiosk: grace 60.")
    assert kiosk.reset.hybrid is not None
    assert kiosk.reset.hybrid.cite.startswith("the fleet file, [platforms.kiosk], reset; ")
    native = {action: kiosk.native_source(action) for action in Action}
    changed = native.pop(Action.RESET_PASSCODE)
    assert changed is not None
    assert changed.cite.startswith("the fleet file, [platforms.kiosk], native; ")
    assert native == {action: ios.native_source(action) for action in native}
    assert kiosk.lock.source == ios.lock.source
    entry = kiosk.ledger[-1]
    assert (entry.what, entry.fidelity) == ("Kiosk: reset, native", Fidelity.ASSUMED)
    assert kiosk.ledger[:-1] == ios.ledger


def test_a_users_ledger_is_kept() -> None:
    text = (
        '[platforms.kiosk]\nextends = "ios"\nsign_in = true\n'
        'ledger = [{ what = "sign-in", fidelity = "done" }]\n'
    )
    (entry,) = profile(text).ledger
    assert (entry.what, entry.fidelity, entry.note) == ("sign-in", Fidelity.DONE, "")


def test_words_alone_do_not_make_a_rule_differ() -> None:
    text = '[platforms.kiosk]\nextends = "ios"\nreset = { message = "Done" }\n'
    kiosk = profile(text)
    assert (kiosk.reset.message, kiosk.reset.rule) == ("Done", PLATFORMS_BY_ID["ios"].reset.rule)


# --- a worker process, another fleet -----------------------------------------------------------


def test_a_fleet_with_platforms_of_its_own_goes_to_another_process() -> None:
    config = fleet(KIOSK, conformance="azure-2018-02")
    devices = config.devices()
    other = pickle.loads(pickle.dumps(config))  # noqa: S301  # our own
    assert other.devices() == devices
    assert other.known == config.known


def test_devices_of_a_platform_share_its_profile() -> None:
    config = parse_fleet(KIOSK + group("a", "kiosk", count=2) + group("b", "kiosk"))
    assert len({id(spec.setup.profile) for spec in config.devices()}) == 1
    assert config.resized(3, ["kiosk"]).device_count == 3


# --- attributes --------------------------------------------------------------------------------


def test_attributes_reach_the_device_over_those_of_the_platform() -> None:
    options = {"azure_ad_joined": "true", "os_version": '"10.0.15063"'}
    (spec,) = parse_fleet(group("d", "windows_10_mobile", **options)).devices()
    platform = PLATFORMS_BY_ID["windows_10_mobile"].attributes
    assert spec.setup.attributes == replace(
        platform, os_version=(10, 0, 15063), azure_ad_joined=True
    )
    (spec,) = parse_fleet(group("d", "windows_10_mobile", azure_ad_joined="true")).devices()
    assert spec.setup.attributes == replace(platform, azure_ad_joined=True)
    (spec,) = parse_fleet(group("d", "ios", supervised="true")).devices()
    assert spec.setup.attributes is not None
    assert spec.setup.attributes.supervised is True
    (spec,) = parse_fleet(group("d", "ios")).devices()
    assert spec.setup.attributes is None


# --- what is looked at for `explain` -----------------------------------------------------------


def test_platforms_are_read_from_a_file_whose_groups_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[fleet]\nconformance = "azure-2018-02"\nseed = "x"\n[[group]]\n' + KIOSK)
    known = load_platforms(path)
    assert (known.conformance, list(known.own)) == ("azure-2018-02", ["kiosk"])
    path.write_text('[fleet]\nconformance = "azure"\n' + KIOSK)
    with pytest.raises(FileError) as caught:
        load_platforms(path)
    assert caught.value.key == "fleet.conformance"
