"""Behaviour of a platform in sentences, made from its frozen `PlatformProfile`.

No sentence depends on a platform's name, so platforms that a user adds are described as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from platforms.profile import (
    AdminMode,
    AttributeCondition,
    Biometric,
    BiometricConsequence,
    Bound,
    ComplexCharacters,
    Limit,
    Management,
    PasscodeRules,
    PlatformProfile,
    PolicyMerge,
    ResetOutcome,
    ResetRule,
    ScreenMessage,
    WipeRule,
    WithoutPasscode,
)

__all__ = [
    "BOUNDS",
    "attribute_condition",
    "bounds",
    "device_after_lock",
    "device_after_lost_mode",
    "device_after_policy",
    "device_after_reset",
    "device_after_restart",
    "device_after_retire",
    "device_after_sync",
    "device_after_wipe",
    "enrolled_in_intune",
    "limit_condition",
    "lock_in_short",
    "passcode_rules",
    "portal_in_short",
    "reset_in_short",
    "screen_in_short",
    "success_lines",
]

BOUNDS: Final = {
    "minLength": "min_length",
    "minComplexCharacters": "min_complex",
    "history": "history",
    "maxFailedAttempts": "max_failed_attempts",
    "maxInactivityMinutes": "max_inactivity",
    "maxAgeDays": "max_age_days",
    "maxGracePeriodMinutes": "max_grace_period",
}
"""The policy settings that a platform bounds: the wire's key, and the profile's field."""

_BIOMETRIC_NAMES: Final = {Biometric.TOUCH_ID: "Touch ID", Biometric.FACE: "Windows Hello face"}
_NEW_PASSCODE: Final = "New Passcode: <passcode>"


def bounds(rules: PasscodeRules) -> dict[str, Bound]:
    """The bounds of each policy setting, by its key on the wire."""
    return {key: getattr(rules, field) for key, field in BOUNDS.items()}


# ---------------------------------------------------------------------------------------------
# In short: the columns of the table


def reset_in_short(rule: ResetRule) -> str:
    """Effect of a reset, in one line."""
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        return "not supported (notSupported)"
    if rule.alphabet is None:
        return "removes the passcode, makes no temporary one"
    return f"removes it, sets a temporary one of {_alphabet(rule)}"


def portal_in_short(rule: ResetRule) -> list[str]:
    """Success texts of the end user's portal; one line if all managements agree."""
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        return ["no Reset Passcode button: contact your IT admin"]
    lines = {m: success_lines(rule, m) for m in Management if enrolled_in_intune(m)}
    if len(set(lines.values())) == 1:
        return list(next(iter(lines.values())))
    return [f"{management}: {'; '.join(said)}" for management, said in lines.items()]


def screen_in_short(profile: PlatformProfile) -> str:
    """Behaviour of the device after a reset, in one line."""
    return "; ".join(device_after_reset(profile))


def lock_in_short(profile: PlatformProfile) -> str:
    """Support for a remote lock, in one line."""
    if not profile.lock.supported:
        return "not supported (notSupported)"
    if profile.lock.enrolling_user_only:
        return "only if the current user is the user who enrolled the device"
    return "supported"


def enrolled_in_intune(management: Management) -> bool:
    """Return True if the end user's portal offers actions for the device."""
    return management is not Management.EXCHANGE_ACTIVESYNC


def success_lines(rule: ResetRule, management: Management) -> tuple[str, ...]:
    """Texts after a successful reset, with the new passcode if this management shows it."""
    if rule.alphabet is not None and management in rule.shown_to_user:
        return rule.message, _NEW_PASSCODE
    return (rule.message,)


# ---------------------------------------------------------------------------------------------
# The device


def device_after_reset(profile: PlatformProfile) -> Iterator[str]:
    """Effects of a reset that a user sees on the device."""
    rule = profile.reset
    if rule.outcome is ResetOutcome.NOT_SUPPORTED:
        yield "nothing changes"
        return
    if rule.screen:
        yield f"shows {_screen(rule.screen)}"
    yield "locks" if rule.locks else "the lock screen stays as it was"
    if rule.grace is not None:
        minutes = rule.grace // 60
        yield f"opens without a passcode; one must be set within {minutes} minutes"
        yield "after that it is noncompliant and opens nothing but the passcode screen"
    yield from _biometrics(profile, rule.biometrics)


def device_after_lock(profile: PlatformProfile) -> Iterator[str]:
    """Effects of a remote lock that a user sees on the device."""
    rule = profile.lock
    if not rule.supported:
        yield "nothing changes"
        return
    if rule.enrolling_user_only:
        yield "shows the lock screen, if the current user is the user who enrolled the device"
    else:
        yield "shows the lock screen"
    if rule.without_passcode is WithoutPasscode.LOCKS:
        yield "without a passcode it locks as well"
    else:
        yield "without a passcode the command is ignored"
    yield from _biometrics(profile, rule.biometrics)


def device_after_sync(_: PlatformProfile) -> Iterator[str]:
    """Effects of a check-in that a user sees on the device."""
    yield "takes up the commands that wait for their push, then publishes the state again"
    yield "lastCheckIn is set; the native answer is the inventory that the protocol reports"


def device_after_wipe(_: PlatformProfile) -> Iterator[str]:
    """State after a factory reset."""
    yield "passcode, policy, biometrics and enrollment are gone; wiped is true"
    yield "later commands and inputs are answered with notEnrolled; the connection is kept"


def device_after_retire(_: PlatformProfile) -> Iterator[str]:
    """State after a retirement."""
    yield "enrolled is false and no policy is in force; the passcode still opens the device"
    yield "later commands are answered with notEnrolled"


def device_after_restart(_: PlatformProfile) -> Iterator[str]:
    """State after a restart by command."""
    yield "publishes the result, goes offline in good order, and comes back locked"


def device_after_lost_mode(profile: PlatformProfile) -> Iterator[str]:
    """Lock screen of a device in Lost Mode."""
    if profile.lost_mode.supported:
        yield "locked, with the message and telephone number on the screen"
        yield "inputs other than restart and pressKey are deviceLocked until Lost Mode is disabled"


def device_after_policy(profile: PlatformProfile) -> Iterator[str]:
    """Effects of a new passcode policy for the user, and the platform's passcode rules."""
    rules = profile.passcode
    yield f"where the passcode is not enough, shows {_screen(rules.requirement_screen)}"
    if rules.policy_grace is not None:
        yield f"one that is enough must be set within {rules.policy_grace // 60} minutes"
        yield f"after that it is noncompliant and shows {_screen(rules.deadline_screen)}"
    else:
        yield "it is noncompliant at once, until one that is enough is set"
    yield from passcode_rules(rules)


def passcode_rules(rules: PasscodeRules) -> Iterator[str]:
    """Rules of the platform for passcodes and wrong attempts, one per line."""
    for key, bound in bounds(rules).items():
        yield f"{key}: {bound.low} to {bound.high}"
    if rules.policy_merge is PolicyMerge.STRICTEST:
        yield "of several policies the strictest value of each setting is in force"
    else:
        yield "of several policies the last one is in force"
    yield f"a passcode has at most {rules.max_length} characters"
    if rules.complex_characters is ComplexCharacters.SYMBOLS:
        yield "minComplexCharacters counts characters that are neither letters nor digits"
    else:
        yield "minComplexCharacters counts kinds: digits, small letters, capitals, symbols"
    counts = "among" if rules.history_counts_current else "besides"
    yield f"history counts the current passcode {counts} the remembered ones"
    if rules.cleared_enters_history:
        version = rules.cleared_kept_out_from
        below = f", below version {_version(version)}" if version else ""
        yield f"a passcode that a reset removed is remembered as well{below}"
    when = "reaching" if rules.wipe is WipeRule.REACHED else "exceeding"
    yield f"the device wipes itself on {when} maxFailedAttempts"
    for attempts, seconds in rules.attempt_delays:
        yield f"from {attempts} wrong passcodes on it takes none for {seconds // 60} min after each"
    yield f"an expired passcode shows {_screen(rules.expired_screen)}"


def limit_condition(limit: Limit) -> str:
    """Condition of a limit: `API level 24 or later, a passcode is set`."""
    conditions = list(_conditions(limit))
    if limit.with_passcode is not None:
        conditions.append(f"{'a' if limit.with_passcode else 'no'} passcode is set")
    return ", ".join(conditions) or "always"


def attribute_condition(condition: AttributeCondition) -> str:
    """Condition on the attributes of a device: `from version 10.0.15063, PIN recovery on`."""
    return ", ".join(_conditions(condition)) or "always"


def _conditions(condition: AttributeCondition) -> Iterator[str]:
    if condition.managed_by is not None:
        yield _MANAGED_BY[condition.managed_by]
    if condition.from_api_level is not None:
        yield f"API level {condition.from_api_level} or later"
    if condition.from_target_sdk is not None:
        yield f"target SDK {condition.from_target_sdk} or later"
    if condition.from_os is not None:
        yield f"from version {_version(condition.from_os)}"
    if condition.below_os is not None:
        yield f"below version {_version(condition.below_os)}"
    if condition.azure_ad_joined is not None:
        yield f"{'' if condition.azure_ad_joined else 'not '}joined to Azure AD"
    if condition.pin_recovery is not None:
        yield f"PIN recovery {'on' if condition.pin_recovery else 'off'}"


_MANAGED_BY: Final = {
    AdminMode.DEVICE_ADMIN: "managed by a device administrator",
    AdminMode.DEVICE_OWNER: "managed by a device owner",
    AdminMode.ANDROID_MANAGEMENT_API: "managed over the Android Management API",
}


def _version(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


def _biometrics(profile: PlatformProfile, consequence: BiometricConsequence) -> Iterator[str]:
    for biometric in sorted(profile.biometrics):
        yield f"{_BIOMETRIC_NAMES[biometric]} {_CONSEQUENCES[consequence]}"


def _screen(screen: ScreenMessage) -> str:
    buttons = f" [{', '.join(screen.buttons)}]" if screen.buttons else ""
    return f'"{screen.title}: {screen.body}"{buttons}'


def _alphabet(rule: ResetRule) -> str:
    return re.sub(r"([A-Z])", r" \1", rule.alphabet or "").lower()


_CONSEQUENCES: Final = {
    BiometricConsequence.KEPT: "keeps working",
    BiometricConsequence.MUST_ENROLL: "must be set up again",
    BiometricConsequence.BLOCKED: "is refused until the passcode was entered",
}
