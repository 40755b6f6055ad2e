"""Programs of others that the dialects are tested with, in an environment of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import free_port, listens, until

__all__ = ["Cloud", "LineProcess", "cloud", "line_process", "python_with"]

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tests" / "broker" / "dialects" / "others"
ENVIRONMENT = ROOT / ".venv-dialects"
_LIMIT = 60.0


@cache
def python_with(package: str) -> Path:
    """Return the Python that has an importable package; skip the test where there is none."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"missing package: {package} (make test-dialects installs it)")
    found = subprocess.run(
        [python, "-c", f"import {package}"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"missing package: {package} ({found.stderr.strip().splitlines()[-1]})")
    return python


class LineProcess:
    """Process that takes and prints lines of JSON."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def read(self) -> dict[str, Any]:
        """Return the next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _LIMIT)
        assert line, "the process has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, *question: Any) -> dict[str, Any]:
        """Write a line and return the next one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        return await self.read()


@contextlib.asynccontextmanager
async def line_process(package: str, script: str, *arguments: str) -> AsyncIterator[LineProcess]:
    """Run a script of tests/broker/dialects/others with the Python that has a package."""
    process = await asyncio.create_subprocess_exec(
        python_with(package), SCRIPTS / script, *arguments, stdin=PIPE, stdout=PIPE
    )
    try:
        yield LineProcess(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@dataclass
class Cloud:
    """Emulated AWS: `mqtt_port` takes devices with certificates, `folder` has the file `ca.pem`."""

    mqtt_port: int
    folder: Path
    _calls: LineProcess

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call AWS IoT as an administrator does."""
        answer = await self._calls.ask("iot", method, arguments)
        assert "error" not in answer, answer["error"]
        return answer

    async def enroll(self, *names: str) -> list[str]:
        """Create a thing with a certificate `certs/<name>.pem` each; return their ARNs."""
        certificates = self.folder / "certs"
        certificates.mkdir(exist_ok=True)
        things = []
        for name in names:
            thing = await self.call("create_thing", thingName=name)
            made = await self.call("create_keys_and_certificate", setAsActive=True)
            (certificates / f"{name}.pem").write_text(made["certificatePem"])
            (certificates / f"{name}.key").write_text(made["keyPair"]["PrivateKey"])
            arn = made["certificateArn"]
            policy = json.dumps(_policy_of(name))
            await self.call("create_policy", policyName=f"of-{name}", policyDocument=policy)
            await self.call("attach_policy", policyName=f"of-{name}", target=arn)
            await self.call("attach_thing_principal", thingName=name, principal=arn)
            things.append(thing["thingArn"])
        return things

    async def execution(self, job: str, thing: str) -> dict[str, Any]:
        """Return the execution of a job on a thing."""
        found = await self.call("describe_job_execution", jobId=job, thingName=thing)
        execution: dict[str, Any] = found["execution"]
        return execution

    async def ended(self, job: str, thing: str, status: str) -> dict[str, Any]:
        """Wait for a status of an execution, and return the execution."""
        async with asyncio.timeout(_LIMIT):
            while (found := await self.execution(job, thing))["status"] != status:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return found


def _policy_of(thing: str) -> dict[str, Any]:
    """Return a policy under which a thing touches its own topics alone."""
    here = "arn:aws:iot:us-east-1:000000000000"
    own = f"$aws/things/{thing}/*"
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{here}:client/*"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": f"{here}:topic/{own}",
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{here}:topicfilter/{own}"},
    ]
    return {"Version": "2012-10-17", "Statement": statements}


@contextlib.asynccontextmanager
async def cloud(folder: Path) -> AsyncIterator[Cloud]:
    """Run MiniStack on the loopback address, with the client boto3."""
    python = python_with("ministack")
    python_with("boto3")
    ports = free_port(), free_port()
    environment = {
        **os.environ,
        "GATEWAY_PORT": str(ports[0]),
        "IOT_MTLS_PORT": str(ports[1]),
        "IOT_MTLS_ENABLED": "1",
        "TMPDIR": str(folder),
    }
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220
            [python, SCRIPTS / "ministack_on_loopback.py", folder / "ca.pem"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await until(lambda: all(map(listens, ports)) or process.poll() is not None)
        assert process.poll() is None, (folder / "ministack.log").read_text()
        address = f"http://127.0.0.1:{ports[0]}"
        async with line_process("boto3", "boto3_calls.py", address) as calls:
            yield Cloud(ports[1], folder, calls)
    finally:
        process.kill()
        process.wait()
