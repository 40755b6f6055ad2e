"""Tests of the help desk on virtual phones; needs pytest-passfleet and pytest-asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from helpdesk import HelpDesk
from pytest_passfleet import Fleet


@pytest.fixture
async def desk(passfleet_fleet: Fleet) -> AsyncIterator[HelpDesk]:
    """The back-end under test, on the fleet's broker."""
    fleet = passfleet_fleet
    async with HelpDesk(fleet.host, fleet.port, fleet.root) as helpdesk:
        yield helpdesk


async def test_android_caller_gets_a_temporary_passcode(
    desk: HelpDesk, passfleet_fleet: Fleet
) -> None:
    words = await desk.reset("android-001")

    result = await passfleet_fleet.aio.wait_for("results", "android-001", actionState="done")
    assert words == f"Your new passcode is {' '.join(result['newPasscode'])}."
    assert passfleet_fleet.state("android-001")["passcode"] == "temporary"


async def test_ios_device_without_new_passcode_is_overdue_after_an_hour(
    desk: HelpDesk, passfleet_fleet: Fleet
) -> None:
    phones = passfleet_fleet.aio
    assert "within an hour" in await desk.reset("ios-001")
    assert desk.overdue == set()

    await phones.clock_advance("61m")
    await phones.wait_for("state", "ios-001", compliance="noncompliant")
    # MQTT keeps the order: this answer arrives after the earlier state messages.
    await desk.reset("android-001")
    assert desk.overdue == {"ios-001"}

    await phones.tap("ios-001", "swipeUp")
    await phones.tap("ios-001", "setPasscode", passcode="4826")
    await desk.reset("android-001")
    assert desk.overdue == set()


async def test_windows_rt_caller_is_sent_to_the_admin(desk: HelpDesk) -> None:
    assert await desk.reset("tablets-001") == "Please bring the device to your IT admin."


@pytest.mark.passfleet(platform="android", devices=20)
async def test_twenty_callers_at_once(desk: HelpDesk, passfleet_fleet: Fleet) -> None:
    passcodes = await asyncio.gather(*(desk.reset(str(phone)) for phone in passfleet_fleet.devices))

    assert len(set(passcodes)) == len(passcodes) == len(passfleet_fleet.devices)
