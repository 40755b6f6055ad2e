"""What one device is: its enrollment, its state, and what it remembers.

Frozen records; instants are milliseconds since the Unix epoch, UTC. No passcode in clear is held
anywhere in them: a set passcode is a `Secret`, a temporary one that a result has told is a
`PasscodeRef`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from agent.events import Command
from agent.passcode import PasscodePolicy, PasscodeRef, Traits
from platforms.profile import Action, Attributes, Biometric, Management, NativeCase, PlatformProfile

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
    "Prompt",
    "Result",
    "Secret",
    "Timer",
    "Work",
    "changed",
]

RESULTS_KEPT: Final = 32
"""How many results, and how many answers to inputs, a device remembers."""


class ActionState(StrEnum):
    """A result's `actionState`, in Microsoft Graph's words."""

    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    NOT_SUPPORTED = "notSupported"


class ErrorCode(StrEnum):
    """A result's `errorCode`: every reason why a device says `failed`."""

    INVALID_JSON = "invalidJson"
    INVALID_COMMAND = "invalidCommand"
    UNKNOWN_ACTION = "unknownAction"
    RETAINED_COMMAND = "retainedCommand"
    EXPIRED = "expired"
    COMMAND_ID_REUSED = "commandIdReused"
    WRONG_USER = "wrongUser"
    PASSCODE_NOT_SET = "passcodeNotSet"
    POLICY_VIOLATION = "policyViolation"
    NOT_ENROLLED = "notEnrolled"
    PAYLOAD_TOO_LARGE = "payloadTooLarge"
    # Inputs only.
    WRONG_PASSCODE = "wrongPasscode"
    DEVICE_LOCKED = "deviceLocked"
    PASSCODE_REQUIRED = "passcodeRequired"
    TOO_MANY_ATTEMPTS = "tooManyAttempts"
    BIOMETRIC_NOT_ENROLLED = "biometricNotEnrolled"
    BIOMETRIC_BLOCKED = "biometricBlocked"
    NOT_ON_SCREEN = "notOnScreen"
    INPUT_ID_REUSED = "inputIdReused"


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
    """Whether the screen asks for a new passcode; `hidden` until the deadline after Later."""

    NONE = "none"
    SHOWN = "shown"
    HIDDEN = "hidden"


class Timer(StrEnum):
    """What a device may be waiting for."""

    REACTION = "reaction"
    GRACE = "grace"
    AUTO_LOCK = "autoLock"
    PASSCODE_EXPIRY = "passcodeExpiry"


@dataclass(frozen=True, slots=True)
class Secret:
    """A set passcode, known by its digest alone. `kind` is USER or TEMPORARY."""

    kind: PasscodeKind
    digest: str
    traits: Traits


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSetup:
    """What the devices of a group share.

    `reaction` is (shortest, longest) in milliseconds; `attributes` None means the platform's own.
    """

    name: str
    profile: PlatformProfile
    management: Management = Management.STANDALONE
    policy: PasscodePolicy | None = None
    attributes: Attributes | None = None
    biometrics: frozenset[Biometric] = frozenset()
    reaction: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """Who a device is: never changes while it runs. `first` is the passcode it starts with."""

    device_id: str
    owner: str
    setup: GroupSetup
    first: Secret | None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command. `passcode` is set where the result may tell it."""

    command_id: str
    action: Action
    state: ActionState
    message: str
    started: int
    updated: int
    error: ErrorCode | None = None
    native: NativeCase | None = None
    passcode: PasscodeRef | None = None


@dataclass(frozen=True, slots=True)
class InputAnswer:
    """What became of a press on the device."""

    input_id: str
    action: str
    state: ActionState
    message: str
    at: int
    error: ErrorCode | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The command that the device is busy with, and when it will be done."""

    command: Command
    started: int
    due: int


# No slots: `changed` copies a __dict__ several times as fast as it would set slots.
@dataclass(frozen=True, kw_only=True)
class DeviceState:
    """One device at one instant.

    `passcode_deadline` is set exactly while `compliance` is `inGracePeriod`. `history` holds
    digests, the oldest first. `retry_at` is when the lock screen takes a passcode again after too
    many wrong ones. `draws`, `notifications` and `resets` count what was drawn, shown and reset.
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
    policy: PasscodePolicy | None = None
    history: tuple[str, ...] = ()
    auto_lock_at: int | None = None
    passcode_set_at: int = 0
    passcode_expires_at: int | None = None
    resets: int = 0
    draws: int = 0
    notifications: int = 0
    call: str | None = None
    work: Work | None = None
    inbox: tuple[Command, ...] = ()
    results: tuple[Result, ...] = ()
    answers: tuple[InputAnswer, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def passcode(self) -> PasscodeKind:
        """Which kind of passcode opens the device."""
        return self.secret.kind if self.secret else PasscodeKind.NONE

    @property
    def profile(self) -> PlatformProfile:
        """The platform."""
        return self.enrollment.setup.profile


if TYPE_CHECKING:
    # The same to whoever calls it, and to mypy, which holds the fields and their types against it.
    from dataclasses import replace as changed
else:

    def changed(state: DeviceState, /, **changes: Any) -> DeviceState:
        """`dataclasses.replace` for a state, at a fraction of its cost.

        A reset makes nine states; through `__init__`, each sets thirty frozen fields one by one,
        which took four fifths of a step's time.
        """
        new = object.__new__(DeviceState)
        fields = new.__dict__
        fields.update(state.__dict__)
        fields.update(changes)
        return new
