"""Make the pictures of docs/browser.md and the README: `make screenshots`.

Starts `passfleet demo --web` on a free port and takes pictures of it with Debian's Chromium.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

_HERE = Path(__file__).parent
_CHROMIUM = "/usr/bin/chromium"
_SIZE = {"width": 1280, "height": 800}


def main() -> None:
    """Take every picture."""
    command = [sys.executable, "-m", "fleet.cli", "demo", "--web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_HERE.parent) as demo:
        assert demo.stdout is not None
        try:
            url = next(line for line in demo.stdout if line.startswith("web="))[4:].strip()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=_CHROMIUM)
                take_all(browser, url)
                browser.close()
        finally:
            demo.terminate()


def take_all(browser: Browser, url: str) -> None:
    """The portal with a reset passcode, the console, then the wall in light and dark."""
    page = browser.new_page(viewport=_SIZE, color_scheme="light")
    reset_in_portal(page, url)
    save(page, "portal")
    page.goto(f"{url}/console?list=directManaged")
    for name in ("ios-001", "windows-phone-8-1-001"):
        page.get_by_role("checkbox", name=name, exact=True).check()
    page.get_by_role("button", name="Remote Tasks").click()
    page.get_by_role("menuitem", name="Passcode Reset").click()
    page.get_by_text("done", exact=True).nth(1).wait_for()
    save(page, "console")
    for scheme in ("light", "dark"):
        wall = browser.new_page(viewport=_SIZE, color_scheme=scheme)  # type: ignore[arg-type]
        wall.goto(url)
        wall.get_by_role("article", name="ios-001").wait_for()
        save(wall, f"wall-{scheme}")


def reset_in_portal(page: Page, url: str) -> None:
    """Reset the passcode of the Android phone as its user does."""
    page.goto(f"{url}/portal")
    sign_in(page)
    page.get_by_role("link", name="android-001", exact=True).click()
    page.get_by_role("button", name="Reset Passcode").click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page)
    page.get_by_role("button", name="Reset Passcode").click()
    page.get_by_text("New Passcode:").wait_for()


def sign_in(page: Page) -> None:
    """Sign in as the owner of the demo's phones."""
    page.get_by_role("textbox", name="Email, phone, or Skype").fill("alex")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Work or school account").click()
    page.get_by_role("textbox", name="Password").fill("any")
    page.get_by_role("button", name="Sign in").click()


def save(page: Page, name: str) -> None:
    """Take a picture once phones have arrived and nothing moves any more."""
    page.get_by_role("article").first.wait_for()
    page.wait_for_function("!document.querySelector('.flash')")
    page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
    page.screenshot(path=_HERE / f"browser-{re.sub(r'[^a-z-]', '', name)}.png")


if __name__ == "__main__":
    main()
