"""Rules of wipe, retire, restart, Lost Mode, enrollment, push and check-in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.effects import AcknowledgeDelivery, ArmTimer, Reboot
from agent.passcode import PasscodePolicy
from agent.state import Timer
from platforms import PLATFORMS_BY_ID
from platforms.profile import NativeCase
from tests.support.device_harness import (
    FIRST,
    HOUR,
    MINUTE,
    OTHER,
    SECOND,
    START,
    Rig,
    results,
    screens,
    snapshots,
    unlocked,
)

EVERY = tuple(PLATFORMS_BY_ID)
POLICY = PasscodePolicy(min_length=4, max_inactivity_minutes=5)


def supervised(**more: object) -> Rig:
    ios = PLATFORMS_BY_ID["ios"]
    profile = replace(ios, attributes=replace(ios.attributes, supervised=True))
    return Rig(profile, **more)  # type: ignore[arg-type]


def pushed(delay: tuple[int, int], *, loss: float = 0.0, check_in: int | None = None) -> Rig:
    return Rig("android", push_delay=delay, push_loss=loss, check_in=check_in)


# Wipe and retire


@pytest.mark.parametrize("platform", EVERY)
def test_a_wipe_is_done_then_the_device_is_not_enrolled(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=POLICY, passcode=FIRST))
    result = rig.do("wipe", "w-1")
    assert (result.state, result.native) == ("done", NativeCase.DONE)
    state = rig.state
    assert (state.wiped, state.enrolled, state.passcode, state.policy) == (
        True,
        False,
        "none",
        None,
    )
    assert results(rig.send("wipe", "w-1"))[0].duplicate
    for action in ("wipe", "retire", "resetPasscode", "rebootNow", "syncDevice"):
        assert rig.do(action).error == "notEnrolled"
    assert rig.press("swipeUp").error == "notEnrolled"


@pytest.mark.parametrize("platform", EVERY)
def test_a_retired_device_keeps_its_passcode_and_loses_its_policy(platform: str) -> None:
    rig = unlocked(Rig(platform, policy=POLICY))
    assert rig.do("retire").state == "done"
    assert (rig.state.enrolled, rig.state.wiped, rig.state.passcode) == (False, False, "user")
    assert rig.state.policy is None
    assert rig.do("remoteLock").error == "notEnrolled"
    assert rig.advance(10 * MINUTE) == ()  # no policy locks it any more
    assert rig.press("setPasscode", OTHER).state == "done"


def test_retire_ends_a_grace_period() -> None:
    rig = Rig("ios")
    rig.send("resetPasscode")
    rig.send("retire")
    assert (rig.state.compliance, rig.state.passcode_deadline) == ("compliant", None)
    assert rig.advance(2 * HOUR) == ()


# Enroll and unenroll


def test_enroll_brings_a_wiped_device_back_with_the_policy_of_its_group() -> None:
    rig = Rig("ios", policy=POLICY)
    rig.send("wipe")
    rig.simulate("enroll")
    assert (rig.state.enrolled, rig.state.wiped, rig.state.policy) == (True, False, POLICY)
    assert rig.state.compliance == "inGracePeriod"
    assert [screen.title for screen in screens(rig.effects)] == ["Passcode Requirement"]
    assert rig.do("remoteLock").state == "done"


def test_enroll_starts_the_count_of_resets_anew() -> None:
    rig = Rig("windows_phone_8_1", management="hybrid")
    rig.send("resetPasscode")
    rig.simulate("unenroll")
    rig.simulate("enroll")
    rig.send("resetPasscode")
    assert rig.state.resets == 1


@pytest.mark.parametrize("action", ["enroll", "unenroll"])
def test_the_same_simulation_again_changes_nothing(action: str) -> None:
    rig = Rig("android")
    rig.simulate(action)
    before = rig.state
    assert rig.simulate(action) == ()
    assert rig.state == before


def test_unenroll_publishes_the_state_and_refuses_commands() -> None:
    rig = Rig("android", policy=POLICY)
    (published,) = snapshots(rig.simulate("unenroll"))
    assert (published.enrolled, published.passcode, published.policy) == (False, "user", None)
    assert rig.do("resetPasscode").error == "notEnrolled"
    rig.simulate("restore")
    assert rig.do("resetPasscode").state == "done"


# Restart


@pytest.mark.parametrize("platform", EVERY)
def test_a_restart_by_command_answers_first_then_reboots_locked(platform: str) -> None:
    rig = unlocked(Rig(platform))
    effects = rig.send("rebootNow")
    kinds = [type(effect) for effect in effects]
    assert kinds.index(AcknowledgeDelivery) < kinds.index(Reboot)
    assert Reboot(abrupt=False) in effects
    assert rig.state.locked


# Lock screen message and Lost Mode


@pytest.mark.parametrize("platform", EVERY)
def test_only_ios_shows_the_message_of_a_remote_lock(platform: str) -> None:
    rig = Rig(platform)
    rig.send("remoteLock", message="Call us", phone_number="+1 555 0100")
    bodies = [screen.body for screen in screens(rig.effects)]
    assert bodies == (["Call us\n+1 555 0100"] if platform == "ios" else [])


def test_ios_without_a_passcode_shows_no_message() -> None:
    rig = Rig("ios", passcode=None)
    assert rig.do("remoteLock", message="Call us").native is NativeCase.NO_PASSCODE
    assert not screens(rig.effects)


@pytest.mark.parametrize("platform", EVERY)
def test_lost_mode_is_not_supported_without_supervision(platform: str) -> None:
    rig = Rig(platform)
    for action in ("enableLostMode", "disableLostMode"):
        result = rig.do(action)
        assert (result.state, result.native) == ("notSupported", NativeCase.NOT_SUPPORTED)
    assert not rig.state.lost_mode


def test_lost_mode_locks_until_it_is_disabled() -> None:
    rig = unlocked(supervised())
    assert rig.do("enableLostMode", message="Lost", phone_number="1").state == "done"
    (screen,) = screens(rig.effects)
    assert (screen.title, screen.body) == ("Lost Mode", "Lost\n1")
    assert (rig.state.lost_mode, rig.state.locked) == (True, True)
    for action in ("swipeUp", "enterPasscode", "setPasscode", "useBiometric"):
        assert rig.press(action, FIRST).error == "deviceLocked"
    assert rig.do("remoteLock").native is NativeCase.LOST_MODE
    assert rig.press("restart").state == "done"
    assert rig.state.lost_mode
    assert rig.do("disableLostMode").state == "done"
    assert rig.do("disableLostMode").state == "done"
    unlocked(rig)


def test_wipe_and_retire_end_lost_mode() -> None:
    for action in ("wipe", "retire"):
        rig = supervised()
        rig.send("enableLostMode")
        rig.send(action)
        assert not rig.state.lost_mode


# Push and check-in


def test_a_command_is_taken_up_when_its_push_arrives() -> None:
    rig = pushed((2 * SECOND, 2 * SECOND))
    assert rig.send("resetPasscode") == (ArmTimer(Timer.PUSH, START + 2 * SECOND),)
    assert not results(rig.advance(2 * SECOND - 1))
    (done,) = results(rig.advance(1))
    assert (done.result.state, done.result.started) == ("done", START + 2 * SECOND)
    assert rig.state.last_check_in == START + 2 * SECOND


def test_one_push_takes_up_all_that_waits_in_order() -> None:
    rig = pushed((1 * SECOND, 60 * SECOND))
    for number in range(5):
        rig.send("remoteLock" if number % 2 else "resetPasscode", f"c-{number}")
    done = results(rig.advance(60 * SECOND))
    assert [each.result.command_id for each in done] == [f"c-{n}" for n in range(5)]
    assert len({each.result.updated for each in done}) == 1


def test_a_lost_push_waits_for_the_next_check_in() -> None:
    rig = pushed((0, 0), loss=1.0, check_in=8 * HOUR)
    rig.send("resetPasscode")
    assert not results(rig.advance(8 * HOUR - 1))
    (done,) = results(rig.advance(1))
    assert done.result.updated == START + 8 * HOUR
    assert rig.state.check_in_at == START + 16 * HOUR


def test_check_status_takes_up_what_waits_first() -> None:
    rig = pushed((0, 0), loss=1.0)
    rig.send("resetPasscode", "reset")
    assert not results(rig.advance(100 * HOUR))
    done = results(rig.send("syncDevice", "sync"))
    assert [each.result.command_id for each in done] == ["reset", "sync"]
    assert rig.state.waiting == ()


def test_a_duplicate_of_a_command_that_waits_is_done_once() -> None:
    rig = pushed((SECOND, SECOND))
    rig.send("resetPasscode", "c-1")
    rig.send("resetPasscode", "c-1")
    first, second = results(rig.advance(SECOND))
    assert (first.duplicate, second.duplicate) == (False, True)
    assert rig.state.resets == 1


def test_a_command_may_expire_while_it_waits() -> None:
    rig = pushed((MINUTE, MINUTE))
    rig.send("resetPasscode", expires=START + SECOND)
    (late,) = results(rig.advance(MINUTE))
    assert late.result.error == "expired"


def test_about_so_many_pushes_are_lost() -> None:
    lost = 0
    for seed in range(200):
        rig = Rig("android", seed=seed, push_loss=0.3)
        rig.send("remoteLock")
        lost += rig.state.push_at is None
    assert 40 < lost < 80


def test_without_push_settings_a_command_is_taken_up_at_once() -> None:
    rig = Rig("android")
    (done,) = results(rig.send("resetPasscode"))
    assert (done.result.started, rig.state.last_check_in) == (START, None)


def test_a_device_that_is_not_enrolled_does_not_check_in() -> None:
    rig = pushed((0, 0), check_in=HOUR)
    rig.send("syncDevice")
    rig.send("retire")
    rig.send("syncDevice")
    before = rig.state.last_check_in
    rig.advance(10 * HOUR)
    assert rig.state.last_check_in == before


# Inventory


@pytest.mark.parametrize("platform", EVERY)
def test_the_inventory_reports_the_passcode_and_its_compliance(platform: str) -> None:
    def inventory(rig: Rig) -> NativeCase | None:
        return rig.do("syncDevice").native

    strict = PasscodePolicy(min_length=12)
    assert inventory(Rig(platform)) is NativeCase.DONE
    assert inventory(Rig(platform, policy=strict)) is NativeCase.PASSCODE_INSUFFICIENT
    assert inventory(Rig(platform, passcode=None)) is NativeCase.PASSCODE_NOT_REQUIRED
    assert inventory(Rig(platform, passcode=None, policy=strict)) is NativeCase.NO_PASSCODE
