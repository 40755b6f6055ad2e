"""A phone in as few words as will do: what the machine is held against.

The model knows passcodes in clear, which the machine never does, and platforms by their names, from
the table of the design. It says what an event must come to; it publishes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from agent.events import Command, Input
from agent.state import Result, Timer
from tests.support.device_harness import DAY, HOUR, MINUTE

PHONES = {"windows_phone_8", "windows_phone_8_1", "windows_10_mobile"}
TABLETS = {"windows_rt", "windows_rt_8_1", "windows_8_1"}
OUT_OF_BOUNDS: tuple[dict[str, Any], ...] = (
    {"min_length": 64},
    {"min_complex_characters": 5},
    {"history": 51},
    {"max_failed_attempts": 1_000},
    {"max_inactivity_minutes": 1_000},
    {"max_age_days": 731, "min_length": 8},
    {"max_grace_period_minutes": 241},
)


def fits(policy: dict[str, Any] | None, passcode: str, platform: str) -> bool:
    """True if a policy accepts a passcode."""
    longest = {"ios": 64, "android": 16, "windows_phone_8": 18, "windows_phone_8_1": 18}
    if len(passcode) > longest.get(platform, 127):
        return False
    policy = policy or {}
    kinds = [r"[0-9]", r"[a-z]", r"[A-Z]", r"[^0-9a-zA-Z]"]
    complex_characters = (
        len(re.findall(kinds[3], passcode))
        if platform == "ios"
        else sum(bool(re.search(kind, passcode)) for kind in kinds)
    )
    return (
        len(passcode) >= policy.get("min_length", 0)
        and complex_characters >= policy.get("min_complex_characters", 0)
        and not (
            policy.get("require_alphanumeric")
            and not (re.search("[0-9]", passcode) and re.search("[a-zA-Z]", passcode))
        )
        and not (policy.get("allow_simple") is False and len(set(passcode)) == 1)
    )


@dataclass
class PhoneModel:
    """Minimal model of a phone."""

    platform: str
    management: str
    first: str | None
    policy_at_first: dict[str, Any] | None
    senses: frozenset[str]
    now: int
    version: int = 1
    screens: int = 0
    checked_in: int | None = None
    answered: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.enroll()

    def enroll(self) -> None:
        self.locked = True
        self.opens = self.first
        self.temporary = False
        self.past: list[str] = []
        self.policy = self.policy_at_first or None
        self.was_reset = False
        self.user = "alex"
        self.failed = 0
        self.disabled_until = 0
        self.wiped = False
        self.call: str | None = None
        self.prompt = "none"
        self.deadline: int | None = None
        self.idle_at: int | None = None
        self.swipes_until: int | None = None
        self.touch = "enrolled" if "touchId" in self.senses and self.first else "none"
        self.face = "enrolled" if "face" in self.senses and self.first else "none"
        self.set_at = self.now
        self.compliance = "compliant"
        self.count_age()
        if not self.satisfied():
            self.fall_short()

    def seen(self) -> tuple[Any, ...]:
        """All that a reader of the state, or the user at the lock screen, can tell apart."""
        kind = ("temporary" if self.temporary else "user") if self.opens else "none"
        return (
            self.locked,
            kind,
            self.opens,
            self.deadline,
            self.compliance,
            self.touch,
            self.face,
            self.failed,
            self.wiped,
            self.user,
            self.checked_in,
        )

    def satisfied(self) -> bool:
        if self.opens is None:
            required = (self.policy or {"force_pin": False}).get("force_pin") is not False
            return not required and not self.was_reset
        if self.policy is None:
            return True
        return fits(self.policy, self.opens, self.platform) and not self.too_old()

    def too_old(self) -> bool:
        days = (self.policy or {}).get("max_age_days") or 0
        return days > 0 and self.now >= self.set_at + days * DAY

    def count_age(self) -> None:
        days = (self.policy or {}).get("max_age_days") or 0
        due = days and self.opens and not self.too_old()
        self.expires = self.set_at + days * DAY if due else None

    def fall_short(self) -> None:
        if self.platform == "ios":
            self.give_grace()
        else:
            self.compliance = "noncompliant"

    def stir(self) -> None:
        minutes = (self.policy or {}).get("max_inactivity_minutes")
        self.idle_at = self.now + minutes * MINUTE if minutes and not self.locked else None

    def comply(self) -> None:
        self.compliance, self.deadline, self.prompt = "compliant", None, "none"

    def give_grace(self) -> None:
        self.compliance, self.deadline, self.prompt = (
            "inGracePeriod",
            self.now + HOUR,
            "shown",
        )

    def lock(self) -> None:
        self.locked, self.idle_at, self.swipes_until = True, None, None

    # Commands: each gives (actionState, errorCode) and how many screens it shows.

    def answer(self, command: Command, tells: str | None) -> tuple[str, str | None, int]:
        if command.expires is not None and self.now > command.expires:
            return "failed", "expired", 0
        if self.wiped:
            return "failed", "notEnrolled", 0
        return {
            "resetPasscode": self.reset,
            "remoteLock": self.remote_lock,
            "syncDevice": self.sync,
            "applyPasscodePolicy": self.apply,
        }[command.action](command, tells)

    def sync(self, _: Command, __: str | None) -> tuple[str, str | None, int]:
        self.checked_in = self.now
        return "done", None, 0

    def reset(self, _: Command, tells: str | None) -> tuple[str, str | None, int]:
        if self.platform in TABLETS:
            return "notSupported", None, 0
        if self.opens:
            self.past.append(self.opens)
        self.was_reset = True
        self.failed = self.disabled_until = 0
        self.opens, self.temporary, self.set_at = tells, tells is not None, self.now
        self.swipes_until = None
        if self.platform in PHONES:
            self.lock()
        if self.platform == "ios":
            assert tells is None
            self.touch = "mustEnroll" if self.touch in {"enrolled", "blocked"} else self.touch
            self.give_grace()
        else:
            assert tells is not None
            assert fits(self.policy, tells, self.platform)
            assert tells not in self.past
            self.comply()
        self.count_age()
        return "done", None, 1

    def remote_lock(self, _: Command, __: str | None) -> tuple[str, str | None, int]:
        if self.platform in TABLETS and self.user != "alex":
            return "failed", "wrongUser", 0
        if self.platform in PHONES and self.opens is None:
            return "failed", "passcodeNotSet", 0
        self.lock()
        if self.touch == "enrolled":
            self.touch = "blocked"
        return "done", None, 0

    def apply(self, command: Command, _: str | None) -> tuple[str, str | None, int]:
        assert command.policy is not None
        asked = {
            f.name: value
            for f in fields(command.policy)
            if (value := getattr(command.policy, f.name)) is not None
        }
        if asked in OUT_OF_BOUNDS:
            return "failed", "policyViolation", 0
        self.policy = self.merge(asked) if self.platform in PHONES else asked or None
        self.idle_at, self.swipes_until = None, None
        self.stir()
        self.count_age()
        if self.satisfied():
            self.comply()
            return "done", None, 0
        if self.prompt != "none":
            return "done", None, 0
        if self.compliance == "compliant":
            self.fall_short()
        return "done", None, 1

    def merge(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """The strictest value of each setting; the empty policy lifts all."""
        if not asked:
            return None
        both = [self.policy or {}, asked]
        merged: dict[str, Any] = {}
        for name in {*both[0], *asked}:
            values = [policy[name] for policy in both if name in policy]
            if name in {"min_length", "min_complex_characters", "history", "require_alphanumeric"}:
                merged[name] = max(values)
            elif name == "allow_simple":
                merged[name] = min(values)
            elif name == "force_pin":
                waived = len(values) == 2 and not any(values)
                if waived or any(values):
                    merged[name] = any(values)
            else:
                merged[name] = min([v for v in values if v] or [0])
        if self.policy is None:
            return asked
        return merged or None

    # Inputs: the same three.

    def press(self, press: Input) -> tuple[str, str | None, int]:
        if self.wiped:
            return "failed", "notEnrolled", 0
        came_to = getattr(self, "press_" + str(press.action))(press)
        self.stir()
        error, screens = came_to if isinstance(came_to, tuple) else (came_to, 0)
        if error == "notSupported":
            return "notSupported", None, 0
        return ("failed" if error else "done"), error, screens

    def press_swipeUp(self, _: Input) -> str | tuple[None, int]:  # noqa: N802
        swipes = self.swipes_until is not None and self.now < self.swipes_until
        if self.locked and self.opens and not swipes:
            return "deviceLocked"
        if self.prompt == "shown" and self.compliance == "noncompliant":
            self.locked, self.swipes_until = False, None
            return "passcodeRequired"
        return self.unlock()

    def unlock(self) -> tuple[None, int]:
        """Open the device; a prompt that was put off returns."""
        returns = self.locked and self.prompt == "hidden"
        if returns:
            self.prompt = "shown"
        self.locked, self.swipes_until = False, None
        return None, int(returns)

    def press_enterPasscode(self, press: Input) -> str | tuple[None, int]:  # noqa: N802
        if self.opens is None:
            return "passcodeNotSet"
        if self.now < self.disabled_until:
            return "tooManyAttempts"
        if press.passcode == self.opens and self.own_session():
            self.failed, self.disabled_until = 0, 0
            if self.touch == "blocked":
                self.touch = "enrolled"
            return self.unlock()
        self.failed += 1
        limit = (self.policy or {}).get("max_failed_attempts")
        if limit and self.failed >= limit + (self.platform == "ios"):
            self.wipe()
        elif self.platform == "ios":
            minutes = {5: 1, 6: 5, 7: 15, 8: 15}.get(self.failed, 60 * (self.failed > 8))
            self.disabled_until = self.now + minutes * MINUTE
        return "wrongPasscode"

    def own_session(self) -> bool:
        return self.platform not in TABLETS or self.user == "alex"

    def wipe(self) -> None:
        self.wiped, self.opens, self.policy, self.call = True, None, None, None
        self.past, self.failed = [], 0
        self.compliance, self.deadline, self.prompt = "noncompliant", None, "none"
        self.touch = self.face = "none"
        self.idle_at = self.expires = None

    def press_setPasscode(self, press: Input) -> str | tuple[str, int] | None:  # noqa: N802
        if self.locked:
            return "deviceLocked"
        if not self.own_session():
            return "wrongUser"
        assert press.passcode is not None
        if self.reused(press.passcode) or not fits(self.policy, press.passcode, self.platform):
            return "policyViolation", 1
        if self.opens:
            self.past.append(self.opens)
        self.opens, self.temporary, self.set_at = press.passcode, False, self.now
        self.comply()
        self.count_age()
        return None

    def reused(self, passcode: str) -> bool:
        history = (self.policy or {}).get("history")
        if not history:
            return False
        if self.platform == "ios":
            return passcode == self.opens or passcode in self.past[-history:]
        used = [*self.past, self.opens] if self.opens else self.past
        return passcode in used[-history:]

    def press_changeNow(self, _: Input) -> str | None:  # noqa: N802
        if self.prompt == "none":
            return "notOnScreen"
        if self.locked:
            return "deviceLocked"
        return None if self.prompt == "shown" else "notOnScreen"

    def press_later(self, _: Input) -> str | None:
        if self.prompt != "shown" or self.compliance != "inGracePeriod":
            return "notOnScreen"
        self.prompt = "hidden"
        return None

    def press_useBiometric(self, _: Input) -> str | tuple[None, int]:  # noqa: N802
        if self.platform not in {"ios", "windows_10_mobile"}:
            return "notSupported"
        sense = self.touch if self.platform == "ios" else self.face
        if self.opens is None:
            return "passcodeNotSet"
        if self.now < self.disabled_until:
            return "tooManyAttempts"
        if sense != "enrolled":
            return "biometricBlocked" if sense == "blocked" else "biometricNotEnrolled"
        return self.unlock()

    def press_enrollBiometric(self, _: Input) -> str | None:  # noqa: N802
        if self.platform not in {"ios", "windows_10_mobile"}:
            return "notSupported"
        if self.locked or self.opens is None:
            return "deviceLocked" if self.locked else "passcodeNotSet"
        if self.platform == "ios":
            self.touch = "enrolled"
        else:
            self.face = "enrolled"
        return None

    def press_signIn(self, press: Input) -> str | None:  # noqa: N802
        if self.platform not in TABLETS:
            return "notSupported"
        assert press.user is not None
        self.user, self.locked, self.swipes_until = press.user, False, None
        return None

    def press_pressKey(self, _: Input) -> str | None:  # noqa: N802
        if self.call is None:
            return "notOnScreen"
        self.call = None
        return None

    def press_restart(self, _: Input) -> None:
        self.restart()

    def restart(self) -> None:
        self.lock()
        self.call = None
        if self.platform == "ios" and self.opens and self.touch == "enrolled":
            self.touch = "blocked"

    # Time.

    def tick(self, timer: Timer) -> int:
        """A timer fires: it must be due this very instant. How many screens that shows."""
        if timer is Timer.AUTO_LOCK:
            assert self.idle_at == self.now
            self.lock()
            minutes = (self.policy or {}).get("max_grace_period_minutes")
            if minutes and "enrolled" not in (self.touch, self.face):
                self.swipes_until = self.now + minutes * MINUTE
            return 0
        if timer is Timer.GRACE:
            assert self.deadline == self.now
        else:
            assert self.expires == self.now
            self.expires = None
        self.compliance, self.deadline, self.prompt = "noncompliant", None, "shown"
        return 1
