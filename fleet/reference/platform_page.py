"""docs/platforms.md: how every platform behaves, for people, with each rule's source.

The page is made, never edited: `python -m fleet.reference.build`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from fleet.reference import sentences as words
from fleet.reference.facts import BEHAVIOUR_TABLE, Answer, Explanation, explain
from fleet.reference.sources import scenario_link
from platforms import PLATFORMS
from platforms.conformance import CONFORMANCE
from platforms.profile import Action, Fidelity, PlatformProfile

__all__ = ["platforms_page"]

_MADE = "<!-- Made by `python -m fleet.reference.build`. Do not edit. -->"
_HEADINGS = {
    Action.RESET_PASSCODE: "resetPasscode",
    Action.REMOTE_LOCK: "remoteLock",
    Action.SYNC_DEVICE: "syncDevice (Check status)",
    Action.APPLY_PASSCODE_POLICY: "applyPasscodePolicy and passcode rules",
    Action.WIPE: "wipe",
    Action.RETIRE: "retire",
    Action.REBOOT_NOW: "rebootNow",
    Action.ENABLE_LOST_MODE: "enableLostMode",
    Action.DISABLE_LOST_MODE: "disableLostMode",
}
_FIDELITY = {
    Fidelity.DONE: "as the sources say",
    Fidelity.ASSUMED: "**assumed**",
    Fidelity.NOT_MODELLED: "not modelled",
}
_INTRO = f"""\
# How the platforms behave

Behaviour table `{BEHAVIOUR_TABLE}`. `passfleet platforms` prints it, `passfleet explain PLATFORM
ACTION` one rule with its source.

Every rule names its source. What the sources leave open was chosen here, and says so:
**Assumption**. Do not take an assumption for what a real device does. The last column of the
answers links the scenarios of the library that exercise them; `passfleet explain PLATFORM --rules`
lists every rule.
"""
_TABLES_INTRO = f"""\
Microsoft's tables of reset and lock changed over the years and contradict each other. A fleet
behaves as the one that its file names, `conformance = "hybrid-2017-10"` under `[fleet]`; unsaid, it
is `{BEHAVIOUR_TABLE}`. `passfleet platforms --conformance NAME` prints the platforms under \
another one,
`passfleet platforms --diff A B` what two of them say differently, and `passfleet explain` every
table that says otherwise. A platform that a table does not list is refused both actions.
"""


def platforms_page() -> str:
    """The whole page, in Markdown."""
    lines = [_MADE, "", *_INTRO.splitlines(), "", "## In short", "", *_overview(), ""]
    lines += ["## Policy bounds", "", *_bounds(), ""]
    lines += ["## The dated tables", "", *_dated_tables()]
    for profile in PLATFORMS:
        lines += _platform(profile)
    return "\n".join(lines).rstrip() + "\n"


def _overview() -> Iterator[str]:
    yield "| platform | resetPasscode | portal on success | on the device | remoteLock |"
    yield "|---|---|---|---|---|"
    for profile in PLATFORMS:
        yield _row(
            f"[{profile.id}](#{profile.id})",
            words.reset_in_short(profile.reset),
            "<br>".join(_escaped(line) for line in words.portal_in_short(profile.reset)),
            _escaped(words.screen_in_short(profile)),
            words.lock_in_short(profile),
        )


def _bounds() -> Iterator[str]:
    """One column a platform: a setting outside its bounds is refused with `policyViolation`."""
    yield "A setting outside its bounds is refused with `policyViolation`."
    yield ""
    yield _row("setting", *(profile.id for profile in PLATFORMS))
    yield _row(*["---"] * (len(PLATFORMS) + 1))
    for key in words.BOUNDS:
        found = [words.bounds(profile.passcode)[key] for profile in PLATFORMS]
        yield _row(f"`{key}`", *(f"{bound.low}-{bound.high}" for bound in found))


def _dated_tables() -> Iterator[str]:
    """Every table in its own words, row by row, with where each stands."""
    yield from _TABLES_INTRO.splitlines()
    yield ""
    for table in CONFORMANCE.values():
        yield f"### {table.name}"
        yield ""
        yield f"{table.title} ({table.date})."
        yield ""
        yield "| platform | action | what it says | source |"
        yield "|---|---|---|---|"
        for row in table.rows:
            source = _escaped(row.source.cite)
            if row.source.assumption:
                source += f"<br>**Assumption:** {_escaped(row.source.assumption)}"
            platforms = ", ".join(f"`{platform}`" for platform in row.platforms)
            yield _row(platforms, f"`{row.action}`", _escaped(row.says), source)
        yield ""


def _platform(profile: PlatformProfile) -> Iterator[str]:
    yield f"## {profile.id}"
    yield ""
    biometrics = ", ".join(f"`{b}`" for b in sorted(profile.biometrics)) or "none"
    opens = "signing in a user" if profile.sign_in else "a swipe, or the passcode where one is set"
    yield f"{profile.title}. Opened by {opens}. Biometrics: {biometrics}."
    yield ""
    yield from _ledger(profile)
    for action, heading in _HEADINGS.items():
        yield f"### {profile.title}: {heading}"
        yield ""
        yield from _explanation(profile, explain(profile, action))


def _ledger(profile: PlatformProfile) -> Iterator[str]:
    """Table of the fidelity of the model, one row per feature."""
    if not profile.ledger:
        return
    yield "| how true is it | | |"
    yield "|---|---|---|"
    for entry in profile.ledger:
        yield _row(_escaped(entry.what), _FIDELITY[entry.fidelity], _escaped(entry.note))
    yield ""


def _explanation(profile: PlatformProfile, explanation: Explanation) -> Iterator[str]:
    yield _escaped(explanation.rule)
    yield ""
    if explanation.action == Action.RESET_PASSCODE:
        yield f"The portal explains: “{_escaped(profile.reset.portal_explains)}”"
        yield ""
    yield "| management | end user's portal | administrator's console |"
    yield "|---|---|---|"
    for view in explanation.portal:
        yield _row(view.management, _lines(view.portal) or "says nothing", _lines(view.console))
    yield ""
    yield "On the device:"
    yield ""
    for line in explanation.device:
        yield f"- {_escaped(line)}"
    yield ""
    yield "| when | actionState | errorCode | native | scenarios |"
    yield "|---|---|---|---|---|"
    for answer in explanation.answers:
        yield _answer(answer)
    yield ""
    yield from _sources(explanation)


def _answer(answer: Answer) -> str:
    native = "the protocol is not asked" if answer.native is None else _code(answer.native)
    error = f"`{answer.error_code}`" if answer.error_code else ""
    files = dict.fromkeys(exercise.file for exercise in answer.scenarios)
    scenarios = ", ".join(scenario_link(file) for file in files) or "none"
    return _row(answer.when, f"`{answer.action_state}`", error, native, scenarios)


def _sources(explanation: Explanation) -> Iterator[str]:
    for source in explanation.sources:
        yield f"- Source ({source.about}): {_escaped(source.cite)}"
        if source.assumption:
            yield f"  - **Assumption:** {_escaped(source.assumption)}"
    yield ""


def _code(native: object) -> str:
    return f"`{json.dumps(native)}`"


def _lines(lines: tuple[str, ...]) -> str:
    return "<br>".join(_escaped(line) for line in lines)


def _escaped(text: str) -> str:
    """`<passcode>` would be read as a tag, `[later]` as a link."""
    return text.replace("<", "&lt;").replace("[", r"\[")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
