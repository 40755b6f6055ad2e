"""Enrollment and state of one device.

Frozen records; instants are milliseconds since the Unix epoch, UTC. No passcode in clear is held
anywhere in them: a set passcode is a `Secret`, a temporary one in a result is a
`PasscodeRef`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from agent.events import Command
from agent.fast_dataclass import fast_dataclass
from agent.passcode import PasscodePolicy, Traits
from agent.past_results import (
    RESULTS_KEPT,
    ActionState,
    ErrorCode,
    InputAnswer,
    PastAnswers,
    PastResults,
    Result,
)
from platforms.profile import Attributes, Biometric, Management, NativeCase, PlatformProfile

__all__ = [
    "RESULTS_KEPT",
    "ActionState",
    "BiometricState",
    "Compliance",
    "DeviceState",
    "Enrollment",
    "ErrorCode",
    "GroupSetup",
    "InputAnswer",
    "PasscodeKind",
    "PastAnswers",
    "PastResults",
    "Prompt",
    "Result",
    "Secret",
    "Timer",
    "Work",
    "changed",
]


class PasscodeKind(StrEnum):
    """A state's `passcode`."""

    NONE = "none"
    USER = "user"
    TEMPORARY = "temporary"


class Compliance(StrEnum):
    """A state's `compliance`."""

    COMPLIANT = "compliant"
    IN_GRACE_PERIOD = "inGracePeriod"
    NONCOMPLIANT = "noncompliant"


class BiometricState(StrEnum):
    """One value in a state's `biometrics`."""

    ENROLLED = "enrolled"
    MUST_ENROLL = "mustEnroll"
    BLOCKED = "blocked"
    NONE = "none"


class Prompt(StrEnum):
    """Prompt for a new passcode on the screen; `hidden` until the deadline after Later."""

    NONE = "none"
    SHOWN = "shown"
    HIDDEN = "hidden"


class Timer(StrEnum):
    """Timer of a device."""

    REACTION = "reaction"
    GRACE = "grace"
    AUTO_LOCK = "autoLock"
    PASSCODE_EXPIRY = "passcodeExpiry"
    PUSH = "push"
    CHECK_IN = "checkIn"


@fast_dataclass
class Secret:
    """Set passcode, stored as its digest only. `kind` is USER or TEMPORARY."""

    kind: PasscodeKind
    digest: bytes
    traits: Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSetup:
    """Setup shared by the devices of a group.

    `reaction` and `push_delay` are (shortest, longest) in milliseconds, `push_loss` is the share of
    pushes that are lost, `check_in` the milliseconds between two check-ins, None for none.
    `attributes` None means the platform's own.
    """

    name: str
    profile: PlatformProfile
    management: Management = Management.STANDALONE
    policy: PasscodePolicy | None = None
    attributes: Attributes | None = None
    biometrics: frozenset[Biometric] = frozenset()
    reaction: tuple[int, int] = (0, 0)
    push_delay: tuple[int, int] = (0, 0)
    push_loss: float = 0.0
    check_in: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """Identity of a device, constant while it runs. `first` is the passcode it starts with."""

    device_id: str
    owner: str
    setup: GroupSetup
    first: Secret | None


@dataclass(frozen=True, slots=True)
class Work:
    """The command that the device is busy with, and when it will be done."""

    command: Command
    started: int
    due: int


_NO_RESULTS: Final = PastResults()
_NO_ANSWERS: Final = PastAnswers()


# No slots: `changed` copies a __dict__ several times as fast as it would set slots.
@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """One device at one instant.

    `passcode_deadline` is set exactly while `compliance` is `inGracePeriod`. `history` is the
    digests of former passcodes, end to end, the oldest first. `retry_at` is when the lock screen
    takes a passcode again after too many wrong ones; until `open_until` a swipe opens a device that
    locked itself. `draws`, `notifications` and `resets` count
    what was drawn, shown and reset. `waiting` are commands whose push has not arrived yet; the next
    push arrives at `push_at`, None where all were lost, the next check-in is at `check_in_at`.
    `last_check_in` is None until the first check-in. `refusals` are the scripted ones, each for one
    command.
    """

    enrollment: Enrollment
    current_user: str
    version: int = 1
    locked: bool = True
    secret: Secret | None = None
    compliance: Compliance = Compliance.COMPLIANT
    passcode_deadline: int | None = None
    prompt: Prompt = Prompt.NONE
    touch_id: BiometricState = BiometricState.NONE
    face: BiometricState = BiometricState.NONE
    failed_attempts: int = 0
    retry_at: int | None = None
    wiped: bool = False
    enrolled: bool = True
    lost_mode: bool = False
    last_check_in: int | None = None
    policy: PasscodePolicy | None = None
    history: bytes = b""
    auto_lock_at: int | None = None
    open_until: int | None = None
    passcode_set_at: int = 0
    passcode_expires_at: int | None = None
    resets: int = 0
    draws: int = 0
    notifications: int = 0
    call: str | None = None
    work: Work | None = None
    inbox: tuple[Command, ...] = ()
    waiting: tuple[Command, ...] = ()
    push_at: int | None = None
    check_in_at: int | None = None
    refusals: tuple[NativeCase, ...] = ()
    results: PastResults = _NO_RESULTS
    answers: PastAnswers = _NO_ANSWERS
    messages: tuple[str, ...] = ()

    @property
    def passcode(self) -> PasscodeKind:
        """Kind of the passcode that opens the device."""
        return self.secret.kind if self.secret else PasscodeKind.NONE

    @property
    def attributes(self) -> Attributes:
        """Attributes of the device: its own, or those of its platform."""
        return self.enrollment.setup.attributes or self.profile.attributes

    @property
    def profile(self) -> PlatformProfile:
        """The platform."""
        return self.enrollment.setup.profile


if TYPE_CHECKING:
    # mypy checks the fields and their types against the signature of `replace`.
    from dataclasses import replace as changed
else:

    def changed(state: DeviceState, /, **changes: Any) -> DeviceState:
        """`dataclasses.replace` for a state, at a sixth of its cost.

        Through `__init__`, each of thirty frozen fields is set one by one.
        """
        new = object.__new__(DeviceState)
        # Copied whole, the fields share their names with every other state: a third of the memory.
        object.__setattr__(new, "__dict__", state.__dict__ | changes)
        return new
