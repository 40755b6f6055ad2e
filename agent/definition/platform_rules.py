"""Checks across the values of a user-defined platform, and its ledger entries.

`profile_problems` yields problems with the path of their key. `annotate_overrides` adapts the
sources, so that no rule of the file is attributed to a document of Microsoft or Apple.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from agent.events import InputAction
from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from platforms.profile import (
    Action,
    ComplexCharacters,
    Fidelity,
    LedgerEntry,
    PasscodeRules,
    PlatformProfile,
    ResetOutcome,
    ScreenMessage,
    Source,
    native_topic,
)

__all__ = ["annotate_overrides", "profile_problems"]

_RULES: Final = ("reset", "lock", "passcode")
_WORDS: Final = frozenset({"rule", "source", "hybrid", "portal_explains", "message", "refusal"})
"""Fields that describe a rule without changing the behaviour."""
_KINDS: Final = 4
"""Number of classes for `minComplexCharacters`: digits, small letters, capitals, symbols."""


# ---------------------------------------------------------------------------------------------
# Problems


def profile_problems(
    profile: PlatformProfile, table: Mapping[str, Any], path: KeyPath
) -> Iterator[Problem]:
    """Yield the problems of a user-defined platform, whose keys are below `path`."""
    if not profile.title.strip():
        yield Problem((*path, "title"), "a title cannot be empty", "a name for people")
    yield from _reset_problems(profile, table, (*path, "reset"))
    yield from _passcode_problems(profile, (*path, "passcode"))
    yield from _screen_problems(profile, path)


def _reset_problems(
    profile: PlatformProfile, table: Mapping[str, Any], path: KeyPath
) -> Iterator[Problem]:
    rule, longest = profile.reset, profile.passcode.max_length
    if rule.outcome is ResetOutcome.TEMPORARY:
        if rule.alphabet is None:
            message = "a temporary passcode needs an alphabet"
            yield Problem((*path, "alphabet"), message, "digits or lettersAndDigits")
        if not 1 <= rule.default_length <= longest:
            message = f"a temporary passcode cannot have {rule.default_length} characters"
            yield Problem((*path, "default_length"), message, f"1 to {longest}")
    elif table.get("reset", {}).get("alphabet") not in (None, "none"):
        message = "only a temporary passcode has an alphabet"
        yield Problem((*path, "alphabet"), message, "one where the outcome is temporary")
    if rule.grace == 0:
        yield Problem((*path, "grace"), "a grace period of 0 is not allowed", '"30m", or "none"')


def _passcode_problems(profile: PlatformProfile, path: KeyPath) -> Iterator[Problem]:
    rules = profile.passcode
    if rules.max_length == 0:
        yield Problem((*path, "max_length"), "a passcode has at least 1 character", "1 or more")
    elif rules.min_length.high > rules.max_length:
        yield Problem(
            (*path, "min_length"),
            f"no passcode can satisfy a minLength of {rules.min_length.high}",
            f"{rules.max_length} at most, which is max_length",
        )
    if rules.complex_characters is ComplexCharacters.CLASSES and rules.min_complex.high > _KINDS:
        yield Problem(
            (*path, "min_complex"),
            f"no passcode can satisfy a minComplexCharacters of {rules.min_complex.high}",
            f"{_KINDS} at most: digits, small letters, capitals, symbols",
        )
    if rules.policy_grace == 0:
        message = "a grace period of 0 is not allowed"
        yield Problem((*path, "policy_grace"), message, '"30m", or "none"')


def _screen_problems(profile: PlatformProfile, path: KeyPath) -> Iterator[Problem]:
    places = [
        (("reset", "screen"), profile.reset.screen),
        *((("passcode", name), screen) for name, screen in _screens(profile.passcode)),
    ]
    for place, screen in places:
        for index, button in enumerate(screen.buttons if screen else ()):
            if button not in list(InputAction):
                where = (*path, *place, "buttons", index)
                expected = f"one of {', '.join(InputAction)}"
                hint = suggest(button, InputAction)
                yield Problem(where, f"got {shorten_value(button)}", expected, hint)


def _screens(rules: PasscodeRules) -> Iterator[tuple[str, ScreenMessage]]:
    for field in fields(rules):
        value = getattr(rules, field.name)
        if isinstance(value, ScreenMessage):
            yield field.name, value


# ---------------------------------------------------------------------------------------------
# Sources and ledger


def annotate_overrides(
    profile: PlatformProfile, base: PlatformProfile, table: Mapping[str, Any]
) -> PlatformProfile:
    """Return the profile with rules, sources and ledger that name the changes of the fleet file."""
    changes: dict[str, Any] = {}
    for part in _RULES:
        said = table.get(part, {})
        if said:
            changes[part] = _with_sources(
                getattr(profile, part), getattr(base, part), said, profile, part
            )
    if "reset" in changes and changes["reset"].outcome is not ResetOutcome.TEMPORARY:
        # The base made a temporary passcode: remove its alphabet.
        changes["reset"] = replace(changes["reset"], alphabet=None, default_length=0)
    if "native" in table and "native" not in table.get("sources", {}):
        changes["sources"] = {**profile.sources, **dict(_native_sources(profile, table))}
    if "ledger" not in table:
        changes["ledger"] = (*base.ledger, *_ledger(profile, base, table))
    return replace(profile, **changes)


def _native_sources(
    profile: PlatformProfile, table: Mapping[str, Any]
) -> Iterator[tuple[str, Source]]:
    """Sources of the native answers that the fleet file sets, each with its topic."""
    for action in table["native"]:
        topic = native_topic(Action(action))
        if topic not in table.get("sources", {}):
            yield topic, _source(profile, "native", profile.sources.get(topic))


def _with_sources(
    rule: Any, base: Any, said: Mapping[str, Any], profile: PlatformProfile, part: str
) -> Any:
    changes: dict[str, Any] = {}
    if "source" not in said:
        changes["source"] = _source(profile, part, base.source)
    if part == "reset" and "hybrid" not in said:
        changes["hybrid"] = _source(profile, part, base.hybrid)
    deeds = [key for key in said if key not in _WORDS]
    if deeds and "rule" not in said and hasattr(rule, "rule"):
        listed = "; ".join(f"{key} {_short(getattr(rule, key))}" for key in deeds)
        changes["rule"] = f"{base.rule} But on {profile.title}: {listed}."
    return replace(rule, **changes)


def _source(profile: PlatformProfile, part: str, base: Source | None) -> Source:
    own = f"the fleet file, [platforms.{profile.id}], {part}"
    if base is None:
        return Source(own)
    return Source(f"{own}; where it is silent: {base.cite}", base.assumption)


def _ledger(
    profile: PlatformProfile, base: PlatformProfile, table: Mapping[str, Any]
) -> Iterator[LedgerEntry]:
    descriptive = {"extends", "title", "sources"}
    changed = ", ".join(key for key in table if key not in descriptive)
    if changed:
        note = f"set by the fleet file, based on {base.title}; not from a document"
        yield LedgerEntry(f"{profile.title}: {changed}", Fidelity.ASSUMED, note)


def _short(value: object) -> str:
    """Return a value of a rule as text."""
    match value:
        case None | ():
            text = "none"
        case bool():
            text = "yes" if value else "no"
        case ScreenMessage(title, body):
            text = f'"{title}: {body}"'
        case frozenset():
            text = ", ".join(sorted(map(str, value))) or "none"
        case tuple():
            text = f"{len(value)} of its own"
        case _:
            text = str(value)
    return text
