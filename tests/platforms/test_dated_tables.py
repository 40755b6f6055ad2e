"""Profile of a platform under a dated table: rule, words, source, native answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.conformance import CONFORMANCE, DEFAULT_CONFORMANCE, agree, profile_under_table
from platforms.profile import Action, NativeCase, PlatformProfile, ResetOutcome, WithoutPasscode
from platforms.rows import ConformanceTable, Support, unlisted_source

AZURE, HYBRID = CONFORMANCE["azure-2018-02"], CONFORMANCE["hybrid-2017-10"]
RESET, LOCK = Action.RESET_PASSCODE, Action.REMOTE_LOCK


def ruled(platform: str, table: ConformanceTable) -> PlatformProfile:
    return profile_under_table(PLATFORMS_BY_ID[platform], table, platform)


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_the_default_table_is_the_profiles_as_they_stand(profile: PlatformProfile) -> None:
    assert profile_under_table(profile, CONFORMANCE[DEFAULT_CONFORMANCE], profile.id) is profile
    assert profile_under_table(profile, AZURE, "unheard of") is profile


def test_a_reset_that_a_table_removes_is_refused_with_its_source() -> None:
    platform = PLATFORMS_BY_ID["windows_phone_8"]
    profile, row = ruled("windows_phone_8", AZURE), AZURE.row("windows_phone_8", RESET)
    assert row is not None
    rule = profile.reset
    assert rule.outcome is ResetOutcome.NOT_SUPPORTED
    assert rule.rule == (
        "Not supported: Windows Phone 8.1 and later only. Nothing changes on the device."
    )
    assert rule.portal_explains == (
        "You can't reset the passcode of this device here. Contact your IT admin."
    )
    assert rule.message == "Passcode reset is not supported on this device. Contact your IT admin."
    assert rule.source == row.source
    assert (rule.alphabet, rule.screen, rule.locks, rule.limits) == (None, None, False, ())
    assert replace(profile, reset=platform.reset, lock=platform.lock) == platform


def test_what_could_never_be_reset_stays_as_it_is() -> None:
    assert ruled("windows_rt", AZURE).reset is PLATFORMS_BY_ID["windows_rt"].reset


def test_a_limit_of_a_table_comes_after_the_platforms_own() -> None:
    own = PLATFORMS_BY_ID["android"].reset
    rule = ruled("android", HYBRID).reset
    row = HYBRID.row("android", RESET)
    assert row is not None
    assert rule == replace(own, limits=(*own.limits, *row.limits))
    assert [limit.from_api_level for limit in rule.limits] == [24, 24]
    joined = ruled("windows_10_mobile", HYBRID).reset.limits
    assert [limit.azure_ad_joined for limit in joined] == [True]


def test_a_lock_that_a_table_removes_is_refused_with_its_source() -> None:
    own = PLATFORMS_BY_ID["windows_10_mobile"].lock
    lock, row = ruled("windows_10_mobile", HYBRID).lock, HYBRID.row("windows_10_mobile", LOCK)
    assert row is not None
    says = "Not supported: not listed (Windows 10: not supported at this time)."
    assert lock == replace(own, supported=False, rule=says, source=row.source)
    assert lock.refusal == "Remote lock is not supported on this device."
    assert row.support is Support.NOT_LISTED
    assert row.source.assumption == "what a table does not list is read as not supported"


def test_a_lock_that_needs_a_passcode_is_not_asked_of_the_protocol_without() -> None:
    own = PLATFORMS_BY_ID["android"]
    profile, row = ruled("android", AZURE), AZURE.row("android", LOCK)
    assert row is not None
    assert profile.lock == replace(
        own.lock,
        without_passcode=WithoutPasscode.REFUSED,
        rule="Locks. Without a passcode the command is refused: passcodeNotSet.",
        source=row.source,
    )
    missing = {(LOCK, NativeCase.NO_PASSCODE)}
    assert dict(profile.native) == {k: v for k, v in own.native.items() if k not in missing}


def test_a_lock_that_needed_one_already_stays_as_it_is() -> None:
    profile, own = ruled("windows_10_mobile", AZURE), PLATFORMS_BY_ID["windows_10_mobile"]
    assert profile.lock is own.lock
    assert profile.native is own.native
    assert ruled("ios", AZURE) is PLATFORMS_BY_ID["ios"]


def test_rows_agree_by_what_they_say_and_not_by_how() -> None:
    row = AZURE.row("ios", LOCK)
    assert row is not None
    assert agree(None, None)
    assert not agree(row, None)
    assert not agree(None, row)
    assert agree(row, replace(row, says="otherwise put", source=unlisted_source(row.source)))
    assert not agree(row, replace(row, departs=False))
    assert not agree(row, replace(row, support=Support.NOT_LISTED))
    assert not agree(row, replace(row, without_passcode=WithoutPasscode.REFUSED))
    limited = HYBRID.row("windows_10_mobile", RESET)
    assert limited is not None
    (limit,) = limited.limits
    assert agree(limited, replace(limited, limits=(replace(limit, message="x"),)))
    for other in (
        replace(limit, azure_ad_joined=False),
        replace(limit, below_os=(10,)),
        replace(limit, from_api_level=1),
        replace(limit, with_passcode=True),
    ):
        assert not agree(limited, replace(limited, limits=(other,)))
