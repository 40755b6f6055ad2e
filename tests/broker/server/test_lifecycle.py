"""Start, end and probe of the brokers that passfleet starts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiomqtt
import pytest

from broker.errors import BrokerError
from broker.server import amqtt_broker, mosquitto
from broker.server.child_process import ChildProcess
from broker.server.embedded import _argv, embedded_broker
from broker.server.listen import LOOPBACK, ListenAddress
from broker.server.open import EMBEDDED, MOSQUITTO, open_broker
from broker.server.probe import probe
from tests.support.brokers import free_port, listens, need, until
from tests.support.raw_mqtt_client import RawClient, field, packet

both = pytest.mark.parametrize("name", [EMBEDDED, MOSQUITTO])
ROOT = Path(__file__).resolve().parents[3]


@both
async def test_broker_starts_and_stops_fast_in_its_own_session(name: str) -> None:
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
async def test_unexpected_end_is_reported(name: str) -> None:
    need(name)
    async with open_broker(name) as handle:
        assert handle.pid is not None
        os.kill(handle.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            error = await handle.died
        assert isinstance(error, BrokerError)
        assert "ended while in use" in str(error)


@both
async def test_broker_ends_with_a_killed_parent(name: str, tmp_path: Path) -> None:
    need(name)
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from broker.server.listen import LOOPBACK, ListenAddress
from broker.server.open import open_broker
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
    await until(lambda: not listens(port))


@both
async def test_cancelled_start_leaves_no_process(name: str) -> None:
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
        await until(lambda: not children.read_text().split())


async def test_modules_in_the_current_directory_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("broker", "json", "amqtt"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    async with embedded_broker() as handle:
        await probe(handle.address)


async def test_taken_port_is_reported() -> None:
    async with embedded_broker(port=0) as first:
        with pytest.raises(BrokerError, match=f"port {first.address.port} on 127.0.0.1 is taken"):
            async with embedded_broker(port=first.address.port):
                pass


async def test_default_port_in_use_is_replaced_by_a_free_one() -> None:
    async with embedded_broker() as first, embedded_broker() as second:
        assert second.address.port != first.address.port


def test_other_versions_of_amqtt_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    amqtt_broker.check_amqtt_version()
    monkeypatch.setattr(amqtt_broker, "version", lambda _: "0.13.0")
    with pytest.raises(BrokerError, match=r"found 0\.13\.0"):
        amqtt_broker.check_amqtt_version()


async def test_no_payload_is_logged_even_at_debug() -> None:
    child = ChildProcess(_argv(ListenAddress(LOOPBACK, 0), "DEBUG"), name="broker")
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


async def test_invalid_filters_are_refused_individually() -> None:
    async with embedded_broker(port=0) as handle:
        client = await RawClient.connect(handle.address.port, "client")
        assert await client.subscribe("a#", "fine", "a/#/b", "a+/b") == [0x80, 1, 0x80, 0x80]
        client.send(packet(0x10, field(b"MQTT") + b"\x04\x02\x00\x3c" + field(b"x")))
        await client.closed()  # a second CONNECT


async def test_mqtt_5_is_refused_with_a_reason() -> None:
    async with embedded_broker(port=0) as handle:
        client = aiomqtt.Client(
            "127.0.0.1", handle.address.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=5
        )
        with pytest.raises(aiomqtt.MqttCodeError, match="Unsupported protocol version"):
            await client.__aenter__()


def test_missing_mosquitto_names_install_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError) as caught:
        mosquitto.find_mosquitto()
    assert "apt-get install mosquitto" in str(caught.value.hint)
    assert "brew install mosquitto" in str(caught.value.hint)


def test_mosquitto_is_found_in_sbin_next_to_a_bin_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "sbin" / "mosquitto"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert mosquitto.find_mosquitto() == program


async def test_mosquitto_retries_when_its_port_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need(MOSQUITTO)
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = iter([other.getsockname()[1], free_port()])
        monkeypatch.setattr(mosquitto, "_free_port", lambda: next(ports))
        async with mosquitto.mosquitto_broker() as handle:
            assert handle.address.port != other.getsockname()[1]
            await probe(handle.address)


async def test_failed_mosquitto_start_quotes_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho 'Error: no luck today' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="did not start: Error: no luck today"):
        async with mosquitto.mosquitto_broker():
            pass
