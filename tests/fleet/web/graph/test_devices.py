from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.fleet_files import group
from tests.support.web_fleets import LISTED, WebFleet, web_fleet

MIXED = "\n".join(
    [
        group("phones", "ios", count=5, id='"ios-{n:03}"', supervised="true"),
        group("androids", "android", count=3, id='"android-{n:03}"', owner='"kim"'),
        group("hybrid", "windows_phone_8_1", id='"wp-1"', management='"hybrid"', owner='"o\'neil"'),
        group("eas", "windows_rt", id='"rt-1"', management='"exchange_activesync"'),
    ]
)


@pytest.fixture
async def fleet() -> AsyncIterator[WebFleet]:
    async with web_fleet(MIXED) as running:
        yield running


async def names(fleet: WebFleet, query: str = "") -> list[str]:
    listed = await fleet.get(f"{LISTED}?{query}")
    return [device["deviceName"] for device in listed["value"]]


async def test_a_list_has_every_device_with_its_properties(fleet: WebFleet) -> None:
    listed = await fleet.get(LISTED)
    assert listed["@odata.context"] == (
        f"{fleet.url}/v1.0/$metadata#deviceManagement/managedDevices"
    )
    assert listed["@odata.count"] == len(listed["value"]) == 10
    assert "@odata.nextLink" not in listed
    by_name = {device["deviceName"]: device for device in listed["value"]}
    phone = by_name["ios-001"]
    assert phone["operatingSystem"] == "iOS"
    assert phone["managedDeviceOwnerType"] == "company"
    assert phone["isSupervised"] is True
    assert phone["managementAgent"] == "mdm"
    assert phone["complianceState"] == "compliant"
    assert phone["deviceRegistrationState"] == "registered"
    assert phone["userPrincipalName"] == "user1"
    assert phone["deviceActionResults"] == []
    assert by_name["wp-1"]["managementAgent"] == "configurationManagerClientMdm"
    assert by_name["rt-1"]["managementAgent"] == "eas"


async def test_ids_are_guids_made_of_root_and_device_id(fleet: WebFleet) -> None:
    first = (await fleet.get(LISTED))["value"][0]
    assert uuid.UUID(first["id"]).version == 5
    async with web_fleet(MIXED) as again:
        assert (await again.get(LISTED))["value"][0]["id"] == first["id"]
    async with web_fleet(f'[fleet]\nroot = "other"\n{MIXED}') as other:
        assert (await other.get(LISTED))["value"][0]["id"] != first["id"]


async def test_one_device_is_found_by_guid_and_by_id_in_both_key_forms(fleet: WebFleet) -> None:
    guid = (await fleet.get(f"{LISTED}/ios-001"))["id"]
    found = [
        await fleet.get(path)
        for path in (
            f"{LISTED}/{guid}",
            f"{LISTED}/{guid.upper()}",
            f"{LISTED}('{guid}')",
            f"{LISTED}('ios-001')",
            f"/beta/deviceManagement/managedDevices/{guid}",
            f"/v1.0//deviceManagement//managedDevices/{guid}/",
        )
    ]
    assert {device["deviceName"] for device in found} == {"ios-001"}
    assert found[0]["@odata.context"].endswith("#deviceManagement/managedDevices/$entity")


async def test_pages_are_linked_until_every_device_was_listed(fleet: WebFleet) -> None:
    seen, sizes = [], []
    link = f"{LISTED}?$top=4&$select=deviceName&$orderby=deviceName%20desc"
    while link:
        page = await fleet.get(link)
        seen += [device["deviceName"] for device in page["value"]]
        sizes.append(len(page["value"]))
        assert page["@odata.count"] == 10
        link = page.get("@odata.nextLink", "")
        assert not link or link.startswith(f"{fleet.url}/v1.0/deviceManagement/managedDevices?")
        assert not link or parse_qs(urlsplit(link).query)["$top"] == ["4"]
    assert sizes == [4, 4, 2]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 10


async def test_select_takes_simulated_and_other_properties_of_the_type(fleet: WebFleet) -> None:
    device = (await fleet.get(f"{LISTED}?$select=id,serialNumber&$top=1"))["value"][0]
    assert set(device) == {"id", "serialNumber"}
    assert device["serialNumber"] is None
    single = await fleet.get(f"{LISTED}/ios-001?$select=deviceActionResults")
    assert single["deviceActionResults"] == []
    assert set(single) == {"@odata.context", "deviceActionResults"}


async def test_filters_and_orders(fleet: WebFleet) -> None:
    assert await names(fleet, "$filter=operatingSystem eq 'android'") == [
        "android-001",
        "android-002",
        "android-003",
    ]
    assert await names(
        fleet, "$filter=startswith(deviceName,'ios') and deviceName gt 'ios-003'"
    ) == [
        "ios-004",
        "ios-005",
    ]
    assert await names(fleet, "$filter=userPrincipalName eq 'o''neil'") == ["wp-1"]
    assert await names(fleet, "$filter=lastSyncDateTime lt 2000-01-01T00:00:00Z") == []
    assert (await names(fleet, "$orderby=operatingSystem desc,deviceName desc"))[:3] == [
        "wp-1",
        "rt-1",
        "ios-005",
    ]


async def test_users_have_their_devices(fleet: WebFleet) -> None:
    kim = (await fleet.get(f"{LISTED}/android-001"))["userId"]
    for user in ("kim", kim):
        listed = await fleet.get(f"/v1.0/users/{user}/managedDevices")
        assert [device["deviceName"] for device in listed["value"]] == [
            "android-001",
            "android-002",
            "android-003",
        ]
    quoted = await fleet.get("/v1.0/users('o''neil')/managedDevices")
    assert [device["deviceName"] for device in quoted["value"]] == ["wp-1"]
    single = await fleet.get(f"/v1.0/users/{kim}/managedDevices/android-002")
    assert single["deviceName"] == "android-002"
    foreign = await fleet.http.get("/v1.0/users/kim/managedDevices/ios-001")
    assert foreign.status_code == 404


async def test_me_is_the_user_of_the_header_else_the_first(fleet: WebFleet) -> None:
    first = await fleet.get("/v1.0/me/managedDevices")
    assert [device["deviceName"] for device in first["value"]] == ["ios-001", "rt-1"]
    kim = await fleet.get("/beta/me/managedDevices", headers={"x-passfleet-user": "kim"})
    assert kim["@odata.count"] == 3
    unknown = await fleet.http.get(
        "/v1.0/me/managedDevices", headers={"x-passfleet-user": "nobody"}
    )
    assert unknown.status_code == 404


async def test_compliance_follows_the_device(fleet: WebFleet) -> None:
    assert (await fleet.act("ios-001", "resetPasscode")).status_code == 204
    await fleet.done("ios-001")
    assert await names(fleet, "$filter=complianceState eq 'inGracePeriod'") == ["ios-001"]


async def test_a_thousand_devices_are_listed_in_a_tenth_of_a_second() -> None:
    async with web_fleet(group("many", "android", count=1000, connection='"shared"')) as fleet:
        await fleet.get(LISTED)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            listed = await fleet.get(LISTED)
            times.append(time.perf_counter() - started)
            assert len(listed["value"]) == 1000
    assert min(times) < 0.1
