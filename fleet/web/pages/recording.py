"""Recording of a browser session as a scenario file that `passfleet play` passes.

Steps are written as they were clicked, expectations as they were seen, waits as the fleet's time
passed between them. Devices get what the fleet file says of their group. A device that was not in
its first state when the session first dealt with it is brought there by the first steps.

The file holds the passcodes that this browser typed, for this browser alone; account passwords are
replaced, since no rule depends on their text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from broker.contract import DeviceState
from fleet.config.loader import FleetConfig
from fleet.config.sections import GroupSection
from fleet.web.pages.devices import PageDevices
from platforms.profile import ResetOutcome
from scenarios.model.variables import escape_placeholders

__all__ = ["REPLACED_PASSWORDS", "WEAK_PASSWORD", "WRONG_PASSWORD", "Recording"]

WRONG_PASSWORD: Final = "not the password"  # noqa: S105  # an example of a wrong one
REPLACED_PASSWORDS: Final = ("Passw0rd-1", "Passw0rd-2")
"""Written in place of a new password and of one that differs from it."""
WEAK_PASSWORD: Final = "weak"  # noqa: S105  # stands for any that the rules reject
_WITHIN: Final = "5m"
_NOTHING: Final[Mapping[str, Any]] = {}
_WRONG: Final = "a wrong passcode"
_ATTEMPTS_REPEATED: Final = 20
_OWN_DEVICES: Final = 20
"""Devices of a user who signs in that are written into the file at most."""
_LAST_PART: Final = 60
"""Seconds of a wait that an expectation with `within` waits by itself."""
_STEPS_KEPT: Final = 2_000
_WITH_CONTACT: Final = ("expect.portal", "expect.account")
_ANY_PASSCODE: Final = "2580"
_STRONG_PASSCODE: Final = "Zq7!Xw2#Kp9$Vb4%"
"""Passcodes, without and with a policy, of an open device whose own one was never typed here."""


@dataclass(slots=True)
class _Entry:
    """One step: its name and arguments, and the instant in milliseconds since the epoch."""

    at: int
    name: str
    arguments: dict[str, Any]
    round_up: bool = False


@dataclass(slots=True)
class _Device:
    """A device at the moment when the session first dealt with it."""

    state: DeviceState
    passcode: str | None = field(default=None, repr=False)
    changed: bool = False


class Recording:
    """Steps and expectations of one browser session."""

    def __init__(self, config: FleetConfig, devices: PageDevices, now: Callable[[], int]) -> None:
        self._groups = {group.name: group for group in config.groups}
        self._conformance = config.fleet.conformance
        self._platforms = config.known.own
        self._fleet_devices = devices
        self._now = now
        self._started: int | None = None
        self._entries: list[_Entry] = []
        self._devices: dict[str, _Device] = {}
        self._users: dict[str, None] = {}
        self._contact = config.organization.contact
        self._others = 0

    # -- writing --------------------------------------------------------------------------------

    def step(self, name: str, arguments: Mapping[str, Any] = _NOTHING) -> None:
        """Add a step that was taken now."""
        self._add(name, {key: value for key, value in arguments.items() if value is not None})

    def expect(self, actor: str, seen: Mapping[str, Any], *, later: bool = False) -> None:
        """Add what was seen now; `later` for what a device brought about by its answer."""
        within = {"within": _WITHIN} if later else {}
        if seen:
            self._add(f"expect.{actor}", {**seen, **within}, round_up=later)

    def user(self, name: str) -> None:
        """Note a user who appears in a step."""
        self._users[name] = None

    def device(self, state: DeviceState | None) -> None:
        """Note a device that appears in a step, in its state before that step."""
        if state is not None and state.device_id not in self._devices:
            self._devices[state.device_id] = _Device(state)

    def knows(self, device_id: str) -> bool:
        """Return True if a device appears in the file."""
        return device_id in self._devices

    def device_ids(self) -> list[str]:
        """The devices that appear in the file so far."""
        return list(self._devices)

    def device_changed(self, device_id: str) -> None:
        """Note that the passcode that a device started with is gone."""
        if device_id in self._devices:
            self._devices[device_id].changed = True

    def entered(self, device_id: str, passcode: str) -> None:
        """Note a passcode that opened a device: the one it starts with, if that is not gone."""
        device = self._devices.get(device_id)
        if device is not None and not device.changed and device.state.passcode == "user":
            device.passcode = passcode

    def other_command_id(self) -> str:
        """Return a new id for a command of another sender."""
        self._others += 1
        return f"other-{self._others}"

    def _add(self, name: str, arguments: dict[str, Any], *, round_up: bool = False) -> None:
        if len(self._entries) >= _STEPS_KEPT:
            return
        now = self._now()
        if self._started is None:
            self._started = now
        self._entries.append(_Entry(now, name, arguments, round_up))

    # -- reading --------------------------------------------------------------------------------

    def to_yaml(self) -> str:
        """The scenario file."""
        for user in self._users:
            for device_id in self._fleet_devices.of_owner(user)[:_OWN_DEVICES]:
                self.device(self._fleet_devices.state(device_id))
        if not self._devices:
            for device_id in self._fleet_devices.ids()[:1]:
                self.device(self._fleet_devices.state(device_id))
        head: dict[str, Any] = {"name": "Browser session", "source": "Recorded in the browser"}
        head["conformance"] = self._conformance
        if self._platforms:
            head["platforms"] = escape_placeholders(self._platforms)
        if any(name in _WITH_CONTACT and "contact" in seen for name, seen in self._seen()):
            head["organization"] = {"contact": escape_placeholders(self._contact)}
        if self._users:
            head["users"] = {user: {"personalAccount": True} for user in self._users}
        lines = [yaml.safe_dump(head, sort_keys=False, width=100), "devices:\n"]
        lines += [f"  {_flow(name)}: {_flow(self._entry(name))}\n" for name in self._devices]
        lines.append("steps:\n")
        lines += [_line(name, arguments) for name, arguments in self._steps()]
        return "".join(lines)

    def _seen(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return ((entry.name, entry.arguments) for entry in self._entries)

    def _entry(self, name: str) -> dict[str, Any]:
        device = self._devices[name]
        state = device.state
        entry: dict[str, Any] = {"platform": state.platform, "owner": state.owner}
        if state.management != "standalone":
            entry["management"] = state.management
        entry["group"] = state.group
        group = self._groups.get(state.group)
        if group is not None:
            entry |= _group_settings(group)
        passcode = self._passcode_of(device)
        if passcode is not None:
            entry["passcode"] = passcode
        return entry

    def _steps(self) -> Iterable[tuple[str, dict[str, Any]]]:
        for name, device in self._devices.items():
            yield from self._first_steps(name, device)
        at = self._started or 0
        for entry in self._entries:
            passed = entry.at - at
            seconds = -(-passed // 1000) if entry.round_up else passed // 1000
            if seconds >= 1:
                # An expectation waits by itself; before a long time it waits the last part of it.
                waited = seconds - _LAST_PART if "within" in entry.arguments else seconds
                if waited > 0:
                    yield "wait", {"": f"{waited}s"}
                at += seconds * 1000
            yield entry.name, entry.arguments
        if not self._entries:
            yield "wait", {"": "1s"}

    def _passcode_of(self, device: _Device) -> str | None:
        """Return the passcode to write into the file, None for the usual one."""
        state = device.state
        if device.passcode is not None:
            return device.passcode
        if state.passcode == "none" and state.compliance == "compliant":
            return ""
        if state.locked or state.passcode != "user":
            return None
        group = self._groups.get(state.group)
        return _ANY_PASSCODE if group is None or group.policy is None else _STRONG_PASSCODE

    def _first_steps(self, name: str, device: _Device) -> Iterable[tuple[str, dict[str, Any]]]:
        """Bring a device into the state in which the session found it."""
        state, one = device.state, {"device": name}
        graced = state.passcode == "none" and state.compliance != "compliant"
        if state.wiped or not state.enrolled:
            yield from self._ended_enrollment(name, wiped=state.wiped)
        elif graced or state.passcode == "temporary":
            yield "console.select", {"devices": [name]}
            yield "console.reset_passcode", {}
            yield "expect.console", {**one, "actionState": "done", "within": _WITHIN}
        for _ in range(min(state.failed_attempts, _ATTEMPTS_REPEATED)):
            yield "user.enter_passcode", {**one, "passcode": _WRONG, "answer": "wrongPasscode"}
        if not state.locked and not state.wiped:
            yield self._opening(name, device)
        if graced:
            waited = self._spent_grace(name, state)
            if waited > 0:
                yield "wait", {"": f"{waited}s"}

    def _ended_enrollment(self, name: str, *, wiped: bool) -> Iterable[tuple[str, dict[str, Any]]]:
        command = {"device": name, "commandId": self.other_command_id()}
        yield "command", {**command, "actionName": "wipe" if wiped else "retire"}
        seen = {"commandId": command["commandId"], "actionState": "done", "within": _WITHIN}
        yield "expect.result", seen

    def _opening(self, name: str, device: _Device) -> tuple[str, dict[str, Any]]:
        """Return the step that opens a device."""
        state, one = device.state, {"device": name}
        if self._fleet_devices[name].profile.sign_in:
            return "user.sign_in", {**one, "user": state.current_user}
        if state.passcode == "none":
            return "user.swipe_up", one
        typed: Any = self._passcode_of(device)
        if state.passcode == "temporary":
            typed = {"from": "console"}
        return "user.enter_passcode", {**one, "passcode": typed}

    def _spent_grace(self, name: str, state: DeviceState) -> int:
        """Seconds of the grace after a reset that were over when the session began."""
        rule = self._fleet_devices[name].profile.reset
        if rule.outcome is not ResetOutcome.REMOVES or rule.grace is None:
            return 0
        if state.passcode_deadline is None:
            return rule.grace
        left = (state.passcode_deadline - (self._started or self._now())) // 1000
        return max(0, rule.grace - left)


def _group_settings(group: GroupSection) -> dict[str, Any]:
    """The keys of a group that a device in a scenario may have, as they are written."""
    low, high = group.reaction
    settings: dict[str, Any] = {"reaction": f"{low}ms" if low == high else f"{low}ms..{high}ms"}
    if group.push_delay != (0, 0):
        settings["push_delay"] = "..".join(f"{each}ms" for each in group.push_delay)
    if group.check_in is not None:
        settings["check_in"] = f"{group.check_in}ms"
    if group.policy is not None:
        settings["policy"] = group.policy.model_dump(by_alias=True, exclude_none=True)
    if group.biometrics is not None:
        settings["biometrics"] = [str(each) for each in group.biometrics]
    if group.os_version is not None:
        settings["os_version"] = ".".join(map(str, group.os_version))
    for key in ("api_level", "supervised", "azure_ad_joined"):
        value = getattr(group, key)
        if value is not None:
            settings[key] = value
    return settings


def _flow(value: object) -> str:
    """A value on one line; characters that are invisible or change the direction are escaped.

    Text that the user typed is no placeholder.
    """
    value = escape_placeholders(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _line(name: str, arguments: Mapping[str, Any]) -> str:
    if not arguments:
        return f"  - {name}\n"
    value = arguments[""] if "" in arguments else dict(arguments)
    return f"  - {name}: {_flow(value)}\n"
