"""Passcodes: temporary ones obey what they must, and traits are those of the text."""

from __future__ import annotations

import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.events import Input, InputAction
from agent.passcode import (
    DIGEST_BYTES,
    PasscodePolicy,
    PasscodeRef,
    PasscodeSpec,
    Violation,
    out_of_bounds,
    reveal,
    temporary_spec,
    traits_of,
    violations,
)
from agent.random_stream import DeviceRandomStream
from platforms import PLATFORMS, PlatformProfile
from platforms.profile import Alphabet, Bound, ComplexCharacters, ResetOutcome

DRAWS = DeviceRandomStream(7, "d-1")
TEMPORARY = [p for p in PLATFORMS if p.reset.outcome is ResetOutcome.TEMPORARY]
CLASSES = {
    "d": string.digits,
    "l": string.ascii_letters,
    "s": string.ascii_lowercase,
    "c": string.ascii_uppercase,
    "y": string.punctuation,
}

quickly = settings(max_examples=100, deadline=None, database=None, derandomize=True)


@st.composite
def policies_within(draw: st.DrawFn, profile: PlatformProfile) -> PasscodePolicy:
    """A policy that the platform takes."""
    rules = profile.passcode

    def optional(bound: Bound) -> st.SearchStrategy[int | None]:
        return st.none() | st.integers(bound.low, bound.high)

    return PasscodePolicy(
        min_length=draw(optional(rules.min_length)),
        require_alphanumeric=draw(st.sampled_from((None, True, False))),
        min_complex_characters=draw(optional(rules.min_complex)),
        allow_simple=draw(st.sampled_from((None, True, False))),
        history=draw(optional(rules.history)),
    )


@given(data=st.data(), number=st.integers(1, 10**6))
@quickly
@pytest.mark.parametrize("profile", TEMPORARY, ids=lambda p: p.id)
def test_a_temporary_passcode_can_obey_every_policy_that_the_platform_takes(
    profile: PlatformProfile, data: st.DataObject, number: int
) -> None:
    policy = data.draw(policies_within(profile))
    assert not list(out_of_bounds(policy, profile.passcode))
    assert profile.reset.alphabet is not None
    spec = temporary_spec(
        profile.reset.alphabet, profile.reset.default_length, policy, profile.passcode
    )
    passcode = reveal(PasscodeRef(number, spec), DRAWS)
    against = violations(traits_of(passcode), policy, profile.passcode)
    # Six digits may count up by chance; such a draw is thrown away and the next one taken.
    assert set(against) <= {Violation.SIMPLE}
    assert len(passcode) >= max(profile.reset.default_length, policy.min_length or 0)
    if profile.reset.alphabet is Alphabet.LETTERS_AND_DIGITS:
        assert any(c.isdigit() for c in passcode)
        assert any(c.isalpha() for c in passcode)


@given(
    number=st.integers(1, 10**9),
    length=st.integers(4, 40),
    classes=st.sampled_from(("d", "dl", "ds", "dsc", "dscy")),
)
@quickly
def test_what_is_revealed_has_the_length_and_one_of_each_class_and_nothing_else(
    number: int, length: int, classes: str
) -> None:
    passcode = reveal(PasscodeRef(number, PasscodeSpec(length, classes)), DRAWS)
    assert len(passcode) == length
    for name in classes:
        assert any(c in CLASSES[name] for c in passcode)
    assert set(passcode) <= set("".join(CLASSES[name] for name in classes))
    if classes != "d":
        assert not set(passcode) & set("01OlI")


def test_a_passcode_is_revealed_again_by_its_number_alone() -> None:
    spec = PasscodeSpec(6, "dl")
    one, other = DeviceRandomStream(7, "d-1"), DeviceRandomStream(7, "d-1")
    forwards = [reveal(PasscodeRef(n, spec), one) for n in range(1, 50)]
    backwards = [reveal(PasscodeRef(n, spec), other) for n in reversed(range(1, 50))]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(forwards)


def test_seeds_devices_and_purposes_draw_apart() -> None:
    streams = [
        DeviceRandomStream(7, "d-1"),
        DeviceRandomStream(8, "d-1"),
        DeviceRandomStream(7, "d-2"),
    ]
    drawn = {s.bits(purpose, 1) for s in streams for purpose in ("passcode", "reaction")}
    assert len(drawn) == 6
    assert len({s.digest("2580") for s in streams}) == 3
    assert b"2580" not in streams[0].digest("2580")


def test_every_place_of_a_temporary_passcode_takes_every_kind() -> None:
    """No place is always a digit or always a letter: what is required is shuffled in."""
    drawn = [reveal(PasscodeRef(n, PasscodeSpec(6, "dl")), DRAWS) for n in range(1, 500)]
    for place in range(6):
        kinds = {passcode[place].isdigit() for passcode in drawn}
        assert kinds == {True, False}


@given(
    passcode=st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
    | st.text(alphabet="abcABC123!", max_size=4)
)
@quickly
def test_traits_are_read_off_any_text(passcode: str) -> None:
    traits = traits_of(passcode)
    assert traits.length == len(passcode)
    assert traits.symbols == sum(not c.isalnum() for c in passcode)
    assert traits.digits == any(c.isdigit() for c in passcode)
    assert traits.capitals == any(c.isupper() for c in passcode)
    assert traits.small == any(c.isalpha() and not c.isupper() for c in passcode)
    steps = {ord(after) - ord(before) for before, after in pairwise(passcode)}
    assert traits.simple == (steps in ({0}, {1}, {-1}))
    assert 0 <= traits.classes <= 4
    assert len(DRAWS.digest(passcode)) == DIGEST_BYTES


@pytest.mark.parametrize("passcode", ["1111", "1234", "4321", "abcd", "dcba", "zzzzzz", "89"])
def test_a_simple_passcode_repeats_or_counts(passcode: str) -> None:
    assert traits_of(passcode).simple


@pytest.mark.parametrize("passcode", ["1112", "1243", "1357", "abce", "2580", "1212", "7", ""])
def test_other_passcodes_are_not_simple(passcode: str) -> None:
    assert not traits_of(passcode).simple


VERDICTS = [
    (PasscodePolicy(min_length=6), "12345", {Violation.TOO_SHORT}),
    (PasscodePolicy(min_length=6), "123456", set()),
    (PasscodePolicy(require_alphanumeric=True), "482619", {Violation.NOT_ALPHANUMERIC}),
    (PasscodePolicy(require_alphanumeric=True), "kfwqzt", {Violation.NOT_ALPHANUMERIC}),
    (PasscodePolicy(require_alphanumeric=True), "kfw482", set()),
    (PasscodePolicy(require_alphanumeric=False), "482619", set()),
    (PasscodePolicy(allow_simple=False), "1111", {Violation.SIMPLE}),
    (PasscodePolicy(allow_simple=True), "1111", set()),
    (
        PasscodePolicy(min_length=6, allow_simple=False),
        "1234",
        {Violation.SIMPLE, Violation.TOO_SHORT},
    ),
    (None, "1111", set()),
    (None, "", {Violation.TOO_SHORT}),
]


@pytest.mark.parametrize(("policy", "passcode", "expected"), VERDICTS)
@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_a_policy_lists_its_violations_of_a_passcode(
    profile: PlatformProfile,
    policy: PasscodePolicy | None,
    passcode: str,
    expected: set[Violation],
) -> None:
    found = violations(traits_of(passcode), policy, profile.passcode)
    assert set(found) == expected


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_complex_characters_are_counted_as_the_platform_counts(profile: PlatformProfile) -> None:
    policy = PasscodePolicy(min_complex_characters=2)
    fine = {
        ComplexCharacters.SYMBOLS: {"a!b?": True, "aB3x": False, "!!": True},
        ComplexCharacters.CLASSES: {"a!b?": True, "aB3x": True, "!!": False},
    }[profile.passcode.complex_characters]
    for passcode, taken in fine.items():
        assert (not violations(traits_of(passcode), policy, profile.passcode)) == taken


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_nothing_longer_than_the_platform_takes_is_set(profile: PlatformProfile) -> None:
    longest = profile.passcode.max_length
    assert violations(traits_of("k7" * 100), None, profile.passcode) == [Violation.TOO_LONG]
    just_fits = traits_of(("k7" * 100)[:longest])
    assert violations(just_fits, None, profile.passcode) == []


@pytest.mark.parametrize("profile", PLATFORMS, ids=lambda p: p.id)
def test_every_length_a_policy_may_ask_for_can_be_set(profile: PlatformProfile) -> None:
    assert profile.passcode.min_length.high <= profile.passcode.max_length


def test_a_policy_without_a_setting_asks_for_nothing() -> None:
    assert not PasscodePolicy().asks_for_something
    assert PasscodePolicy(allow_simple=False).asks_for_something
    assert PasscodePolicy(history=0).asks_for_something


def test_a_repr_of_an_input_does_not_hold_its_passcode() -> None:
    press = Input("i-1", InputAction.SET_PASSCODE, passcode="Gn4vQ81x")
    assert "Gn4vQ81x" not in repr(press)
    assert "Gn4vQ81x" not in f"{press}"
