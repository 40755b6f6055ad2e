"""Fixtures of the browser tests: one Chromium and one served fleet for each test process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from platforms import PLATFORMS
from tests.support.browser import ARTEFACTS, PASSCODE, chromium, served

_EACH = 14
NewDevice = Callable[..., tuple[str, str]]


def fleet_file() -> str:
    """Devices of every platform, each of its own user, that take their time to answer."""
    kinds = [(p.id.replace("_", "-"), p.id, "standalone") for p in PLATFORMS]
    kinds += [("hybrid", "windows_phone_8_1", "hybrid")]
    kinds += [("eas", "ios", "exchange_activesync")]
    text = "".join(
        f'[[group]]\nname = "{name}"\nplatform = "{platform}"\nmanagement = "{management}"\n'
        f'count = {_EACH}\nid = "{name}-{{n:03}}"\nowner = "{name}-user{{n}}"\n'
        f'passcode = "{PASSCODE}"\nreaction = "1500ms"\n'
        for name, platform, management in kinds
    )
    return f"[fleet]\nseed = 7\n{text}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def fleet_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fleet of every platform, on the time of day."""
    del browser  # skips first where it is missing
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "fleet.toml").write_text(fleet_file())
    with served(folder, "up", "--web", "127.0.0.1:0") as url:
        yield url


@pytest.fixture(scope="module")
def demo_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of `passfleet demo --web`, on virtual time."""
    del browser
    with served(tmp_path_factory.mktemp("demo"), "demo", "--web") as url:
        yield url


@pytest.fixture(scope="module")
def new_device() -> NewDevice:
    """A function that returns a device of a group that no test has used, and its owner."""
    numbers: dict[str, Iterator[int]] = {}

    def take(name: str) -> tuple[str, str]:
        number = next(numbers.setdefault(name, count(1)))
        assert number <= _EACH
        return f"{name}-{number:03}", f"{name}-user{number}"

    return take


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a browser session of its own. A script error or a refusal by the CSP fails."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(15_000)
        opened = context.new_page()
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on(
            "console",
            lambda said: problems.append(said.text) if "Content Security" in said.text else None,
        )
        yield opened
        screenshot(opened, request.node.name)
        assert not problems


def screenshot(page: Page, name: str) -> Path:
    """Keep a picture of the page as an artefact."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    file = ARTEFACTS / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-')}.png"
    page.screenshot(path=file)
    return file
