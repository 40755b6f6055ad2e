"""Pydantic models of scenario files, except the steps of actors (see `scenarios.actors`).

The `description` of a field names the accepted values and appears in error messages and in the
documentation. `repr=False` marks a secret, which reports mask.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from agent.clock import parse_duration
from agent.definition.device import (
    CONFORMANCE_WORDS,
    Conformance,
    DeviceSection,
    DurationText,
    Section,
)
from broker.contract import DEVICE_ID, ActionName
from broker.file_validation import shorten_value, value_error
from scenarios.model.actor import SelfServiceReset
from scenarios.model.statements import STATEMENT_NUMBERS, nearest_number, statements

__all__ = [
    "Arguments",
    "ContactEntry",
    "DeviceEntry",
    "DeviceStep",
    "Duration",
    "OrganizationEntry",
    "RawCommand",
    "ResultExpectation",
    "ScenarioFile",
    "UserEntry",
]

_NAME: Final = re.compile(DEVICE_ID)
_ALL_DEVICES: Final = "all"
_DEFAULT_REACTION: Final = (2_000, 2_000)
_MAX_WAIT: Final = 100 * 365 * 24 * 60 * 60 * 1000


def _duration(value: object) -> object:
    if not isinstance(value, str):
        raise value_error(f"got {shorten_value(value)}")
    try:
        length = parse_duration(value) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise value_error(f"got {shorten_value(value)}") from None
    if length > _MAX_WAIT:
        raise value_error(f"{shorten_value(value)} is too long")
    return length


Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=DurationText)]
"""Duration in milliseconds; written `200us`, `5ms`, `2s`, `5m` or `1h` in the file."""
DURATION_FORMAT: Final = "a duration, as 5ms, 2s, 5m or 1h"


class Arguments(BaseModel):
    """Base model of step arguments: refuses unknown keys and converts no types."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=False
    )


class DeviceStep(Arguments):
    """Step on one device; `device` is optional in a scenario with one device."""

    device: str | None = Field(default=None, description="the name of a device")


def _group(name: str) -> str:
    if name == _ALL_DEVICES or not _NAME.fullmatch(name):
        raise ValueError
    return name


_GROUP_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": f"^{DEVICE_ID}$", "not": {"const": _ALL_DEVICES}}
)


class DeviceEntry(DeviceSection):
    """Device under `devices:`.

    The default owner is `user{n}`, where n is the position of the device in the file, from 1.
    """

    owner: str | None = Field(
        default=None, min_length=1, max_length=256, description="the name of a user"
    )
    group: Annotated[str, AfterValidator(_group), _GROUP_SCHEMA] = Field(
        default="phones",
        description='a name of 1 to 64 letters, digits, dots, dashes or underscores, not "all"',
    )
    dialect: str | None = Field(
        default=None, min_length=1, description="the name of a dialect (passfleet dialects)"
    )
    # Overrides the default: a fleet device reacts at once, a scenario device after 2 s.
    reaction: Annotated[tuple[int, int], DeviceSection.model_fields["reaction"].metadata[0]] = (
        Field(
            default=_DEFAULT_REACTION,
            description=DeviceSection.model_fields["reaction"].description,
        )
    )


class UserEntry(Arguments):
    """User under `users:`; owners of devices need no entry.

    `personalAccount: true` means that a personal account has the same e-mail address; the sign-in
    page then asks for the kind of account.
    """

    password: str | None = Field(default=None, min_length=1, repr=False, description="a string")
    personal_account: bool = Field(default=False, description="true or false")


_METHODS_SCHEMA: Final = WithJsonSchema(
    {"type": "array", "items": {"enum": list(SelfServiceReset().methods)}}
)


def _methods(value: object) -> object:
    known = SelfServiceReset().methods
    if not isinstance(value, list):
        raise value_error(f"got {shorten_value(value)}")
    for method in value:
        if method not in known:
            raise value_error(f"got {shorten_value(method)}", choices=known)
    return tuple(value)


class SelfServiceEntry(Arguments):
    """`organization.selfServiceReset`: work-account password reset."""

    enabled: bool = Field(default=True, description="true or false")
    methods: Annotated[tuple[str, ...], BeforeValidator(_methods), _METHODS_SCHEMA] = Field(
        default=SelfServiceReset().methods,
        description=f"a list with any of {', '.join(SelfServiceReset().methods)}",
    )
    required: int = Field(default=1, ge=1, le=2, description="1 or 2")


class ContactEntry(Arguments):
    """`organization.contact` as a table: contact data of the IT admin."""

    name: str | None = Field(default=None, min_length=1, description="a string")
    phone: str | None = Field(default=None, min_length=1, description="a string")
    email: str | None = Field(default=None, min_length=1, description="a string")
    website: str | None = Field(default=None, min_length=1, description="a string")
    notes: str | None = Field(default=None, min_length=1, description="a string")


_CONTACT: Final = "a string, or a table with any of name, phone, email, website, notes"


class OrganizationEntry(Arguments):
    """`organization`: the configuration made by the administrator.

    `contact` is shown on the page Contact IT admin. `delivery` is the time that a text message
    takes to reach its phone, drawn from the seed between two durations.
    """

    reset_passcode: bool = Field(default=True, description="true or false")
    self_service_reset: SelfServiceEntry = Field(
        default=SelfServiceEntry(), description="a table such as {enabled: true, required: 2}"
    )
    contact: str | ContactEntry | None = Field(default=None, description=_CONTACT)
    delivery: Annotated[tuple[int, int], DeviceSection.model_fields["reaction"].metadata[0]] = (
        Field(default=(0, 0), description=DeviceSection.model_fields["reaction"].description)
    )


def _statement(number: object) -> object:
    if not isinstance(number, str):
        raise value_error(f"got {shorten_value(number)}")
    if number not in statements():
        nearest = nearest_number(number)
        hint = f"did you mean '{nearest}'?" if nearest else None
        raise value_error(f"there is no statement {shorten_value(number)}", hint=hint)
    return number


Proven = Annotated[str, BeforeValidator(_statement, json_schema_input_type=str | float)]
"""Number of a statement of the source documents, such as `000.12`."""


class ScenarioFile(Section):
    """Scenario file. The parser validates platforms, devices, users and steps one by one.

    Without `conformance`, the conformance table of the fleet file or the default table applies.
    """

    name: str = Field(min_length=1, description="a string")
    source: str = Field(default="", description="a string: where the flow is documented")
    proves: list[Proven] = Field(default=[], description=STATEMENT_NUMBERS)
    seed: int = Field(default=0, ge=-(2**63), le=2**63 - 1, description="a whole number of 64 bits")
    organization: OrganizationEntry = Field(
        default=OrganizationEntry(), description="a table such as {resetPasscode: false}"
    )
    conformance: Conformance | None = Field(default=None, description=CONFORMANCE_WORDS)
    platforms: Any = Field(default={}, description="a table of platforms by name")
    dialects: Any = Field(default={}, description="a table of dialects by name")
    users: dict[str, Any] = Field(default={}, description="a table of users by name")
    devices: dict[str, Any] = Field(min_length=1, description="a table of devices by name")
    steps: list[Any] = Field(min_length=1, description="a list of steps, at least one")


class RawCommand(Arguments):
    """`command`: publish a Command to a device or a group.

    The keys of the Command are those of the contract; a missing `commandId` is generated from the
    seed. `payload` is published instead of a Command: a string unchanged, other values as JSON.
    `retained` sets the MQTT retain flag.
    """

    device: str | None = Field(default=None, description="the name of a device")
    group: str | None = Field(default=None, description='a group of devices, or "all"')
    command_id: str | None = Field(default=None, min_length=1, max_length=256, description="an id")
    action_name: ActionName | None = None
    issued_by: Literal["user", "admin"] | None = None
    issued_date_time: str | None = Field(default=None, description="a date and time in UTC")
    expires_date_time: str | None = Field(default=None, description="a date and time in UTC")
    policy: dict[str, Any] | None = Field(default=None, description="a passcode policy")
    message: str | None = Field(default=None, description="a text for the lock screen")
    phone_number: str | None = Field(default=None, description="a telephone number")
    payload: Any = None
    retained: bool = Field(default=False, description="true or false")


class ResultExpectation(Arguments):
    """`expect.result`: the last result of a device, for a command or an input.

    Accepts every key of an ActionResult. `commandId`, `inputId`, `actionName` and `device` select
    the result: the last one with these values.
    """

    device: str | None = Field(default=None, description="the name of a device")
    command_id: str | None = Field(default=None, description="an id")
    input_id: str | None = Field(default=None, description="an id")
    device_id: str | None = None
    action_name: str | None = None
    action_state: (
        Literal["pending", "active", "done", "failed", "notSupported", "canceled"] | None
    ) = None
    message: str | None = None
    new_passcode: str | None = Field(default=None, repr=False)
    error_code: str | None = None
    start_date_time: str | None = None
    last_updated_date_time: str | None = None
    duplicate: bool | None = None
    native: dict[str, Any] | None = None
