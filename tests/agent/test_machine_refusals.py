"""Scripted refusals, and native answers that depend on the attributes of a device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.events import Refuse
from agent.passcode import PasscodePolicy
from agent.payloads import publication
from agent.state import Result
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.profile import Action, AdminMode, Attributes, NativeCase
from tests.support.device_harness import FIRST, SECOND, Rig, results

SCRIPTED = [
    (profile.id, action, rule.case)
    for profile in PLATFORMS
    for rule in profile.refusals
    for action, case in profile.native
    if case is rule.case
]


def device(platform: str, **attributes: Any) -> Rig:
    """A device with some attributes of its own."""
    profile = PLATFORMS_BY_ID[platform]
    return Rig(replace(profile, attributes=replace(profile.attributes, **attributes)))


def native(rig: Rig, result: Result) -> Mapping[str, Any]:
    """Native answer as it is published."""
    published = next(r for r in results(rig.effects) if r.result == result)
    _, payload, _ = publication(published, rig.state, rig.draws)
    answer: dict[str, Any] = json.loads(payload.to_bytes())["native"]
    return answer


# Scripted refusals


@pytest.mark.parametrize(("platform", "action", "case"), SCRIPTED)
def test_a_refused_command_fails_once_and_changes_nothing(
    platform: str, action: Action, case: NativeCase
) -> None:
    rig = Rig(platform)
    before = rig.state
    rig.happen(Refuse(case))
    result = rig.do(action, policy=PasscodePolicy(min_length=4))
    assert (result.state, result.native) == ("failed", case)
    assert result.error in {"refused", "passcodeNotSet"}
    assert rig.state.version == before.version
    assert rig.state.secret == before.secret
    assert rig.state.policy == before.policy
    assert rig.do(action, policy=PasscodePolicy(min_length=4)).state == "done"


def test_a_stale_unlock_token_is_answered_with_5013() -> None:
    rig = Rig("ios")
    rig.happen(Refuse(NativeCase.STALE_UNLOCK_TOKEN))
    result = rig.do("resetPasscode")
    assert result.message.endswith("Wipe the device.")
    assert native(rig, result) == {
        "protocol": "apple-mdm",
        "status": "Error",
        "requestType": "ClearPasscode",
        "errorChain": [
            {
                "errorDomain": "MCPasscodeErrorDomain",
                "errorCode": 5013,
                "localizedDescription": "The passcode cannot be cleared.",
            }
        ],
    }
    assert rig.press("enterPasscode", FIRST).state == "done"


def test_the_same_command_is_done_after_not_now() -> None:
    rig = Rig("ios")
    rig.happen(Refuse(NativeCase.NOT_NOW))
    policy = PasscodePolicy(min_length=4)
    busy = rig.do("applyPasscodePolicy", "p-1", policy=policy)
    assert (busy.state, busy.error) == ("failed", "refused")
    assert native(rig, busy)["status"] == "NotNow"
    again = rig.do("applyPasscodePolicy", "p-1", policy=policy)
    assert again.state == "done"
    assert rig.state.policy == policy


def test_any_other_refusal_is_a_result_that_is_stored() -> None:
    rig = Rig("windows_phone_8_1")
    rig.happen(Refuse(NativeCase.STATUS_500))
    first = rig.do("remoteLock", "l-1")
    (again,) = results(rig.send("remoteLock", "l-1"))
    assert (again.result, again.duplicate) == (first, True)


@pytest.mark.parametrize("platform", ["windows_phone_8", "windows_phone_8_1", "windows_10_mobile"])
@pytest.mark.parametrize(
    ("action", "node"), [("remoteLock", "Lock"), ("resetPasscode", "LockAndResetPIN")]
)
@pytest.mark.parametrize(
    ("case", "status", "error"),
    [(NativeCase.STATUS_405, "405", "passcodeNotSet"), (NativeCase.STATUS_500, "500", "refused")],
)
def test_windows_phones_answer_405_and_500(
    platform: str, action: str, node: str, case: NativeCase, status: str, error: str
) -> None:
    rig = Rig(platform)
    rig.happen(Refuse(case))
    result = rig.do(action)
    assert result.error == error
    answer = native(rig, result)
    assert answer["node"] == f"./Vendor/MSFT/RemoteLock/{node}"
    assert answer["status"] == status


def test_refusals_are_used_up_one_by_one_in_their_order() -> None:
    rig = Rig("windows_phone_8_1")
    rig.happen(Refuse(NativeCase.STATUS_500, 2))
    rig.happen(Refuse(NativeCase.STATUS_405))
    errors = [rig.do("remoteLock").error for _ in range(4)]
    assert errors == ["refused", "refused", "passcodeNotSet", None]


def test_a_refusal_waits_for_a_command_that_it_concerns() -> None:
    rig = Rig("ios")
    rig.happen(Refuse(NativeCase.NOT_NOW))
    rig.happen(Refuse(NativeCase.STALE_UNLOCK_TOKEN))
    assert rig.do("remoteLock").state == "done"
    assert rig.do("resetPasscode").native is NativeCase.STALE_UNLOCK_TOKEN
    assert rig.state.refusals == (NativeCase.NOT_NOW,)


def test_a_refusal_of_another_platform_concerns_no_command() -> None:
    rig = Rig("android")
    rig.happen(Refuse(NativeCase.STALE_UNLOCK_TOKEN))
    assert rig.do("resetPasscode").state == "done"


def test_a_refusal_comes_after_the_reaction_and_ends_with_restore() -> None:
    rig = Rig("ios", reaction=(SECOND, SECOND))
    rig.happen(Refuse(NativeCase.STALE_UNLOCK_TOKEN, 2))
    assert results(rig.send("resetPasscode")) == []
    (answered,) = results(rig.advance(SECOND))
    assert answered.result.native is NativeCase.STALE_UNLOCK_TOKEN
    rig.simulate("restore")
    assert rig.state.refusals == ()


# Windows phones: NewPINValue, LockAndRecoverPIN

NEW_PIN = "./Vendor/MSFT/RemoteLock/NewPINValue"


@pytest.mark.parametrize("platform", ["windows_phone_8", "windows_phone_8_1", "windows_10_mobile"])
def test_the_new_pin_can_be_read_once(platform: str) -> None:
    rig = Rig(platform)
    reset = rig.do("resetPasscode")
    passcode = rig.temporary()
    first = native(rig, reset)["get"]
    assert (first["node"], first["status"]) == (NEW_PIN, "200")
    assert passcode not in json.dumps(native(rig, reset))
    later = native(rig, rig.do("syncDevice"))["get"]
    assert (later["node"], later["status"], later["data"]) == (NEW_PIN, "200", None)


@pytest.mark.parametrize(
    ("version", "recovery", "node"),
    [
        ((10, 0, 15063), True, "LockAndRecoverPIN"),
        ((10, 0, 15063), False, "LockAndResetPIN"),
        ((10, 0, 14393), True, "LockAndResetPIN"),
    ],
)
def test_the_node_of_a_reset_depends_on_version_and_pin_recovery(
    version: tuple[int, ...],
    recovery: bool,  # noqa: FBT001  # an attribute
    node: str,
) -> None:
    rig = device("windows_10_mobile", os_version=version, pin_recovery=recovery)
    assert native(rig, rig.do("resetPasscode"))["node"].endswith(f"/{node}")
    assert len(rig.temporary()) == 6


# Android


@pytest.mark.parametrize(
    ("target_sdk", "answer"),
    [
        (23, {"call": "resetPassword", "status": "false"}),
        (24, {"call": "resetPassword", "status": "SecurityException"}),
    ],
)
def test_android_7_refuses_by_the_target_sdk_of_the_administrator(
    target_sdk: int, answer: dict[str, str]
) -> None:
    rig = device("android", api_level=24, target_sdk=target_sdk)
    result = rig.do("resetPasscode")
    assert (result.state, result.native) == ("notSupported", NativeCase.REFUSED)
    assert answer.items() <= native(rig, result).items()


@pytest.mark.parametrize(
    ("api_level", "call"), [(25, "resetPassword"), (26, "resetPasswordWithToken")]
)
def test_a_device_owner_resets_a_passcode_that_exists(api_level: int, call: str) -> None:
    rig = device("android", api_level=api_level, managed_by=AdminMode.DEVICE_OWNER)
    result = rig.do("resetPasscode")
    assert result.state == "done"
    assert (native(rig, result)["call"], native(rig, result)["status"]) == (call, "true")
    assert rig.state.passcode == "temporary"


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("resetPasscode", {"type": "RESET_PASSWORD", "errorCode": None}),
        ("remoteLock", {"type": "LOCK", "errorCode": None}),
        ("rebootNow", {"type": "REBOOT", "errorCode": None}),
        ("syncDevice", {"method": "enterprises.devices.get", "policyCompliant": True}),
        ("applyPasscodePolicy", {"method": "enterprises.policies.patch", "status": "200"}),
        ("retire", {"type": "RELINQUISH_OWNERSHIP"}),
        ("wipe", {"method": "enterprises.devices.delete"}),
    ],
)
def test_a_fully_managed_device_answers_over_the_android_management_api(
    action: str, answer: dict[str, Any]
) -> None:
    rig = device("android", api_level=30, managed_by=AdminMode.ANDROID_MANAGEMENT_API)
    result = rig.do(action)
    assert result.state == "done"
    found = native(rig, result)
    assert found["protocol"] == "android-management-api"
    assert answer.items() <= found.items()


def test_a_fully_managed_device_reports_a_missing_passcode() -> None:
    profile = PLATFORMS_BY_ID["android"]
    api = Attributes(api_level=30, managed_by=AdminMode.ANDROID_MANAGEMENT_API)
    rig = Rig(replace(profile, attributes=api), passcode=None, policy=PasscodePolicy(min_length=4))
    report = native(rig, rig.do("syncDevice"))
    assert not report["policyCompliant"]
    assert report["nonComplianceDetails"] == [
        {"settingName": "passwordPolicies", "nonComplianceReason": "USER_ACTION"}
    ]


@pytest.mark.parametrize(
    ("case", "code"),
    [
        (NativeCase.RETURNED_FALSE, "INVALID_VALUE"),
        (NativeCase.SECURITY_EXCEPTION, "MANAGEMENT_MODE"),
    ],
)
def test_a_refusal_has_the_error_code_of_the_android_management_api(
    case: NativeCase, code: str
) -> None:
    rig = device("android", managed_by=AdminMode.ANDROID_MANAGEMENT_API)
    rig.happen(Refuse(case))
    assert native(rig, rig.do("resetPasscode"))["errorCode"] == code
