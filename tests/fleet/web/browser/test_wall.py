"""The device wall: ten thousand devices, hostile names, what streams carry, time and activity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.fleet.web.browser.conftest import NewDevice
from tests.support.browser import (
    PASSCODE,
    open_device,
    passfleet,
    phone,
    play,
    press,
    saved_scenario,
    served,
    sign_in,
)

_MANY = 10_000
_HOSTILE = (
    '<script>document.title = "taken over"</script>',
    "\u202egnp.exe \u2067right to left\u2069",
    "x" * 256,
)
_RECORD_STREAM = """() => {
  window.streamed = "";
  const source = new EventSource("/events?view=wall");
  for (const name of ["phones", "list", "page", "log", "load", "clock", "hello"])
    source.addEventListener(name, (event) => { window.streamed += event.data; });
}"""


@pytest.fixture(scope="module")
def many_url(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Ten thousand devices behind one shared connection."""
    del browser
    folder = tmp_path_factory.mktemp("many")
    shared = 'platform = "ios"\nconnection = "shared"\npasscode = "2580"\n'
    (folder / "fleet.toml").write_text(
        f'[[group]]\nname = "phones"\nid = "phone-{{n:05}}"\ncount = {_MANY}\n{shared}'
    )
    with served(folder, "up", "--web", "127.0.0.1:0") as url:
        yield url


def test_ten_thousand_devices_are_drawn_where_visible_and_updated_within_200_ms(
    page: Page, many_url: str
) -> None:
    page.goto(many_url)
    expect(page.get_by_text("10,000 devices")).to_be_visible(timeout=20_000)
    expect(phone(page, "phone-00001")).to_be_visible()
    assert page.get_by_role("article").count() < 40
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    expect(phone(page, "phone-10000")).to_be_in_viewport()
    assert page.get_by_role("article").count() < 40
    page.get_by_role("searchbox", name="Search devices").fill("phone-0777")
    expect(phone(page, "phone-07770")).to_be_in_viewport()
    expect(page.get_by_text("10 devices", exact=True)).to_be_visible()
    page.get_by_role("searchbox", name="Search devices").fill("")
    page.get_by_role("combobox", name="State").select_option("Offline")
    expect(page.get_by_text("No device matches")).to_be_visible()
    page.get_by_role("combobox", name="State").select_option("All")
    _assert_prompt(page, "phone-01234")


def _assert_prompt(page: Page, device: str) -> None:
    """An update of one device shows within 200 ms; the best of five on a busy machine counts."""
    page.get_by_role("searchbox", name="Search devices").fill(device)
    expect(page.get_by_text("1 device", exact=True)).to_be_visible()
    passed = []
    for _ in range(5):
        press(page, device, "Restart")
        expect(phone(page, device).get_by_text("Unlocked")).to_have_count(0)
        passed.append(page.evaluate(_TIME_OF_UNLOCK, PASSCODE))
    assert min(passed) < 200


_TIME_OF_UNLOCK = """(passcode) => new Promise((resolve) => {
  const article = document.querySelector("article");
  article.querySelector("input[aria-label=Passcode]").value = passcode;
  const started = performance.now();
  new MutationObserver((_, observer) => {
    if (article.dataset.locked !== "false") return;
    observer.disconnect();
    resolve(performance.now() - started);
  }).observe(article, { attributes: true });
  [...article.querySelectorAll("button")].find((b) => b.textContent === "Enter passcode").click();
})"""


@pytest.fixture
def hostile_url(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """Devices whose owners have hostile names."""
    del browser
    groups = "".join(
        f'[[group]]\nname = "g{number}"\nplatform = "android"\npasscode = "{PASSCODE}"\n'
        f"owner = {json.dumps(owner)}\n"
        for number, owner in enumerate(_HOSTILE)
    )
    (tmp_path / "fleet.toml").write_text(groups)
    with served(tmp_path, "up", "--web", "127.0.0.1:0") as url:
        yield url


def test_hostile_names_stay_text_on_every_page(
    page: Page, hostile_url: str, tmp_path: Path
) -> None:
    page.goto(hostile_url)
    for number, owner in enumerate(_HOSTILE):
        expect(phone(page, f"g{number}-001")).to_contain_text(owner)
    assert page.title() == "Devices · passfleet"
    page.goto(f"{hostile_url}/console?list=mobile")
    for owner in _HOSTILE:
        expect(page.get_by_role("cell", name=owner, exact=True)).to_be_visible()
    for number, owner in enumerate(_HOSTILE):
        page.goto(f"{hostile_url}/portal")
        sign_in(page, owner)
        expect(page.get_by_role("heading", level=1)).to_contain_text(owner)
        open_device(page, f"g{number}-001")
        page.get_by_role("button", name="Remote Lock").click()
        expect(page.get_by_text("Device successfully locked")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_title("Company Portal · passfleet")
    file = saved_scenario(page, tmp_path)
    assert "\u202e" not in file.read_text()
    played = play(file)
    assert played.returncode == 0, played.stdout


def test_a_passcode_reaches_only_the_page_of_the_user_who_may_see_it(
    browser: Browser, page: Page, fleet_url: str, new_device: NewDevice
) -> None:
    device, owner = new_device("android")
    with browser.new_context() as elsewhere:
        watcher = elsewhere.new_page()
        watcher.goto(fleet_url)
        watcher.get_by_role("searchbox", name="Search devices").fill(device)
        expect(phone(watcher, device)).to_be_visible()
        watcher.get_by_text("Activity").click()
        watcher.evaluate(_RECORD_STREAM)
        page.goto(f"{fleet_url}/portal")
        sign_in(page, owner)
        open_device(page, device)
        page.get_by_role("button", name="Reset Passcode").click()
        page.get_by_role("button", name="Sign out").click()
        sign_in(page, owner)
        page.get_by_role("button", name="Reset Passcode").click()
        shown = page.get_by_text("New Passcode:").inner_text().removeprefix("New Passcode: ")
        expect(phone(watcher, device).get_by_text("temporary passcode").first).to_be_visible()
        log = watcher.get_by_role("row").filter(has_text=device)
        expect(log.get_by_text("resetPasscode").first).to_be_visible()
        expect(log.get_by_text("android-device-admin").first).to_be_visible()
        assert shown not in watcher.content()
        assert shown not in watcher.evaluate("window.streamed")
        watcher.goto(f"{fleet_url}/portal")
        sign_in(watcher, owner)
        open_device(watcher, device)
        expect(watcher.get_by_text("New Passcode:")).to_have_count(0)
        assert shown not in watcher.content()


def test_two_browsers_of_one_user_do_not_disturb_each_other(
    browser: Browser, page: Page, fleet_url: str, new_device: NewDevice
) -> None:
    device, owner = new_device("android")
    with browser.new_context() as elsewhere:
        other = elsewhere.new_page()
        for each in (page, other):
            each.goto(f"{fleet_url}/portal")
            sign_in(each, owner)
        open_device(page, device)
        page.get_by_role("button", name="Sign out").click()
        other.reload()
        expect(other.get_by_role("heading", level=1)).to_contain_text(owner)


def test_filters_of_the_wall(page: Page, fleet_url: str) -> None:
    page.goto(fleet_url)
    page.get_by_role("combobox", name="Platform").select_option("iOS")
    page.get_by_role("combobox", name="Group").select_option("eas")
    expect(phone(page, "eas-001")).to_be_visible()
    expect(page.get_by_role("article", name="android-001")).to_have_count(0)


def test_charts_follow_a_running_load(page: Page, hostile_url: str, tmp_path: Path) -> None:
    page.goto(hostile_url)
    page.get_by_text("Activity").click()
    expect(page.get_by_text("No load is running")).to_be_visible()
    options = ("--rate", "20", "--duration", "5s")
    with passfleet(tmp_path, "load", *options):
        expect(page.get_by_text("is running", exact=False)).to_have_text(
            re.compile("^Load .+ is running$"), timeout=20_000
        )
        rate = page.locator("[data-figure=rate]")
        expect(rate).to_have_text(re.compile("^[1-9]"))
        expect(page.locator("[data-figure=p99]")).to_have_text(re.compile("^[0-9]"))
    log = page.get_by_role("region", name="Command log")
    expect(log.get_by_text("android-device-admin").first).to_be_visible()


def test_time_moves_on_a_virtual_clock_and_the_saved_scenario_waits(
    page: Page, demo_url: str, tmp_path: Path
) -> None:
    page.goto(f"{demo_url}/console?list=directManaged")
    page.get_by_role("checkbox", name="ios-001", exact=True).check()
    page.get_by_role("button", name="Remote Tasks").click()
    page.get_by_role("menuitem", name="Passcode Reset").click()
    article = phone(page, "ios-001")
    expect(article.get_by_text("60 min left")).to_be_visible()
    page.get_by_role("button", name="+5 min").click()
    expect(article.get_by_text("55 min left")).to_be_visible()
    page.get_by_role("button", name="Jump to timer").click()
    expect(article.get_by_text("Not compliant")).to_be_visible()
    page.get_by_role("button", name="+1 h").click()
    expect(page.get_by_text("2015-12-10 22:19")).to_be_visible()
    press(page, "ios-001", "Swipe up")
    expect(article.get_by_role("status")).to_contain_text("until a passcode is set")
    press(page, "ios-001", "Set passcode", "4826")
    expect(article.get_by_text("Compliant", exact=True)).to_be_visible()
    file = saved_scenario(page, tmp_path)
    played = play(file)
    assert played.returncode == 0, f"{played.stdout}\n{file.read_text()}"
    assert "compliance: noncompliant" in file.read_text()


def test_time_moves_at_a_speed(page: Page, browser: Browser, tmp_path: Path) -> None:
    del browser
    (tmp_path / "fleet.toml").write_text(
        '[fleet]\nspeed = 2\n[[group]]\nname = "a"\nplatform = "ios"\nowner = "alex"\n'
    )
    with served(tmp_path, "up", "--web", "127.0.0.1:0") as url:
        page.goto(f"{url}/console?list=mobile")
        page.get_by_role("checkbox", name="a-001", exact=True).check()
        page.get_by_role("button", name="Remote Tasks").click()
        page.get_by_role("menuitem", name="Passcode Reset").click()
        article = phone(page, "a-001")
        expect(article.get_by_text("In grace period")).to_be_visible()
        page.get_by_role("button", name="+1 h").click()
        expect(article.get_by_text("Not compliant")).to_be_visible()
