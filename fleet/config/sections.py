"""Tables of a fleet file as pydantic models: keys, types, and limits of single values.

Checks of two values together, or of a value on its platform, are in `fleet.config.checks`. A
field's `description` is the expected value in error messages; `repr=False` marks a secret, which is
never printed.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema

from agent.definition.device import CONFORMANCE_WORDS, Conformance, DeviceSection, Section
from broker.access import is_filter
from broker.address import BrokerAddress
from broker.contract import DEFAULT_ROOT, DEVICE_ID, ROOT_WORDS, is_root
from broker.errors import UsageError
from broker.file_validation import shorten_value, suggest, value_error
from broker.server.listen import ListenAddress
from broker.server.open import EMBEDDED, MOSQUITTO
from broker.timestamps import FASTEST
from platforms.conformance import DEFAULT_CONFORMANCE

__all__ = [
    "ALL_DEVICES",
    "MAX_DEVICES",
    "BrokerSection",
    "FleetSection",
    "GroupSection",
    "PasswordSource",
    "parse_speed",
    "read_workers",
]

MAX_DEVICES: Final = 1_000_000
"""Largest number of devices in a group and in a fleet; larger numbers are typing errors."""
_DIGITS: Final = 9
"""Longest number accepted for `--workers`; int() raises an error beyond 4300 digits."""
ALL_DEVICES: Final = "all"
"""Reserved group name for all devices."""

_MAX_WORKERS: Final = 1024
_SPEED: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)x")
_NAME: Final = re.compile(DEVICE_ID)
_NUMBER_FORMAT: Final = re.compile(r"(0[1-9]\d?)?[dxX]?")
_TEMPLATE_PART: Final = re.compile(r"[^{}]|\{\{|\}\}|\{n(?::(?P<format>[^{}]*))?\}")
_LOGIN_PART: Final = re.compile(r"[^{}]|\{\{|\}\}|\{(?:id|n(?::(?P<format>[^{}]*))?)\}")
_CLOCKS: Final = ("real", "virtual")


def parse_speed(clock: str) -> float | None:
    """Clock speed as a multiple of real time: 1.0 for `real`, None for `virtual`, 60.0 for `60x`.

    Raises ValueError for anything else.
    """
    if clock in _CLOCKS:
        return 1.0 if clock == "real" else None
    match = _SPEED.fullmatch(clock)
    if match is None or not 0 < float(match[1]) <= FASTEST:
        raise ValueError(f"{clock!r} is not a clock; write real, virtual or a speed such as 60x")
    return float(match[1])


def _clock(clock: str) -> str:
    try:
        parse_speed(clock)
    except ValueError:
        raise value_error(f"got {shorten_value(clock)}", hint=suggest(clock, _CLOCKS)) from None
    return clock


def _workers(workers: object) -> object:
    # Before pydantic's own check, which reports one problem per member of a union.
    whole = isinstance(workers, int) and not isinstance(workers, bool)
    if workers == "auto" or (whole and workers in range(1, _MAX_WORKERS + 1)):
        return workers
    raise ValueError


def _root(root: str) -> str:
    if not is_root(root):
        raise ValueError
    return root


def _broker_url(url: str) -> str:
    if url in (EMBEDDED, MOSQUITTO):
        return url
    if "://" not in url:
        raise value_error("this is neither a broker name nor a URL", choices=(EMBEDDED, MOSQUITTO))
    try:
        address = BrokerAddress.parse(url)
    except UsageError as error:
        raise value_error(error.message, hint=error.hint) from None
    if address.password:
        raise value_error(
            "a password must not be in the fleet file, which is copied and committed",
            hint='write username = "..." and password = { env = "PF_PW" } instead',
        )
    return url


def _listen(address: str) -> str:
    try:
        ListenAddress.parse(address)
    except UsageError as error:
        raise value_error(error.message, hint=error.hint) from None
    return address


def _topic_filter(topic_filter: str) -> str:
    if not is_filter(topic_filter):
        raise ValueError
    return topic_filter


def _password(password: object) -> object:
    if isinstance(password, str):
        raise value_error(
            "a password must not be in the fleet file, which is copied and committed",
            hint="put it into an environment variable or a separate file",
        )
    return password


def _group_name(name: str) -> str:
    if name == ALL_DEVICES:
        raise value_error(f'the name "{ALL_DEVICES}" is reserved for all devices')
    if not _NAME.fullmatch(name):
        raise ValueError
    return name


def _template(template: str) -> str:
    """Validate a template for `str.format`: `n` is the only field, with a number format."""
    at = 0
    while at < len(template):
        part = _TEMPLATE_PART.match(template, at)
        if part is None or not _NUMBER_FORMAT.fullmatch(part["format"] or ""):
            raise ValueError
        at = part.end()
    return template


_CLOCK_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": r"^(real|virtual|[0-9]{1,12}(\.[0-9]{1,12})?x)$"}
)
_NAME_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": f"^{DEVICE_ID}$", "not": {"const": ALL_DEVICES}}
)
_URL_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": f"^({EMBEDDED}|{MOSQUITTO}|[a-z]+://.+)$"}
)
_WorkersInFile: TypeAlias = Annotated[int, Field(ge=1, le=_MAX_WORKERS)] | Literal["auto"]


class FleetSection(Section):
    """`[fleet]`: settings of the whole fleet.

    `speed` is the clock speed as a multiple of real time; it replaces `clock`.
    """

    seed: int = Field(default=0, ge=-(2**63), le=2**63 - 1, description="a whole number of 64 bits")
    clock: Annotated[str, AfterValidator(_clock), _CLOCK_SCHEMA] = Field(
        default="real", description='"real", "virtual" or a speed such as "60x"'
    )
    speed: float | None = Field(
        default=None,
        gt=0,
        le=FASTEST,
        allow_inf_nan=False,
        description=f"a number above 0, at most {FASTEST}, such as 60",
    )
    workers: Annotated[
        int | Literal["auto"], BeforeValidator(_workers, json_schema_input_type=_WorkersInFile)
    ] = Field(
        default=1, description=f'a whole number from 1 to {_MAX_WORKERS}, or "auto": one per core'
    )
    state: str | None = Field(default=None, min_length=1, description='a file, such as "fleet.db"')
    durability: Literal["process", "power"] = Field(
        default="process",
        description='"process": the state file survives a kill -9; "power": a loss of power too',
    )
    root: Annotated[
        str, AfterValidator(_root), WithJsonSchema({"type": "string", "minLength": 1})
    ] = Field(default=DEFAULT_ROOT, description=ROOT_WORDS)
    conformance: Conformance = Field(default=DEFAULT_CONFORMANCE, description=CONFORMANCE_WORDS)


class PasswordSource(Section):
    """Source of a password: an environment variable, or a file that holds only the password."""

    env: str | None = Field(
        default=None, min_length=1, description="the name of an environment variable"
    )
    file: str | None = Field(default=None, min_length=1, description="the path of a file")


class BrokerSection(Section):
    """`[broker]`: address and credentials. Paths are as written in the file."""

    url: Annotated[str, AfterValidator(_broker_url), _URL_SCHEMA] = Field(
        default=EMBEDDED,
        repr=False,
        description=f'"{EMBEDDED}", "{MOSQUITTO}", or mqtt://, mqtts://, ws:// or wss:// with'
        " host:port",
    )
    username: str | None = Field(default=None, min_length=1, description="a string")
    password: Annotated[PasswordSource | None, BeforeValidator(_password)] = Field(
        default=None, repr=False, description='{ env = "PF_PW" } or { file = "pw" }'
    )
    ca: str | None = Field(default=None, min_length=1, description="the path of a PEM file")
    cert: str | None = Field(default=None, min_length=1, description="the path of a PEM file")
    key: str | None = Field(default=None, min_length=1, description="the path of a PEM file")
    listen: Annotated[str, AfterValidator(_listen)] | None = Field(
        default=None, description='an address such as "127.0.0.1:1883" or "0.0.0.0:1883"'
    )
    deny_subscribe: tuple[Annotated[str, AfterValidator(_topic_filter)], ...] = Field(
        default=(), strict=False, description='a list of topic filters, such as ["acme/+/secret"]'
    )


def _login_template(template: str) -> str:
    """Validate a template for `str.format`: `id`, and `n` with a number format, are its fields."""
    at = 0
    while at < len(template):
        part = _LOGIN_PART.match(template, at)
        if part is None or not _NUMBER_FORMAT.fullmatch(part["format"] or ""):
            raise ValueError
        at = part.end()
    return template


LoginTemplate = Annotated[
    str, AfterValidator(_login_template), Field(min_length=1, max_length=1024)
]


class DevicePasswordSource(Section):
    """Source of a device's password; each is a template.

    `sas_key` is a file with the device's key in Base64, from which a SAS token of Azure is made.
    """

    env: LoginTemplate | None = Field(
        default=None, description="the name of an environment variable"
    )
    file: LoginTemplate | None = Field(default=None, description="the path of a file")
    sas_key: LoginTemplate | None = Field(default=None, description="the path of a file")


class GroupSection(DeviceSection):
    """`[[group]]`: devices with the same settings.

    `offline` is the share of time without network, from 0 to below 1.
    """

    name: Annotated[str, AfterValidator(_group_name), _NAME_SCHEMA] = Field(
        description="a name of 1 to 64 letters, digits, dots, dashes or underscores"
    )
    count: int = Field(
        default=1, ge=1, le=MAX_DEVICES, description=f"a whole number from 1 to {MAX_DEVICES}"
    )
    id: Annotated[str, AfterValidator(_template)] | None = Field(
        default=None,
        description='a template such as "phone-{n:03}"; n is the only field',
    )
    owner: Annotated[str, AfterValidator(_template)] = Field(
        default="user{n}",
        min_length=1,
        max_length=256,
        description='a name, or a template such as "user{n}"; n is the only field',
    )
    offline: float = Field(
        default=0.0, ge=0, lt=1, allow_inf_nan=False, description="a number from 0 to below 1"
    )

    connection: Literal["own", "shared"] = Field(
        default="own",
        description='"own": one connection per device; "shared": one for many devices',
    )

    dialect: str | None = Field(
        default=None, min_length=1, description="the name of a dialect (passfleet dialects)"
    )

    client_id: LoginTemplate | None = Field(
        default=None, description='a template such as "{id}"; id and n are the only fields'
    )
    username: LoginTemplate | None = Field(
        default=None, description='a template such as "{id}"; id and n are the only fields'
    )
    password: Annotated[DevicePasswordSource | None, BeforeValidator(_password)] = Field(
        default=None, repr=False, description='{ file = "secrets/{id}" } or { env = "PW_{n}" }'
    )
    cert: LoginTemplate | None = Field(
        default=None, description='the path of a PEM file, such as "certs/{id}.pem"'
    )
    key: LoginTemplate | None = Field(
        default=None, description='the path of a PEM file, such as "certs/{id}.key"'
    )

    @property
    def has_own_logins(self) -> bool:
        """True if each device logs in to its broker as itself."""
        names = (self.username or "", self.cert or "")
        return any("{id" in name or "{n" in name for name in names)

    @property
    def id_template(self) -> str:
        """Template of the device ids: `id`, by default the group name and `{n:03}`."""
        return self.id if self.id is not None else f"{self.name}-{{n:03}}"


def read_workers(text: str) -> int | Literal["auto"]:
    """Parse the value of `--workers`. Raises UsageError for an invalid value."""
    whole = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    try:
        return FleetSection.model_validate({"workers": int(text) if whole else text}).workers
    except ValidationError:
        expected = FleetSection.model_fields["workers"].description
        raise UsageError(f"--workers: got {shorten_value(text)}; expected {expected}") from None
