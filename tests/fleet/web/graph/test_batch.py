from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.fleet_files import group
from tests.support.web_fleets import WebFleet, web_fleet

DEVICE = "/deviceManagement/managedDevices/phone-001"


@pytest.fixture
async def fleet() -> AsyncIterator[WebFleet]:
    async with web_fleet(group("phone", "android", count=2)) as running:
        yield running


def part(key: str, url: str = DEVICE, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"id": key, "method": method, "url": url, **more}


async def batch(fleet: WebFleet, *parts: Any, status: int = 200) -> Any:
    answer = await fleet.http.post("/v1.0/$batch", json={"requests": parts})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_each_request_has_its_answer_and_a_204_has_no_body(fleet: WebFleet) -> None:
    answered = await batch(
        fleet,
        part("a", "/deviceManagement/managedDevices?$top=1&$select=deviceName"),
        part("b", f"{DEVICE}/resetPasscode", "POST"),
        part("c", "/deviceManagement/managedDevices/nobody"),
        part("d", "/me/managedDevices", headers={"X-Passfleet-User": "user2"}),
    )
    first, second, third, fourth = answered["responses"]
    assert (first["id"], first["status"]) == ("a", 200)
    assert first["body"]["value"] == [{"deviceName": "phone-001"}]
    assert "$skiptoken" in first["body"]["@odata.nextLink"]
    assert first["headers"]["Content-Type"] == "application/json"
    assert (second["status"], "body" in second) == (204, False)
    assert third["status"] == 404
    assert third["body"]["error"]["code"] == "ResourceNotFound"
    assert fourth["body"]["value"][0]["deviceName"] == "phone-002"
    await fleet.done("phone-001")


async def test_what_depends_on_a_failure_is_not_done(fleet: WebFleet) -> None:
    answered = await batch(
        fleet,
        part("3", f"{DEVICE}/remoteLock", "POST", dependsOn=["2"]),
        part("1"),
        part("2", "/deviceManagement/managedDevices/nobody", dependsOn=["1"]),
    )
    assert [(r["id"], r["status"]) for r in answered["responses"]] == [
        ("3", 424),
        ("1", 200),
        ("2", 404),
    ]
    assert answered["responses"][0]["body"]["error"]["code"] == "FailedDependency"
    assert await fleet.result("phone-001", "remoteLock") == {}


async def test_twenty_requests_are_taken_and_not_one_more(fleet: WebFleet) -> None:
    parts = [part(str(n)) for n in range(21)]
    assert len((await batch(fleet, *parts[:20]))["responses"]) == 20
    refused = await batch(fleet, *parts, status=400)
    assert "20" in refused["error"]["message"]


MALFORMED: list[list[Any]] = [
    [],
    ["text"],
    [part("1"), part("1")],
    [{"method": "GET", "url": DEVICE}],
    [part("1", method="FETCH")],
    [{"id": "1", "method": "GET"}],
    [part("1", dependsOn="1")],
    [part("1", dependsOn=["2"])],
    [part("1", dependsOn=["2"]), part("2", dependsOn=["1"])],
    [part("1", dependsOn=["1"])],
]


async def test_a_malformed_batch_is_refused_whole(fleet: WebFleet) -> None:
    for parts in MALFORMED:
        assert (await batch(fleet, *parts, status=400))["error"]["code"] == "BadRequest"


async def test_an_url_that_is_not_below_the_version_is_refused(fleet: WebFleet) -> None:
    for url in ("https://graph.microsoft.com/v1.0/me/managedDevices", "x", "", "/$batch"):
        answered = await batch(fleet, part("1", url), part("2"))
        assert [r["status"] for r in answered["responses"]] == [400, 200]


async def test_slashes_and_a_version_before_the_path_are_passed_over(fleet: WebFleet) -> None:
    for prefix in ("/v1.0", "/beta/", "/", "//v1.0//"):
        answered = await batch(fleet, part("1", prefix + DEVICE))
        assert answered["responses"][0]["body"]["deviceName"] == "phone-001"


async def test_a_batch_takes_post_and_a_json_object(fleet: WebFleet) -> None:
    assert (await fleet.http.get("/v1.0/$batch")).status_code == 405
    for body in (b"", b"[]", b"{}", b'{"requests": 1}', b"{broken"):
        assert (await fleet.http.post("/beta/$batch", content=body)).status_code == 400
