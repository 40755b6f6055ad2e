"""`aws-iot-jobs` against MiniStack: jobs of boto3, devices with certificates of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.dialect_packages import Cloud, cloud
from tests.support.fleet_processes import Process, Start

FLEET = """\
[broker]
url = "mqtts://localhost:PORT"
ca = "ca.pem"

[control]
url = "embedded"

[[group]]
name = "phones"
platform = "android"
count = 3
dialect = "aws-iot-jobs"
client_id = "{id}"
cert = "certs/{id}.pem"
key = "certs/{id}.key"
passcode = "2580"
reaction = "1500ms"

[[group]]
name = "tablets"
platform = "windows_rt"
dialect = "aws-iot-jobs"
client_id = "{id}"
cert = "certs/{id}.pem"
key = "certs/{id}.key"
"""
PHONES = ("phones-001", "phones-002", "phones-003")
TABLET = "tablets-001"


@pytest.fixture
async def aws(tmp_path: Path) -> AsyncIterator[Cloud]:
    """AWS, and a fleet file for its broker."""
    async with cloud(tmp_path) as running:
        text = FLEET.replace("PORT", str(running.mqtt_port))
        (tmp_path / "fleet.toml").write_text(text)
        yield running


async def up(start: Start) -> Process:
    """A fleet whose devices are connected to AWS."""
    fleet = start("up")
    assert (await fleet.ready()).startswith("ready devices=4"), fleet.err
    return fleet


async def states(start: Start) -> dict[str, str]:
    """Kinds of passcode, as operators see them on the control broker."""
    process = start("devices", "--json")
    assert await process.ended() == 0, process.err
    devices = json.loads(process.out)["devices"]
    return {each["state"]["deviceId"]: each["state"]["passcode"] for each in devices}


@pytest.mark.timeout(300)
async def test_job_is_done_by_each_of_its_devices(aws: Cloud, start: Start) -> None:
    *phones, tablet = await aws.enroll(*PHONES, TABLET)
    await up(start)
    document = json.dumps({"operation": "resetPasscode"})
    await aws.call("create_job", jobId="reset-1", targets=[*phones, tablet], document=document)
    await aws.ended("reset-1", PHONES[0], "IN_PROGRESS")
    for phone in PHONES:
        execution = await aws.ended("reset-1", phone, "SUCCEEDED")
        details = execution["statusDetails"]["detailsMap"]
        assert details == {"message": "Passcode successfully reset"}, "AWS stores no passcode"
    refused = await aws.ended("reset-1", TABLET, "REJECTED")
    assert refused["statusDetails"]["detailsMap"]["message"]
    found = await states(start)
    assert [found[phone] for phone in PHONES] == ["temporary"] * 3
    assert found[TABLET] == "user"
    lock = json.dumps({"operation": "remoteLock"})
    for number in (1, 2, 3):
        await aws.call("create_job", jobId=f"lock-{number}", targets=phones[:1], document=lock)
    for number in (1, 2, 3):
        await aws.ended(f"lock-{number}", PHONES[0], "SUCCEEDED")


@pytest.mark.timeout(300)
async def test_job_of_a_device_without_network_waits_for_it(aws: Cloud, start: Start) -> None:
    first, *_ = await aws.enroll(*PHONES, TABLET)
    await up(start)
    assert await start("simulate", "offline", PHONES[0]).ended() == 0
    document = json.dumps({"operation": "resetPasscode"})
    await aws.call("create_job", jobId="late-1", targets=[first], document=document)
    assert (await aws.execution("late-1", PHONES[0]))["status"] == "QUEUED"
    assert await start("simulate", "online", PHONES[0]).ended() == 0
    await aws.ended("late-1", PHONES[0], "SUCCEEDED")
    assert (await states(start))[PHONES[0]] == "temporary"


@pytest.mark.timeout(300)
async def test_job_that_does_not_fit_fails_at_aws(aws: Cloud, start: Start) -> None:
    first, *_ = await aws.enroll(*PHONES, TABLET)
    fleet = await up(start)
    for job, document in (("odd-1", {"operation": "makeCoffee"}), ("odd-2", {"steps": []})):
        text = json.dumps(document)
        await aws.call("create_job", jobId=job, targets=[first], document=text)
        execution = await aws.ended(job, PHONES[0], "FAILED")
        assert execution["statusDetails"]["detailsMap"]["errorCode"] in {
            "unknownAction",
            "invalidCommand",
        }
    assert fleet.popen.poll() is None
