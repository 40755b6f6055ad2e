"""Facts about platforms, each compared with the behaviour of the state machine."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from agent.effects import Effect, PublishEscrow, PublishNotification, PublishResult
from agent.events import Command
from agent.machine import enroll, first_state, step
from agent.passcode import PasscodePolicy
from agent.random_stream import DeviceRandomStream
from agent.state import DeviceState, GroupSetup, Result
from fleet.reference.facts import ACTION_NAMES, Answer, Explanation, explain, platform_facts
from fleet.reference.sentences import bounds, limit_condition
from platforms import PLATFORMS, PlatformProfile
from platforms.profile import Action, Management, ResetOutcome

NOW = 1_449_778_747_000
DRAWS = DeviceRandomStream(7, "phone-001")

every_platform = pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)


def _device(
    profile: PlatformProfile,
    management: Management = Management.STANDALONE,
    passcode: str | None = "2580",
) -> DeviceState:
    setup = GroupSetup(name="phones", profile=profile, management=management)
    return first_state(enroll("phone-001", "alex", setup, passcode, DRAWS), NOW)


def _run(
    state: DeviceState, action: Action, policy: PasscodePolicy | None = None
) -> tuple[Effect, ...]:
    command = Command("c-1", action, policy=policy)
    return step(state, command, NOW, DRAWS)[1]


def _result(effects: Iterable[Effect]) -> Result:
    return next(effect.result for effect in effects if isinstance(effect, PublishResult))


def _explained(profile: PlatformProfile, action: Action, when: str) -> Answer:
    return next(a for a in explain(profile, action).answers if a.when == when)


def _same(profile: PlatformProfile, explanation: Answer, result: Result) -> None:
    native = profile.native_answer(result.action, result.native) if result.native else None
    assert explanation.action_state == result.state
    assert explanation.error_code == (str(result.error) if result.error else None)
    assert explanation.native == (json.loads(json.dumps(native, default=dict)) if native else None)


@every_platform
@pytest.mark.parametrize("management", Management)
def test_reset_view_is_what_the_device_answers(
    profile: PlatformProfile, management: Management
) -> None:
    explanation = explain(profile, Action.RESET_PASSCODE)
    view = next(v for v in explanation.portal if v.management == management)
    effects = _run(_device(profile, management), Action.RESET_PASSCODE)
    result = _result(effects)

    _same(profile, _unlimited(explanation), result)
    says_passcode = "New Passcode: <passcode>" in (*view.portal, *view.console)
    assert says_passcode == (result.passcode is not None)
    assert any("the new passcode, if" in line for line in view.console) == any(
        isinstance(effect, PublishEscrow) for effect in effects
    )
    assert result.message in (*view.portal, *view.console)
    if not view.reset_button:
        assert view.portal[0].startswith("no Reset Passcode button")


def _unlimited(explanation: Explanation) -> Answer:
    return next(a for a in explanation.answers if a.when in {"success", "always"})


@every_platform
def test_limits_of_a_reset_are_explained_with_their_source(profile: PlatformProfile) -> None:
    explanation = explain(profile, Action.RESET_PASSCODE)

    for limit in profile.reset.limits:
        answer = next(a for a in explanation.answers if a.when == limit_condition(limit))
        native = profile.native_answer(Action.RESET_PASSCODE, limit.native)
        assert answer.action_state == "notSupported"
        assert (answer.native is None) == (native is None)
        assert (limit.source.cite, limit.source.assumption) in {
            (source.cite, source.assumption) for source in explanation.sources
        }


def test_limit_of_android_7_is_what_the_device_answers() -> None:
    android = next(profile for profile in PLATFORMS if profile.reset.limits)
    newer = replace(android, attributes=replace(android.attributes, api_level=24))
    result = _result(_run(_device(newer), Action.RESET_PASSCODE))

    explanation = _explained(
        newer,
        Action.RESET_PASSCODE,
        "managed by a device administrator, API level 24 or later, a passcode is set",
    )

    _same(newer, explanation, result)


def test_a_lock_that_a_table_removes_is_explained() -> None:
    refused = replace(PLATFORMS[0], lock=replace(PLATFORMS[0].lock, supported=False))
    explanation = explain(refused, Action.REMOTE_LOCK)

    _same(refused, _unlimited(explanation), _result(_run(_device(refused), Action.REMOTE_LOCK)))
    assert explanation.portal[0].console == (refused.lock.refusal,)
    assert explanation.device == ("nothing changes",)


@every_platform
def test_screen_and_lock_after_a_reset_are_what_the_device_does(profile: PlatformProfile) -> None:
    explanation = explain(profile, Action.RESET_PASSCODE).device
    opened = replace(_device(profile), locked=False)
    after, effects = step(opened, Command("c-1", Action.RESET_PASSCODE), NOW, DRAWS)
    shown = [e for e in effects if isinstance(e, PublishNotification)]

    assert ("nothing changes" in explanation) == (
        profile.reset.outcome is ResetOutcome.NOT_SUPPORTED
    )
    assert ("locks" in explanation) == after.locked
    assert any("within 60 minutes" in line for line in explanation[1:]) == (
        after.passcode_deadline is not None
    )
    for notification in shown:
        assert f'"{notification.title}: {notification.body}"' in explanation[0]
    assert any(line.startswith("shows") for line in explanation) == bool(shown)


@every_platform
def test_lock_answers_are_what_the_device_answers(profile: PlatformProfile) -> None:
    bare = _device(profile, passcode=None)
    stranger = replace(_device(profile), current_user="blake")
    action = Action.REMOTE_LOCK

    _same(
        profile,
        _explained(profile, action, "with a passcode"),
        _result(_run(_device(profile), action)),
    )
    _same(profile, _explained(profile, action, "without a passcode"), _result(_run(bare, action)))
    explanation = [a for a in explain(profile, action).answers if a.error_code == "wrongUser"]
    if explanation:
        _same(profile, explanation[0], _result(_run(stranger, action)))
    else:
        assert _result(_run(stranger, action)).error is None


@every_platform
def test_sync_and_policy_answers_are_what_the_device_answers(profile: PlatformProfile) -> None:
    outside = PasscodePolicy(min_length=bounds(profile.passcode)["minLength"].high + 1)
    sync, policy = Action.SYNC_DEVICE, Action.APPLY_PASSCODE_POLICY

    for action, when in ((sync, "a passcode that the policy allows"), (policy, "success")):
        result = _result(_run(_device(profile), action, PasscodePolicy()))
        _same(profile, _explained(profile, action, when), result)
        assert result.message in explain(profile, action).portal[0].console
    refused = _result(_run(_device(profile), policy, outside))
    _same(profile, _explained(profile, policy, "a setting out of bounds"), refused)


@every_platform
def test_facts_are_json_and_hold_every_action(profile: PlatformProfile) -> None:
    explanation = json.loads(json.dumps(platform_facts(profile)))

    assert explanation["platform"] == profile.id
    assert set(Action) <= set(explanation)
    for action in Action:
        assert explanation[action]["sources"]
        assert {"about", "cite", "assumption"} == set(explanation[action]["sources"][0])


@every_platform
def test_explanation_as_json_has_camel_case_keys(profile: PlatformProfile) -> None:
    explanation = explain(profile, Action.REMOTE_LOCK).only("hybrid").as_json()

    assert [view["management"] for view in explanation["portal"]] == ["hybrid"]
    keys = {"when", "actionState", "errorCode", "native", "case", "scenarios"}
    assert keys == set(explanation["answers"][0])


def test_explanation_of_a_platform_that_a_user_added_reads_as_well() -> None:
    kiosk = replace(PLATFORMS[1], id="kiosk", title="Kiosk")

    assert explain(kiosk, Action.RESET_PASSCODE).platform == "kiosk"


def test_action_words_name_every_action() -> None:
    assert set(ACTION_NAMES.values()) == set(Action)
    assert ACTION_NAMES["apply-passcode-policy"] is Action.APPLY_PASSCODE_POLICY
