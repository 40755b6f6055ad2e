"""Records presses, results and devices of a browser session into its scenario."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from broker.contract import InputResult
from fleet.web.fleet_view import FleetView
from fleet.web.pages.devices import PageDevices
from fleet.web.pages.recording import Recording
from scenarios.model.actor import Actor

__all__ = ["SessionRecorder"]

_REPEATABLE: Final = frozenset(
    {"resetPasscode", "remoteLock", "syncDevice", "wipe", "retire", "rebootNow"}
)
"""Actions that a result describes completely, so that a scenario can repeat them."""
_CHANGES_PASSCODE: Final = frozenset({"resetPasscode", "wipe"})
_SEEN_OF_DEVICE: Final = ("locked", "passcode", "compliance")
_STEP_OF_INPUT: Final[Mapping[str, str]] = {
    "swipeUp": "swipe_up",
    "enterPasscode": "enter_passcode",
    "changeNow": "change_now",
    "later": "later",
    "setPasscode": "set_passcode",
    "useBiometric": "use_biometric",
    "enrollBiometric": "enroll_biometric",
    "signIn": "sign_in",
}


class SessionRecorder:
    """Writer of steps and expectations, which it reads off the actors and the devices."""

    def __init__(
        self,
        view: FleetView,
        devices: PageDevices,
        actors: Mapping[str, Actor],
        recording: Recording,
    ) -> None:
        self._view = view
        self._devices = devices
        self._actors = actors
        self.recording = recording
        self._hidden: tuple[str, frozenset[str]] = ("", frozenset())

    def _look(self, actor: str, query: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._actors[actor].observe(query, self._view.now())

    def press(
        self, device_id: str, action: str, values: Mapping[str, str], answer: InputResult
    ) -> None:
        """Record a press on a phone, its answer, and the device after it."""
        word = answer.error_code or answer.action_state
        if action == "restart":
            self.recording.step("device.restart", {"device": device_id})
            return
        if action not in _STEP_OF_INPUT:
            return
        arguments: dict[str, Any] = {"device": device_id, **values, "answer": word}
        step = f"user.{_STEP_OF_INPUT[action]}"
        passcode = values.get("passcode", "")
        source = self._source_of(device_id, passcode) if passcode else None
        if source is not None:
            self.recording.step(step, arguments | {"passcode": {"from": source}})
        else:
            self.recording.step(step, arguments)
            if word == "done" and action == "enterPasscode":
                self.recording.entered(device_id, passcode)
        if word == "done" and action == "setPasscode":
            self.recording.device_changed(device_id)
        hidden_of, hidden = self._hidden
        for name in sorted(hidden if hidden_of == device_id else ()):
            selector = {"device": device_id} if name == "console" else {}
            self.recording.expect(name, {**selector, "newPasscode": "absent"})
        self._hidden = "", frozenset()
        self.expect_device(device_id)

    def passcode_hidden(self, device_id: str, pages: frozenset[str]) -> None:
        """Note the pages that no longer show a new passcode, until the press is recorded."""
        self._hidden = device_id, pages

    def expect_device(self, device_id: str, *, later: bool = False) -> None:
        """Record what can be seen of a device now."""
        state = self._devices.state(device_id)
        if state is not None and self.recording.knows(device_id):
            seen = {key: getattr(state, key) for key in _SEEN_OF_DEVICE}
            self.recording.expect("device", {"device": device_id, **seen}, later=later)

    def expect_devices(self) -> None:
        """Record what can be seen of every device in the scenario, after time was moved."""
        for device_id in self.recording.device_ids():
            self.expect_device(device_id, later=True)

    def _source_of(self, device_id: str, passcode: str) -> str | None:
        """Return the page that a scenario reads a typed new passcode from, None for another one.

        A passcode that this browser did not see is shown by the console first.
        """
        device, now = self._devices[device_id], self._view.now()
        for name in ("portal", "console"):
            if self._actors[name].new_passcode(device, now) == passcode:
                return name
        held = self._view.devices[device_id].administrator_passcode
        if held is None or held[1] != passcode:
            return None
        selected = self._look("console", {}).get("devices", ())
        self.recording.step("console.select", {"devices": [device_id]})
        self.recording.step("console.show_passcode")
        if selected:
            self.recording.step("console.select", {"devices": [*selected]})
        return "console"

    def pages_with_passcode(self, device_id: str) -> frozenset[str]:
        """Return the pages that show a new passcode of a device now."""
        device, now = self._devices[device_id], self._view.now()
        return frozenset(
            name
            for name in ("portal", "console")
            if self._actors[name].new_passcode(device, now) is not None
        )

    def command_ended(
        self, actor: str, device_id: str, document: Mapping[str, Any], *, shown: bool
    ) -> None:
        """Record the page after a device had answered, and the device itself.

        `shown` is False where the page shows another device.
        """
        self._note_reset(device_id, document)
        seen = self._look(actor, {"device": device_id} if actor == "console" else {})
        checked = document.get("actionName") == "syncDevice"
        state, message = ("checkStatus", "checkMessage") if checked else ("status", "message")
        state = "actionState" if actor == "console" else state
        if not shown or seen.get(state) != document["actionState"]:
            return
        expected: dict[str, Any] = {"device": device_id} if actor == "console" else {}
        expected |= {key: seen[key] for key in (state, message) if key in seen}
        if not checked:
            expected["newPasscode"] = "present" if "newPasscode" in seen else "absent"
        self.recording.expect(actor, expected, later=True)
        self.expect_device(device_id)

    def other_command(self, device_id: str, document: Mapping[str, Any]) -> None:
        """Record a command of another sender: the device's next answers depend on it."""
        action = document.get("actionName")
        if action not in _REPEATABLE:
            return
        self._note_reset(device_id, document)
        command_id = self.recording.other_command_id()
        command = {"device": device_id, "commandId": command_id, "actionName": action}
        self.recording.step("command", command)
        seen = {"commandId": command_id, "actionState": document["actionState"]}
        self.recording.expect("result", seen, later=True)
        self.expect_device(device_id)

    def _note_reset(self, device_id: str, document: Mapping[str, Any]) -> None:
        if document.get("actionName") in _CHANGES_PASSCODE and document["actionState"] == "done":
            self.recording.device_changed(device_id)
