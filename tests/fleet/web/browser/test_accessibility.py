"""Every page in light and dark under axe-core, and one flow with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fleet.web.browser.conftest import NewDevice, screenshot
from tests.support.axe import serious_problems
from tests.support.browser import open_device, phone, sign_in

_WIDTHS = (360, 1280, 2560)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(
    browser: Browser, fleet_url: str, new_device: NewDevice, scheme: str
) -> None:
    device, owner = new_device("android")
    with browser.new_context(color_scheme=scheme, reduced_motion="reduce") as context:  # type: ignore[arg-type]
        page = context.new_page()
        problems: dict[str, list[str]] = {}

        def look(name: str, heading: str) -> None:
            expect(page.get_by_role("heading", name=heading).first).to_be_visible()
            page.wait_for_load_state()
            problems[name] = serious_problems(page)
            screenshot(page, f"{name}-{scheme}")

        page.goto(fleet_url)
        expect(page.get_by_role("article").first).to_be_visible()
        page.get_by_text("Activity").click()
        look("wall", "Command log")
        _look_at_portal(page, fleet_url, device, owner, look)
        page.goto(f"{fleet_url}/console?list=mobile")
        page.get_by_role("checkbox", name=device, exact=True).check()
        page.get_by_role("button", name="Remote Tasks").click()
        look("console", "Administration console")
        page.get_by_role("menuitem", name="Remote Lock").click()
        expect(page.get_by_role("article")).to_have_count(1)
        look("console-task", device)
        page.goto(f"{fleet_url}/console?list=users")
        look("console-users", "All Users")
        _look_at_account(page, fleet_url, owner, look)
        assert {name: found for name, found in problems.items() if found} == {}


def _look_at_portal(
    page: Page, url: str, device: str, owner: str, look: Callable[[str, str], None]
) -> None:
    page.goto(f"{url}/portal")
    look("portal-sign-in", "Sign in")
    page.get_by_role("textbox", name="Email, phone, or Skype").fill(owner)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("textbox", name="Password")).to_be_visible()
    look("portal-account", "Choose an account")
    page.get_by_role("button", name="Back").click()
    sign_in(page, owner)
    open_device(page, device)
    expect(page.get_by_role("button", name="Check status")).to_be_visible()
    look("portal-device", device)
    page.get_by_role("button", name="Reset Passcode").click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, owner)
    look("portal-confirm", "Reset the passcode of")
    page.get_by_role("button", name="Reset Passcode").click()
    expect(page.get_by_text("New Passcode:")).to_be_visible()
    page.get_by_role("button", name="Notifications").click()
    look("portal-done", "Your notifications")


def _look_at_account(page: Page, url: str, owner: str, look: Callable[[str, str], None]) -> None:
    page.goto(f"{url}/account")
    look("account", "Work or school account")
    page.get_by_role("link", name="Register for password reset").click()
    page.get_by_role("textbox", name="Username").fill(owner)
    page.get_by_role("button", name="Sign in").click()
    look("account-options", "lose access")
    headings = {"Authentication Phone": "Verify your", "Security Questions": "Choose your"}
    for name, heading in headings.items():
        page.get_by_role("link", name=f"set it up now: {name}").click()
        look(f"account-{name}", heading)
        page.goto(f"{url}/account?page=options")
    page.goto(f"{url}/account?page=reset")
    look("account-reset", "Who are you?")


def test_no_page_scrolls_sideways_at_any_width(
    browser: Browser, fleet_url: str, new_device: NewDevice
) -> None:
    _, owner = new_device("ios")
    wide: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{fleet_url}/portal")
        sign_in(page, owner)
        for path in ("/", "/portal", "/console?list=mobile", "/account"):
            for width in _WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                page.goto(fleet_url + path)
                expect(page.get_by_role("heading", level=1)).to_be_attached()
                if path in ("/", "/portal"):
                    expect(page.get_by_role("article").first).to_be_visible()
                screenshot(page, f"width-{path}-{width}")
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    wide.append(f"{path} at {width}")
    assert not wide


def _tab_to(page: Page, role: str, name: str) -> None:
    """Press Tab until an element of this role and name has the focus."""
    wanted = page.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type]
    expect(wanted).to_be_visible()
    for _ in range(80):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab does not reach {role} {name}")


def test_a_passcode_is_reset_with_the_keyboard_alone(
    page: Page, fleet_url: str, new_device: NewDevice
) -> None:
    device, owner = new_device("ios")

    def sign_in_by_keys() -> None:
        _tab_to(page, "textbox", "Email, phone, or Skype")
        page.keyboard.type(owner)
        page.keyboard.press("Enter")
        _tab_to(page, "textbox", "Password")
        page.keyboard.type("any")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    def activate(role: str, name: str) -> None:
        _tab_to(page, role, name)
        page.keyboard.press("Enter")

    page.goto(f"{fleet_url}/portal")
    sign_in_by_keys()
    activate("button", "Menu")
    activate("link", "Devices")
    activate("link", device)
    activate("button", "Reset Passcode")
    activate("button", "Sign out")
    sign_in_by_keys()
    activate("button", "Reset Passcode")
    expect(page.get_by_text("Passcode successfully reset", exact=True)).to_be_visible()
    activate("button", "Swipe up")
    activate("button", "Change Now")
    expect(phone(page, device).get_by_role("textbox", name="Passcode")).to_be_focused()
    page.keyboard.type("4826")
    page.keyboard.press("Enter")
    expect(phone(page, device).get_by_text("passcode set")).to_be_visible()


def test_axe_notices_a_button_without_a_name(page: Page, fleet_url: str) -> None:
    page.goto(f"{fleet_url}/portal")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    assert any(problem.startswith("button-name") for problem in serious_problems(page))
