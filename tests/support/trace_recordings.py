"""Helpers for trace tests: recording, replay, and the actions in between."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

from tests.support.brokers import until
from tests.support.fleet_processes import Process, Server, Start
from tests.support.paho_operator import WireOperator

OWN = "4826"


class Recorded:
    """A recording of a fleet in this process, by `passfleet record` as a process."""

    def __init__(self, folder: Path, root: str, process: Process) -> None:
        self.path = folder / "trace.jsonl"
        self.root = root
        self.process = process

    async def ended(self) -> list[dict[str, Any]]:
        """End the recording and give the trace's lines."""
        assert await self.process.signalled(signal.SIGTERM) == 0, self.process.err
        return [json.loads(line) for line in self.path.read_text().splitlines()]


async def recording(start: Start, server: Server, folder: Path, root: str) -> Recorded:
    arguments = ["record", "-o", "trace.jsonl", "--broker", server.url, "--root", root]
    process = start(*arguments)
    assert re.fullmatch(r"recording devices=\d+ broker=mqtt://\S+", await process.ready())
    return Recorded(folder, root, process)


async def replayed(start: Start, *arguments: str) -> tuple[int, dict[str, Any], str]:
    process = start("replay", "trace.jsonl", *arguments, "--json")
    code = await process.ended()
    return code, json.loads(process.out) if process.out else {}, process.err


def say(operator: WireOperator, topic: str, document: dict[str, Any]) -> None:
    operator.send_raw(topic, json.dumps(document).encode())


async def answered(operator: WireOperator, device: str, count: int) -> None:
    def answers() -> int:
        return len(operator.about(device, "results"))

    await until(lambda: answers() >= count)


async def session_of(operator: WireOperator, device: str) -> None:
    """Perform the actions of a user and an administrator; await each answer."""
    presses: list[tuple[str, dict[str, Any]]] = [
        ("inputs", {"inputId": "i-1", "action": "enterPasscode", "passcode": "1111"}),
        ("inputs", {"inputId": "i-2", "action": "enterPasscode", "passcode": "2580"}),
        ("commands", {"commandId": "c-1", "actionName": "resetPasscode", "issuedBy": "user"}),
        ("commands", {"commandId": "c-1", "actionName": "resetPasscode", "issuedBy": "user"}),
        ("commands", {"commandId": "c-1", "actionName": "remoteLock"}),
        ("commands", {"commandId": "c-2", "actionName": "explode"}),
        ("inputs", {"inputId": "i-3", "action": "swipeUp"}),
    ]
    for number, (leaf, document) in enumerate(presses, 1):
        say(operator, f"devices/{device}/{leaf}", document)
        await answered(operator, device, number)
    done = len(presses)
    made = [
        m.document["newPasscode"]
        for m in operator.seen
        if m.device == device and m.leaf in ("results", "escrow") and m.document.get("newPasscode")
    ]
    later: list[tuple[str, dict[str, Any]]] = []
    if made:
        later = [("inputs", {"inputId": "i-4", "action": "enterPasscode", "passcode": made[0]})]
    later += [
        ("inputs", {"inputId": "i-5", "action": "setPasscode", "passcode": OWN}),
        ("inputs", {"inputId": "i-6", "action": "signIn", "user": "kim"}),
        ("commands", {"commandId": "c-3", "actionName": "remoteLock"}),
        ("inputs", {"inputId": "i-7", "action": "enterPasscode", "passcode": OWN}),
        ("inputs", {"inputId": "i-8", "action": "useBiometric"}),
        ("commands", {"commandId": "c-4", "actionName": "syncDevice"}),
    ]
    for number, (leaf, document) in enumerate(later, done + 1):
        say(operator, f"devices/{device}/{leaf}", document)
        await answered(operator, device, number)
