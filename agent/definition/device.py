"""Keys and types of a device, in a group of a fleet file and in a scenario.

A field's `description` names the accepted values and is printed in error messages; `repr=False`
marks a secret, which is never printed. Rules that involve several values or the platform are in
`agent.definition.device_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from agent.clock import DURATION_PATTERN, parse_duration
from agent.passcode import PasscodePolicy
from broker.file_validation import shorten_value, value_error
from platforms import PLATFORMS_BY_ID
from platforms.conformance import CONFORMANCE
from platforms.profile import AdminMode, Biometric, Management

__all__ = [
    "ATTRIBUTES",
    "CONFORMANCE_WORDS",
    "Conformance",
    "DeviceSection",
    "DurationText",
    "PolicySection",
    "Section",
    "Span",
    "VersionText",
    "choice",
    "parse_version",
]

ATTRIBUTES: Final = (
    *("os_version", "api_level", "supervised", "azure_ad_joined"),
    *("managed_by", "target_sdk", "pin_recovery"),
)
"""Keys that override attributes of the platform, by their names in `Attributes`."""

_VERSION: Final = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}", re.ASCII)
_Member = TypeVar("_Member", bound=StrEnum)


def choice(kind: type[_Member]) -> Callable[[object], _Member]:
    """Return a validator that reads a member of `kind` by its value."""

    def read(value: object) -> _Member:
        for member in kind:
            if value == member.value:
                return member
        raise value_error(f"got {shorten_value(value)}", choices=[m.value for m in kind])

    return read


def parse_version(text: object) -> tuple[int, ...]:
    """Read a version such as `10.0.15063`. Raises ValueError for anything else."""
    if not isinstance(text, str) or not _VERSION.fullmatch(text):
        raise ValueError("a version has one to four numbers with dots between them")
    return tuple(int(number) for number in text.split("."))


def _conformance(name: str) -> str:
    if name not in CONFORMANCE:
        raise value_error(f"got {shorten_value(name)}", choices=CONFORMANCE)
    return name


Conformance = Annotated[
    str, AfterValidator(_conformance), WithJsonSchema({"enum": list(CONFORMANCE)})
]
"""Name of a dated table."""
CONFORMANCE_WORDS: Final = f"one of {', '.join(CONFORMANCE)}"


_SHORTEST_CHECK_IN: Final = 1_000
"""Milliseconds; a shorter check-in interval would be a busy loop."""


def _listed(value: object) -> object:
    # Strict pydantic does not accept a list for a tuple, and TOML has lists only.
    return tuple(value) if isinstance(value, list) else value


def _reaction(reaction: object) -> tuple[int, int]:
    if not isinstance(reaction, str):
        raise ValueError  # noqa: TRY004  # pydantic handles ValueError only
    low, dots, high = reaction.partition("..")
    try:
        shortest = _milliseconds(low)
        longest = _milliseconds(high) if dots else shortest
    except (ValueError, OverflowError):
        raise value_error(f"got {shorten_value(reaction)}") from None
    if shortest > longest:
        raise value_error(f"the shortest time must come first in {shorten_value(reaction)}")
    return shortest, longest


def _share(share: object) -> object:
    # Strict pydantic takes no whole number for a float.
    return float(share) if isinstance(share, int) and not isinstance(share, bool) else share


def _check_in(period: object) -> int:
    if not isinstance(period, str):
        raise ValueError  # noqa: TRY004  # pydantic's way
    try:
        milliseconds = _milliseconds(period)
    except (ValueError, OverflowError):
        raise value_error(f"got {shorten_value(period)}") from None
    if milliseconds < _SHORTEST_CHECK_IN:
        raise value_error(f"{shorten_value(period)} is too short")
    return milliseconds


def _milliseconds(text: str) -> int:
    """Convert to whole milliseconds, rounded up: timers have a resolution of 1 ms."""
    return -(-parse_duration(text) // timedelta(milliseconds=1))


_PLATFORM_SCHEMA: Final = WithJsonSchema(
    # A file may define further platforms; an editor offers these.
    {"anyOf": [{"enum": list(PLATFORMS_BY_ID)}, {"type": "string"}]}
)

_Share = Annotated[float, Field(ge=0, le=1)]
DurationText = Annotated[str, Field(pattern=f"^{DURATION_PATTERN}$")]
"""Duration as a file has it; for schemas."""
Span = Annotated[str, Field(pattern=rf"^{DURATION_PATTERN}(\.\.{DURATION_PATTERN})?$")]
"""Duration, or the shortest and the longest one, as a file has it; for schemas."""
VersionText = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){0,3}$")]
"""Version as a file has it; for schemas."""


class Section(BaseModel):
    """Base class of all tables: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PolicySection(Section):
    """A `policy` table. `agent.definition.device_rules` checks the platform's bounds."""

    model_config = ConfigDict(alias_generator=to_camel)

    min_length: int | None = Field(default=None, ge=0, description="a whole number of characters")
    require_alphanumeric: bool | None = Field(default=None, description="true or false")
    min_complex_characters: int | None = Field(
        default=None, ge=0, description="a whole number of characters"
    )
    allow_simple: bool | None = Field(default=None, description="true or false")
    history: int | None = Field(default=None, ge=0, description="a whole number of passcodes")
    max_failed_attempts: int | None = Field(
        default=None, ge=0, description="a whole number of attempts"
    )
    max_inactivity_minutes: int | None = Field(
        default=None, ge=0, description="a whole number of minutes"
    )
    max_age_days: int | None = Field(default=None, ge=0, description="a whole number of days")
    force_pin: bool | None = Field(default=None, description="true or false")
    max_grace_period_minutes: int | None = Field(
        default=None, ge=0, description="a whole number of minutes"
    )

    def policy(self) -> PasscodePolicy:
        """Convert to the policy of the state machine."""
        return PasscodePolicy(**self.model_dump())


class DeviceSection(Section):
    """Settings of a device.

    `reaction` and `push_delay` are (shortest, longest) in milliseconds, `check_in` is milliseconds,
    `push_loss` the share of pushes that are lost. None means the default: for `biometrics` all
    that the platform has, for `passcode` one that the policy accepts, for `ATTRIBUTES` the
    platform's value. An empty `passcode` means that the device starts without one.
    """

    platform: Annotated[str, _PLATFORM_SCHEMA] = Field(
        description='a platform id such as "ios" (passfleet platforms lists them)'
    )
    management: Annotated[Management, BeforeValidator(choice(Management))] = Field(
        default=Management.STANDALONE, description=f"one of {', '.join(Management)}"
    )
    passcode: str | None = Field(
        default=None, repr=False, description='a string such as "2580", or "" for no passcode'
    )
    policy: PolicySection | None = Field(
        default=None, description="a table such as { minLength = 4, maxFailedAttempts = 10 }"
    )
    biometrics: (
        Annotated[
            tuple[Annotated[Biometric, BeforeValidator(choice(Biometric))], ...],
            BeforeValidator(_listed, json_schema_input_type=list[Biometric]),
        ]
        | None
    ) = Field(default=None, description=f"a list with any of {', '.join(Biometric)}")
    reaction: Annotated[
        tuple[int, int], BeforeValidator(_reaction, json_schema_input_type=Span)
    ] = Field(default=(0, 0), description='a duration such as "2s", or two such as "200ms..2s"')
    push_delay: Annotated[
        tuple[int, int], BeforeValidator(_reaction, json_schema_input_type=Span)
    ] = Field(default=(0, 0), description='a duration such as "2s", or two such as "2s..5m"')
    push_loss: Annotated[float, BeforeValidator(_share, json_schema_input_type=_Share)] = Field(
        default=0.0, ge=0, le=1, description="a share from 0 to 1"
    )
    check_in: (
        Annotated[int, BeforeValidator(_check_in, json_schema_input_type=DurationText)] | None
    ) = Field(default=None, description='a duration from "1s" on, such as "8h"')
    os_version: (
        Annotated[
            tuple[int, ...], BeforeValidator(parse_version, json_schema_input_type=VersionText)
        ]
        | None
    ) = Field(default=None, description='a version such as "10.0.15063"')
    api_level: int | None = Field(
        default=None, ge=1, le=999, description="a whole number from 1, such as 24"
    )
    supervised: bool | None = Field(default=None, description="true or false")
    azure_ad_joined: bool | None = Field(default=None, description="true or false")
    managed_by: Annotated[AdminMode, BeforeValidator(choice(AdminMode))] | None = Field(
        default=None, description=f"one of {', '.join(AdminMode)}"
    )
    target_sdk: int | None = Field(
        default=None, ge=1, le=999, description="a whole number from 1, such as 24"
    )
    pin_recovery: bool | None = Field(default=None, description="true or false")
