from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from fleet.web.limits import RateLimit
from fleet.web.security import CONTENT_SECURITY_POLICY
from tests.support.fleet_files import group
from tests.support.web_fleets import LISTED, WebFleet, web_fleet

PHONES = group("phone", "android")
TOKEN = "a token of the web server"


def csrf_of(page: httpx.Response) -> str:
    """The token that a page carries for its forms and scripts."""
    found = re.search(r'csrf[-_]token"[^>]*?(?:content|value)="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text
    return found[1]


async def test_every_answer_has_the_security_headers() -> None:
    async with web_fleet(PHONES) as fleet:
        for path in ("/", "/no-such-page", LISTED, "/v1.0/nothing"):
            headers = (await fleet.http.get(path)).headers
            assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "same-origin"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


async def test_a_foreign_host_is_refused() -> None:
    async with web_fleet(PHONES) as fleet:
        port = fleet.url.rpartition(":")[2]
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1.evil.example",
            "",
            "[",
            "a b",
        ):
            for path in ("/", LISTED):
                answer = await fleet.http.get(path, headers={"Host": host})
                assert (host, answer.status_code) in ((host, 403), (host, 400))
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost"):
            assert (await fleet.http.get(LISTED, headers={"Host": host})).status_code == 200


async def test_a_foreign_origin_is_refused() -> None:
    async with web_fleet(PHONES) as fleet:
        for origin in ("http://evil.example", "null", "http://127.0.0.1", "https" + fleet.url[4:]):
            headers = {"Origin": origin}
            assert (await fleet.http.get("/", headers=headers)).status_code == 403
            answer = await fleet.act("phone-001", "resetPasscode", headers=headers)
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "Forbidden"
        assert await fleet.result("phone-001") == {}
        own = await fleet.act("phone-001", "resetPasscode", headers={"Origin": fleet.url})
        assert own.status_code == 204


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async with web_fleet(PHONES) as fleet:
        cookie = (await fleet.http.get("/")).headers["set-cookie"]
        port = fleet.url.rpartition(":")[2]
        assert cookie.startswith(f"passfleet_session_{port}=")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "set-cookie" not in (await fleet.http.get("/")).headers
        assert "set-cookie" not in (await fleet.http.get(LISTED)).headers


async def refused_posts(fleet: WebFleet, csrf: str) -> None:
    for data in ({}, {"csrf_token": "x"}, {"csrf_token": "é"}, {"csrf_token": csrf[:-1]}):
        assert (await fleet.http.post("/login", data=data)).status_code == 403
    answer = await fleet.http.post("/login", headers={"x-csrf-token": "wrong"})
    assert answer.status_code == 403


async def test_a_form_needs_the_token_of_its_own_session() -> None:
    async with web_fleet(PHONES, token=TOKEN) as fleet:
        csrf = csrf_of(await fleet.http.get("/login"))
        await refused_posts(fleet, csrf)
        async with httpx.AsyncClient(base_url=fleet.url, trust_env=False) as other:
            theirs = csrf_of(await other.get("/login"))
        assert theirs != csrf
        for token in (theirs, csrf):
            answer = await fleet.http.post("/login", data={"csrf_token": token, "token": TOKEN})
            assert answer.status_code == (303 if token == csrf else 403)
        # A cookie that this server has not signed begins a new session.
        fleet.http.cookies.clear()
        forged = {"Cookie": f"passfleet_session_{fleet.url.rpartition(':')[2]}=mine.0000"}
        assert "set-cookie" in (await fleet.http.get("/login", headers=forged)).headers


async def test_with_a_token_nothing_is_shown_before_the_login() -> None:
    async with web_fleet(PHONES, token=TOKEN) as fleet:
        page = await fleet.http.get("/")
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert (await fleet.http.get("/events")).status_code == 303
        assert (await fleet.http.get(LISTED)).status_code == 401
        listed = await fleet.http.get(LISTED, headers={"Authorization": f"Bearer {TOKEN}"})
        assert listed.status_code == 200
        csrf = csrf_of(await fleet.http.get("/login"))
        wrong = await fleet.http.post("/login", data={"csrf_token": csrf, "token": "wrong"})
        assert wrong.status_code == 403
        assert TOKEN not in wrong.text
        right = await fleet.http.post("/login", data={"csrf_token": csrf, "token": TOKEN})
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert (await fleet.http.get("/")).status_code == 200
        async with httpx.AsyncClient(base_url=fleet.url, trust_env=False) as other:
            assert (await other.get("/")).status_code == 303


async def test_guessing_the_token_is_slowed_down() -> None:
    async with web_fleet(PHONES, token=TOKEN) as fleet:
        csrf = csrf_of(await fleet.http.get("/login"))
        data = {"csrf_token": csrf, "token": "guess"}
        codes = [(await fleet.http.post("/login", data=data)).status_code for _ in range(6)]
        assert codes == [403] * 5 + [429]


async def test_a_request_that_is_too_large_is_refused_unread() -> None:
    async with web_fleet(PHONES) as fleet:

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b" " * 10_000

        for content in (b" " * 300_000, endless()):
            answer = await fleet.http.post("/v1.0/$batch", content=content)
            assert answer.status_code == 413
        assert (await fleet.http.get(LISTED)).status_code == 200


def test_a_rate_limit_lets_a_burst_through_and_then_the_rate() -> None:
    now = 0.0
    limit = RateLimit(2, 1.0, lambda: now)
    assert [limit.wait("a"), limit.wait("a")] == [0, 0]
    assert limit.wait("a") == pytest.approx(1.0)
    assert limit.wait("b") == 0
    now = 1.0
    assert limit.wait("a") == 0
    assert limit.wait("a") > 0
