"""Passcodes: traits, policy checks, and the drawing of temporary passcodes.

Pure functions. No passcode in clear is stored: a set passcode is kept as a `Secret` (digest and
traits), and a temporary one as a `PasscodeRef`, the number of the random draw that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from math import factorial, prod
from typing import Any, Final, Protocol

from agent.fast_dataclass import fast_dataclass
from platforms.profile import Alphabet, Bound, ComplexCharacters, PasscodeRules

__all__ = [
    "DIGEST_BYTES",
    "FORM_BITS",
    "TEMPORARY_BIT",
    "PasscodePolicy",
    "PasscodeRef",
    "PasscodeSpec",
    "RandomSource",
    "Traits",
    "Violation",
    "contradiction",
    "merged",
    "out_of_bounds",
    "reveal",
    "temporary_spec",
    "traits_of",
    "violations",
]

# Without 0/O, 1/l/I: users read a temporary passcode on one screen and type it on another.
_SMALL = "abcdefghijkmnopqrstuvwxyz"
_CAPITALS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DIGITS = "0123456789"
_DIGITS_IN_TEXT = "23456789"
_SYMBOLS = "!#$%&*+-=?@"

DIGEST_BYTES: Final = 16
"""Length of a passcode's digest, in bytes."""
FORM_BITS: Final = 0xC0
"""Bits of a digest's first byte that name its form: see `agent.storage.digests`."""
TEMPORARY_BIT: Final = 0x40
"""Form of the digest of a temporary passcode in memory."""


class RandomSource(Protocol):
    """Random source of the state machine, implemented by `DeviceRandomStream`."""

    def bits(self, purpose: str, number: int) -> int:
        """Return 512 uniform bits: draw `number` of those for `purpose`."""

    def digest(self, passcode: str, *, temporary: bool = False) -> bytes:
        """Return the keyed digest of the passcode, `DIGEST_BYTES` long."""

    def matches(self, passcode: str, digests: bytes, *, quick: bool = False) -> bool:
        """Return True if `digests`, end to end, contain one of the passcode, in any form.

        `quick` leaves out those that take a slow hash to compare: passcodes that users set before
        the last restart.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PasscodePolicy:
    """A passcode policy; None means the platform's default.

    `history` counts passcodes, `max_inactivity_minutes` minutes (0: never), `max_age_days` days
    (0: never), `max_failed_attempts` attempts (0: never wipes), `max_grace_period_minutes` minutes
    (0: none) in which a swipe opens the device after an automatic lock. `force_pin` False lets the
    user do without a passcode; one that is set must satisfy the policy all the same.
    """

    min_length: int | None = None
    require_alphanumeric: bool | None = None
    min_complex_characters: int | None = None
    allow_simple: bool | None = None
    history: int | None = None
    max_failed_attempts: int | None = None
    max_inactivity_minutes: int | None = None
    max_age_days: int | None = None
    force_pin: bool | None = None
    max_grace_period_minutes: int | None = None

    @property
    def asks_for_something(self) -> bool:
        """True if any setting is made; a policy without settings removes the one in force."""
        return any(getattr(self, f.name) is not None for f in fields(self))


_NO_POLICY = PasscodePolicy()


def _lowest_limit(one: int, other: int) -> int:
    """Return the lower of two limits, of which 0 means no limit."""
    return min(one or other, other or one)


_STRICTER: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "min_length": max,
    "require_alphanumeric": max,
    "min_complex_characters": max,
    "allow_simple": min,
    "history": max,
    "max_failed_attempts": _lowest_limit,
    "max_inactivity_minutes": _lowest_limit,
    "max_age_days": _lowest_limit,
    "max_grace_period_minutes": min,
}
"""Stricter of two values of each setting."""


def merged(one: PasscodePolicy | None, other: PasscodePolicy) -> PasscodePolicy:
    """Return the strictest value of each setting of two policies."""
    if one is None:
        return other
    values: dict[str, Any] = {}
    for name, stricter in _STRICTER.items():
        set_values = [v for v in (getattr(one, name), getattr(other, name)) if v is not None]
        values[name] = stricter(*set_values) if len(set_values) > 1 else (*set_values, None)[0]
    waived = one.force_pin is False and other.force_pin is False
    forced = one.force_pin or other.force_pin or None
    return PasscodePolicy(**values, force_pin=False if waived else forced)


@dataclass(frozen=True, slots=True)
class Traits:
    """Traits of a passcode that policies check."""

    length: int
    digits: bool
    small: bool
    capitals: bool
    symbols: int
    simple: bool

    @property
    def classes(self) -> int:
        """Number of character classes that occur: digits, small letters, capitals, symbols."""
        return self.digits + self.small + self.capitals + (self.symbols > 0)


# Passcodes of a fleet have few different traits: each is stored once for all devices.
_traits = lru_cache(maxsize=256)(Traits)


class Violation(StrEnum):
    """Reason why a passcode is refused; the value is the text on the screen."""

    TOO_SHORT = "The passcode is too short."
    TOO_LONG = "The passcode is too long."
    NOT_ALPHANUMERIC = "The passcode must contain both letters and digits."
    TOO_FEW_COMPLEX = "The passcode must contain more complex characters."
    SIMPLE = "The passcode must not repeat or count up or down."
    REUSED = "The passcode was used before."


@dataclass(frozen=True, slots=True)
class PasscodeSpec:
    """Specification of a temporary passcode: length, and character classes that all occur.

    `classes` is a string of letters: `d` digits, `l` letters of either case, `s` small letters, `c`
    capitals, `y` symbols. A class that is listed twice occurs at least twice.
    """

    length: int
    classes: str


_spec = lru_cache(maxsize=64)(PasscodeSpec)


@fast_dataclass
class PasscodeRef:
    """Reference to a temporary passcode by its random draw; `reveal` returns it in clear."""

    draw: int
    spec: PasscodeSpec


def traits_of(passcode: str) -> Traits:
    """Return the traits of a passcode in clear."""
    symbols = len(passcode) - sum(map(str.isalnum, passcode))
    return _traits(
        len(passcode),
        any(map(str.isdigit, passcode)),
        any(c.isalpha() and not c.isupper() for c in passcode),
        any(map(str.isupper, passcode)),
        symbols,
        _is_simple(passcode),
    )


def _is_simple(passcode: str) -> bool:
    """Return True for one repeated character (1111) or a sequence up or down (1234, dcba)."""
    step = ord(passcode[1]) - ord(passcode[0]) if len(passcode) > 1 else None
    return step in {0, 1, -1} and all(ord(b) - ord(a) == step for a, b in pairwise(passcode))


def violations(
    traits: Traits, policy: PasscodePolicy | None, rules: PasscodeRules
) -> list[Violation]:
    """Return the violations of `policy` and of the platform's limit; empty if valid."""
    found = []
    if traits.length > rules.max_length:
        found.append(Violation.TOO_LONG)
    policy = policy or _NO_POLICY
    if traits.length < max(1, policy.min_length or 0):
        found.append(Violation.TOO_SHORT)
    if policy.require_alphanumeric and not (traits.digits and (traits.small or traits.capitals)):
        found.append(Violation.NOT_ALPHANUMERIC)
    by_symbols = rules.complex_characters is ComplexCharacters.SYMBOLS
    complex_characters = traits.symbols if by_symbols else traits.classes
    if complex_characters < (policy.min_complex_characters or 0):
        found.append(Violation.TOO_FEW_COMPLEX)
    if policy.allow_simple is False and traits.simple:
        found.append(Violation.SIMPLE)
    return found


def out_of_bounds(policy: PasscodePolicy, rules: PasscodeRules) -> Iterator[tuple[str, int, Bound]]:
    """Yield settings that the platform does not accept, as (field, value, accepted bound)."""
    bounds = {
        "min_length": rules.min_length,
        "min_complex_characters": rules.min_complex,
        "history": rules.history,
        "max_failed_attempts": rules.max_failed_attempts,
        "max_inactivity_minutes": rules.max_inactivity,
        "max_age_days": rules.max_age_days,
        "max_grace_period_minutes": rules.max_grace_period,
    }
    for name, bound in bounds.items():
        value = getattr(policy, name)
        if value is not None and not bound.holds(value):
            yield name, value, bound


def contradiction(policy: PasscodePolicy, rules: PasscodeRules) -> str | None:
    """Return the reason why no passcode satisfies `policy`; None if one does."""
    length, complex_characters = policy.min_length or 0, policy.min_complex_characters or 0
    if complex_characters > length > 0:
        return f"minComplexCharacters {complex_characters} does not fit into minLength {length}."
    if temporary_spec(Alphabet.DIGITS, 1, policy, rules).length > rules.max_length:
        return f"No passcode of at most {rules.max_length} characters satisfies the policy."
    return None


def temporary_spec(
    alphabet: Alphabet, default_length: int, policy: PasscodePolicy | None, rules: PasscodeRules
) -> PasscodeSpec:
    """Return the spec of a temporary passcode that satisfies `policy` and has one of each class."""
    policy = policy or _NO_POLICY
    complex_characters = policy.min_complex_characters or 0
    with_letters = alphabet is Alphabet.LETTERS_AND_DIGITS or bool(policy.require_alphanumeric)
    classes = "dl" if with_letters else "d"
    if rules.complex_characters is ComplexCharacters.SYMBOLS:
        classes += "y" * complex_characters
    elif complex_characters > len(classes):
        classes = "dscy"[:complex_characters]
    return _spec(max(default_length, policy.min_length or 0, len(classes)), classes)


# A fleet has few specs and uses each thousands of times. The cache contains no passcode.
@lru_cache(maxsize=64)
def _recipe(spec: PasscodeSpec) -> tuple[tuple[str, ...], int]:
    """Return the alphabet of each character (one per class, then any), and the number of outcomes.

    The number includes the orders in which the characters can be shuffled afterwards.
    """
    kinds = {
        "d": _DIGITS if spec.classes == "d" else _DIGITS_IN_TEXT,
        "l": _SMALL + _CAPITALS,
        "s": _SMALL,
        "c": _CAPITALS,
        "y": _SYMBOLS,
    }
    required = [kinds[c] for c in spec.classes]
    anything = "".join(required)
    alphabets = (*required, *[anything] * (spec.length - len(required)))[: spec.length]
    return alphabets, prod(map(len, alphabets)) * factorial(len(alphabets))


def reveal(ref: PasscodeRef, draws: RandomSource) -> str:
    """Return the temporary passcode in clear. Only the field `newPasscode` may contain it."""
    alphabets, outcomes = _recipe(ref.spec)
    # Reduce the 512 bits to the number of outcomes first: dividing small numbers costs half.
    bits = draws.bits("passcode", ref.draw) % outcomes
    characters = []
    for alphabet in alphabets:
        bits, index = divmod(bits, len(alphabet))
        characters.append(alphabet[index])
    for n in range(len(characters) - 1, 0, -1):
        bits, other = divmod(bits, n + 1)
        characters[n], characters[other] = characters[other], characters[n]
    return "".join(characters)
