"""The dialects that passfleet ships: messages as their back-ends send and expect them."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from broker.contract import ActionResult, Presence
from broker.dialects.definition import PRESETS
from broker.dialects.dialect import Dialect
from broker.dialects.reader import preset_dialect, read_dialects
from broker.dialects.toml_text import dialect_toml
from broker.dialects.trial import try_dialect

DEVICE = {"deviceId": "d-1", "group": "g", "platform": "ios", "owner": "alex", "root": "r"}


def result(state: str = "done", error: str | None = None, passcode: str | None = None) -> Any:
    return ActionResult.model_validate(
        {
            "commandId": "c-1",
            "deviceId": "d-1",
            "actionName": "resetPasscode",
            "actionState": state,
            "message": "a text",
            "newPasscode": passcode,
            "errorCode": error,
            "startDateTime": 0,
            "lastUpdatedDateTime": 0,
        }
    )


def published(name: str, carried: dict[str, Any], *args: Any) -> tuple[str, Any] | None:
    message = preset_dialect(name).render("result", result(*args), DEVICE, carried)
    return None if message is None else (message.topic, json.loads(message.payload))


def read(name: str, topic: str, payload: Any) -> Any:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return preset_dialect(name).read(topic, data)


@pytest.mark.parametrize("name", PRESETS)
def test_each_has_a_source_and_survives_both_ways(name: str) -> None:
    dialect = preset_dialect(name)
    assert dialect.about.title
    assert dialect.about.source
    assert dialect.about.date
    assert [trial.unreadable for trial in try_dialect(dialect)] == [None] * len(
        try_dialect(dialect)
    )


@pytest.mark.parametrize("name", PRESETS)
def test_its_toml_is_the_dialect_again(name: str) -> None:
    table = tomllib.loads(dialect_toml(name, preset_dialect(name).table))["dialects"][name]
    assert table == preset_dialect(name).table
    problems: list[Any] = []
    assert read_dialects({"copy": table}, problems)
    assert not problems


@pytest.mark.parametrize("leaf", ["notify-next", "$next/get/accepted"])
def test_aws_job(leaf: str) -> None:
    execution = {
        "jobId": "j-7",
        "status": "QUEUED",
        "versionNumber": 3,
        "jobDocument": {"operation": "remoteLock", "message": "call us"},
    }
    topic = f"$aws/things/d-1/jobs/{leaf}"
    arrival = read("aws-iot-jobs", topic, {"timestamp": 1, "execution": execution})
    assert arrival.values == {
        "commandId": "j-7",
        "actionName": "remoteLock",
        "message": "call us",
        "issuedBy": "admin",
    }
    assert arrival.carried == {"version": 3}
    assert read("aws-iot-jobs", topic, {"timestamp": 1}).ignored


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("active", "IN_PROGRESS"),
        ("done", "SUCCEEDED"),
        ("failed", "FAILED"),
        ("notSupported", "REJECTED"),
    ],
)
def test_aws_job_update(state: str, status: str) -> None:
    assert published("aws-iot-jobs", {"version": 3}, state, None, "k3Wq9T") == (
        "$aws/things/d-1/jobs/c-1/update",
        {
            "status": status,
            "expectedVersion": 3,
            "clientToken": "c-1",
            "statusDetails": {"message": "a text"},
        },
    )


def test_aws_job_asks_for_the_next_one_on_connect() -> None:
    (asked,) = preset_dialect("aws-iot-jobs").render_all("connect", DEVICE)
    assert (asked.topic, asked.payload) == ("$aws/things/d-1/jobs/$next/get", b"{}")


def test_aws_job_rejected() -> None:
    arrival = read(
        "aws-iot-jobs",
        "$aws/things/d-1/jobs/c-1/update/rejected",
        {"code": "VersionMismatch", "message": "no", "clientToken": "c-1"},
    )
    assert arrival.section == "rejected"
    assert arrival.values == {"commandId": "c-1", "code": "VersionMismatch", "message": "no"}


def test_aws_command() -> None:
    topic = "$aws/commands/things/d-1/executions/e-1/request/json"
    arrival = read("aws-iot-commands", topic, {"operation": "resetPasscode"})
    assert arrival.values["commandId"] == "e-1"
    sent = published("aws-iot-commands", {}, "failed", "notEnrolled")
    assert sent == (
        "$aws/commands/things/d-1/executions/c-1/response/json",
        {
            "status": "FAILED",
            "statusReason": {"reasonCode": "NOT_ENROLLED", "reasonDescription": "a text"},
        },
    )


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"commandId":null}'])
def test_azure_direct_method(payload: bytes) -> None:
    topic = "$iothub/methods/POST/resetPasscode/?$rid=42"
    arrival = read("azure-direct-methods", topic, payload)
    assert arrival.refusal is None
    assert arrival.values == {"actionName": "resetPasscode", "issuedBy": "admin"}
    assert arrival.carried == {"rid": "42"}


@pytest.mark.parametrize(
    ("state", "status"), [("done", 200), ("failed", 400), ("notSupported", 501)]
)
def test_azure_answer(state: str, status: int) -> None:
    sent = published("azure-direct-methods", {"rid": "42"}, state)
    assert sent == (
        f"$iothub/methods/res/{status}/?$rid=42",
        {"commandId": "c-1", "message": "a text"},
    )


def test_azure_takes_one_answer_to_a_call() -> None:
    assert published("azure-direct-methods", {"rid": "42"}, "active") is None


def test_azure_cloud_to_device_message() -> None:
    topic = "devices/d-1/messages/devicebound/%24.mid=a&%24.to=%2Fdevices%2Fd-1"
    arrival = read("azure-direct-methods", topic, {"actionName": "wipe", "commandId": "c-9"})
    assert arrival.values == {"actionName": "wipe", "commandId": "c-9", "issuedBy": "admin"}
    sent = published("azure-direct-methods", {})
    assert sent is not None
    assert sent[0] == "devices/d-1/messages/events/"


def test_thingsboard_rpc() -> None:
    topic = "v1/devices/me/rpc/request/5"
    arrival = read("thingsboard-rpc", topic, {"method": "resetPasscode", "params": {}})
    assert arrival.carried == {"rid": "5"}
    sent = published("thingsboard-rpc", {"rid": "5"}, "done", None, "k3Wq9T")
    assert sent == (
        "v1/devices/me/rpc/response/5",
        {"actionState": "done", "message": "a text", "newPasscode": "k3Wq9T"},
    )


def test_thingsboard_gateway() -> None:
    request = {"device": "d-1", "data": {"id": 5, "method": "resetPasscode"}}
    arrival = read("thingsboard-gateway", "v1/gateway/rpc", request)
    assert (arrival.device_id, arrival.carried) == ("d-1", {"rid": 5})
    sent = published("thingsboard-gateway", {"rid": 5})
    assert sent == (
        "v1/gateway/rpc",
        {"device": "d-1", "id": 5, "data": {"actionState": "done", "message": "a text"}},
    )
    # What the device publishes itself is not a request.
    assert read("thingsboard-gateway", *sent).ignored
    online = Presence(status="online", session=1)
    message = preset_dialect("thingsboard-gateway").render("presence", online, DEVICE, {})
    assert message is not None
    assert (message.topic, message.payload) == ("v1/gateway/connect", b'{"device":"d-1"}')


def test_what_does_not_survive_is_reported() -> None:
    table = {
        "command": {"topic": "a/{deviceId}/{commandId}", "payload": {"op": "{actionName}"}},
        "result": {
            "topic": "b/{deviceId}",
            "payload": {"text": "{message}-{errorCode}", "state": "{actionState}"},
        },
    }
    command, sent = try_dialect(Dialect("x", table))
    assert command.changed == ()
    assert "policy" in command.missing
    assert "errorCode null is read as ''" in sent.changed
