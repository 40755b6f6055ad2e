"""Server side of the portal: the requests of users, their results, and the offered buttons.

Everything here belongs to accounts and devices, not to a browser.

Assumptions, because the sources do not specify it: a request that a device has not answered after
`NO_ANSWER_LIMIT` is shown as failed, since pending would never end for a device that is gone for
good; it remains with the device, and a late answer replaces that status. A device that was wiped or
is no longer enrolled has no buttons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from platforms.profile import Action, Management, NativeCase, ResetOutcome
from scenarios.actors.device_records import DeviceRecords, NewPasscodes
from scenarios.model.actor import DeviceMessage, ManagedDevice, Organization, SendCommand

__all__ = ["CONTACT_ADMIN", "NO_ANSWER_LIMIT", "PortalRequests", "Request"]

NO_ANSWER_LIMIT: Final = 24 * 60 * 60 * 1000
"""Time in milliseconds after which the portal shows an unanswered request as failed."""
CONTACT_ADMIN: Final = "Contact your IT admin to reset the passcode of this device."
_NOT_ENROLLED: Final = (
    "This device is no longer enrolled. Contact your IT admin to enroll it again."
)
_NO_ANSWER: Final = (
    "The device has not responded for 24 hours. Make sure that it is switched on and connected, or"
    " contact your IT admin."
)
_PENDING: Final = {
    Action.RESET_PASSCODE: "Passcode reset is pending",
    Action.REMOTE_LOCK: "Remote lock is pending",
    Action.SYNC_DEVICE: "Checking the status of the device",
}
_FAILED: Final = {
    Action.RESET_PASSCODE: "The passcode could not be reset.",
    Action.REMOTE_LOCK: "The device could not be locked.",
    Action.SYNC_DEVICE: "The status of the device could not be checked.",
}
_ENDED: Final = ("done", "failed", "notSupported", "canceled")


@dataclass(slots=True)
class Request:
    """Request of a user for one device; `sent` is an instant in milliseconds since the epoch."""

    device: ManagedDevice
    action: Action
    sent: int
    status: str = "pending"
    message: str = ""
    answered: bool = False

    def end(self, status: str, text: str) -> None:
        """Set the final status and its message."""
        self.status = status
        self.message = text if status == "done" else f"{_FAILED[self.action]} {text}".strip()


class PortalRequests:
    """Requests of all users, the new passcodes, and the notifications of each user."""

    def __init__(self, organization: Organization) -> None:
        self._organization = organization
        self._records = DeviceRecords()
        self._new_passcodes = NewPasscodes(self._records)
        self._requests: dict[str, Request] = {}
        self._last: dict[tuple[str, bool], Request] = {}
        self._notifications: dict[str, list[str]] = {}

    # -- offered buttons -----------------------------------------------------------------------

    def offers_actions(self, device: ManagedDevice) -> bool:
        """Return True if the portal offers remote actions: for devices enrolled in Intune."""
        eas = device.management is Management.EXCHANGE_ACTIVESYNC
        return not eas and self._records.is_enrolled(device)

    def offers_reset(self, device: ManagedDevice) -> bool:
        """Return True if the page of the device shows Reset Passcode."""
        return (
            self._organization.reset_passcode
            and self.offers_actions(device)
            and device.profile.reset.outcome is not ResetOutcome.NOT_SUPPORTED
            and not self._is_limited(device)
        )

    def _is_limited(self, device: ManagedDevice) -> bool:
        """Return True if the dated table does not support a reset of such a device."""
        attributes = device.attributes or device.profile.attributes
        has_passcode = self._records.has_passcode(device)
        return any(
            limit.native is NativeCase.NOT_SUPPORTED
            and limit.applies(attributes, has_passcode=has_passcode)
            for limit in device.profile.reset.limits
        )

    def advice(self, device: ManagedDevice) -> str:
        """Return the text of a device page without Reset Passcode, otherwise an empty text."""
        if not self._records.is_enrolled(device):
            return _NOT_ENROLLED
        return "" if self.offers_reset(device) else CONTACT_ADMIN

    # -- requests and results ------------------------------------------------------------------

    def ask(self, device: ManagedDevice, action: Action, now: int) -> SendCommand:
        """Return the command for a new request."""
        correlation_id = f"{action.value}-{len(self._requests) + 1}"
        request = Request(device, action, now, message=_PENDING[action])
        self._requests[correlation_id] = request
        self._last[device.name, action is Action.SYNC_DEVICE] = request
        return SendCommand(device, action.value, "user", correlation_id)

    def on_message(self, message: DeviceMessage) -> None:
        """Update the request that a result answers, the new passcodes, and the device states."""
        self._records.on_message(message)
        self._new_passcodes.on_message(message)
        request = self._requests.get(message.correlation_id or "")
        status = message.payload.get("actionState")
        if request is None or request.answered or status not in _ENDED:
            return
        request.answered = True
        request.end(status, str(message.payload.get("message", "")))
        self._notify(request)

    def expire(self, now: int) -> None:
        """Show the requests as failed that no device answered within `NO_ANSWER_LIMIT`."""
        for request in self._requests.values():
            if request.status == "pending" and now >= request.sent + NO_ANSWER_LIMIT:
                request.end("failed", _NO_ANSWER)
                self._notify(request)

    def next_change(self, now: int) -> int | None:
        """Return the next instant after `now` at which a request is shown as failed, or None."""
        ends = [
            each.sent + NO_ANSWER_LIMIT for each in self._requests.values() if not each.answered
        ]
        return min((end for end in ends if end > now), default=None)

    def _notify(self, request: Request) -> None:
        if request.action is not Action.SYNC_DEVICE:
            self._notifications.setdefault(request.device.owner, []).append(request.message)

    # -- visible values ------------------------------------------------------------------------

    def last(self, device: ManagedDevice) -> Request | None:
        """Return the last reset or lock of a device, or None."""
        return self._last.get((device.name, False))

    def last_check(self, device: ManagedDevice) -> Request | None:
        """Return the last Check status of a device, or None."""
        return self._last.get((device.name, True))

    def new_passcode(self, device: ManagedDevice) -> str | None:
        """Return the new passcode that the page of the device shows, or None."""
        found = self._new_passcodes.of(device)
        shown = device.management in device.profile.reset.shown_to_user
        return found.passcode if found is not None and found.own and shown else None

    def notifications(self, user: str) -> tuple[str, ...]:
        """Return the notifications of a user, the oldest first."""
        return tuple(self._notifications.get(user, ()))
