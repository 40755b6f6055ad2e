"""Brokers that passfleet starts: their start, their end, and what a probe says of any broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiomqtt
import pytest
import pytest_asyncio
from raw_mqtt import RawClient, field, packet
from test_brokers import need

from broker import amqtt_routing, mosquitto
from broker._process import Child
from broker.address import BrokerAddress
from broker.embedded import _argv, embedded_broker
from broker.errors import BrokerError
from broker.server import EMBEDDED, MOSQUITTO, open_broker, probe

both = pytest.mark.parametrize("name", [EMBEDDED, MOSQUITTO])
ROOT = Path(__file__).resolve().parent.parent


async def until(condition: Callable[[], bool], limit: float = 10.0) -> None:
    """Wait for a condition, looked at often, within a limit in seconds."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


@both
async def test_it_starts_and_stops_fast_and_alone(name: str) -> None:
    need(name)
    started = time.perf_counter()
    async with open_broker(name) as handle:
        assert time.perf_counter() - started < 2
        assert handle.address.is_loopback
        assert handle.pid is not None
        assert os.getsid(handle.pid) != os.getsid(0)  # a terminal's Ctrl-C does not reach it
        clients = [
            await RawClient.connect(handle.address.port, f"c-{number}") for number in range(1_000)
        ]
        stopping = time.perf_counter()
    assert time.perf_counter() - stopping < 0.5
    assert handle.died.cancelled()
    assert not listens(handle.address.port)
    for client in clients:
        await client.closed()


@both
async def test_its_death_is_told(name: str) -> None:
    need(name)
    async with open_broker(name) as handle:
        assert handle.pid is not None
        os.kill(handle.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            error = await handle.died
        assert isinstance(error, BrokerError)
        assert "ended while in use" in str(error)


@both
async def test_it_dies_with_a_killed_parent(name: str, tmp_path: Path) -> None:
    need(name)
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from broker.server import open_broker
async def main():
    async with open_broker({name!r}) as handle:
        print(handle.address.port, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert listens(port)
        parent.kill()
    await until(lambda: not listens(port), limit=5)


@both
async def test_cancelled_start_leaves_nothing(name: str) -> None:
    need(name)

    async def start() -> None:
        async with open_broker(name):
            await asyncio.sleep(60)

    task = asyncio.create_task(start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():  # noqa: ASYNC240
        await until(lambda: not children.read_text().split(), limit=5)


async def test_the_current_directory_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("broker", "json", "amqtt"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    async with embedded_broker() as handle:
        await probe(handle.address)


async def test_a_taken_port_is_said() -> None:
    async with embedded_broker(port=0) as first:
        with pytest.raises(BrokerError, match=f"port {first.address.port} on 127.0.0.1 is taken"):
            async with embedded_broker(port=first.address.port):
                pass


async def test_without_a_port_it_takes_another_when_the_usual_one_is_taken() -> None:
    async with embedded_broker() as first, embedded_broker() as second:
        assert second.address.port != first.address.port


def test_other_versions_of_amqtt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    amqtt_routing.check_amqtt_version()
    monkeypatch.setattr(amqtt_routing, "version", lambda _: "0.13.0")
    with pytest.raises(BrokerError, match=r"found 0\.13\.0"):
        amqtt_routing.check_amqtt_version()


async def test_no_payload_is_logged_even_at_debug() -> None:
    child = Child(_argv(0, "DEBUG"), name="broker")
    try:
        port = int((await child.first_line(10)).partition(":")[2].rstrip("}"))
        will = ("will", b"canary-will")
        client = await RawClient.connect(port, "canary", clean=False, will=will)
        await client.subscribe("t", "#")
        await client.publish("t", b"canary-live", retain=True)
        client.send(packet(0x30, b"\x00\x01\xffcanary-garbage"))
        await client.closed()
        client = await RawClient.connect(port, "canary", clean=False, will=will)
        await client.message()
        await client.drop()
        log = await asyncio.to_thread(child.log)
    finally:
        await child.stop()
    assert "not MQTT" in log  # it does log
    assert "canary-" not in log


async def test_qos_2_is_received_once() -> None:
    async with embedded_broker(port=0) as handle:
        client = await RawClient.connect(handle.address.port, "client")
        assert await client.subscribe("t", qos=2) == [1]
        for _ in range(2):
            client.send(packet(0x34, field(b"t") + b"\x00\x07data"))
            assert await client.expect(0x50) == b"\x00\x07"
        client.send(b"\x62\x02\x00\x07")
        assert await client.expect(0x70) == b"\x00\x07"
        await client.publish("t", b"end")
        assert [(await client.message()).data for _ in range(2)] == [b"data", b"end"]
        await client.leave()


async def test_filters_that_cannot_be_are_refused_one_by_one() -> None:
    async with embedded_broker(port=0) as handle:
        client = await RawClient.connect(handle.address.port, "client")
        assert await client.subscribe("a#", "fine", "a/#/b", "a+/b") == [0x80, 1, 0x80, 0x80]
        client.send(packet(0x10, field(b"MQTT") + b"\x04\x02\x00\x3c" + field(b"x")))
        await client.closed()  # a second CONNECT


async def test_mqtt_5_is_refused_with_a_word() -> None:
    async with embedded_broker(port=0) as handle:
        client = aiomqtt.Client(
            "127.0.0.1", handle.address.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=5
        )
        with pytest.raises(aiomqtt.MqttCodeError, match="Unsupported protocol version"):
            await client.__aenter__()


def test_a_missing_mosquitto_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosquitto, "_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError) as caught:
        mosquitto.find_mosquitto()
    assert "apt-get install mosquitto" in str(caught.value.hint)
    assert "brew install mosquitto" in str(caught.value.hint)


async def test_mosquitto_tries_again_when_its_port_was_snatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need(MOSQUITTO)
    with socket.create_server(("127.0.0.1", 0)) as thief:
        ports = iter([thief.getsockname()[1], free_port()])
        monkeypatch.setattr(mosquitto, "_free_port", lambda: next(ports))
        async with mosquitto.mosquitto_broker() as handle:
            assert handle.address.port != thief.getsockname()[1]
            await probe(handle.address)


async def test_mosquitto_that_cannot_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho 'Error: no luck today' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="did not start: Error: no luck today"):
        async with mosquitto.mosquitto_broker():
            pass


# -- a broker of one's own, and the probe ----------------------------------------------------------


async def test_a_url_starts_nothing() -> None:
    async with open_broker("mqtt://127.0.0.1:1", username="u", password="p") as handle:
        assert handle.pid is None
        assert not handle.died.done()
        assert (handle.address.username, handle.address.password) == ("u", "p")
        with pytest.raises(BrokerError, match=r"nothing listens at mqtt://127\.0\.0\.1:1"):
            await probe(handle.address)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def stranger(answer: bytes | None) -> AsyncIterator[int]:
    """Serve something that is no MQTT broker; None never answers."""
    talks = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await until(lambda: all(task is None or task.done() for task in talks))


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws"])
@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_probe_of_a_stranger(scheme: str, answer: bytes | None) -> None:
    async with stranger(answer) as port:
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


class Guarded:
    """A Mosquitto with TLS, a login and, on a second port, a demand for client certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.mutual_port = free_port(), free_port()

    def prepare(self) -> None:
        """Mint the certificates, with the openssl command line, and write the configuration."""
        self.authority("ca")
        self.authority("other")
        self.signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.signed("wrong-name", "subjectAltName=DNS:elsewhere.example")
        self.signed("client", "extendedKeyUsage=clientAuth")
        passwords = self.folder / "passwords"
        self.run("mosquitto_passwd", "-b", "-c", str(passwords), "fleet", "s3cret")
        passwords.chmod(0o600)
        common = f"cafile {self.folder}/ca.pem\ncertfile {self.folder}/server.pem\n"
        common += f"keyfile {self.folder}/server.key\n"
        (self.folder / "conf").write_text(
            f"listener {self.port} 127.0.0.1\n{common}"
            f"listener {self.mutual_port} 127.0.0.1\n{common}require_certificate true\n"
            f"allow_anonymous false\npassword_file {passwords}\nuser root\nlog_dest stderr\n"
        )

    def run(self, *argv: str) -> None:
        subprocess.run(argv, cwd=self.folder, check=True, capture_output=True)

    def authority(self, name: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self.run(
            *("openssl", "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem"),
            *("-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def signed(self, name: str, extension: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        (self.folder / "extension").write_text(extension + "\n")
        self.run(
            *("openssl", "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr"),
            *("-subj", f"/CN={name}"),
        )
        self.run(
            *("openssl", "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extension"),
        )

    def address(self, *, port: int | None = None, **options: object) -> BrokerAddress:
        given = {"username": "fleet", "password": "s3cret", "ca": self.folder / "ca.pem", **options}
        return BrokerAddress.parse(f"mqtts://127.0.0.1:{port or self.port}", **given)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    need(MOSQUITTO)
    if shutil.which("openssl") is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("missing server: mosquitto with TLS needs openssl and mosquitto_passwd")
    server = Guarded(tmp_path)
    server.prepare()
    child = Child([str(mosquitto.find_mosquitto()), "-c", str(tmp_path / "conf")], name="Mosquitto")
    await until(lambda: child.ended or listens(server.mutual_port))
    assert not child.ended, child.log()
    yield server
    await child.stop()


async def test_tls_and_login_let_in(guarded: Guarded) -> None:
    address = guarded.address()
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


async def test_mutual_tls_lets_in(guarded: Guarded) -> None:
    folder = guarded.folder
    await probe(
        guarded.address(
            port=guarded.mutual_port, cert=folder / "client.pem", key=folder / "client.key"
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
async def test_probe_says_why_it_is_refused(
    guarded: Guarded, options: dict[str, object], words: str
) -> None:
    given = dict(options)
    if isinstance(given.get("ca"), str):
        given["ca"] = guarded.folder / str(given["ca"])
    if given.get("port"):
        given["port"] = guarded.mutual_port
    with pytest.raises(BrokerError, match=words) as caught:
        await probe(guarded.address(**given))  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert "s3cret" not in str(caught.value)


async def test_probe_quotes_the_alert_for_a_missing_certificate(guarded: Guarded) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=guarded.folder / "ca.pem")
    context.load_cert_chain(guarded.folder / "server.pem", guarded.folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        # asyncio's server would close without sending the alert.
        with listening, listening.accept()[0] as accepted, contextlib.suppress(OSError):
            context.wrap_socket(accepted, server_side=True)

    refusing = asyncio.create_task(asyncio.to_thread(refuse))
    with pytest.raises(BrokerError, match=r"refused our certificate: .*certificate required"):
        await probe(guarded.address(port=listening.getsockname()[1]))
    await refusing


async def test_probe_refuses_another_host_name(guarded: Guarded) -> None:
    # The certificate is for 127.0.0.1 and localhost; 127.0.0.2 is the same machine.
    wrong = BrokerAddress.parse(f"mqtts://127.0.0.2:{guarded.port}", ca=guarded.folder / "ca.pem")
    with pytest.raises(BrokerError):
        await probe(wrong)


async def test_probe_without_tls_of_a_tls_port(guarded: Guarded) -> None:
    with pytest.raises(BrokerError, match="it wants TLS, or is not an MQTT"):
        await probe(BrokerAddress.parse(f"mqtt://127.0.0.1:{guarded.port}"))
