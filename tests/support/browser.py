"""Headless Chromium and a served fleet, for the tests of the browser pages."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.support.cli_processes import HOME

CHROMIUM = Path("/usr/bin/chromium")
ARTEFACTS = HOME / "artefacts" / "browser"
PASSCODE = "2580"
_START_WITHIN = 40.0
_URL = re.compile(r"^web=(\S+)$", re.MULTILINE)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window; skips where it is missing."""
    if not CHROMIUM.exists():
        pytest.skip("missing server: chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def passfleet(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`passfleet` with these arguments in `folder`, for as long as the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """`passfleet` with these arguments in `folder`, for as long as the context lasts; its URL."""
    out = folder / "web.out"
    with out.open("wb") as written, (folder / "web.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet.cli", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=errors,
        )
    try:
        limit = time.monotonic() + _START_WITHIN
        while (found := _URL.search(out.read_text())) is None:
            assert process.poll() is None, (folder / "web.err").read_text()
            assert time.monotonic() < limit, "the web server did not start"
            time.sleep(0.05)
        yield found[1]
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (folder / "web.err").read_text()


def play(file: Path) -> subprocess.CompletedProcess[str]:
    """`passfleet play` of one file."""
    return subprocess.run(
        [sys.executable, "-m", "fleet.cli", "play", str(file)],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def saved_scenario(page: Page, folder: Path) -> Path:
    """The file behind the link `Save as scenario`."""
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as scenario").click()
    file = folder / "session.yaml"
    download.value.save_as(file)
    return file


def phone(page: Page, device_id: str) -> Locator:
    """The phone of a device, on the wall or beside a page."""
    return page.get_by_role("article", name=device_id, exact=True)


def press(page: Page, device_id: str, button: str, passcode: str = "") -> None:
    """Press a button of a phone, after typing a passcode where one is given."""
    article = phone(page, device_id)
    if passcode:
        article.get_by_role("textbox", name="Passcode").fill(passcode)
    article.get_by_role("button", name=button, exact=True).click()


def sign_in(page: Page, user: str, password: str = "any") -> None:
    """Sign in to the Company Portal with the work account."""
    page.get_by_role("textbox", name="Email, phone, or Skype").fill(user)
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Work or school account").click()
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def open_device(page: Page, device_id: str) -> None:
    """Open the page of a device from the portal's menu."""
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Devices").click()
    page.get_by_role("main").get_by_role("link", name=device_id, exact=True).click()
