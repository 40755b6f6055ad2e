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

_PATIENCE: Final = 2.0
"""Seconds without an answer after which no more are expected."""
_AT_ONCE: Final = 50
"""Devices of one answer: some 40 KB."""
_NAMED: Final = 1_000
"""Devices that are asked for by name; more are all of them."""


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """What was told of a device; `platforms` are the own ones that its platform is made of."""

    facts: DeviceFacts
    conformance: str
    platforms: Mapping[str, Any]


class DescribeRequest(TraceModel):
    """What a recorder asks. `devices` None means all."""

    request_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    devices: tuple[str, ...] | None = None

    def topic(self, topics: Topics) -> str:
        """Where it is to be answered."""
        return f"{topics.root}/hosts/described/{self.request_id}"


class _Answer(TraceModel):
    conformance: Conformance
    platforms: dict[str, dict[str, Any]]
    devices: tuple[DeviceFacts, ...]


def describe_topic(topics: Topics) -> str:
    """Topic of describe requests."""
    return f"{topics.root}/hosts/describe"


def parse_describe_request(payload: bytes) -> DescribeRequest | None:
    """The question that arrived, None where it is none."""
    try:
        return DescribeRequest.model_validate_json(payload)
    except ValidationError:
        return None


def describe_devices(
    question: DescribeRequest, devices: Mapping[str, Device], known: Platforms
) -> Iterator[bytes]:
    """Answers of a host to a request, as payloads; none if none of its devices is requested."""
    wanted = devices.keys() if question.devices is None else question.devices
    meant = [devices[device_id] for device_id in wanted if device_id in devices]
    for start in range(0, len(meant), _AT_ONCE):
        states = [device.state for device in meant[start : start + _AT_ONCE]]
        answer = _Answer(
            conformance=known.conformance,
            platforms=known.definitions({state.profile.id for state in states}),
            devices=tuple(map(collect_device_facts, states)),
        )
        yield answer.model_dump_json(by_alias=True).encode()


async def request_descriptions(
    link: OperatorLink, platforms: Mapping[str, str], tell: Callable[[str, DeviceDescription], None]
) -> None:
    """Ask the hosts of some devices; `tell` hears of each, by its id, as soon as it is told of.

    `platforms` has the platform of each. Returns once all were told of, or where nobody says more.
    Raises BrokerError where the broker is lost.
    """
    ids = platforms.keys()
    named = tuple(ids) if len(ids) <= _NAMED else None
    question = DescribeRequest(request_id=secrets.token_hex(8), devices=named)
    topic, told = question.topic(link.topics), asyncio.Event()
    found: set[str] = set()

    def hear(heard: ReceivedMessage) -> None:
        if heard.topic != topic:
            return
        with contextlib.suppress(ValidationError):
            answer = _Answer.model_validate_json(heard.payload)
            known = Platforms(answer.conformance, answer.platforms)
            for facts in answer.devices:
                if facts.device_id in ids:
                    own = known.definitions([platforms[facts.device_id]])
                    tell(facts.device_id, DeviceDescription(facts, answer.conformance, own))
                    found.add(facts.device_id)
            told.set()

    async with link.subscribed([(topic, 1)], hear):
        await link.publish(
            describe_topic(link.topics), question.model_dump_json(by_alias=True).encode()
        )
        with contextlib.suppress(TimeoutError):
            while ids - found:
                await link.guard(told.wait(), _PATIENCE)
                told.clear()
