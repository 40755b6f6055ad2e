"""Cleanup of a broker after a crashed fleet.

Retained messages below the fleet's root are cleared. A persistent session, with its queued
commands, ends when its client id connects once with a clean session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

import aiomqtt

from broker.client.client_ids import device_client_id
from broker.errors import BrokerError, UsageError
from broker.operator.connect import open_client
from broker.operator.link import OperatorLink
from broker.operator.readers import ReceivedMessage, read_presence

__all__ = ["CleanupReport", "clean"]

_AT_ONCE: Final = 32
"""Number of sessions ended at a time."""
_LIMIT: Final = 120.0
"""Seconds for clearing all retained messages."""


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """Number of cleared retained messages and of ended sessions."""

    retained: int
    sessions: int


async def clean(
    link: OperatorLink,
    device_ids: Collection[str],
    *,
    force: bool = False,
    client_ids: Collection[str] = (),
) -> CleanupReport:
    """Clear the retained messages below the root and end the devices' sessions.

    Sessions are ended for `device_ids`, for all devices with a retained state or presence, and for
    `client_ids`. Raises UsageError if a device is online and `force` is not set, since the cleanup
    would disconnect it.
    """
    retained: dict[str, bool] = {}  # topic -> True for the presence of an online device
    known: set[str] = set(device_ids)

    def listen(message: ReceivedMessage) -> None:
        if not message.retained or not message.payload:
            return
        presence = read_presence(message.payload) if message.leaf == "presence" else None
        retained[message.topic] = presence is not None and presence.status == "online"
        if message.leaf in ("state", "presence") and message.device_id is not None:
            known.add(message.device_id)

    async with link.subscribed([(f"{link.topics.root}/#", 0)], listen):
        await link.wait_for_retained()
    online = sum(retained.values())
    if online and not force:
        raise UsageError(
            f"a fleet is running: {online} of its devices {'is' if online == 1 else 'are'} online",
            hint="stop it first (Ctrl-C or `passfleet down`), or clean with --force",
        )
    # Sessions first: a disconnected device publishes its Last Will, which is retained.
    ids = [
        *(device_client_id(link.topics.root, device_id) for device_id in sorted(known)),
        *client_ids,
    ]
    await _end_sessions(link, ids)
    await _clear_retained(link, [*retained, *_presence_topics(link, known if online else ())])
    return CleanupReport(retained=len(retained), sessions=len(ids))


def _presence_topics(link: OperatorLink, device_ids: Iterable[str]) -> list[str]:
    return [link.topics.device(device_id, "presence") for device_id in device_ids]


async def _clear_retained(link: OperatorLink, topics: Iterable[str]) -> None:
    messages = ((topic, b"") for topic in dict.fromkeys(topics))
    try:
        await link.publish_all(messages, _LIMIT, retain=True)
    except TimeoutError:
        raise BrokerError(
            f"{link.address.url} did not clear all retained messages in time"
        ) from None


async def _end_sessions(link: OperatorLink, client_ids: Iterable[str]) -> None:
    queue = iter(client_ids)

    async def end_from_queue() -> None:
        for identifier in queue:
            try:
                async with open_client(link.address, identifier):
                    pass
            except aiomqtt.MqttError as error:
                raise BrokerError(f"{link.address.url} did not end a session: {error}") from error

    workers = [asyncio.ensure_future(end_from_queue()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
