"""Probe results for any broker, and external brokers with TLS and login."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
import pytest_asyncio

from broker.address import BrokerAddress
from broker.errors import BrokerError
from broker.server import mosquitto
from broker.server.child_process import ChildProcess
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from tests.support.brokers import free_port, listens, need, until
from tests.support.certificates import Certificates


async def test_url_starts_no_broker() -> None:
    async with open_broker("mqtt://127.0.0.1:1", username="u", password="p") as handle:
        assert handle.pid is None
        assert not handle.died.done()
        assert (handle.address.username, handle.address.password) == ("u", "p")
        with pytest.raises(BrokerError, match=r"nothing listens at mqtt://127\.0\.0\.1:1"):
            await probe(handle.address)


@contextlib.asynccontextmanager
async def other_server(answer: bytes | None) -> AsyncIterator[int]:
    """Run a TCP server that is not an MQTT broker. `answer` None never answers."""
    connections = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await until(lambda: all(task is None or task.done() for task in connections))


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws"])
@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_probe_of_a_server_that_is_no_broker(scheme: str, answer: bytes | None) -> None:
    async with other_server(answer) as port:
        address = BrokerAddress.parse(f"{scheme}://127.0.0.1:{port}")
        started = time.perf_counter()
        with pytest.raises(BrokerError) as caught:
            await probe(address, timeout=0.7)
        assert time.perf_counter() - started < 2
        assert address.url in str(caught.value)
        assert caught.value.hint


async def test_probe_of_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BrokerError, match="host name of mqtt://nowhere:1883 cannot be resolved"):
        await probe(BrokerAddress.parse("mqtt://nowhere"))


@pytest.mark.parametrize("name", [EMBEDDED, MOSQUITTO])
async def test_probe_works_with_high_file_descriptors(name: str) -> None:
    need(name)
    async with open_broker(name) as handle:
        with contextlib.ExitStack() as stack:
            while stack.enter_context(socket.socket()).fileno() < 1_100:
                pass
            await probe(handle.address)


class SecuredMosquitto:
    """Mosquitto with TLS and a login; a second port requires client certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.mutual_port = free_port(), free_port()

    def prepare(self) -> None:
        """Create the certificates and write the configuration."""
        minted = Certificates(self.folder)
        minted.authority("other")
        minted.server()
        minted.signed("wrong-name", "subjectAltName=DNS:elsewhere.example")
        minted.signed("client", "extendedKeyUsage=clientAuth")
        passwords = self.folder / "passwords"
        argv = ["mosquitto_passwd", "-b", "-c", str(passwords), "fleet", "s3cret"]
        subprocess.run(argv, cwd=self.folder, check=True, capture_output=True)
        passwords.chmod(0o600)
        common = f"cafile {self.folder}/ca.pem\ncertfile {self.folder}/server.pem\n"
        common += f"keyfile {self.folder}/server.key\n"
        (self.folder / "conf").write_text(
            f"listener {self.port} 127.0.0.1\n{common}"
            f"listener {self.mutual_port} 127.0.0.1\n{common}require_certificate true\n"
            f"allow_anonymous false\npassword_file {passwords}\nuser root\nlog_dest stderr\n"
        )

    def address(self, *, port: int | None = None, **options: object) -> BrokerAddress:
        given = {"username": "fleet", "password": "s3cret", "ca": self.folder / "ca.pem", **options}
        return BrokerAddress.parse(f"mqtts://127.0.0.1:{port or self.port}", **given)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredMosquitto]:
    need(MOSQUITTO)
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("missing server: mosquitto with a login needs mosquitto_passwd")
    server = SecuredMosquitto(tmp_path)
    server.prepare()
    child = ChildProcess(
        [str(mosquitto.find_mosquitto()), "-c", str(tmp_path / "conf")], name="Mosquitto"
    )
    await until(lambda: child.ended or listens(server.mutual_port))
    assert not child.ended, child.log()
    yield server
    await child.stop()


async def test_tls_and_login_are_accepted(secured: SecuredMosquitto) -> None:
    address = secured.address()
    await probe(address)
    async with aiomqtt.Client(
        address.host,
        address.port,
        username=address.username,
        password=address.password,
        tls_context=address.ssl_context(),
    ) as client:
        await client.subscribe("t", qos=1)
        await client.publish("t", b"over TLS", qos=1)
        assert (await anext(aiter(client.messages))).payload == b"over TLS"


async def test_client_certificate_is_accepted(secured: SecuredMosquitto) -> None:
    folder = secured.folder
    await probe(
        secured.address(
            port=secured.mutual_port, cert=folder / "client.pem", key=folder / "client.key"
        )
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"password": "wrong"}, "refused the connection with this login"),
        ({"username": None, "password": None}, "refused the connection without a user name"),
        ({"ca": None}, "certificate of .* is refused: "),
        ({"ca": "other.pem"}, "certificate of .* is refused: "),
        ({"port": "mutual"}, "wants a client certificate|certificate required"),
    ],
)
async def test_probe_reports_the_reason_of_a_refusal(
    secured: SecuredMosquitto, options: dict[str, object], words: str
) -> None:
    given = dict(options)
    if isinstance(given.get("ca"), str):
        given["ca"] = secured.folder / str(given["ca"])
    if given.get("port"):
        given["port"] = secured.mutual_port
    with pytest.raises(BrokerError, match=words) as caught:
        await probe(secured.address(**given))  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert "s3cret" not in str(caught.value)


async def test_probe_quotes_the_alert_for_a_missing_certificate(secured: SecuredMosquitto) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=secured.folder / "ca.pem")
    context.load_cert_chain(secured.folder / "server.pem", secured.folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        # asyncio's server would close without sending the alert.
        with listening, listening.accept()[0] as accepted:
            tls = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
            # Closing on what the client has sent meanwhile would reset the connection, and the
            # alert with it: read that first.
            with tls, socket.socket(fileno=os.dup(tls.fileno())) as raw:
                with contextlib.suppress(OSError):
                    tls.do_handshake()
                with contextlib.suppress(OSError):
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(4096):
                        pass

    refusing = asyncio.create_task(asyncio.to_thread(refuse))
    with pytest.raises(BrokerError, match=r"refused our certificate: .*certificate required"):
        await probe(secured.address(port=listening.getsockname()[1]))
    await refusing


async def test_probe_refuses_another_host_name(secured: SecuredMosquitto) -> None:
    # The certificate is for 127.0.0.1 and localhost; 127.0.0.2 is the same machine.
    wrong = BrokerAddress.parse(f"mqtts://127.0.0.2:{secured.port}", ca=secured.folder / "ca.pem")
    with pytest.raises(BrokerError):
        await probe(wrong)


async def test_probe_of_a_tls_port_without_tls(secured: SecuredMosquitto) -> None:
    with pytest.raises(BrokerError, match="it wants TLS, or is not an MQTT"):
        await probe(BrokerAddress.parse(f"mqtt://127.0.0.1:{secured.port}"))
