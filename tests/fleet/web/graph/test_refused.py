from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from broker.errors import FileError
from fleet.config.loader import load_fleet, parse_fleet
from fleet.web.graph.error_codes import ERROR_CODES, OTHER_ERROR, error_number
from fleet.web.graph.errors import GraphError
from fleet.web.graph.throttle import Throttle
from tests.support.fleet_files import group
from tests.support.web_fleets import LISTED, web_fleet

PHONES = group("phone", "android", count=3)
PAGE = Path(__file__).parents[4] / "docs" / "graph.md"


def checked(error: dict[str, Any], client_id: str | None = None) -> dict[str, Any]:
    """The error, after a look at its shape."""
    inner = error["error"]["innerError"]
    assert uuid.UUID(inner["request-id"])
    assert inner["date"]
    assert inner["client-request-id"] == (client_id or inner["request-id"])
    return dict(error["error"])


async def test_errors_have_graphs_shape() -> None:
    async with web_fleet(PHONES) as fleet:
        answer = await fleet.http.get(f"{LISTED}/no-such", headers={"client-request-id": "mine"})
        assert answer.status_code == 404
        error = checked(answer.json(), "mine")
        assert error["code"] == "ResourceNotFound"
        assert answer.headers["request-id"] == error["innerError"]["request-id"]


PATHS = [
    ("/v1.0", 404),
    ("/v1.0/", 404),
    ("/v1.0/deviceManagement", 404),
    ("/v1.0/users", 404),
    ("/v1.0/users/user1", 404),
    ("/v1.0/users/no-such/managedDevices", 404),
    ("/v1.0/deviceManagement/deviceCompliancePolicies", 404),
    (f"{LISTED}/a/b/c/d", 404),
    (f"{LISTED}/%00", 404),
    (f"{LISTED}/..%2f..%2fetc", 404),
    (f"{LISTED}('')", 404),
    (f"{LISTED}/{'x' * 5000}", 404),
    (f"{LISTED}/%F0%9F%92%A9", 404),
    (f"{LISTED}?$top=0", 400),
    (f"{LISTED}?$top=-1", 400),
    (f"{LISTED}?$top=many", 400),
    (f"{LISTED}?$top=1&$top=2", 400),
    (f"{LISTED}?$skip=1", 400),
    (f"{LISTED}?$expand=users", 400),
    (f"{LISTED}?$skiptoken=nonsense", 400),
    (f"{LISTED}?$skiptoken=", 400),
    (f"{LISTED}?$select=nonsense", 400),
    (f"{LISTED}?$select=", 400),
    (f"{LISTED}?$orderby=nonsense", 400),
    (f"{LISTED}?$orderby=deviceName up", 400),
    (f"{LISTED}?$filter=nonsense", 400),
    (f"{LISTED}?$nonsense=1", 400),
    (f"{LISTED}/phone-001?$filter=deviceName eq 'x'", 400),
    (f"{LISTED}?$filter={'x' * 5000}", 400),
]


async def test_what_is_not_there_or_not_understood_is_refused() -> None:
    async with web_fleet(PHONES) as fleet:
        for path, status in PATHS:
            answer = await fleet.http.get(path)
            assert (path, answer.status_code) == (path, status), answer.text
            checked(answer.json())


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with web_fleet(PHONES) as fleet:
        for body in (b"{", b"[1]", b'"x"', b"\xff", b"[" * 50_000, b'{"a": NaN}'):
            answer = await fleet.http.post(f"{LISTED}/phone-001/resetPasscode", content=body)
            assert answer.status_code == 400
            checked(answer.json())
        assert await fleet.result("phone-001") == {}
        huge = await fleet.http.post("/v1.0/$batch", content=b" " * 300_000)
        assert huge.status_code == 413
        checked(huge.json())


async def test_other_query_options_are_passed_over() -> None:
    async with web_fleet(PHONES) as fleet:
        listed = await fleet.get(f"{LISTED}?api-version=1&top=2&$count=true")
        assert len(listed["value"]) == 2


async def test_lenient_filters_are_ignored_where_they_are_not_understood() -> None:
    async with web_fleet(f'[graph]\nfilters = "lenient"\n{PHONES}') as fleet:
        assert (await fleet.get(f"{LISTED}?$filter=nonsense"))["@odata.count"] == 3
        one = await fleet.get(f"{LISTED}?$filter=deviceName eq 'phone-001'")
        assert one["@odata.count"] == 1


async def test_a_token_is_demanded_where_one_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PF_GRAPH", "s3cret-enough")
    async with web_fleet(f'[graph]\ntoken = {{ env = "PF_GRAPH" }}\n{PHONES}') as fleet:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret-enough"}):
            answer = await fleet.http.get(LISTED, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert checked(answer.json())["code"] == "InvalidAuthenticationToken"
        await fleet.get(LISTED, headers={"Authorization": "Bearer s3cret-enough"})
        pages = await fleet.http.get("/")
        assert pages.status_code != 401


async def test_too_many_requests_are_refused_with_retry_after() -> None:
    async with web_fleet(f'[graph]\nthrottle = "2/10s"\n{PHONES}') as fleet:
        await fleet.get(LISTED)
        parts = [{"id": str(n), "method": "GET", "url": "/me/managedDevices"} for n in (1, 2)]
        answered = (await fleet.http.post("/v1.0/$batch", json={"requests": parts})).json()
        assert [r["status"] for r in answered["responses"]] == [200, 429]
        assert answered["responses"][1]["headers"]["Retry-After"].isdecimal()
        refused = await fleet.http.get(LISTED)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert checked(refused.json())["code"] == "TooManyRequests"


def test_a_throttle_lets_through_what_its_window_has_room_for() -> None:
    now = 0.0
    throttle = Throttle(2, 10.0, lambda: now)
    throttle.take()
    now = 4.0
    throttle.take()
    with pytest.raises(GraphError) as refused:
        throttle.take()
    assert refused.value.headers == {"Retry-After": "6"}
    now = 10.0
    throttle.take()
    with pytest.raises(GraphError):
        throttle.take()


def test_every_error_code_of_a_result_has_its_number() -> None:
    assert error_number(None) == 0
    assert len(set(ERROR_CODES.values())) == len(ERROR_CODES)
    assert all(error_number(code) == number for code, number in ERROR_CODES.items())
    assert error_number("somethingNew") == OTHER_ERROR
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert {code: int(number) for number, code in listed} == ERROR_CODES
    assert max(*ERROR_CODES.values(), OTHER_ERROR) < 2**31


@pytest.mark.parametrize(
    ("lines", "line", "key"),
    [
        ("throttle = 2", 2, "graph.throttle"),
        ('throttle = "2"', 2, "graph.throttle"),
        ('throttle = "0/10s"', 2, "graph.throttle"),
        ('throttle = "2/10"', 2, "graph.throttle"),
        ('throttle = "2/0s"', 2, "graph.throttle"),
        ('filters = "loose"', 2, "graph.filters"),
        ('token = "s3cret"', 2, "graph.token"),
        ("token = {}", 2, "graph.token"),
        ('throttle = "2/10s"\ntokens = {}', 3, "graph.tokens"),
    ],
)
def test_a_wrong_graph_table_is_refused_with_its_place(
    tmp_path: Path, lines: str, line: int, key: str
) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(f"[graph]\n{lines}\n{PHONES}")
    with pytest.raises(FileError) as refused:
        load_fleet(path)
    assert (refused.value.line, refused.value.key) == (line, key)
    assert "s3cret" not in str(refused.value)


def test_a_graph_token_that_is_not_there_names_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PF_NOT_SET", raising=False)
    config = parse_fleet(
        f'[graph]\ntoken = {{ env = "PF_NOT_SET" }}\n{PHONES}', tmp_path / "f.toml"
    )
    with pytest.raises(FileError, match="PF_NOT_SET") as refused:
        config.graph_token()
    assert (refused.value.line, refused.value.key) == (2, "graph.token.env")


async def test_hostile_names_stay_json() -> None:
    owner = json.dumps("<script>alert(1)</script>\u202e" + "x" * 200)
    async with web_fleet(group("phone", "android", owner=owner)) as fleet:
        answer = await fleet.http.get(LISTED)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        user = answer.json()["value"][0]["userPrincipalName"]
        assert user == json.loads(owner)
        found = await fleet.get(f"/v1.0/users/{answer.json()['value'][0]['userId']}/managedDevices")
        assert found["@odata.count"] == 1
