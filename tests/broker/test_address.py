"""Broker URLs: valid and invalid ones, and messages without passwords."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from broker.address import BrokerAddress
from broker.errors import UsageError


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "shown"),
    [
        ("mqtt://broker", "broker", 1883, "", "mqtt://broker:1883"),
        ("mqtts://Broker.Example.com", "broker.example.com", 8883, "", None),
        ("ws://broker", "broker", 80, "/mqtt", "ws://broker:80/mqtt"),
        ("wss://broker/", "broker", 443, "/mqtt", "wss://broker:443/mqtt"),
        ("wss://broker/in/here", "broker", 443, "/in/here", "wss://broker:443/in/here"),
        ("mqtt://[::1]:1884", "::1", 1884, "", "mqtt://[::1]:1884"),
        ("MQTT://10.0.0.7:99/", "10.0.0.7", 99, "", "mqtt://10.0.0.7:99"),
        ("mqtt://my_host:1", "my_host", 1, "", "mqtt://my_host:1"),
        ("mqtt://[fe80::1%25eth0]", "fe80::1%eth0", 1883, "", "mqtt://[fe80::1%25eth0]:1883"),
    ],
)
def test_parse_accepts(url: str, host: str, port: int, path: str, shown: str | None) -> None:
    address = BrokerAddress.parse(url)
    assert (address.host, address.port, address.path) == (host, port, path)
    assert shown is None or address.url == shown


def test_parse_reads_credentials_and_never_shows_them() -> None:
    address = BrokerAddress.parse("mqtt://fleet:s%40cret%2F@host")
    assert (address.username, address.password) == ("fleet", "s@cret/")
    assert address.url == "mqtt://host:1883"
    assert "s@cret" not in repr(address)


def test_parse_lets_keywords_win_over_the_url() -> None:
    address = BrokerAddress.parse("mqtt://a:b@host", username="c", password="d")
    assert (address.username, address.password) == ("c", "d")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host:1883",
        "http://host",
        "mqtt://",
        "mqtt://host:0",
        "mqtt://host:65536",
        "mqtt://host:hunter2",
        "mqtt://host:-1",
        "mqtt://u:hunter2@",
        "mqtt://u:hun/ter2@host",
        "mqtt://u:hunter2?@host",
        "mqtt://u:hunter2#@host",
        "mqtt://u:[hunter2@host",
        "mqtt://u:hunter2@host/path",
        "mqtt://:hunter2@host",
        "mqtt://u:hunter2@host?tls=1",
        "mqtt://u:hunter2@ho st",
        "mqtt://u:hunter2@host\n",
        "mqtt://u:hunter2@[::1",
        "mqtt://u:hunter2@[nonsense]",
        "hunter2@mqtt://host",
        "embeded",
    ],
)
def test_parse_refuses_and_never_repeats_a_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerAddress.parse(url)
    error = caught.value
    assert error.hint
    chain = [error, error.__cause__, *([] if error.__suppress_context__ else [error.__context__])]
    for link in chain:
        assert "hun" not in str(link)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("mqtt://127.0.0.1", True),
        ("mqtt://127.1.2.3", True),
        ("mqtt://[::1]", True),
        ("mqtt://localhost", True),
        ("mqtt://LOCALHOST.", True),
        ("mqtt://broker.localhost", True),
        ("mqtt://192.168.1.1", False),
        ("mqtt://[fe80::1%25eth0]", False),
        ("mqtt://localhost.example.com", False),
    ],
)
def test_is_loopback(url: str, loopback: bool) -> None:  # noqa: FBT001
    assert BrokerAddress.parse(url).is_loopback is loopback


def test_certificates_without_tls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        BrokerAddress.parse("mqtt://host", ca=tmp_path / "ca.pem")


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(UsageError, match="certificate"):
        BrokerAddress.parse("mqtts://host", key="key.pem")


def test_a_password_needs_a_user_name() -> None:
    with pytest.raises(UsageError, match="user name"):
        BrokerAddress.parse("mqtt://host", password="hunter2")


def test_ssl_context_verifies_by_default() -> None:
    context = BrokerAddress.parse("mqtts://host").ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("content", [None, "no certificate"])
@pytest.mark.parametrize("which", ["ca", "cert"])
def test_ssl_context_names_the_file_at_fault(
    tmp_path: Path, which: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    address = BrokerAddress.parse("mqtts://host", **{which: file})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"file\.pem"):
        address.ssl_context()
