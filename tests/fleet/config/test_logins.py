"""Logins of single devices in fleet files."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from broker.address import BrokerAddress
from broker.errors import FileError
from fleet.config.loader import FleetConfig, parse_fleet
from tests.support.certificates import Certificates
from tests.support.fleet_files import group


def fleet(folder: Path, **options: Any) -> FleetConfig:
    return parse_fleet(group("phones", **options), folder / "fleet.toml")


def test_templates_of_a_login(tmp_path: Path) -> None:
    (tmp_path / "phones-002").write_text("secret-2\n")
    (tmp_path / "phones-001").write_text("secret-1\n")
    config = fleet(
        tmp_path,
        count=2,
        client_id='"dev-{n:04}"',
        username='"hub/{id}"',
        password='{ file = "{id}" }',
        cert='"certs/{id}.pem"',
    )
    login = config.devices()[1].login
    assert login is not None
    assert (login.client_id, login.username, login.password) == (
        "dev-0002",
        "hub/phones-002",
        "secret-2",
    )
    assert login.cert == tmp_path / "certs" / "phones-002.pem"
    assert "secret-2" not in repr(login)


def test_a_password_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW_1", "one")
    config = fleet(tmp_path, username='"{id}"', password='{ env = "PW_{n}" }')
    login = config.devices()[0].login
    assert login is not None
    assert login.password == "one"


def test_a_missing_certificate_is_reported_with_its_device(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    certificates.signed("one", "extendedKeyUsage=clientAuth")
    pair = (tmp_path / "one.pem").read_text() + (tmp_path / "one.key").read_text()
    for n in range(1, 1001):
        if n != 17:
            (tmp_path / f"phones-{n:03}.pem").write_text(pair)
    config = fleet(tmp_path, count=1000, cert='"{id}.pem"')
    with pytest.raises(FileError) as caught:
        config.check_logins()
    assert caught.value.key == "group[phones].cert"
    assert caught.value.line == 5
    assert "phones-017" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_password_is_reported_with_its_device(tmp_path: Path) -> None:
    (tmp_path / "phones-001").write_text("secret-1\n")
    config = fleet(tmp_path, count=2, username='"{id}"', password='{ file = "{id}" }')
    with pytest.raises(FileError, match="the password of device phones-002 cannot be read") as e:
        config.check_logins()
    assert e.value.line == 6


def test_a_sas_token_is_made_of_the_key(tmp_path: Path) -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    (tmp_path / "phones-001.key").write_text(key)
    name = '"hub.azure-devices.net/{id}/?api-version=2021-04-12"'
    config = fleet(tmp_path, username=name, password='{ sas_key = "{id}.key" }')
    login = config.devices()[0].login
    assert login is not None
    address = login.address(BrokerAddress.parse("mqtts://gateway.example:8883"))
    assert address.password is not None
    kind, _, token = address.password.partition(" ")
    parts = parse_qs(token)
    assert kind == "SharedAccessSignature"
    assert parts["sr"] == ["hub.azure-devices.net/devices/phones-001"]
    signed = f"hub.azure-devices.net%2Fdevices%2Fphones-001\n{parts['se'][0]}".encode()
    expected = hmac.new(b"0123456789abcdef", signed, hashlib.sha256).digest()
    signature = token.split("sig=")[1].split("&")[0]
    assert base64.b64decode(unquote(signature)) == expected


def test_a_key_that_is_no_base64_is_refused(tmp_path: Path) -> None:
    (tmp_path / "phones-001.key").write_text("not base64!")
    config = fleet(tmp_path, username='"{id}"', password='{ sas_key = "{id}.key" }')
    with pytest.raises(FileError, match="the key of device phones-001 is no Base64 text"):
        config.check_logins()


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ({"client_id": '"same"', "count": 2}, "client_id", "disconnect each other"),
        ({"key": '"{id}.key"'}, "key", "needs its certificate"),
        ({"password": '{ file = "pw" }'}, "password", "needs a user name"),
        (
            {"username": '"a"', "password": '{ file = "pw", env = "PW" }'},
            "password",
            "exactly one source",
        ),
        ({"username": '"a"', "password": '"2580"'}, "password", "must not be in the fleet file"),
        ({"username": '"{name}"'}, "username", "id and n are the only fields"),
        ({"username": '"{id}"', "connection": '"shared"'}, "username", "share a connection"),
    ],
)
def test_a_mistake_is_refused(tmp_path: Path, options: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(FileError) as caught:
        fleet(tmp_path, **options)
    assert caught.value.key == f"group[phones].{key}"
    assert says in str(caught.value)
    assert "2580" not in str(caught.value)


def test_a_dialect_without_device_ids_is_accepted_with_logins(tmp_path: Path) -> None:
    config = fleet(tmp_path, dialect='"thingsboard-rpc"', username='"token-{id}"', count=2)
    assert config.devices()[0].dialect is not None
