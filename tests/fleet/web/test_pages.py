"""The pages over HTTP: bad requests, sessions of others, and users with a password."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from tests.support.fleet_files import group
from tests.support.web_fleets import WebFleet, web_fleet

PHONES = group("phone", "android", owner='"alex"')


async def _token(fleet: WebFleet) -> dict[str, str]:
    page = await fleet.http.get("/")
    found = re.search(r'name="csrf-token" content="([0-9a-f]+)"', page.text)
    assert found is not None
    return {"x-csrf-token": found[1]}


async def _post(fleet: WebFleet, path: str, **options: Any) -> httpx.Response:
    return await fleet.http.post(path, headers=await _token(fleet), **options)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/devices/phone-001/inputs", b"{", 400),
        ("/devices/phone-001/inputs", b"[]", 400),
        ("/devices/phone-001/inputs", b"[" * 5_000, 400),
        ("/devices/phone-001/inputs", b'{"action": 1}', 400),
        ("/devices/phone-001/inputs", b'{"action": "fly"}', 400),
        ("/devices/phone-001/inputs", b'{"action": "enterPasscode"}', 400),
        ("/devices/nothing/inputs", b'{"action": "swipeUp"}', 404),
        ("/viewers/nothing/window", b"{}", 400),
        ("/viewers/nothing/window", b'{"first": 0, "count": 1}', 404),
        ("/viewers/nothing/phones", b'{"ids": []}', 404),
        ("/viewers/nothing/phones", b'{"ids": [1]}', 400),
        ("/time", b'{"by": -1}', 400),
        ("/time", b'{"by": 99999999999999}', 400),
        ("/time", b'{"by": 60000}', 400),
        ("/time", b'{"next": true}', 400),
    ],
)
async def test_bad_requests_are_refused_with_a_message(path: str, body: bytes, status: int) -> None:
    async with web_fleet(PHONES) as fleet:
        answer = await _post(fleet, path, content=body)
        assert answer.status_code == status
        assert answer.json()["error"]


async def test_an_answer_does_not_wait_for_tcp_acknowledgements() -> None:
    """Without TCP_NODELAY every answer took 40 ms; the third best of twenty counts."""
    async with web_fleet(PHONES) as fleet:
        took = []
        for _ in range(20):
            begun = time.perf_counter()
            await fleet.http.get("/v1.0/me/managedDevices")
            took.append(time.perf_counter() - begun)
        assert sorted(took)[2] < 0.035


async def test_a_refused_passcode_is_not_repeated() -> None:
    async with web_fleet(PHONES) as fleet:
        body = {"action": "setPasscode", "passcode": "secret-word" * 30}
        answer = await _post(fleet, "/devices/phone-001/inputs", json=body)
        assert answer.status_code == 400
        assert "secret" not in answer.text


async def test_a_press_is_answered_with_the_devices_answer() -> None:
    async with web_fleet(PHONES) as fleet:
        answer = await _post(fleet, "/devices/phone-001/inputs", json={"action": "swipeUp"})
        assert answer.json() == {
            "state": "failed",
            "error": "deviceLocked",
            "message": "The device asks for its passcode.",
        }
        saved = (await fleet.http.get("/session.yaml")).text
        assert "user.swipe_up: {device: phone-001, answer: deviceLocked}" in saved


async def test_unknown_form_actions_and_devices_change_nothing() -> None:
    async with web_fleet(PHONES) as fleet:
        token = (await _token(fleet))["x-csrf-token"]
        form = {"csrf_token": token, "do": "fly"}
        for path in ("/portal", "/console", "/account"):
            assert (await fleet.http.post(path, data=form)).status_code == 303
        form |= {"do": "reset_passcode", "device": "nothing"}
        assert (await fleet.http.post("/console", data=form)).status_code == 303
        assert "Select one or more devices" in (await fleet.http.get("/console")).text
        assert (await fleet.http.get("/portal?device=phone-001")).status_code == 303
        assert "a signed-in user" in (await fleet.http.get("/portal")).text


async def test_missing_and_unknown_fields_are_reported_in_plain_words() -> None:
    async with web_fleet(PHONES) as fleet:
        token = (await _token(fleet))["x-csrf-token"]

        async def post(path: str, do: str, **fields: str) -> str:
            data = {"csrf_token": token, "do": do, **fields}
            assert (await fleet.http.post(path, data=data)).status_code == 303
            return (await fleet.http.get(path)).text

        assert "A field is empty" in await post("/portal", "address", address="")
        assert "A field is empty" in await post("/account", "method", method="pigeon")
        await post("/account", "credentials", user="alex", password="any")
        await fleet.http.get("/account?page=mobilePhone")
        fields = {"country": "+1", "number": "not a number"}
        assert "This is not a phone number." in await post("/account", "register", **fields)


async def test_a_user_with_a_password_needs_it_and_the_scenario_does_not_hold_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALEX_PW", "only-alex-knows")
    users = '[users.alex]\npassword = { env = "ALEX_PW" }\n'
    async with web_fleet(users + PHONES) as fleet:
        token = (await _token(fleet))["x-csrf-token"]

        async def sign_in(password: str) -> str:
            for fields in (
                {"do": "address", "address": "alex"},
                {"do": "account", "account": "work"},
                {"do": "password", "password": password},
            ):
                await fleet.http.post("/portal", data={"csrf_token": token, **fields})
            return (await fleet.http.get("/portal")).text

        assert "incorrect" in await sign_in("wrong-one")
        assert "incorrect" in await sign_in("")
        assert "Welcome, <bdi>alex</bdi>" in await sign_in("only-alex-knows")
        saved = (await fleet.http.get("/session.yaml")).text
        assert "only-alex-knows" not in saved
        assert "wrong-one" not in saved
