"""Sources in `explain`: each rule cites a document that has it, or an assumption."""

from __future__ import annotations

import pytest

from fleet.reference.facts import CitedSource, explain
from platforms import PLATFORMS, PlatformProfile
from platforms.conformance import CONFORMANCE
from platforms.profile import Action, Management, native_topic
from scenarios.model.statements import statements

every_platform = pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
OWN_MESSAGES = {
    Action.REMOTE_LOCK: "Device successfully locked",
    Action.SYNC_DEVICE: "Device checked in",
    Action.APPLY_PASSCODE_POLICY: "Passcode policy applied",
}
"""Messages that no document has."""


def cited(profile: PlatformProfile, action: Action, about: str) -> list[CitedSource]:
    return [source for source in explain(profile, action).sources if source.about == about]


@every_platform
def test_a_native_answer_cites_the_part_of_the_protocol_that_gives_it(
    profile: PlatformProfile,
) -> None:
    for action in {action for action, _ in profile.native}:
        (source,) = cited(profile, action, "native answers")
        answered = {
            str(
                answer.get("requestType") or answer.get("call") or str(answer["node"]).split("/")[3]
            )
            for (of, _), answer in profile.native.items()
            if of is action
        }
        assert all(name in source.cite for name in answered), (action, answered, source)


@every_platform
def test_other_native_sources_are_about_answers_that_are_never_given(
    profile: PlatformProfile,
) -> None:
    answered = {native_topic(action) for action, _ in profile.native}

    for topic in {topic for topic in profile.sources if topic.startswith("native")} - answered:
        assert topic == "native resetPasscode"
        assert "never sent" in (profile.sources[topic].assumption or "")


@every_platform
def test_hybrid_rows_have_a_source(profile: PlatformProfile) -> None:
    for action in Action:
        explanation = explain(profile, action)
        supported = any(answer.action_state == "done" for answer in explanation.answers)
        found = cited(profile, action, "hybrid")
        assert len(found) == supported
        # Only the document of December 2015 is about hybrid; it names three platforms.
        by_document = action is Action.RESET_PASSCODE and profile.id in {
            "ios",
            "android",
            "windows_phone_8_1",
        }
        assert all(source.assumption or by_document for source in found)


def test_the_reset_in_hybrid_cites_the_step_of_its_platform() -> None:
    steps = {
        profile.id: source.cite
        for profile in PLATFORMS
        for source in cited(profile, Action.RESET_PASSCODE, "hybrid")
    }

    assert "step 5a" in steps["ios"]
    assert "step 5c" in steps["windows_phone_8_1"]
    assert "step 5d" in steps["android"]
    assert all("2015-12" in cite for cite in steps.values())


@every_platform
def test_the_missing_button_is_attributed_to_the_document_that_mentions_it(
    profile: PlatformProfile,
) -> None:
    explanation = explain(profile, Action.RESET_PASSCODE)
    views = {view.management: view for view in explanation.portal}
    if views[Management.STANDALONE].reset_button:
        return
    (rule,) = cited(profile, Action.RESET_PASSCODE, "the rule")
    assert "the button may be missing" in rule.cite
    assert "the button is missing where a reset is not supported" in str(rule.assumption)


@every_platform
@pytest.mark.parametrize("action", OWN_MESSAGES)
def test_a_message_of_passfleet_is_an_assumption(profile: PlatformProfile, action: Action) -> None:
    (source,) = cited(profile, action, "the message")

    assert source.cite == "none"
    assert source.assumption == f"the text “{OWN_MESSAGES[action]}” is passfleet's own"


def test_a_document_without_a_date_is_in_a_dated_table_by_assumption() -> None:
    undated = {s.document.title for s in statements().values() if s.document.date == "no date"}
    rows = [
        row
        for table in CONFORMANCE.values()
        for row in table.rows
        if any(title in row.source.cite for title in undated)
    ]

    assert rows
    assert all("has no date" in str(row.source.assumption) for row in rows)
