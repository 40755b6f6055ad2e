"""Microsoft's Python SDK, unmodified, against a running fleet: `make test-graph-sdk URL=...`.

The SDK takes 475 MB, so it has an environment of its own, and pytest does not collect this file
unless it is named.
"""

from __future__ import annotations

import asyncio
import os

import pytest
from kiota_abstractions.api_error import APIError
from kiota_abstractions.authentication.api_key_authentication_provider import (
    ApiKeyAuthenticationProvider,
    KeyLocation,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.device_management.managed_devices.managed_devices_request_builder import (
    ManagedDevicesRequestBuilder,
)
from msgraph.generated.models.action_state import ActionState
from msgraph.generated.models.compliance_state import ComplianceState
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.reset_passcode_action_result import ResetPasscodeActionResult

URL = os.environ["PASSFLEET_WEB"]
Query = ManagedDevicesRequestBuilder.ManagedDevicesRequestBuilderGetQueryParameters


@pytest.fixture
def client() -> GraphServiceClient:
    provider = ApiKeyAuthenticationProvider(KeyLocation.Header, "Bearer local", "Authorization")
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{URL}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


async def names(client: GraphServiceClient, **query: object) -> list[str]:
    configuration = RequestConfiguration(query_parameters=Query(**query))
    listed = await client.device_management.managed_devices.get(configuration)
    return [device.device_name for device in listed.value]


async def test_lists_pages_and_filters(client: GraphServiceClient) -> None:
    page = await client.device_management.managed_devices.get(
        RequestConfiguration(query_parameters=Query(top=3))
    )
    seen = [device.device_name for device in page.value]
    while page.odata_next_link:
        page = await client.device_management.managed_devices.with_url(page.odata_next_link).get()
        seen += [device.device_name for device in page.value]
    assert len(seen) == len(set(seen)) == page.odata_count
    assert await names(client, filter="operatingSystem eq 'iOS'", orderby=["deviceName desc"]) == [
        "ios-003",
        "ios-002",
        "ios-001",
    ]


async def test_a_device_has_its_types(client: GraphServiceClient) -> None:
    device = await client.device_management.managed_devices.by_managed_device_id("ios-001").get()
    assert device.compliance_state is ComplianceState.Compliant
    assert device.enrolled_date_time.tzinfo is not None
    mine = await client.users.by_user_id(device.user_id).managed_devices.get()
    assert device.device_name in [each.device_name for each in mine.value]


async def test_a_reset_ends_with_its_passcode(client: GraphServiceClient) -> None:
    (listed,) = (
        await client.device_management.managed_devices.get(
            RequestConfiguration(query_parameters=Query(filter="deviceName eq 'android-001'"))
        )
    ).value
    builder = client.device_management.managed_devices.by_managed_device_id(listed.id)
    await builder.reset_passcode.post()
    async with asyncio.timeout(10):
        while True:
            device = await builder.get()
            done = [
                result
                for result in device.device_action_results
                if result.action_state is ActionState.Done
            ]
            if done:
                break
            await asyncio.sleep(0.05)
    assert isinstance(done[0], ResetPasscodeActionResult)
    assert done[0].passcode
    assert done[0].error_code == 0
    assert listed.device_action_results == []


async def test_errors_are_the_sdk_s_own(client: GraphServiceClient) -> None:
    devices = client.device_management.managed_devices
    with pytest.raises(ODataError) as missing:
        await devices.by_managed_device_id("nobody").get()
    assert missing.value.response_status_code == 404
    assert missing.value.error.code == "ResourceNotFound"
    assert missing.value.error.inner_error.request_id
    with pytest.raises(APIError) as refused:
        await devices.by_managed_device_id("ios-001").locate_device.post()
    assert refused.value.response_status_code == 400
