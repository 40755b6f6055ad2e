"""Phone on a page, as JSON: its state, its last notification, and its look.

It contains no passcode: snapshots are streamed to every viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.contract import DeviceState, InputResult, Notification
from broker.operator.readers import ReceivedMessage, parse_input_result
from fleet.web.device_view import DeviceView
from fleet.web.fleet_view import FleetView
from fleet.web.pages.devices import PageDevices
from platforms.profile import PlatformProfile

__all__ = ["PhoneViews", "phone_look"]

_CLOSES_NOTIFICATION: Final = frozenset({"later", "setPasscode", "pressKey"})
"""Inputs after which the notification leaves the screen."""
_INPUT_ID: Final = b'"inputId"'
_LOOKS: Final[Mapping[str, str]] = {
    "apple-mdm": "slate",
    "android-device-admin": "paper",
}
"""Looks by the protocol that a platform answers in; others have tiles."""


def phone_look(profile: PlatformProfile) -> str:
    """The drawing of a platform, a name in phone.css: `slate`, `paper`, `tiles` or `tablet`."""
    if profile.sign_in:
        return "tablet"
    protocols = {str(answer.get("protocol")) for answer in profile.native.values()}
    for protocol, look in _LOOKS.items():
        if protocol in protocols:
            return look
    return "tiles"


class PhoneViews:
    """Snapshots of phones, made when a viewer asks and kept until the device changes."""

    def __init__(self, view: FleetView, devices: PageDevices) -> None:
        self._view = view
        self._devices = devices
        self._made: dict[str, tuple[int, dict[str, Any]]] = {}
        self._closed: dict[str, str] = {}
        self._looks: dict[str, str] = {}

    def on_message(self, received: ReceivedMessage) -> None:
        """Note an input that takes the notification off the screen, from this page or another."""
        if received.leaf != "results" or _INPUT_ID not in received.payload:
            return
        document = received.document()
        answer = parse_input_result(document) if isinstance(document, dict) else None
        if answer is not None and received.device_id is not None:
            self._on_input(received.device_id, answer)

    def _on_input(self, device_id: str, answer: InputResult) -> None:
        if answer.action_name not in _CLOSES_NOTIFICATION or answer.action_state != "done":
            return
        device = self._view.devices.get(device_id)
        if device is not None and device.notifications:
            self._closed[device_id] = device.notifications[-1].notification_id
            self._made.pop(device_id, None)

    def snapshot(self, device_id: str) -> dict[str, Any] | None:
        """Current content of the phone; None for a device that has published no state."""
        device = self._view.devices.get(device_id)
        if device is None or device_id not in self._devices:
            return None
        made = self._made.get(device_id)
        if made is not None and made[0] == device.revision:
            return made[1]
        state = device.state
        if state is None:
            return None
        snapshot = self._snapshot(device, state)
        self._made[device_id] = (device.revision, snapshot)
        return snapshot

    def _snapshot(self, device: DeviceView, state: DeviceState) -> dict[str, Any]:
        profile = self._devices[device.device_id].profile
        look = self._looks.get(profile.id)
        if look is None:
            look = self._looks[profile.id] = phone_look(profile)
        return {
            "id": device.device_id,
            "platform": profile.id,
            "title": profile.title,
            "look": look,
            "owner": state.owner,
            "management": state.management,
            "group": state.group,
            "online": device.online,
            "locked": state.locked,
            "passcode": state.passcode,
            "compliance": state.compliance,
            "deadline": state.passcode_deadline,
            "wiped": state.wiped,
            "enrolled": state.enrolled,
            "lostMode": state.lost_mode,
            "signIn": profile.sign_in,
            "biometric": _biometric(state),
            "notification": self._notification(device),
        }

    def _notification(self, device: DeviceView) -> dict[str, Any] | None:
        shown = device.notifications
        if not shown or self._closed.get(device.device_id) == shown[-1].notification_id:
            return None
        last: Notification = shown[-1]
        return {"title": last.title, "body": last.body, "buttons": last.buttons}


def _biometric(state: DeviceState) -> dict[str, str] | None:
    """The button of the sensor: to set it up where it must be, else to use it."""
    states = (state.biometrics.touch_id, state.biometrics.face)
    if states == ("none", "none"):
        return None
    name = "fingerprint" if state.biometrics.touch_id != "none" else "face"
    if "mustEnroll" in states:
        return {"action": "enrollBiometric", "label": f"Set up {name}"}
    return {"action": "useBiometric", "label": f"Use {name}"}
