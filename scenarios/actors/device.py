"""The `device` and `network` actors: what happens to a device, and what can be seen of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from scenarios.model.actor import Actor, ActorRequest, DeviceMessage, SharedState, SimulateDevice
from scenarios.model.file import DeviceStep
from scenarios.model.matchers import TextVariants

__all__ = ["DeviceActor", "NetworkActor"]

_MESSAGES_UNDER_WAY: Final = 20

_Biometric = Literal["enrolled", "mustEnroll", "blocked", "none"]


class RestartStep(DeviceStep):
    """The device restarts in good order."""


class CrashStep(DeviceStep):
    """The device dies and comes up again: what it had not finished, it does again."""


class OfflineStep(DeviceStep):
    """The device loses its network, until it is online again."""


class OnlineStep(DeviceStep):
    """The device has a network again."""


class DropStep(DeviceStep):
    """The device's connection breaks; it connects again at once."""


class DeviceExpectation(DeviceStep):
    """What can be seen of a device: every key of its state, and its screen.

    `notification` is the last thing that appeared on its screen, by title, by body, or both;
    `message` is the last text message or call that reached it; `presence` is `online` or `offline`.
    """

    device_id: str | None = None
    platform: str | None = None
    management: Literal["standalone", "hybrid", "exchange_activesync"] | None = None
    group: str | None = None
    owner: str | None = None
    current_user: str | None = None
    locked: bool | None = Field(default=None, description="true or false")
    passcode: Literal["none", "user", "temporary"] | None = None
    passcode_deadline: str | None = Field(default=None, description="a date and time in UTC")
    compliance: Literal["compliant", "inGracePeriod", "noncompliant"] | None = None
    biometrics: dict[Literal["touchId", "face"], _Biometric] | None = Field(
        default=None, description="a table such as {touchId: mustEnroll}"
    )
    failed_attempts: int | None = Field(default=None, description="a whole number")
    wiped: bool | None = Field(default=None, description="true or false")
    version: int | None = Field(default=None, description="a whole number")
    notification: str | dict[str, Any] | None = Field(
        default=None, description="a string, or a table such as {title: ..., buttons: [...]}"
    )
    message: str | None = Field(default=None, description="a string")
    presence: Literal["online", "offline"] | None = None


class DeviceActor(Actor):
    """What the world does to a device, and what is published of it."""

    name: ClassVar[str] = "device"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {"restart": RestartStep, "crash": CrashStep}
    expects: ClassVar[type[BaseModel] | None] = DeviceExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._seen: dict[str, dict[str, object]] = {name: {} for name in shared.devices}
        self._sent: dict[str, deque[tuple[str, str]]] = {
            name: deque(maxlen=_MESSAGES_UNDER_WAY) for name in shared.devices
        }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Let it happen."""
        del now
        return [SimulateDevice(_device(self.shared, arguments), step)]

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Keep what the device says of itself, and what its screen shows."""
        del now
        seen, payload = self._seen[message.device.name], message.payload
        if message.leaf == "state":
            seen.update(payload)
        elif message.leaf == "presence":
            seen["presence"] = payload["status"]
        elif message.leaf == "messages":
            self._sent[message.device.name].append((payload["from"], payload["body"]))
        elif message.leaf == "notifications":
            self._take_notification(message.device.name, payload)
        return ()

    def _take_notification(self, name: str, payload: Mapping[str, Any]) -> None:
        title, body = payload["title"], payload["body"]
        seen, sent = self._seen[name], self._sent[name]
        seen["notification"] = TextVariants((title, body, f"{title}: {body}"), payload)
        # What was sent is received once the screen shows it: a text by its sender, or a call.
        for sender, said in sent:
            if (title, body) == (sender, said) or (body == sender and payload["buttons"]):
                seen["message"] = said
                sent.remove((sender, said))
                break

    def view(self, now: int) -> Mapping[str, object]:
        """What can be seen of the only device."""
        return self.observe({}, now)

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """What can be seen of the device asked for."""
        del now
        return self._seen[self.shared.device(query.get("device")).name]


class NetworkActor(Actor):
    """The network between a device and its broker."""

    name: ClassVar[str] = "network"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "offline": OfflineStep,
        "online": OnlineStep,
        "drop_connection": DropStep,
    }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Let it happen."""
        del now
        action = "dropConnection" if step == "drop_connection" else step
        return [SimulateDevice(_device(self.shared, arguments), action)]


def _device(shared: SharedState, arguments: BaseModel) -> Any:
    assert isinstance(arguments, DeviceStep)  # noqa: S101  # `steps` says so
    return shared.device(arguments.device)
