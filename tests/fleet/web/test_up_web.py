from __future__ import annotations

import os
import signal
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fleet.cli.web_option import with_web_address
from tests.support.brokers import free_port, listens, until
from tests.support.certificates import Certificates
from tests.support.fleet_files import group
from tests.support.fleet_processes import Process, Start, up_json, write_fleet
from tests.support.web_fleets import LISTED

PHONES = group("phone", "android", count=4)


def web_url(process: Process) -> str:
    """The URL that a fleet printed after its first line."""
    ready, web = process.out.splitlines()[:2]
    assert ready.startswith("ready ")
    assert web.startswith("web=http://127.0.0.1:")
    return web.removeprefix("web=")


async def printed(process: Process, text: str) -> None:
    await until(lambda: text in process.out or process.popen.poll() is not None)
    assert text in process.out, process.err


def listed(url: str) -> int:
    return int(httpx.get(url + LISTED, trust_env=False).json()["@odata.count"])


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_up_serves_the_fleet_whatever_hosts_it(
    start: Start, tmp_path: Path, workers: str
) -> None:
    write_fleet(tmp_path, PHONES)
    process = start("up", "--web", "fleet.toml", "--workers", workers)
    await printed(process, "web=")
    url = web_url(process)
    assert listed(url) == 4
    assert up_json(tmp_path)["web"] == url
    assert stat.S_IMODE((tmp_path / ".passfleet" / "up.json").stat().st_mode) == 0o600
    assert await process.signalled(signal.SIGINT) == 130
    assert not listens(int(url.rpartition(":")[2]))


async def test_an_open_stream_does_not_keep_a_fleet_from_ending(
    start: Start, tmp_path: Path
) -> None:
    write_fleet(tmp_path, PHONES)
    process = start("up", "--web")
    await printed(process, "web=")
    async with (
        httpx.AsyncClient(trust_env=False, timeout=5) as client,
        client.stream("GET", web_url(process) + "/events") as stream,
    ):
        assert stream.status_code == 200
        assert await process.signalled(signal.SIGTERM) == 0


async def test_a_detached_fleet_prints_its_url(start: Start, tmp_path: Path) -> None:
    write_fleet(tmp_path, PHONES)
    process = start("up", "--detach", "--web", f"127.0.0.1:{free_port()}")
    try:
        assert await process.ended() == 0
        assert listed(web_url(process)) == 4
        assert up_json(tmp_path)["web"] == web_url(process)
    finally:
        assert await start("down").ended() == 0


async def test_json_has_the_url_in_the_one_document(start: Start, tmp_path: Path) -> None:
    write_fleet(tmp_path, PHONES)
    process = start("up", "--web", "--json")
    await printed(process, "ready")
    assert '"web": "http://127.0.0.1:' in process.out
    await process.signalled(signal.SIGTERM)


async def test_the_demo_shows_a_phone_of_each_platform(start: Start) -> None:
    process = start("demo", "--web")
    await printed(process, "web=")
    assert listed(web_url(process)) >= 8
    assert await process.signalled(signal.SIGINT) == 130


REFUSED = {
    "elsewhere": (["--web", "0.0.0.0:0"], "--web-token"),
    "any name": (["--web", "somewhere.example:0"], "--web-token"),
    "literal token": (["--web", "--web-token", "s3cret"], "env:NAME or file:PATH"),
    "no token there": (["--web", "--web-token", "env:PF_NOT_SET"], "PF_NOT_SET"),
    "short token": (["--web", "--web-token", "env:PF_SHORT"], "16"),
    "no such file": (["--web", "--web-token", "file:no-such"], "no-such"),
    "no address": (["--web", "127.0.0.1:port"], "HOST:PORT"),
    "no port": (["--web", "127.0.0.1:99999"], "65535"),
    "token alone": (["--web-token", "env:X"], "--web"),
    "key alone": (["--web", "--web-key", "fleet.toml"], "--web-cert"),
    "no certificate": (["--web", "--web-cert", "none.pem"], "none.pem"),
    "bad certificate": (["--web", "--web-cert", "fleet.toml"], "--web-cert"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_served_is_refused_with_the_remedy(
    start: Start, tmp_path: Path, case: str
) -> None:
    write_fleet(tmp_path, PHONES)
    arguments, said = REFUSED[case]
    process = start("up", *arguments, PF_SHORT="short")
    assert await process.ended() == 2
    assert said in process.err
    assert "hint:" in process.err
    assert "s3cret" not in process.err
    assert process.out == ""


async def test_a_port_that_is_taken_is_refused_before_the_fleet_starts(
    start: Start, tmp_path: Path
) -> None:
    write_fleet(tmp_path, PHONES)
    first = start("up", "--web")
    await printed(first, "web=")
    port = web_url(first).rpartition(":")[2]
    second = start("up", "--web", f"127.0.0.1:{port}")
    assert await second.ended() == 2
    assert "taken" in second.err
    assert "hint:" in second.err


async def test_without_the_extra_up_runs_and_web_names_it(start: Start, tmp_path: Path) -> None:
    write_fleet(tmp_path, PHONES)
    blocked = tmp_path / "blocked"
    for name in ("starlette", "uvicorn"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(
            f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n"
        )
    here = Path(__file__).parents[3]
    path = os.pathsep.join([str(blocked), str(here)])
    plain = start("up", "--for", "1s", PYTHONPATH=path)
    assert await plain.ended() == 0
    process = start("up", "--web", PYTHONPATH=path)
    assert await process.ended() == 2
    assert "passfleet[web]" in process.err


async def test_with_a_certificate_it_speaks_https(start: Start, tmp_path: Path) -> None:
    Certificates(tmp_path).server()
    write_fleet(tmp_path, PHONES)
    process = start("up", "--web", "--web-cert", "server.pem", "--web-key", "server.key")
    await printed(process, "web=https://127.0.0.1:")
    url = process.out.splitlines()[1].removeprefix("web=")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with httpx.AsyncClient(verify=trusted, trust_env=False, base_url=url) as client:
        assert (await client.get(LISTED)).json()["@odata.count"] == 4
        assert "Secure" in (await client.get("/")).headers["set-cookie"]
        assert (await client.get("/", headers={"Origin": "http" + url[5:]})).status_code == 403
        assert (await client.get("/", headers={"Origin": url})).status_code == 200


async def test_a_secret_that_is_not_there_is_refused_before_the_fleet_starts(
    start: Start, tmp_path: Path
) -> None:
    write_fleet(tmp_path, f'[graph]\ntoken = {{ env = "PF_NOT_SET" }}\n{PHONES}')
    process = start("up", "--web")
    assert await process.ended() == 2
    assert "fleet.toml:2: graph.token.env" in process.err
    assert process.out == ""


def test_without_web_nothing_of_it_is_imported() -> None:
    listing = (
        "import sys, fleet.service.run, fleet.cli; fleet.cli.application();"
        "web = ('fleet.web', 'starlette', 'uvicorn');"
        "print([m for m in sys.modules if m.startswith(web)])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_the_address_of_web_may_be_left_out() -> None:
    default = "--web=127.0.0.1:0"
    assert with_web_address(["up", "--web"]) == ["up", default]
    assert with_web_address(["up", "--web", "--json"]) == ["up", default, "--json"]
    assert with_web_address(["up", "--web", "fleet.toml"]) == ["up", default, "fleet.toml"]
    for address in ("127.0.0.1:8080", "8080", "[::1]:0", "localhost:1", ":8080", "a:b"):
        assert with_web_address(["up", "--web", address]) == ["up", "--web", address]
    assert with_web_address(["up", "--web=x"]) == ["up", "--web=x"]
