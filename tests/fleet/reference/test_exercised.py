"""Table of the scenarios that exercise a rule: what the library does, and nothing else."""

from __future__ import annotations

from agent.coverage import Case, RuleKind
from fleet.reference.exercised import TABLE, exercises, generate_table, rules_of
from fleet.reference.facts import explain
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.profile import Action


def test_table_is_what_playing_the_library_gives() -> None:
    assert TABLE.read_text(encoding="utf-8") == generate_table()


def test_answer_of_an_explanation_has_the_scenarios_of_its_rule() -> None:
    for profile in PLATFORMS:
        for action in Action:
            for answer in explain(profile, action).answers:
                case = Case(RuleKind.ACTION, action, answer.case)
                assert answer.scenarios == exercises(profile.id, case)


def test_only_keeps_the_scenarios_of_one_management() -> None:
    explanation = explain(PLATFORMS_BY_ID["windows_phone_8_1"], Action.RESET_PASSCODE)
    answer = explanation.only("hybrid").answers[0]

    assert [scenario.file for scenario in answer.scenarios] == ["windows_phone_8_1_hybrid.yaml"]
    assert len(explanation.answers[0].scenarios) > 1


def test_rules_of_a_platform_have_those_that_no_scenario_exercises() -> None:
    rules = {rule.case: rule.scenarios for rule in rules_of(PLATFORMS_BY_ID["windows_rt"])}

    assert rules[Case(RuleKind.ACTION, "remoteLock", "wrongUser")]
    assert all(case.name != "grace" for case in rules)
