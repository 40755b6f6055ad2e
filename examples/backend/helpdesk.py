"""Back-end of a help desk: resets passcodes and lists devices whose user has not set a new one.

This module does not depend on passfleet. It sends MQTT messages to any device management service.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from types import TracebackType
from typing import Any, Self

import aiomqtt


class HelpDesk:
    """Resets passcodes; an async context manager."""

    def __init__(self, host: str, port: int, root: str) -> None:
        self.overdue: set[str] = set()
        """Devices whose user has not set a new passcode within the grace period."""
        self._client = aiomqtt.Client(host, port)
        self._root = root
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect and listen."""
        await self._client.__aenter__()
        for leaf in ("results", "state"):
            await self._client.subscribe(f"{self._root}/devices/+/{leaf}", qos=1)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._client.__aexit__(kind, error, trace)

    async def reset(self, device: str) -> str:
        """Reset a device's passcode and return a sentence for the caller."""
        command_id = f"desk-{uuid.uuid4()}"
        answer = self._answers[command_id] = asyncio.get_running_loop().create_future()
        command = {"commandId": command_id, "actionName": "resetPasscode"}
        await self._client.publish(
            f"{self._root}/devices/{device}/commands", json.dumps(command), qos=1
        )
        try:
            return _words(await asyncio.wait_for(answer, timeout=10))
        finally:
            del self._answers[command_id]

    async def _listen(self) -> None:
        async for message in self._client.messages:
            document = json.loads(message.payload)
            if message.topic.matches(f"{self._root}/devices/+/state"):
                change = self.overdue.add if _is_overdue(document) else self.overdue.discard
                change(document["deviceId"])
            elif document["actionState"] not in ("pending", "active"):
                answer = self._answers.get(document.get("commandId"))
                if answer is not None and not answer.done():
                    answer.set_result(document)


def _is_overdue(state: dict[str, Any]) -> bool:
    return bool(state["compliance"] == "noncompliant")


def _words(result: dict[str, Any]) -> str:
    if result["actionState"] == "notSupported":
        return "Please bring the device to your IT admin."
    if result["actionState"] != "done":
        return f"That did not work: {result['errorCode']}."
    if result["newPasscode"]:
        return f"Your new passcode is {' '.join(result['newPasscode'])}."
    return "Your passcode was removed. Please set a new one within an hour."
