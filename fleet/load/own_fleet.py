"""A fleet of the load's own: `passfleet up` as a child process, stopped at the end.

It runs in a folder of its own, made for it, so that neither the fleet file nor the state of
whoever calls is touched, and for a limited time, so that it ends even where this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from broker.address import BrokerAddress
from broker.errors import PassfleetError, PeerError
from fleet import runfile

__all__ = ["OwnFleet", "OwnFleetError", "own_fleet"]

_READY_WITHIN: Final = 60.0
_READY_PER_DEVICE: Final = 0.02
_STOP_WITHIN: Final = 20.0
_LAST_LINES: Final = 5


class OwnFleetError(PassfleetError):
    """The fleet did not come up; its exit code becomes ours."""

    def __init__(self, exit_code: int, message: str, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code if exit_code > 0 else 1


@dataclass(frozen=True)
class OwnFleet:
    """The child, up and ready. `died` is done once it has ended."""

    address: BrokerAddress
    root: str
    pid: int
    died: asyncio.Future[int]


@asynccontextmanager
async def own_fleet(
    broker: str, devices: int, platform: str | None, limit: float
) -> AsyncIterator[OwnFleet]:
    """Start a fleet on `broker` ("embedded" or "mosquitto") for at most `limit` seconds.

    Raises OwnFleetError, with what the child said, where it does not come up.
    """
    arguments = ["up", "--devices", str(devices), "--broker", broker, "--json"]
    arguments += ["--for", f"{limit:.0f}s"]
    arguments += ["--platform", platform] if platform else []
    with tempfile.TemporaryDirectory(prefix="passfleet-load-") as name:
        folder = Path(name)
        with (folder / "err").open("wb") as stderr:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fleet.cli", *arguments),
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                # A terminal's Ctrl-C is for us: the fleet has to last until the books are closed.
                start_new_session=True,
            )
        died = asyncio.ensure_future(child.wait())
        try:
            ready = await _ready(child, folder, _READY_WITHIN + devices * _READY_PER_DEVICE)
            yield OwnFleet(_address(folder, ready), str(ready["root"]), child.pid, died)
        finally:
            await _stop(child, died)


async def _ready(child: asyncio.subprocess.Process, folder: Path, limit: float) -> dict[str, Any]:
    assert child.stdout is not None  # noqa: S101  # a pipe was asked for
    try:
        async with asyncio.timeout(limit):
            async for line in child.stdout:
                if line.startswith(b'{"event": "ready"'):
                    return dict(json.loads(line))
            code = await child.wait()
    except TimeoutError:
        raise PeerError(
            f"the fleet was not ready within {limit:.0f} s", hint="load fewer devices (--devices)"
        ) from None
    message, hint = _last_words(folder / "err")
    raise OwnFleetError(code, message, hint)


def _address(folder: Path, ready: dict[str, Any]) -> BrokerAddress:
    """With the login that the broker wants, where it wants one."""
    found = runfile.find_running(folder)
    if found is not None and found[0].parent.parent == folder.resolve():
        return found[1].address()
    return BrokerAddress.parse(str(ready["broker"]))


def _last_words(path: Path) -> tuple[str, str | None]:
    """(message, hint) that the child printed before it ended."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    message = next((line for line in lines if line.startswith("error: ")), None)
    hint = next((line for line in lines if line.startswith("hint: ")), None)
    if message is None:
        return "\n".join(lines[-_LAST_LINES:]) or "the fleet ended without a word", None
    return message.removeprefix("error: "), hint.removeprefix("hint: ") if hint else None


async def _stop(child: asyncio.subprocess.Process, died: asyncio.Future[int]) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        await asyncio.wait([died], timeout=_STOP_WITHIN)
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await asyncio.wait([died], timeout=_STOP_WITHIN)
