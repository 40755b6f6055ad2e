"""Platform as data: the frozen `PlatformProfile` and its parts.

Everything in which two platforms differ is a field here; the state machine reads the fields and
never asks for a platform's name. Nothing in this room does I/O, reads a clock or draws numbers.
Durations are whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, TypeAlias

__all__ = [
    "Action",
    "ActionRule",
    "AdminMode",
    "Alphabet",
    "AttributeCondition",
    "Attributes",
    "Biometric",
    "BiometricConsequence",
    "Bound",
    "ComplexCharacters",
    "Fidelity",
    "Inventory",
    "LedgerEntry",
    "Limit",
    "LockRule",
    "Management",
    "NativeCase",
    "NativeVariant",
    "PasscodeRules",
    "PlatformProfile",
    "PolicyMerge",
    "RefusalError",
    "RefusalRule",
    "ResetOutcome",
    "ResetRule",
    "ScreenMessage",
    "Seconds",
    "Source",
    "Version",
    "WipeRule",
    "WithoutPasscode",
    "native_topic",
]

Seconds: TypeAlias = Annotated[int, "seconds"]
"""A whole number of seconds; a fleet file may write it as a duration."""
Version: TypeAlias = Annotated[tuple[int, ...], "version"]
"""A version by its numbers; a fleet file writes it with dots."""


class Management(StrEnum):
    """Management mode of a device."""

    STANDALONE = "standalone"
    HYBRID = "hybrid"
    EXCHANGE_ACTIVESYNC = "exchange_activesync"


class Action(StrEnum):
    """A command's `actionName`, in Microsoft Graph's words."""

    RESET_PASSCODE = "resetPasscode"
    REMOTE_LOCK = "remoteLock"
    SYNC_DEVICE = "syncDevice"
    APPLY_PASSCODE_POLICY = "applyPasscodePolicy"
    WIPE = "wipe"
    RETIRE = "retire"
    REBOOT_NOW = "rebootNow"
    ENABLE_LOST_MODE = "enableLostMode"
    DISABLE_LOST_MODE = "disableLostMode"


class AdminMode(StrEnum):
    """Android: component that manages the device."""

    DEVICE_ADMIN = "deviceAdmin"
    DEVICE_OWNER = "deviceOwner"
    """A fully managed device with an agent of its own."""
    ANDROID_MANAGEMENT_API = "androidManagementApi"
    """A fully managed device with Google's agent."""


class Biometric(StrEnum):
    """A way to open a device without typing; also the key in a state's `biometrics`."""

    TOUCH_ID = "touchId"
    FACE = "face"


class ResetOutcome(StrEnum):
    """Outcome of a passcode reset."""

    REMOVES = "removes"
    TEMPORARY = "temporary"
    NOT_SUPPORTED = "notSupported"


class Alphabet(StrEnum):
    """Alphabet of a temporary passcode."""

    DIGITS = "digits"
    LETTERS_AND_DIGITS = "lettersAndDigits"


class BiometricConsequence(StrEnum):
    """Consequence of an action for enrolled biometrics."""

    KEPT = "kept"
    MUST_ENROLL = "mustEnroll"
    BLOCKED = "blocked"


class WithoutPasscode(StrEnum):
    """Remote lock of a device that has no passcode."""

    LOCKS = "locks"
    REFUSED = "refused"


class WipeRule(StrEnum):
    """Wipe rule of `maxFailedAttempts`: on the attempt that reaches it, or on the one beyond."""

    REACHED = "reached"
    EXCEEDED = "exceeded"


class PolicyMerge(StrEnum):
    """Effect of a passcode policy on one that is in force already."""

    REPLACES = "replaces"
    """The last policy replaces the one before."""
    STRICTEST = "strictest"
    """Of each setting the strictest value of all policies stays in force."""


class ComplexCharacters(StrEnum):
    """Unit that `minComplexCharacters` counts."""

    SYMBOLS = "symbols"
    """Characters that are neither letters nor digits (iOS)."""
    CLASSES = "classes"
    """Number of classes that occur: digits, small letters, capitals, symbols (Windows)."""


class NativeCase(StrEnum):
    """The situations for which a platform's own protocol has an answer of its own."""

    DONE = "done"
    NO_PASSCODE = "noPasscode"
    WRONG_USER = "wrongUser"
    REFUSED = "refused"
    NOT_SUPPORTED = "notSupported"
    POLICY_VIOLATION = "policyViolation"
    PASSCODE_NOT_REQUIRED = "passcodeNotRequired"
    """syncDevice: no passcode is set, and no policy asks for one."""
    PASSCODE_INSUFFICIENT = "passcodeInsufficient"
    """syncDevice: a passcode is set that the policy in force does not allow."""
    LOST_MODE = "lostMode"
    """remoteLock on a device in Lost Mode."""
    STALE_UNLOCK_TOKEN = "staleUnlockToken"  # noqa: S105  # the name of a case
    """Scripted refusal: the unlock token of the management service is not the device's."""
    NOT_NOW = "notNow"
    """Scripted refusal: the device is busy and takes the same command later."""
    STATUS_405 = "status405"
    """Scripted refusal of a Windows phone: the command is not allowed."""
    STATUS_500 = "status500"
    """Scripted refusal of a Windows phone: the command failed."""
    SECURITY_EXCEPTION = "securityException"
    """Scripted refusal of Android: the call raises SecurityException."""
    RETURNED_FALSE = "returnedFalse"
    """Scripted refusal of Android: the call returns false."""


@dataclass(frozen=True, slots=True)
class Source:
    """Source of a rule. `assumption` names what the sources leave open and was chosen here."""

    cite: str
    assumption: str | None = None


class Fidelity(StrEnum):
    """Fidelity of a behaviour to the real platform."""

    DONE = "done"
    ASSUMED = "assumed"
    NOT_MODELLED = "notModelled"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of a platform's ledger: what, how true, and a note where there is one."""

    what: str
    fidelity: Fidelity
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Attributes of a device on which its behaviour may depend.

    `os_version` is compared number by number, `(10, 0, 15063)`. An attribute that a platform's
    devices do not have, or on which nothing hangs there, is empty or None. `managed_by` None
    counts as a device administrator. `target_sdk` is that of
    the managing app on Android; `pin_recovery` is EnablePinRecovery of Windows 10 Mobile.
    """

    os_version: Version = ()
    api_level: int | None = None
    supervised: bool | None = None
    azure_ad_joined: bool | None = None
    managed_by: AdminMode | None = None
    target_sdk: int | None = None
    pin_recovery: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeCondition:
    """Condition on the attributes of a device: all that is set must hold.

    The `from_` fields are the lowest value concerned, `below_os` the lowest version that is not.
    """

    from_api_level: int | None = None
    from_target_sdk: int | None = None
    from_os: Version | None = None
    below_os: Version | None = None
    azure_ad_joined: bool | None = None
    managed_by: AdminMode | None = None
    pin_recovery: bool | None = None

    def holds(self, attributes: Attributes) -> bool:
        """True if a device with these attributes is concerned."""
        return (
            _reaches(attributes.api_level, self.from_api_level)
            and _reaches(attributes.target_sdk, self.from_target_sdk)
            and (self.from_os is None or attributes.os_version >= self.from_os)
            and (self.below_os is None or attributes.os_version < self.below_os)
            and _is(attributes.azure_ad_joined, self.azure_ad_joined)
            and self.managed_by in (None, attributes.managed_by or AdminMode.DEVICE_ADMIN)
            and _is(attributes.pin_recovery, self.pin_recovery)
        )


def _reaches(value: int | None, lowest: int | None) -> bool:
    return lowest is None or (value is not None and value >= lowest)


def _is(value: bool | None, expected: bool | None) -> bool:  # noqa: FBT001  # an attribute and its condition
    return expected is None or bool(value) is expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit(AttributeCondition):
    """Exception from a supported action; it applies where all conditions that are set hold.

    `with_passcode` asks for that state of the device. `native` is the case of the answer of the
    platform's protocol.
    """

    message: str
    source: Source
    with_passcode: bool | None = None
    native: NativeCase = NativeCase.NOT_SUPPORTED

    def applies(self, attributes: Attributes, *, has_passcode: bool) -> bool:
        """True if the action is refused on such a device."""
        if not self.holds(attributes):
            return False
        return self.with_passcode is None or self.with_passcode is has_passcode


@dataclass(frozen=True, slots=True)
class ScreenMessage:
    """Message on the device's own screen. `buttons` are input names."""

    title: str
    body: str
    buttons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetRule:
    """Rule of `resetPasscode`.

    `shown_to_user` and `escrow` say under which management the temporary passcode stands in the
    result (the portal's "New Passcode") and goes to the administrator's console; `hybrid` is the
    source of that under hybrid management, None where the platform has none. `grace` is how
    long the user may go without a passcode afterwards, in seconds; None where there is no such
    limit.
    """

    outcome: ResetOutcome
    rule: str
    portal_explains: str
    source: Source
    message: str = "Passcode successfully reset"
    alphabet: Alphabet | None = None
    default_length: int = 0
    shown_to_user: frozenset[Management] = frozenset()
    escrow: frozenset[Management] = frozenset()
    locks: bool = False
    grace: Seconds | None = None
    screen: ScreenMessage | None = None
    biometrics: BiometricConsequence = BiometricConsequence.KEPT
    limits: tuple[Limit, ...] = ()
    hybrid: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRule:
    """Rule of `remoteLock`. `refusal` is the message where it is not supported.

    `shows_message` is true where the lock screen shows the command's `message` and `phoneNumber`.
    """

    rule: str
    source: Source
    supported: bool = True
    refusal: str = "Remote lock is not supported on this device."
    message: str = "Device successfully locked"
    enrolling_user_only: bool = False
    without_passcode: WithoutPasscode = WithoutPasscode.LOCKS
    biometrics: BiometricConsequence = BiometricConsequence.KEPT
    shows_message: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRule:
    """Rule of wipe, retire, restart or Lost Mode: support is all in which platforms differ.

    `message` is the text of a `done` result, `refusal` that of `notSupported`. `supervised_only`
    limits the action to devices whose attribute `supervised` is true.
    """

    rule: str
    message: str
    refusal: str
    source: Source
    supported: bool = True
    supervised_only: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """The values that a policy setting may take, both ends included."""

    low: int
    high: int

    def holds(self, value: int) -> bool:
        """True if `value` is within the bound."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class PasscodeRules:
    """Rules of passcode policy, history and wrong attempts.

    `attempt_delays` are (failed attempts, seconds): from that many failures on, the lock screen
    takes no passcode for so long. `policy_grace` is the time, in seconds, a user has to satisfy a
    policy that the present passcode does not; None makes the device noncompliant at once.
    A passcode that a reset cleared enters the history, where `cleared_enters_history`, on versions
    below `cleared_kept_out_from`. `max_grace_period` bounds the minutes after an automatic lock in
    which a swipe opens the device; a platform without that setting accepts 0 alone.
    """

    min_length: Bound
    min_complex: Bound
    history: Bound
    max_failed_attempts: Bound
    max_inactivity: Bound
    max_age_days: Bound
    max_length: int
    source: Source
    complex_characters: ComplexCharacters = ComplexCharacters.CLASSES
    history_counts_current: bool = False
    cleared_enters_history: bool = True
    cleared_kept_out_from: Version | None = None
    wipe: WipeRule = WipeRule.REACHED
    attempt_delays: tuple[tuple[int, Seconds], ...] = ()
    policy_grace: Seconds | None = None
    max_grace_period: Bound = Bound(0, 0)
    policy_merge: PolicyMerge = PolicyMerge.REPLACES
    requirement_screen: ScreenMessage = ScreenMessage(
        "Passcode Requirement", "Your organization requires a new passcode."
    )
    deadline_screen: ScreenMessage = ScreenMessage(
        "Passcode Requirement", "You must set a passcode now."
    )
    expired_screen: ScreenMessage = ScreenMessage(
        "Passcode Expired", "Your passcode has expired. Set a new one."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Facts that a device management service lists about a device of this platform.

    `os_version` stands where `Attributes.os_version` is empty.
    """

    operating_system: str = "Unknown"
    os_version: str = ""
    model: str = ""


def native_topic(action: Action) -> str:
    """Return the key of `PlatformProfile.sources` for the native answers to an action."""
    return f"native {action}"


class RefusalError(StrEnum):
    """A result's `errorCode` of a scripted refusal."""

    REFUSED = "refused"
    PASSCODE_NOT_SET = "passcodeNotSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRule:
    """Refusal that a test can script: a command fails as the platform's protocol would let it.

    It concerns the actions for which the platform has a native answer in `case`. A refusal that is
    not `stored` lets the same command be sent again.
    """

    case: NativeCase
    message: str
    source: Source
    error: RefusalError = RefusalError.REFUSED
    stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeVariant:
    """Native answers of devices with some attributes, in place of those of the platform."""

    when: AttributeCondition
    native: Mapping[tuple[Action, NativeCase], Mapping[str, object]]
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformProfile:
    """One platform: how it resets, locks, opens, and what its own protocol answers.

    `sign_in` is true where the lock screen opens by signing a user in (Windows RT family).
    `biometrics_blocked_by_restart` is true where a restart asks for the passcode before a biometric
    is accepted again. `attributes` are the defaults of a device's attributes; `ledger` lists how
    closely the model follows its sources. `native` gives, by action and case, the JSON object that
    the platform's protocol would have answered; None where the protocol is not used. The first of
    `variants` that concerns a device and has an answer replaces it. `refusals` can be scripted.
    """

    id: str
    title: str
    reset: ResetRule
    lock: LockRule
    passcode: PasscodeRules
    wipe: ActionRule
    retire: ActionRule
    restart: ActionRule
    lost_mode: ActionRule
    native: Mapping[tuple[Action, NativeCase], Mapping[str, object]]
    biometrics: frozenset[Biometric] = frozenset()
    biometrics_blocked_by_restart: bool = False
    sign_in: bool = False
    attributes: Attributes = Attributes()
    inventory: Inventory = Inventory()
    ledger: tuple[LedgerEntry, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=lambda: MappingProxyType({}))
    variants: tuple[NativeVariant, ...] = ()
    refusals: tuple[RefusalRule, ...] = ()

    def native_answer(
        self, action: Action, case: NativeCase, attributes: Attributes | None = None
    ) -> Mapping[str, object] | None:
        """Answer of the platform's own protocol to `action` in `case`, None where it has none.

        `attributes` None means those of the platform.
        """
        key = (action, case)
        for variant in self.variants:
            if key in variant.native and variant.when.holds(attributes or self.attributes):
                return variant.native[key]
        return self.native.get(key)

    def refusal(self, action: Action, case: NativeCase) -> RefusalRule | None:
        """Return the scripted refusal `case` of `action`, None if the platform has none."""
        if (action, case) not in self.native:
            return None
        return next((rule for rule in self.refusals if rule.case is case), None)

    def native_source(self, action: Action) -> Source | None:
        """Source of the native answers to `action`; topic `native` of `sources` covers them all."""
        return self.sources.get("native") or self.sources.get(native_topic(action))
