"""Facts about devices that hosts send to a recorder: platforms and device facts.

A recorder publishes one request. Every process that hosts devices answers for its own devices, a
few per message, on a topic named after the request. These topics belong to passfleet, as the
hosts' barrier topics do. No payload on them holds a passcode.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from agent.definition.device import Conformance
from agent.definition.platforms import Platforms
from agent.runner import Device
from broker.contract import Topics
from broker.operator.link import OperatorLink
from broker.operator.readers import ReceivedMessage
from scenarios.traces.device_facts import DeviceFacts, TraceModel, collect_device_facts

__all__ = [
    "DescribeRequest",
    "DeviceDescription",
    "describe_devices",
    "describe_topic",
    "parse_describe_request",
    "request_descriptions",
]

_ANSWER_WITHIN: Final = 2.0
"""Seconds without an answer after which the requester stops waiting."""
_DEVICES_PER_ANSWER: Final = 50
"""Devices in one answer; about 40 KB."""
_MAX_NAMED_DEVICES: Final = 1_000
"""Largest number of devices requested by id; for more, all devices are requested."""


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """Answer about one device; `platforms` are the user-defined ones that its platform needs."""

    facts: DeviceFacts
    conformance: str
    platforms: Mapping[str, Any]


class DescribeRequest(TraceModel):
    """Request of a recorder; `devices` None means all devices."""

    request_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    devices: tuple[str, ...] | None = None

    def topic(self, topics: Topics) -> str:
        """Topic for the answers."""
        return f"{topics.root}/hosts/described/{self.request_id}"


class _Answer(TraceModel):
    conformance: Conformance
    platforms: dict[str, dict[str, Any]]
    devices: tuple[DeviceFacts, ...]


def describe_topic(topics: Topics) -> str:
    """Topic of describe requests."""
    return f"{topics.root}/hosts/describe"


def parse_describe_request(payload: bytes) -> DescribeRequest | None:
    """Parse a request; None for an invalid payload."""
    try:
        return DescribeRequest.model_validate_json(payload)
    except ValidationError:
        return None


def describe_devices(
    question: DescribeRequest, devices: Mapping[str, Device], known: Platforms
) -> Iterator[bytes]:
    """Answers of a host to a request, as payloads; none if none of its devices is requested."""
    wanted = devices.keys() if question.devices is None else question.devices
    requested = [devices[device_id] for device_id in wanted if device_id in devices]
    for start in range(0, len(requested), _DEVICES_PER_ANSWER):
        states = [device.state for device in requested[start : start + _DEVICES_PER_ANSWER]]
        answer = _Answer(
            conformance=known.conformance,
            platforms=known.definitions({state.profile.id for state in states}),
            devices=tuple(map(collect_device_facts, states)),
        )
        yield answer.model_dump_json(by_alias=True).encode()


async def request_descriptions(
    link: OperatorLink,
    platforms: Mapping[str, str],
    on_description: Callable[[str, DeviceDescription], None],
) -> None:
    """Request descriptions of devices from their hosts; call `on_description` for each device.

    `platforms` maps each device id to its platform. Returns once all devices are described, or
    after 2 s without an answer. Raises BrokerError if the broker is lost.
    """
    ids = platforms.keys()
    named = tuple(ids) if len(ids) <= _MAX_NAMED_DEVICES else None
    question = DescribeRequest(request_id=secrets.token_hex(8), devices=named)
    topic, answered = question.topic(link.topics), asyncio.Event()
    found: set[str] = set()

    def on_message(message: ReceivedMessage) -> None:
        if message.topic != topic:
            return
        with contextlib.suppress(ValidationError):
            answer = _Answer.model_validate_json(message.payload)
            known = Platforms(answer.conformance, answer.platforms)
            for facts in answer.devices:
                if facts.device_id in ids:
                    own = known.definitions([platforms[facts.device_id]])
                    on_description(
                        facts.device_id, DeviceDescription(facts, answer.conformance, own)
                    )
                    found.add(facts.device_id)
            answered.set()

    async with link.subscribed([(topic, 1)], on_message):
        await link.publish(
            describe_topic(link.topics), question.model_dump_json(by_alias=True).encode()
        )
        with contextlib.suppress(TimeoutError):
            while ids - found:
                await link.guard(answered.wait(), _ANSWER_WITHIN)
                answered.clear()
