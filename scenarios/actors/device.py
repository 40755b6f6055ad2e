"""The `device` and `network` actors: simulated events, and the visible state of a device."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from scenarios.model.actor import Actor, ActorRequest, DeviceMessage, SharedState, SimulateDevice
from scenarios.model.file import DeviceStep
from scenarios.model.matchers import TextVariants

__all__ = ["DeviceActor", "NetworkActor"]

_MAX_PENDING_MESSAGES: Final = 20

_Biometric = Literal["enrolled", "mustEnroll", "blocked", "none"]


class RestartStep(DeviceStep):
    """Restart the device after an orderly shutdown."""


class CrashStep(DeviceStep):
    """Crash and restart the device; it repeats unfinished work."""


class EnrollStep(DeviceStep):
    """Enroll the device again, without a command."""


class UnenrollStep(DeviceStep):
    """Remove the enrollment of the device, without a command."""


class OfflineStep(DeviceStep):
    """Cut the network of the device until `network.online`."""


class OnlineStep(DeviceStep):
    """Restore the network of the device."""


class DropStep(DeviceStep):
    """Break the connection of the device; it reconnects at once."""


class DeviceExpectation(DeviceStep):
    """Visible state of a device: every key of its state, its screen and its presence.

    `notification` is the last notification, compared by title, body, or `title: body`. `message` is
    the last text message or call that it received. `presence` is `online` or `offline`.
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
    enrolled: bool | None = Field(default=None, description="true or false")
    lost_mode: bool | None = Field(default=None, description="true or false")
    last_check_in: str | None = Field(default=None, description="a date and time in UTC")
    version: int | None = Field(default=None, description="a whole number")
    notification: str | dict[str, Any] | None = Field(
        default=None, description="a string, or a table such as {title: ..., buttons: [...]}"
    )
    message: str | None = Field(default=None, description="a string")
    presence: Literal["online", "offline"] | None = None


class DeviceActor(Actor):
    """Restarts and crashes of devices, and their published state."""

    name: ClassVar[str] = "device"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "restart": RestartStep,
        "crash": CrashStep,
        "enroll": EnrollStep,
        "unenroll": UnenrollStep,
    }
    expects: ClassVar[type[BaseModel] | None] = DeviceExpectation
    selectors: ClassVar[frozenset[str]] = frozenset({"device"})

    def __init__(self, shared: SharedState) -> None:
        super().__init__(shared)
        self._seen: dict[str, dict[str, object]] = {name: {} for name in shared.devices}
        self._sent: dict[str, deque[tuple[str, str]]] = {
            name: deque(maxlen=_MAX_PENDING_MESSAGES) for name in shared.devices
        }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Return the request for the event."""
        del now
        return [SimulateDevice(_device(self.shared, arguments), step)]

    def on_message(self, message: DeviceMessage, now: int) -> Sequence[ActorRequest]:
        """Store the state, the presence and the last notification of a device."""
        del now
        seen, payload = self._seen[message.device.name], message.payload
        if message.leaf == "state":
            seen.update(payload)
        elif message.leaf == "presence":
            seen["presence"] = payload["status"]
        elif message.leaf == "messages":
            self._sent[message.device.name].append((payload["from"], payload["body"]))
        elif message.leaf == "notifications":
            self._store_notification(message.device.name, payload)
        return ()

    def _store_notification(self, name: str, payload: Mapping[str, Any]) -> None:
        title, body = payload["title"], payload["body"]
        seen, sent = self._seen[name], self._sent[name]
        seen["notification"] = TextVariants((title, body, f"{title}: {body}"), payload)
        # A text or call counts as received once the device shows its notification.
        for sender, said in sent:
            if (title, body) == (sender, said) or (body == sender and payload["buttons"]):
                seen["message"] = said
                sent.remove((sender, said))
                break

    def view(self, now: int) -> Mapping[str, object]:
        """Return the visible state of the only device."""
        return self.observe({}, now)

    def observe(self, query: Mapping[str, Any], now: int) -> Mapping[str, object]:
        """Return the visible state of the device in `query`."""
        del now
        return self._seen[self.shared.device(query.get("device")).name]


class NetworkActor(Actor):
    """Network between a device and its broker."""

    name: ClassVar[str] = "network"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {
        "offline": OfflineStep,
        "online": OnlineStep,
        "drop_connection": DropStep,
    }

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Return the request for the event."""
        del now
        action = "dropConnection" if step == "drop_connection" else step
        return [SimulateDevice(_device(self.shared, arguments), action)]


def _device(shared: SharedState, arguments: BaseModel) -> Any:
    assert isinstance(arguments, DeviceStep)  # noqa: S101  # `steps` says so
    return shared.device(arguments.device)
