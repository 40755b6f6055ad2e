"""Sessions saved as scenarios, over HTTP: each file is played and must pass."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scenarios.model.outcome import Status
from scenarios.parsing.parser import load_scenarios
from scenarios.run.runner import PlayOptions, play_all
from tests.support.fleet_files import group
from tests.support.web_fleets import WebFleet, eventually, web_fleet

DEVICE = "phone-001"


class Session:
    """Browser session that posts the forms and presses of the pages."""

    def __init__(self, fleet: WebFleet, token: str) -> None:
        self.fleet = fleet
        self._token = token

    async def form(self, path: str, do: str, **fields: str) -> str:
        """Post a form; return the page after it."""
        data = {"csrf_token": self._token, "do": do, **fields}
        assert (await self.fleet.http.post(path, data=data)).status_code == 303
        return await self.page(path)

    async def page(self, path: str) -> str:
        """Return a page."""
        answer = await self.fleet.http.get(path, follow_redirects=True)
        assert answer.status_code == 200
        return answer.text

    async def press(self, action: str, device: str = DEVICE, **values: str) -> str:
        """Press a button on a phone; return the state of the answer, or its error."""
        answer = await self.fleet.http.post(
            f"/devices/{device}/inputs",
            headers={"x-csrf-token": self._token},
            json={"action": action, **values},
        )
        document = answer.json()
        return str(document["error"] or document["state"])

    async def shows(self, path: str, text: str) -> str:
        """Wait until a page contains a text; return the page."""
        page = ""

        async def look() -> bool:
            nonlocal page
            page = await self.page(path)
            return text in page

        await eventually(look)
        return page

    async def sign_in(self, user: str) -> str:
        """Sign in to the portal."""
        await self.form("/portal", "address", address=user)
        return await self.form("/portal", "password", password="any")

    async def reset_in_portal(self, user: str = "alex") -> str:
        """Reset the passcode of the device in the portal; return the page with the result."""
        await self.sign_in(user)
        await self.page(f"/portal?device={DEVICE}")
        await self.form("/portal", "reset_passcode")
        await self.form("/portal", "sign_out")
        await self.sign_in(user)
        await self.form("/portal", "reset_passcode")
        return await self.shows("/portal", "Passcode successfully reset")

    async def assert_played(self, folder: Path) -> str:
        """Save the session as a scenario and play it; return the file's text."""
        text = (await self.fleet.http.get("/session.yaml")).text
        (folder / "session.yaml").write_text(text)
        (outcome,) = await play_all(load_scenarios([folder / "session.yaml"]), PlayOptions())
        failed = next((step for step in outcome.steps if step.failure), None)
        assert outcome.status is Status.PASSED, f"{failed}\n{text}"
        return text


@asynccontextmanager
async def session(platform: str, **options: Any) -> AsyncIterator[Session]:
    """A browser session on a fleet of one device, whose owner is alex."""
    async with web_fleet(group("phone", platform, owner='"alex"', **options)) as fleet:
        found = re.search(
            r'name="csrf-token" content="([0-9a-f]+)"', (await fleet.http.get("/")).text
        )
        assert found is not None
        yield Session(fleet, found[1])


def passcode_on(page: str) -> str:
    """The new passcode that a page shows."""
    found = re.search(r"New [Pp]asscode: <code>([^<]+)</code>", page)
    assert found is not None, page
    return found[1]


async def test_a_new_passcode_is_shown_until_the_device_no_longer_has_it(tmp_path: Path) -> None:
    async with session("android", reaction='"50ms"') as one:
        shown = passcode_on(await one.reset_in_portal())
        assert await one.press("enterPasscode", passcode=shown) == "done"
        assert shown in await one.page("/portal")
        assert await one.press("setPasscode", passcode="4826") == "done"
        assert shown not in await one.page("/portal")
        text = await one.assert_played(tmp_path)
        assert "- expect.portal: {newPasscode: absent}" in text
        assert shown not in text


async def test_the_console_shows_a_passcode_of_a_reset_that_another_client_requested(
    tmp_path: Path,
) -> None:
    async with session("android") as one:
        await one.fleet.operator.send(DEVICE, "resetPasscode")
        assert "New passcode" not in await one.page("/console?list=mobile")
        await one.form("/console?list=mobile", "show_passcode", device=DEVICE)
        shown = passcode_on(await one.page("/console?list=mobile"))
        assert await one.press("enterPasscode", passcode=shown) == "done"
        await one.assert_played(tmp_path)


async def test_a_command_of_another_client_is_a_step_of_the_scenario(tmp_path: Path) -> None:
    async with session("android") as one:
        assert await one.press("enterPasscode", passcode="2580") == "done"
        (outcome,) = await one.fleet.operator.send(DEVICE, "resetPasscode")
        assert outcome.document is not None
        shown = str(outcome.document["newPasscode"])
        await one.fleet.operator.send(DEVICE, "remoteLock")
        assert await one.press("enterPasscode", passcode="2580") == "wrongPasscode"
        assert await one.press("enterPasscode", passcode=shown) == "done"
        text = await one.assert_played(tmp_path)
        assert "actionName: remoteLock" in text
        assert shown not in text


async def test_a_wiped_device_has_no_buttons_in_the_portal(tmp_path: Path) -> None:
    async with session("ios") as one:
        await one.sign_in("alex")
        assert "Reset Passcode" in await one.page(f"/portal?device={DEVICE}")
        await one.fleet.operator.send(DEVICE, "wipe")
        page = await one.shows("/portal", "no longer enrolled")
        assert "Reset Passcode" not in page
        assert "Remote Lock" not in page
        await one.assert_played(tmp_path)


async def test_a_session_that_begins_on_a_retired_device(tmp_path: Path) -> None:
    async with session("ios") as one:
        await one.fleet.operator.send(DEVICE, "retire")
        await one.fleet.operator.tap(DEVICE, "enterPasscode", passcode="wrong")
        assert await one.press("enterPasscode", passcode="2580") == "done"
        await one.sign_in("alex")
        assert "no longer enrolled" in await one.page(f"/portal?device={DEVICE}")
        await one.assert_played(tmp_path)


async def test_a_session_that_begins_on_an_open_device(tmp_path: Path) -> None:
    """The passcode of the device was never typed here: the file contains another one."""
    policy = "{ minLength = 8, requireAlphanumeric = true }"
    options = {"passcode": '"Only-alex-0"', "policy": policy}
    async with session("windows_10_mobile", **options) as one:
        await one.fleet.operator.tap(DEVICE, "enterPasscode", passcode="Only-alex-0")
        await one.form("/console?list=mobile", "show_passcode", device=DEVICE)
        await one.form("/console?list=mobile", "reset_passcode", device=DEVICE)
        await one.shows("/console?list=mobile", "Passcode successfully reset")
        text = await one.assert_played(tmp_path)
        assert "Only-alex-0" not in text


async def test_a_session_on_a_tablet_that_a_user_opened(tmp_path: Path) -> None:
    async with session("windows_rt") as one:
        await one.fleet.operator.tap(DEVICE, "signIn", user="somebody")
        await one.sign_in("alex")
        await one.page(f"/portal?device={DEVICE}")
        await one.form("/portal", "remote_lock")
        await one.shows("/portal", "could not be locked")
        await one.assert_played(tmp_path)


async def test_links_menu_and_contact_of_the_portal(tmp_path: Path) -> None:
    async with session("ios") as one:
        assert "Create a personal Microsoft account." in await one.page(
            "/portal?link=No+account%3F+Create+one%21"
        )
        await one.form("/portal", "back")
        who = await one.page("/portal?link=Can%27t+access+your+account%3F")
        assert "Who are you?" in who
        page = await one.form("/portal", "address", address="alex@example.com")
        assert "Created by your IT department" in page
        assert "Forgot your password?" in await one.form("/portal", "account", account="work")
        await one.form("/portal", "password", password="any")
        assert "help desk" in await one.page("/portal?menu=Contact+IT+admin")
        await one.page("/portal?menu=Devices")
        await one.page(f"/portal?device={DEVICE}")
        await one.form("/portal", "check_status")
        await one.form("/portal", "remote_lock")
        await one.shows("/portal", "Device successfully locked")
        assert "Device successfully locked" in await one.form("/portal", "notifications")
        text = await one.assert_played(tmp_path)
        assert "checkStatus: done" in text
        assert "notifications:" in text


async def _start_reset(one: Session, user: str) -> str:
    letters = re.search(r'aria-label="([A-Z0-9 ]{9})"', await one.page("/account?page=reset"))
    assert letters is not None
    typed = letters[1].replace(" ", "")
    return await one.form("/account", "who", user=user, captcha=typed)


async def test_every_option_of_the_work_account_is_registered_and_chosen(tmp_path: Path) -> None:
    phone = {"country": "+1", "device": DEVICE}
    answers = {"answer-1": "Paris", "answer-2": "Rex"}
    async with session("ios") as one:
        page = await one.form("/account", "credentials", user="alex", password="any")
        assert "Authentication Email is not configured" in re.sub(r"<[^>]+>", " ", page).replace(
            "  ", " "
        )
        await one.page("/account?page=securityQuestions")
        page = await one.form("/account", "register", **answers)
        assert "also register a back-up option" in page
        for option, fields in (
            ("mobilePhone", {**phone, "number": "425 555 0101"}),
            ("alternateEmail", {"email": "alex@home.example"}),
            ("authenticationEmail", {"email": "alex@work.example"}),
        ):
            await one.page("/account?page=options")
            await one.page(f"/account?page={option}")
            assert "Thanks!" in await one.form("/account", "register", **fields)
        assert "authentication email" in await _start_reset(one, "alex")
        target = {"target-emailAlternate": "authenticationEmail"}
        page = await one.form("/account", "method", method="emailAlternate", **target)
        assert "To: alex@work.example" in page
        await one.page("/account?page=method")
        await one.form("/account", "method", method="securityQuestions")
        assert "do not match" in await one.form(
            "/account", "answers", **{"answer-1": "Rome", "answer-2": "Rex"}
        )
        assert "Choose a new password" in await one.form("/account", "answers", **answers)
        rejected = await one.form("/account", "choose", password="short", confirm="short")
        assert "harder to guess" in rejected
        done = await one.form(
            "/account", "choose", password="Corr3ct-horse", confirm="Corr3ct-horse"
        )
        assert "Your password has been reset" in done
        text = await one.assert_played(tmp_path)
        assert "Corr3ct-horse" not in text


async def test_the_account_pages_name_the_administrator(tmp_path: Path) -> None:
    async with session("ios") as one:
        assert "does not exist" in await _start_reset(one, "unknown")
        assert "have not registered" in await _start_reset(one, "alex")
        assert "help desk" in await one.page("/account?page=contact")
        await one.assert_played(tmp_path)
