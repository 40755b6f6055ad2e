"""The documents' flows in the browser, for every platform, and the scenarios saved of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from platforms import PLATFORMS
from platforms.profile import PlatformProfile, ResetOutcome
from tests.fleet.web.browser.conftest import NewDevice
from tests.support.browser import (
    PASSCODE,
    open_device,
    phone,
    play,
    press,
    saved_scenario,
    sign_in,
)

_RESETS = [p for p in PLATFORMS if p.reset.outcome is not ResetOutcome.NOT_SUPPORTED]
_OTHERS = [p for p in PLATFORMS if p.reset.outcome is ResetOutcome.NOT_SUPPORTED]
_NEW = "4826"


def _group(profile: PlatformProfile) -> str:
    return profile.id.replace("_", "-")


def _reset_in_portal(page: Page, url: str, device: str, owner: str) -> None:
    page.goto(f"{url}/portal")
    sign_in(page, owner)
    open_device(page, device)
    page.get_by_role("button", name="Reset Passcode").click()
    expect(page.get_by_text("sign back in within five minutes")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, owner)
    expect(page.get_by_text("Removes the existing passcode")).to_be_visible()
    page.get_by_role("button", name="Reset Passcode").click()
    expect(page.get_by_text("Passcode reset is pending")).to_be_visible()
    expect(page.get_by_text("Passcode successfully reset", exact=True)).to_be_visible()


def _assert_played(page: Page, folder: Path) -> None:
    file = saved_scenario(page, folder)
    played = play(file)
    assert played.returncode == 0, f"{played.stdout}\n{file.read_text()}"


@pytest.mark.parametrize("profile", _RESETS, ids=lambda p: p.id)
def test_a_passcode_is_reset_in_the_portal_while_the_phone_answers(
    page: Page, fleet_url: str, new_device: NewDevice, profile: PlatformProfile, tmp_path: Path
) -> None:
    device, owner = new_device(_group(profile))
    _reset_in_portal(page, fleet_url, device, owner)
    article = phone(page, device)
    if profile.reset.screen is not None:
        expect(article.get_by_text(profile.reset.screen.body)).to_be_visible()
    if profile.reset.outcome is ResetOutcome.REMOVES:
        expect(page.get_by_text("New Passcode:")).to_have_count(0)
        press(page, device, "Swipe up")
        press(page, device, "Change Now")
        expect(article.get_by_role("status")).to_contain_text("screen to set a passcode")
        press(page, device, "Set passcode", _NEW)
    else:
        line = page.get_by_text("New Passcode:").inner_text()
        temporary = line.removeprefix("New Passcode: ")
        press(page, device, "Enter passcode", "wrong")
        expect(article.get_by_role("status")).to_contain_text("Wrong passcode")
        press(page, device, "Enter passcode", temporary)
        expect(article.get_by_text("Unlocked")).to_be_visible()
        press(page, device, "Set passcode", _NEW)
    expect(article.get_by_text("passcode set", exact=False).first).to_be_visible()
    expect(article.get_by_text("Compliant", exact=True)).to_be_visible()
    _assert_played(page, tmp_path)


@pytest.mark.parametrize("profile", _OTHERS, ids=lambda p: p.id)
def test_the_portal_has_no_reset_button_where_the_platform_resets_nothing(
    page: Page, fleet_url: str, new_device: NewDevice, profile: PlatformProfile, tmp_path: Path
) -> None:
    device, owner = new_device(_group(profile))
    page.goto(f"{fleet_url}/portal")
    sign_in(page, owner)
    open_device(page, device)
    expect(page.get_by_role("button", name="Reset Passcode")).to_have_count(0)
    article = phone(page, device)
    article.get_by_role("textbox", name="User").fill(owner)
    article.get_by_role("button", name="Log on").click()
    expect(article.get_by_text("Unlocked")).to_be_visible()
    page.get_by_role("button", name="Remote Lock").click()
    expect(article.get_by_text("Unlocked")).to_have_count(0)
    expect(page.get_by_text("Device successfully locked")).to_be_visible()
    page.get_by_role("link", name="Contact IT admin").click()
    expect(page.get_by_role("heading", name="Contact your IT admin")).to_be_visible()
    _assert_played(page, tmp_path)


def test_the_guide_by_its_buttons_check_status_and_notifications(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, owner = new_device("ios")
    _reset_in_portal(page, fleet_url, device, owner)
    page.get_by_role("button", name="Check status").click()
    page.get_by_role("button", name="Notifications").click()
    listed = page.get_by_role("region", name="Notification list")
    expect(listed.get_by_text("Passcode successfully reset")).to_be_visible()
    press(page, device, "Swipe up")
    press(page, device, "Later")
    expect(phone(page, device).get_by_role("button", name="Later")).to_have_count(0)
    press(page, device, "Restart")
    expect(phone(page, device).get_by_role("status")).to_contain_text("restarts")
    _assert_played(page, tmp_path)


def test_a_personal_account_does_not_open_the_portal(page: Page, fleet_url: str) -> None:
    page.goto(f"{fleet_url}/portal")
    page.get_by_role("textbox", name="Email, phone, or Skype").fill("ios-user1@example.com")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Created by your IT department")).to_be_visible()
    page.get_by_role("button", name="Personal account").click()
    expect(page.get_by_role("alert")).to_contain_text("personal account")
    page.get_by_role("textbox", name="Email, phone, or Skype").fill("nobody-known")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("alert")).to_contain_text("couldn't find an account")


def _open_console_list(page: Page, url: str, item: str) -> None:
    page.goto(f"{url}/console")
    for name in ("Groups", "All Devices", "All Mobile Devices", item):
        page.get_by_role("treeitem", name=name, exact=True).click()


def _remote_task(page: Page, task: str) -> None:
    page.get_by_role("button", name="Remote Tasks").click()
    page.get_by_role("menuitem", name=task).click()


def test_the_console_resets_several_devices_and_shows_their_passcodes(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    devices = [new_device("android")[0] for _ in range(2)]
    _open_console_list(page, fleet_url, "All Direct Managed Devices")
    for device in devices:
        page.get_by_role("checkbox", name=device, exact=True).check()
    _remote_task(page, "Passcode Reset")
    for device in devices:
        row = page.get_by_role("row").filter(has_text=device)
        expect(row.get_by_text("done", exact=True)).to_be_visible()
        shown = row.get_by_role("code").inner_text()
        press(page, device, "Enter passcode", shown)
        expect(phone(page, device).get_by_text("Unlocked")).to_be_visible()
    _assert_played(page, tmp_path)


def test_the_console_locks_a_device_of_exchange_activesync(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, _ = new_device("eas")
    _open_console_list(page, fleet_url, "All Exchange ActiveSync Managed Devices")
    page.get_by_role("checkbox", name=device, exact=True).check()
    _remote_task(page, "Remote Lock")
    row = page.get_by_role("row").filter(has_text=device)
    expect(row.get_by_text("done", exact=True)).to_be_visible()
    _assert_played(page, tmp_path)


def test_hybrid_shows_a_passcode_to_the_administrator_alone_and_from_the_second_reset(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, owner = new_device("hybrid")
    _reset_in_portal(page, fleet_url, device, owner)
    expect(page.get_by_text("New Passcode:")).to_have_count(0)
    page.goto(f"{fleet_url}/console?list=users&user={owner}&tab=devices")
    row = page.get_by_role("row").filter(has_text=device)
    page.get_by_role("checkbox", name=device, exact=True).check()
    page.get_by_role("button", name="Show passcode").click()
    expect(row.get_by_text("Reset the passcode once more")).to_be_visible()
    _remote_task(page, "Passcode Reset")
    expect(row.get_by_text("done", exact=True)).to_be_visible()
    expect(row.get_by_role("code")).to_have_count(0)
    page.get_by_role("button", name="Show passcode").click()
    press(page, device, "Enter passcode", row.get_by_role("code").inner_text())
    expect(phone(page, device).get_by_text("Unlocked")).to_be_visible()
    _assert_played(page, tmp_path)


def _register_phone(page: Page, url: str, device: str, owner: str) -> None:
    page.goto(f"{url}/account")
    page.get_by_role("link", name="Register for password reset").click()
    page.get_by_role("textbox", name="Username").fill(owner)
    page.get_by_role("textbox", name="Password").fill("any")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="set it up now: Authentication Phone").click()
    page.get_by_role("textbox", name="Phone number").fill("425 555 0100")
    page.get_by_role("button", name="text me").click()
    _enter_code(page, device, "verify")
    expect(page.get_by_role("heading", name="Thanks!")).to_be_visible()


def _enter_code(page: Page, device: str, button: str) -> None:
    text = phone(page, device).get_by_text("as your verification code").last.inner_text()
    page.get_by_role("textbox", name="Verification code").fill(text.split()[1])
    page.get_by_role("button", name=button).click()


def _start_reset(page: Page, owner: str, method: str) -> None:
    page.get_by_role("link", name="Reset your password").click()
    page.get_by_role("textbox", name="User ID").fill(owner)
    picture = page.get_by_role("img").get_attribute("aria-label") or ""
    page.get_by_role("textbox", name="Enter the characters").fill(picture.replace(" ", ""))
    page.get_by_role("button", name="Next").click()
    page.get_by_role("radio", name=method).check()
    page.get_by_role("button", name="Next").click()


def test_a_code_arrives_on_the_phone_beside_the_page_and_resets_the_password(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, owner = new_device("windows-10-mobile")
    _register_phone(page, fleet_url, device, owner)
    _start_reset(page, owner, "Text my mobile phone")
    page.get_by_role("textbox", name="Phone number").fill("+1 425 555 0199")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("alert")).to_contain_text("does not match")
    page.get_by_role("textbox", name="Phone number").fill("+1 425 555 0100")
    page.get_by_role("button", name="Next").click()
    _enter_code(page, device, "Next")
    page.get_by_role("textbox", name="Enter new password").fill("Corr3ct-horse")
    page.get_by_role("textbox", name="Confirm new password").fill("Corr3ct-horse")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("heading", name="Your password has been reset")).to_be_visible()
    page.get_by_role("link", name="Open the Company Portal").click()
    sign_in(page, owner, "not it")
    expect(page.get_by_role("alert")).to_contain_text("incorrect")
    page.reload()
    sign_in(page, owner, "Corr3ct-horse")
    expect(page.get_by_role("heading", name=f"Welcome, {owner}")).to_be_visible()
    _assert_played(page, tmp_path)


def test_a_call_is_answered_on_the_phone(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, owner = new_device("ios")
    _register_phone(page, fleet_url, device, owner)
    _start_reset(page, owner, "Call my mobile phone")
    page.get_by_role("textbox", name="Phone number").fill("+1 425 555 0100")
    page.get_by_role("button", name="Next").click()
    press(page, device, "Press #")
    expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    _assert_played(page, tmp_path)


def test_a_scenario_begins_with_the_state_in_which_the_browser_found_the_device(
    browser: Browser, page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, owner = new_device("ios")
    with browser.new_context() as elsewhere:
        _reset_in_portal(elsewhere.new_page(), fleet_url, device, owner)
    page.goto(fleet_url)
    page.get_by_role("searchbox", name="Search devices").fill(device)
    press(page, device, "Swipe up")
    press(page, device, "Set passcode", _NEW)
    expect(phone(page, device).get_by_text("passcode set")).to_be_visible()
    _assert_played(page, tmp_path)


def test_an_expected_passcode_opens_a_phone_on_the_wall(
    page: Page, fleet_url: str, new_device: NewDevice, tmp_path: Path
) -> None:
    device, _ = new_device("android")
    page.goto(fleet_url)
    page.get_by_role("searchbox", name="Search devices").fill(device)
    press(page, device, "Enter passcode", PASSCODE)
    expect(phone(page, device).get_by_text("Unlocked")).to_be_visible()
    _assert_played(page, tmp_path)
