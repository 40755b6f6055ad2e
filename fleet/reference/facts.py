"""Facts about platforms for `platforms`, `explain` and docs/platforms.md.

All facts come from the frozen `PlatformProfile`, never from a platform's name. Points that the
sources leave open are marked as assumptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from agent.coverage import Case, RuleKind
from fleet.reference.exercised import Exercise, exercises
from fleet.reference.sentences import (
    attribute_condition,
    bounds,
    device_after_lock,
    device_after_lost_mode,
    device_after_policy,
    device_after_reset,
    device_after_restart,
    device_after_retire,
    device_after_sync,
    device_after_wipe,
    enrolled_in_intune,
    limit_condition,
    success_lines,
)
from fleet.reference.tables import TableStatement, disagreeing_statements, table_statement
from platforms.conformance import CONFORMANCE, DEFAULT_CONFORMANCE
from platforms.exchange import EXCHANGE_ACTIVESYNC
from platforms.hybrid import HYBRID
from platforms.profile import (
    Action,
    ActionRule,
    Limit,
    Management,
    NativeCase,
    PlatformProfile,
    ResetOutcome,
    ResetRule,
    ScreenMessage,
    Source,
    WithoutPasscode,
)

__all__ = [
    "ACTION_NAMES",
    "BEHAVIOUR_TABLE",
    "Answer",
    "CitedSource",
    "Explanation",
    "PortalView",
    "explain",
    "platform_facts",
]

BEHAVIOUR_TABLE: Final = DEFAULT_CONFORMANCE
"""Name of the behaviour table that is explained by default: the one in force."""

_WORDS: Final = {
    Action.RESET_PASSCODE: ("reset",),
    Action.REMOTE_LOCK: ("lock",),
    Action.SYNC_DEVICE: ("sync",),
    Action.APPLY_PASSCODE_POLICY: ("policy",),
    Action.WIPE: ("wipe",),
    Action.RETIRE: ("retire",),
    Action.REBOOT_NOW: ("reboot",),
    Action.ENABLE_LOST_MODE: ("lost-mode",),
    Action.DISABLE_LOST_MODE: (),
}
_MANAGED: Final[Mapping[Action, Callable[[PlatformProfile], ActionRule]]] = {
    Action.WIPE: lambda profile: profile.wipe,
    Action.RETIRE: lambda profile: profile.retire,
    Action.REBOOT_NOW: lambda profile: profile.restart,
    Action.ENABLE_LOST_MODE: lambda profile: profile.lost_mode,
    Action.DISABLE_LOST_MODE: lambda profile: profile.lost_mode,
}
"""Actions whose rule is an `ActionRule` of the profile."""
ACTION_NAMES: Final[Mapping[str, Action]] = {
    word: action
    for action, short in _WORDS.items()
    for word in (*short, str(action), re.sub(r"([A-Z])", r"-\1", action).lower())
}
"""Every way to name an action on the command line."""

_DATED: Final = frozenset({Action.RESET_PASSCODE, Action.REMOTE_LOCK})
"""The actions that the dated tables deal with."""

_CHECK_STATUS: Final = Source(
    "Mobile Device Passcode Self-reset User Guide, step 7: Check status",
    assumption="a check-in always succeeds while the device is enrolled and online",
)


@dataclass(frozen=True, slots=True)
class PortalView:
    """Texts of the end user's portal and the administrator's console under one management."""

    management: str
    reset_button: bool
    portal: tuple[str, ...]
    console: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One way an action can end, with the answer of the platform's own protocol.

    `case` is the native case, which the coverage of rules calls `answer`; `scenarios` are those of
    the library that exercise it.
    """

    when: str
    action_state: str
    error_code: str | None
    native: dict[str, Any] | None
    case: str
    scenarios: tuple[Exercise, ...] = ()

    def only(self, management: str) -> Answer:
        """Return a copy with the scenarios of one management only."""
        kept = tuple(each for each in self.scenarios if each.management == management)
        return replace(self, scenarios=kept)


@dataclass(frozen=True, slots=True)
class CitedSource:
    """Source of a fact, its subject, and the assumption made beside it."""

    about: str
    cite: str
    assumption: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explanation of one action on one platform."""

    platform: str
    title: str
    action: str
    table: str
    says: TableStatement | None
    rule: str
    portal: tuple[PortalView, ...]
    device: tuple[str, ...]
    answers: tuple[Answer, ...]
    sources: tuple[CitedSource, ...]
    otherwise: tuple[TableStatement, ...]

    def only(self, management: str) -> Explanation:
        """Return a copy with the portal part and the scenarios of one management only."""
        portal = tuple(view for view in self.portal if view.management == management)
        answers = tuple(answer.only(management) for answer in self.answers)
        return replace(self, portal=portal, answers=answers)

    def as_json(self) -> dict[str, Any]:
        """For `--json`: camelCase keys, as everywhere on the wire."""
        return {_camel(key): _jsonable(value) for key, value in asdict(self).items()}


def explain(
    profile: PlatformProfile, action: Action, table: str = BEHAVIOUR_TABLE, like: str | None = None
) -> Explanation:
    """Explain `action` on `profile`, with the dated tables that disagree.

    `table` is the profile's own dated table. `like` is the built-in platform that the profile is
    or extends; None means its own id. No table disagrees on an action that tables do not list.
    """
    dated, like = CONFORMANCE[table], like or profile.id
    ruled = action in _DATED
    return Explanation(
        platform=profile.id,
        title=profile.title,
        action=str(action),
        table=table,
        says=table_statement(dated, like, action) if ruled else None,
        rule=_RULES[action](profile),
        portal=tuple(_portal(profile, action, management) for management in Management),
        device=tuple(_DEVICE[action](profile)),
        answers=tuple(_answers(profile, action)),
        sources=tuple(_sources(profile, action)),
        otherwise=tuple(disagreeing_statements(dated, like, action)) if ruled else (),
    )


def platform_facts(
    profile: PlatformProfile, table: str = BEHAVIOUR_TABLE, like: str | None = None
) -> dict[str, Any]:
    """All facts about a platform, for `platforms --json`; `table` and `like` as in `explain`."""
    rules = profile.passcode
    return {
        "platform": profile.id,
        "title": profile.title,
        "table": table,
        "like": like or profile.id,
        **{str(action): _action_facts(profile, action, table, like) for action in Action},
        "attributes": _jsonable(asdict(profile.attributes)),
        "ledger": [_jsonable(asdict(entry)) for entry in profile.ledger],
        "biometrics": [str(b) for b in sorted(profile.biometrics)],
        "biometricsBlockedByRestart": profile.biometrics_blocked_by_restart,
        "signIn": profile.sign_in,
        "passcodeRules": {
            **{name: [bound.low, bound.high] for name, bound in bounds(rules).items()},
            "maxLength": rules.max_length,
            "complexCharacters": str(rules.complex_characters),
            "historyCountsCurrent": rules.history_counts_current,
            "clearedEntersHistory": rules.cleared_enters_history,
            "clearedKeptOutFrom": _jsonable(rules.cleared_kept_out_from),
            "wipe": str(rules.wipe),
            "attemptDelays": [
                {"failedAttempts": attempts, "seconds": seconds}
                for attempts, seconds in rules.attempt_delays
            ],
            "policyGraceSeconds": rules.policy_grace,
            "policyMerge": str(rules.policy_merge),
        },
    }


def _action_facts(
    profile: PlatformProfile, action: Action, table: str, like: str | None
) -> dict[str, Any]:
    explanation = explain(profile, action, table, like).as_json()
    extra: dict[str, Any] = {"supported": _supported(profile, action)}
    if action is Action.RESET_PASSCODE:
        rule = profile.reset
        extra |= {
            "outcome": str(rule.outcome),
            "portalExplains": rule.portal_explains,
            "alphabet": str(rule.alphabet) if rule.alphabet else None,
            "defaultLength": rule.default_length or None,
            "locks": rule.locks,
            "graceSeconds": rule.grace,
            "screen": _screen_fact(rule.screen),
            "biometrics": str(rule.biometrics),
        }
    elif action is Action.REMOTE_LOCK:
        lock = profile.lock
        extra |= {
            "enrollingUserOnly": lock.enrolling_user_only,
            "withoutPasscode": str(lock.without_passcode),
            "biometrics": str(lock.biometrics),
        }
    shared = {"platform", "title", "action", "table"}
    return {**{k: v for k, v in explanation.items() if k not in shared}, **extra}


# ---------------------------------------------------------------------------------------------
# Portal and console


def _portal(profile: PlatformProfile, action: Action, management: Management) -> PortalView:
    if action is Action.RESET_PASSCODE:
        return _reset_view(profile.reset, management)
    message = _message(profile, action)
    by_user = action in (Action.REMOTE_LOCK, Action.SYNC_DEVICE)
    return PortalView(
        str(management),
        _has_button(profile.reset, management),
        (message,) if by_user and enrolled_in_intune(management) else (),
        (message,),
    )


def _message(profile: PlatformProfile, action: Action) -> str:
    """Message of the result where the action is done, or of its refusal."""
    if action in _MANAGED:
        rule = _MANAGED[action](profile)
        if action is Action.DISABLE_LOST_MODE and rule.supported:
            return "Lost Mode is off."
        return rule.message if rule.supported else rule.refusal
    return {
        Action.REMOTE_LOCK: profile.lock.message
        if profile.lock.supported
        else profile.lock.refusal,
        Action.SYNC_DEVICE: "Device checked in",
        Action.APPLY_PASSCODE_POLICY: "Passcode policy applied",
    }[action]


def _has_button(rule: ResetRule, management: Management) -> bool:
    return rule.outcome is not ResetOutcome.NOT_SUPPORTED and enrolled_in_intune(management)


def _reset_view(rule: ResetRule, management: Management) -> PortalView:
    supported = rule.outcome is not ResetOutcome.NOT_SUPPORTED
    button = _has_button(rule, management)
    portal: tuple[str, ...]
    if button:
        portal = success_lines(rule, management)
    elif supported:
        portal = ("no Reset Passcode button: the administrator's console alone lists the device",)
    else:
        portal = ("no Reset Passcode button: contact your IT admin",)
    console: tuple[str, ...] = (rule.message,)
    if rule.alphabet is not None and management in rule.escrow:
        console = (
            rule.message,
            "the new passcode, if a passcode reset had been done on the device before",
        )
    elif supported and not enrolled_in_intune(management):
        console = success_lines(rule, management)
    return PortalView(str(management), button, portal, console)


def _screen_fact(screen: ScreenMessage | None) -> dict[str, Any] | None:
    if screen is None:
        return None
    return {"title": screen.title, "body": screen.body, "buttons": list(screen.buttons)}


_DEVICE: Final[Mapping[Action, Callable[[PlatformProfile], Iterator[str]]]] = {
    Action.RESET_PASSCODE: device_after_reset,
    Action.REMOTE_LOCK: device_after_lock,
    Action.SYNC_DEVICE: device_after_sync,
    Action.APPLY_PASSCODE_POLICY: device_after_policy,
    Action.WIPE: device_after_wipe,
    Action.RETIRE: device_after_retire,
    Action.REBOOT_NOW: device_after_restart,
    Action.ENABLE_LOST_MODE: device_after_lost_mode,
    Action.DISABLE_LOST_MODE: device_after_lost_mode,
}
_RULES: Final[Mapping[Action, Callable[[PlatformProfile], str]]] = {
    Action.RESET_PASSCODE: lambda profile: profile.reset.rule,
    Action.REMOTE_LOCK: lambda profile: profile.lock.rule,
    Action.SYNC_DEVICE: lambda _: "The device checks in and publishes its state (Check status).",
    Action.APPLY_PASSCODE_POLICY: lambda _: (
        "Takes the policy if every setting is within the"
        " platform's bounds; the empty policy lifts what was in force."
    ),
    Action.WIPE: lambda profile: profile.wipe.rule,
    Action.RETIRE: lambda profile: profile.retire.rule,
    Action.REBOOT_NOW: lambda profile: profile.restart.rule,
    Action.ENABLE_LOST_MODE: lambda profile: profile.lost_mode.rule,
    Action.DISABLE_LOST_MODE: lambda profile: profile.lost_mode.rule,
}


# ---------------------------------------------------------------------------------------------
# Answers and sources


def _answers(profile: PlatformProfile, action: Action) -> Iterator[Answer]:
    yield from _usual_answers(profile, action, _maker(profile, profile.native, action))
    for variant in profile.variants:
        condition = attribute_condition(variant.when)
        make = _maker(profile, variant.native, action)
        for one in _usual_answers(profile, action, make):
            if one.native is not None:
                yield replace(one, when=f"{one.when}; {condition}")
    for refusal in profile.refusals:
        if (action, refusal.case) in profile.native:
            make = _maker(profile, profile.native, action)
            when = f"scripted refusal {refusal.case}"
            yield make(refusal.case, when, "failed", str(refusal.error))


def _maker(
    profile: PlatformProfile,
    native: Mapping[tuple[Action, NativeCase], Mapping[str, object]],
    action: Action,
) -> Callable[..., Answer]:
    """Return a function that makes the answer in a case, with its native answer in `native`."""

    def answer(case: NativeCase, when: str, state: str, error: str | None = None) -> Answer:
        found = native.get((action, case))
        scenarios = exercises(profile.id, Case(RuleKind.ACTION, action, case))
        answered = None if found is None else _jsonable(found)
        return Answer(when, state, error, answered, case.value, scenarios)

    return answer


def _usual_answers(
    profile: PlatformProfile, action: Action, answer: Callable[..., Answer]
) -> Iterator[Answer]:
    if not _supported(profile, action):
        yield answer(NativeCase.NOT_SUPPORTED, "always", "notSupported")
        return
    for limit in _limits(profile, action):
        yield answer(limit.native, limit_condition(limit), "notSupported")
    if action is Action.REMOTE_LOCK:
        yield from _lock_answers(profile, answer)
        return
    if action is Action.SYNC_DEVICE:
        yield answer(NativeCase.DONE, "a passcode that the policy allows", "done")
        yield answer(NativeCase.PASSCODE_INSUFFICIENT, "a passcode it does not allow", "done")
        yield answer(NativeCase.NO_PASSCODE, "no passcode, and a policy asks for one", "done")
        yield answer(NativeCase.PASSCODE_NOT_REQUIRED, "no passcode and no policy", "done")
        return
    if action in _MANAGED and _MANAGED[action](profile).supervised_only:
        yield answer(NativeCase.NOT_SUPPORTED, "the device is not supervised", "notSupported")
    yield answer(NativeCase.DONE, "success", "done")
    if action is Action.APPLY_PASSCODE_POLICY:
        case = NativeCase.POLICY_VIOLATION
        yield answer(case, "a setting out of bounds", "failed", "policyViolation")


def _supported(profile: PlatformProfile, action: Action) -> bool:
    if action is Action.RESET_PASSCODE:
        return profile.reset.outcome is not ResetOutcome.NOT_SUPPORTED
    if action is Action.REMOTE_LOCK:
        return profile.lock.supported
    return action not in _MANAGED or _MANAGED[action](profile).supported


def _limits(profile: PlatformProfile, action: Action) -> tuple[Limit, ...]:
    """Conditions under which a supported action is not done."""
    return profile.reset.limits if action is Action.RESET_PASSCODE else ()


def _lock_answers(profile: PlatformProfile, answer: Any) -> Iterator[Answer]:
    yield answer(NativeCase.DONE, "with a passcode", "done")
    without = "without a passcode"
    if profile.lock.without_passcode is WithoutPasscode.REFUSED:
        yield answer(NativeCase.NO_PASSCODE, without, "failed", "passcodeNotSet")
    else:
        yield answer(NativeCase.NO_PASSCODE, without, "done")
    if profile.lost_mode.supported:
        yield answer(NativeCase.LOST_MODE, "in Lost Mode", "done")
    if profile.lock.enrolling_user_only:
        yield answer(NativeCase.WRONG_USER, "another user is signed in", "failed", "wrongUser")


def _sources(profile: PlatformProfile, action: Action) -> Iterator[CitedSource]:
    rule, about = {
        Action.RESET_PASSCODE: (profile.reset.source, "the rule"),
        Action.REMOTE_LOCK: (profile.lock.source, "the rule"),
        Action.SYNC_DEVICE: (_CHECK_STATUS, "the rule"),
        Action.APPLY_PASSCODE_POLICY: (profile.passcode.source, "passcode rules"),
        **{each: (rule(profile).source, "the rule") for each, rule in _MANAGED.items()},
    }[action]
    yield _cited(about, rule)
    if action is not Action.RESET_PASSCODE and action not in _MANAGED:
        text = _message(profile, action)
        yield CitedSource("the message", "none", f"the text “{text}” is passfleet's own")
    for limit in _limits(profile, action):
        yield _cited(limit_condition(limit), limit.source)
    if _supported(profile, action):
        hybrid = profile.reset.hybrid if action is Action.RESET_PASSCODE else None
        yield _cited("hybrid", hybrid or HYBRID[action])
        for source in EXCHANGE_ACTIVESYNC[action]:
            yield _cited("Exchange ActiveSync", source)
    for topic, source in sorted(profile.sources.items()):
        if not topic.startswith("native") and action in _CONCERNED.get(topic, Action):
            yield _cited(_ABOUT.get(topic, topic), source)
    native = profile.native_source(action)
    if native is not None:
        yield _cited("native answers", native)
    yield from _variant_sources(profile, action)


def _variant_sources(profile: PlatformProfile, action: Action) -> Iterator[CitedSource]:
    for variant in profile.variants:
        if any(answered is action for answered, _ in variant.native):
            condition = attribute_condition(variant.when)
            yield _cited(f"native answers: {condition}", variant.source)
    for refusal in profile.refusals:
        if (action, refusal.case) in profile.native:
            yield _cited(f"scripted refusal {refusal.case}", refusal.source)


def _cited(about: str, source: Source) -> CitedSource:
    return CitedSource(about, source.cite, source.assumption)


_ABOUT: Final[Mapping[str, str]] = {
    "policyMerge": "several policies",
    "unlockGrace": "maxGracePeriodMinutes",
}
_CONCERNED: Final[Mapping[str, Collection[Action]]] = {
    "biometrics": (Action.RESET_PASSCODE, Action.REMOTE_LOCK),
    "policyMerge": (Action.APPLY_PASSCODE_POLICY,),
    "unlockGrace": (Action.APPLY_PASSCODE_POLICY,),
}
"""Actions that a topic of `PlatformProfile.sources` concerns; any other topic concerns all."""


# ---------------------------------------------------------------------------------------------
# JSON


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _jsonable(value: Any) -> Any:
    """Convert frozen data to JSON values, with keys in camelCase."""
    if isinstance(value, Mapping):
        return {_camel(str(key)): _jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    return value
