"""Checks across the values of a `DeviceSection`, and against its platform.

The checks do not raise: they yield problems, each with the path of its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pydantic.alias_generators import to_camel

from agent.definition.device import ATTRIBUTES, DeviceSection
from agent.passcode import (
    PasscodePolicy,
    PasscodeRef,
    RandomSource,
    out_of_bounds,
    reveal,
    temporary_spec,
    traits_of,
    violations,
)
from agent.random_stream import DeviceRandomStream
from agent.state import GroupSetup
from broker.file_validation import KeyPath, Problem
from platforms.profile import Alphabet, PasscodeRules, PlatformProfile

__all__ = ["device_problems", "setup_of", "starting_passcode"]

# The middle column of the keypad, a common choice; used throughout the documentation.
_USUAL_PASSCODE: Final = "2580"
_USUAL_LENGTH: Final = 4
# A random passcode may break `allowSimple = false` by chance; a hundred in a row practically never.
_TRIES: Final = 100


def device_problems(
    section: DeviceSection, path: KeyPath, profile: PlatformProfile
) -> Iterator[Problem]:
    """Yield the problems of a device of the platform `profile`."""
    yield from _policy_problems(section, path, profile)
    for index, biometric in enumerate(section.biometrics or ()):
        if biometric not in profile.biometrics:
            has = ", ".join(sorted(profile.biometrics)) or "none at all: []"
            where = (*path, "biometrics", index)
            yield Problem(where, f"{profile.title} has no {biometric}", has)
    longest = profile.passcode.max_length
    if len(section.passcode or "") > longest:
        yield Problem(
            (*path, "passcode"),
            f"the passcode is too long for {profile.title}",
            f"{longest} characters at most",
        )
    yield from _attribute_problems(section, path, profile)


def _attribute_problems(
    section: DeviceSection, path: KeyPath, profile: PlatformProfile
) -> Iterator[Problem]:
    """Yield attributes that the platform does not use; it uses those to which it gives a value."""
    of_platform = profile.attributes
    has = [name for name in ATTRIBUTES if getattr(of_platform, name) not in (None, ())]
    for name in ATTRIBUTES:
        if getattr(section, name) is not None and name not in has:
            message = f"{profile.title} does not use {name}"
            yield Problem((*path, name), message, " or ".join(has) or "no attribute at all")


def setup_of(section: DeviceSection, group: str, profile: PlatformProfile) -> GroupSetup:
    """Return the group setup of `section`, for the state machine."""
    policy = section.policy.policy() if section.policy else None
    said = {name: value for name in ATTRIBUTES if (value := getattr(section, name)) is not None}
    return GroupSetup(
        name=group,
        profile=profile,
        management=section.management,
        policy=policy if policy is not None and policy.asks_for_something else None,
        biometrics=profile.biometrics
        if section.biometrics is None
        else frozenset(section.biometrics),
        attributes=replace(profile.attributes, **said) if said else None,
        reaction=section.reaction,
        push_delay=section.push_delay,
        push_loss=section.push_loss,
        check_in=section.check_in,
    )


def starting_passcode(
    section: DeviceSection, policy: PasscodePolicy | None, rules: PasscodeRules, draws: RandomSource
) -> str | None:
    """Return the initial passcode of a device, None if it starts without one.

    Raises ValueError if no passcode satisfies the policy.
    """
    if section.passcode is not None:
        return section.passcode or None
    if not violations(traits_of(_USUAL_PASSCODE), policy, rules):
        return _USUAL_PASSCODE
    spec = temporary_spec(Alphabet.DIGITS, _USUAL_LENGTH, policy, rules)
    # Numbers from 0 downwards: the device's own draws count from 1 upwards.
    for draw in range(0, -_TRIES, -1):
        passcode = reveal(PasscodeRef(draw, spec), draws)
        if not violations(traits_of(passcode), policy, rules):
            return passcode
    raise ValueError("no passcode satisfies the policy")


def _policy_problems(
    section: DeviceSection, path: KeyPath, profile: PlatformProfile
) -> Iterator[Problem]:
    if section.policy is None:
        return
    policy, rules, path = section.policy.policy(), profile.passcode, (*path, "policy")
    outside = list(out_of_bounds(policy, rules))
    for name, value, bound in outside:
        yield Problem(
            (*path, to_camel(name)),
            f"{profile.title} does not accept {value}",
            f"{bound.low} to {bound.high}",
        )
    if outside:
        return
    length, complex_characters = policy.min_length or 0, policy.min_complex_characters or 0
    if complex_characters > length > 0:
        yield Problem(
            (*path, "minComplexCharacters"),
            f"{complex_characters} complex characters do not fit into {length}",
            "minLength at most",
        )
        return
    unset = section.model_copy(update={"passcode": None})
    try:
        starting_passcode(unset, policy, rules, DeviceRandomStream(0, ""))
    except ValueError:
        yield Problem(
            path,
            f"no passcode of {profile.title} satisfies this policy",
            f"a policy for passcodes of at most {rules.max_length} characters",
        )
