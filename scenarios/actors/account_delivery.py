"""Delivery of codes: telephone numbers and their devices, texts on their way, and read texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from scenarios.actors.account_codes import SENDER, verification_text
from scenarios.actors.account_steps import Phone
from scenarios.model.actor import (
    DeliverTextMessage,
    DeviceMessage,
    ManagedDevice,
    SharedState,
    StepRefusedError,
)

__all__ = ["PhoneNetwork", "code_in"]

_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")


def code_in(text: str) -> str | None:
    """Return the six-digit code in a text or an e-mail, or None."""
    found = _CODE.search(text)
    return found[0] if found else None


class PhoneNetwork:
    """Telephone numbers of devices, and text messages on their way.

    A number belongs to one device, also if several users register it. A text takes a time between
    the two durations of `Organization.delivery`, drawn from the seed; texts keep their order.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._devices: dict[str, ManagedDevice] = {}
        self._on_the_way: list[tuple[int, DeliverTextMessage]] = []
        self._count = 0
        self._texts: dict[str, str] = {}

    def device_of(self, phone: Phone, user: str) -> ManagedDevice:
        """Return the device of a number: its own one, or the first device of the user.

        Raises StepRefusedError if `phone` names another device than an earlier registration did.
        """
        known = self._devices.get(phone.digits)
        if known is not None and phone.device not in (None, known.name):
            raise StepRefusedError(f"{known.name}, the device of this number", str(phone.device))
        if known is None:
            known = self._devices[phone.digits] = self._first_device(phone, user)
        return known

    def _first_device(self, phone: Phone, user: str) -> ManagedDevice:
        devices: Mapping[str, ManagedDevice] = self._shared.devices
        if phone.device is not None:
            if phone.device not in devices:
                raise StepRefusedError(f"one of the devices {', '.join(devices)}", phone.device)
            return devices[phone.device]
        own = next((device for device in devices.values() if device.owner == user), None)
        if own is None:
            raise StepRefusedError(f"a device of {user}, or one named with `device`", "none")
        return own

    def send_text(self, device: ManagedDevice, code: str, now: int) -> list[DeliverTextMessage]:
        """Send a text with a code; return it if it arrives at once."""
        # An older text on the screen must not be taken for the new one.
        self._texts.pop(device.name, None)
        self._count += 1
        text = DeliverTextMessage(device, "text", SENDER, verification_text(code))
        last = max((due for due, _ in self._on_the_way), default=now)
        self._on_the_way.append((max(last, now + self._delay()), text))
        return self.arrived(now)

    def _delay(self) -> int:
        low, high = self._shared.organization.delivery
        drawn = blake2b(f"delivery/{self._shared.seed}/{self._count}".encode(), digest_size=8)
        return low + int.from_bytes(drawn.digest()) % (high - low + 1)

    def arrived(self, now: int) -> list[DeliverTextMessage]:
        """Return and remove the texts that arrive at `now`."""
        found = [text for due, text in self._on_the_way if due <= now]
        self._on_the_way = [(due, text) for due, text in self._on_the_way if due > now]
        return found

    def next_arrival(self) -> int | None:
        """Return the instant at which the next text arrives, or None."""
        return min((due for due, _ in self._on_the_way), default=None)

    def on_message(self, message: DeviceMessage) -> None:
        """Store the text messages that devices show."""
        if message.leaf == "notifications" and message.payload.get("title") == SENDER:
            self._texts[message.device.name] = str(message.payload.get("body", ""))

    def shown_code(self, device: ManagedDevice) -> str | None:
        """Return the code in the last text that a device shows, or None."""
        return code_in(self._texts.get(device.name, ""))
