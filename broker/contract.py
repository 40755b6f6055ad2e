"""The wire contract, version 1: topics and payloads, as pydantic models.

Payloads are parsed once and strictly: unknown keys, wrong types, missing keys and payloads above
64 KiB are refused. A parser returns a `Refusal` with the contract's error code, and the id of the
command or input if it can be read. Parsers never raise, and a refusal never repeats a refused
value: it might be a passcode.

Keys are camelCase by alias, instants ISO 8601 in UTC. Every model's JSON Schema and the AsyncAPI
document are made from these classes (`broker.reference.asyncapi`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from broker.timestamps import format_timestamp, parse_timestamp

T = TypeVar("T")

__all__ = [
    "ACTIONS",
    "DEFAULT_ROOT",
    "DEVICE_ID",
    "MAX_PAYLOAD",
    "PARSED_JSON",
    "REFUSALS",
    "ROOT_WORDS",
    "SIMULATIONS",
    "ActionName",
    "ActionResult",
    "AnyCommand",
    "AnyInput",
    "AnySimulation",
    "Biometrics",
    "ClockNow",
    "ClockTo",
    "Command",
    "DeviceState",
    "Escrow",
    "FromOperator",
    "Input",
    "InputResult",
    "Inspection",
    "Instant",
    "Message",
    "Native",
    "Notification",
    "PayloadModel",
    "PlainSimulation",
    "Policy",
    "Presence",
    "Refusal",
    "RefusalName",
    "RefuseSimulation",
    "Simulate",
    "SimulationName",
    "Topics",
    "is_more_than_json",
    "is_root",
    "parse_clock",
    "parse_command",
    "parse_input",
    "parse_message",
    "parse_simulate",
]

DEFAULT_ROOT: Final = "passfleet/v1"
DEVICE_ID: Final = r"[A-Za-z0-9._-]{1,64}"
"""Pattern of device ids and group names."""
ROOT_WORDS: Final = (
    f'topic levels such as "{DEFAULT_ROOT}": none of them empty, no slash at either end, no + or #,'
    " no $ in front"
)
"""Description of a topic root for error messages."""
_MAX_ROOT: Final = 1024
MAX_PAYLOAD: Final = 64 * 1024
"""Bytes; a larger payload is refused unread."""
_SHOWN: Final = 200
"""Number of characters of a foreign name that a message repeats."""


PARSED_JSON: Final = {"parsed_json": True}
"""Validation context of values that were parsed from JSON before: instants are texts there."""


def _read_instant(value: object, info: ValidationInfo) -> object:
    if info.mode != "json" and info.context is not PARSED_JSON:
        return value
    if not isinstance(value, str):
        raise ValueError("not an ISO 8601 date and time in UTC")  # noqa: TRY004  # pydantic's way
    return parse_timestamp(value)


Instant = Annotated[
    int,
    BeforeValidator(_read_instant),
    PlainSerializer(format_timestamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Milliseconds since the epoch inside, ISO 8601 UTC on the wire."""

_MAX_ID: Final = 256
Id = Annotated[str, Field(min_length=1, max_length=_MAX_ID)]
Count = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class PayloadModel(BaseModel):
    """Base class of all payloads."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    def to_bytes(self) -> bytes:
        """Return the payload as it goes on the wire: every key, null where unset."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)


# ---------------------------------------------------------------------------------------------
# What operators send


class Policy(PayloadModel):
    """A passcode policy. What is absent is left to the platform; `{}` lifts the policy."""

    min_length: Count | None = None
    require_alphanumeric: bool | None = None
    min_complex_characters: Count | None = None
    allow_simple: bool | None = None
    history: Count | None = None
    max_failed_attempts: Count | None = None
    max_inactivity_minutes: Count | None = None
    max_age_days: Count | None = None
    force_pin: bool | None = None
    max_grace_period_minutes: Count | None = None


DeviceActionName = Literal[
    "resetPasscode", "syncDevice", "wipe", "retire", "rebootNow", "disableLostMode"
]
LockActionName = Literal["remoteLock", "enableLostMode"]
PolicyActionName = Literal["applyPasscodePolicy"]
ActionName = Literal[
    "resetPasscode",
    "remoteLock",
    "syncDevice",
    "applyPasscodePolicy",
    "wipe",
    "retire",
    "rebootNow",
    "enableLostMode",
    "disableLostMode",
]
ACTIONS: Final[tuple[ActionName, ...]] = get_args(ActionName)
"""Every `actionName` of a command."""
SimulationName = Literal[
    "offline", "online", "dropConnection", "crash", "restart", "restore", "enroll", "unenroll"
]
SIMULATIONS: Final[tuple[SimulationName, ...]] = get_args(SimulationName)
"""Every `action` of a simulation."""


class _CommandBase(PayloadModel):
    command_id: Id
    issued_by: Literal["user", "admin"] = "admin"
    issued_date_time: Instant | None = None
    expires_date_time: Instant | None = None


class DeviceCommand(_CommandBase):
    """A command that needs no more than its name."""

    action_name: DeviceActionName


class LockCommand(_CommandBase):
    """A command that locks, with what the lock screen is to show, where the platform shows it."""

    action_name: LockActionName
    message: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    phone_number: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class PolicyCommand(_CommandBase):
    """`applyPasscodePolicy`, with the policy to apply."""

    action_name: PolicyActionName
    policy: Policy


AnyCommand = DeviceCommand | LockCommand | PolicyCommand
Command = Annotated[AnyCommand, Field(discriminator="action_name")]


class PlainInput(PayloadModel):
    """A press that needs no more than its name."""

    input_id: Id
    action: Literal["swipeUp", "changeNow", "later", "useBiometric", "enrollBiometric", "restart"]


class PasscodeInput(PayloadModel):
    """A passcode entered, or set."""

    input_id: Id
    action: Literal["enterPasscode", "setPasscode"]
    passcode: Annotated[str, Field(min_length=1, max_length=256, repr=False)]


class SignInInput(PayloadModel):
    """A user signing in on the device."""

    input_id: Id
    action: Literal["signIn"]
    user: Name


class KeyInput(PayloadModel):
    """A key pressed on a call."""

    input_id: Id
    action: Literal["pressKey"]
    key: Annotated[str, Field(pattern=r"^[0-9*#]$")]


AnyInput = PlainInput | PasscodeInput | SignInInput | KeyInput
Input = Annotated[AnyInput, Field(discriminator="action")]


class Message(PayloadModel):
    """A text message or a call reaching the device."""

    message_id: Id
    kind: Literal["text", "call"]
    sender: Annotated[str, Field(alias="from", min_length=1, max_length=256)]
    body: str


FromOperator = AnyCommand | AnyInput | Message
"""Every message that operators send to a device."""


class PlainSimulation(PayloadModel):
    """Event from outside the device, such as a lost network."""

    action: SimulationName


RefusalName = Literal[
    "staleUnlockToken", "notNow", "status405", "status500", "securityException", "returnedFalse"
]
REFUSALS: Final[tuple[RefusalName, ...]] = get_args(RefusalName)
"""Every `case` of a scripted refusal."""


class RefuseSimulation(PayloadModel):
    """Scripted refusal: the next commands that it concerns fail with its native answer."""

    action: Literal["refuse"]
    case: RefusalName
    count: Annotated[int, Field(ge=1, le=1000)] = 1


AnySimulation = PlainSimulation | RefuseSimulation
Simulate = Annotated[AnySimulation, Field(discriminator="action")]


class ClockTo(PayloadModel):
    """Move virtual time."""

    to: Instant


# ---------------------------------------------------------------------------------------------
# What devices publish

ActionStateName = Literal["pending", "active", "done", "failed", "notSupported", "canceled"]
Native = dict[str, Any]
"""Answer of the platform's own protocol."""


class _ResultBase(PayloadModel):
    device_id: str
    action_name: str | None
    action_state: ActionStateName
    message: str
    new_passcode: Annotated[str | None, Field(repr=False)] = None
    error_code: str | None = None
    start_date_time: Instant
    last_updated_date_time: Instant
    duplicate: bool = False
    native: Native | None = None


class _ForCommand(PayloadModel):
    command_id: str | None


class _ForInput(PayloadModel):
    input_id: str | None


# The id's class comes last so that the id comes first on the wire: fields are gathered from the
# last base on.
class ActionResult(_ResultBase, _ForCommand):
    """Result of a command, for portal and console."""


class InputResult(_ResultBase, _ForInput):
    """Result of an input: `inputId` in place of `commandId`."""


class Notification(PayloadModel):
    """Notification on the device's own screen."""

    device_id: str
    notification_id: str
    title: str
    body: str
    buttons: list[str]
    date_time: Instant


class Escrow(PayloadModel):
    """The new passcode, for the administrator alone."""

    command_id: str
    new_passcode: Annotated[str, Field(repr=False)]
    reset_number: int


_BiometricState = Literal["enrolled", "mustEnroll", "blocked", "none"]


class Biometrics(PayloadModel):
    """State of each biometric."""

    touch_id: _BiometricState
    face: _BiometricState


class DeviceState(PayloadModel):
    """A device's state, retained; never a passcode."""

    device_id: str
    platform: str
    management: Literal["standalone", "hybrid", "exchange_activesync"]
    group: str
    owner: str
    current_user: str
    locked: bool
    passcode: Literal["none", "user", "temporary"]
    passcode_deadline: Instant | None
    compliance: Literal["compliant", "inGracePeriod", "noncompliant"]
    biometrics: Biometrics
    failed_attempts: int
    wiped: bool
    # The defaults are those of a trace that an earlier passfleet recorded.
    enrolled: bool = True
    lost_mode: bool = False
    last_check_in: Instant | None = None
    version: int


class Presence(PayloadModel):
    """Connection state of a device; `session` never decreases."""

    status: Literal["online", "offline"]
    session: int


class ClockNow(PayloadModel):
    """The fleet's time, retained, where it is not the time of day.

    `clock` is `virtual` or a speed such as `60x`; `real_date_time` is when `now` was true.
    """

    now: Instant
    clock: str
    real_date_time: Instant


class Inspection(PayloadModel):
    """Data of a device at its host that is not in its state; never a passcode."""

    device_id: str
    policy: Policy | None
    results: list[dict[str, Any]]
    notifications: list[dict[str, Any]]


# ---------------------------------------------------------------------------------------------
# Topics


def is_root(text: str) -> bool:
    """Return True for a valid topic root: see ROOT_WORDS. At most 1024 characters."""
    levels = text.split("/")
    plain = text.isprintable() and not text.startswith("$") and not set("+#") & set(text)
    return all(levels) and plain and len(text) <= _MAX_ROOT


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics under one root."""

    root: str = DEFAULT_ROOT

    def device(self, device_id: str, leaf: str) -> str:
        """`<root>/devices/<id>/<leaf>`; `+` for every device."""
        return f"{self.root}/devices/{device_id}/{leaf}"

    def group(self, group: str) -> str:
        """Return the command topic of a group; group `all` is every device."""
        return f"{self.root}/groups/{group}/commands"

    @property
    def clock(self) -> str:
        """Topic for moving virtual time."""
        return f"{self.root}/clock"

    @property
    def clock_now(self) -> str:
        """Topic of the fleet's time, retained."""
        return f"{self.root}/clock/now"

    def split(self, topic: str) -> tuple[str, str] | None:
        """(device id, leaf) of a device's topic, None for any other."""
        prefix = f"{self.root}/devices/"
        if not topic.startswith(prefix):
            return None
        device_id, _, leaf = topic[len(prefix) :].partition("/")
        return (device_id, leaf) if leaf else None


# ---------------------------------------------------------------------------------------------
# Parsing


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason for refusing a payload. `action` is its action name, if it can be read.

    `of_input`: the payload is an input, and the answer has an `inputId`.
    """

    error: str
    message: str
    command_id: str | None = None
    input_id: str | None = None
    action: str | None = None
    of_input: bool = False


def is_more_than_json(payload: bytes) -> bool:
    """Return True for payloads with NaN, Infinity or -Infinity, which pydantic accepts."""
    if b"NaN" not in payload and b"Infinity" not in payload:
        return False
    try:
        from_json(payload, allow_inf_nan=False)
    except ValueError:
        return True
    return False


class _Parser(Generic[T]):
    """Parser of one payload type, with the keys of its id and action."""

    def __init__(
        self, payload_type: Any, what: str, *, id_key: str = "", action_key: str = ""
    ) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(payload_type)
        self._what = what
        self._no_retained = f"A {what} must not be retained: it would come again."
        self._id_key = id_key
        self._action_key = action_key

    def __call__(self, payload: bytes, *, retained: bool = False) -> T | Refusal:
        """Return the parsed payload, or the reason for its refusal."""
        if len(payload) > MAX_PAYLOAD:
            return self._refuse(
                "payloadTooLarge", f"The payload is above {MAX_PAYLOAD} bytes.", None
            )
        if retained:
            return self._refuse("retainedCommand", self._no_retained, self._loose(payload))
        if is_more_than_json(payload):
            return self._refuse("invalidJson", _NO_JSON, None)
        try:
            return self._adapter.validate_json(payload, by_alias=True, by_name=False)
        except ValidationError as invalid:
            return self._explain(invalid, lambda: self._loose(payload))

    def from_values(self, values: dict[str, Any], *, retained: bool = False) -> T | Refusal:
        """Return the payload with these JSON values, or the reason for its refusal."""
        if retained:
            return self._refuse("retainedCommand", self._no_retained, values)
        try:
            return self._adapter.validate_python(
                values, context=PARSED_JSON, by_alias=True, by_name=False
            )
        except ValidationError as invalid:
            return self._explain(invalid, lambda: values)

    def _explain(self, invalid: ValidationError, loose: Callable[[], object]) -> Refusal:
        problem = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            return self._refuse("invalidJson", _NO_JSON, None)
        data = loose()
        named = data.get(self._action_key) if isinstance(data, dict) else None
        unknown = problem["type"] == "union_tag_invalid" or (
            problem["type"] == "literal_error" and problem["loc"] == (self._action_key,)
        )
        if unknown and isinstance(named, str):
            return self._refuse("unknownAction", "There is no such action.", data)
        if problem["type"].startswith("union_tag_"):
            where, message = self._action_key, "the name of an action is required"
        else:
            where = ".".join(str(part) for part in problem["loc"])[:_SHOWN]
            message = _WORDS.get(problem["type"], problem["msg"])
        explained = f"{where}: {message}" if where else message
        return self._refuse("invalidCommand", f"Not a valid {self._what}: {explained}", data)

    def _loose(self, payload: bytes) -> object:
        try:
            return from_json(payload)
        except ValueError:
            return None

    def _refuse(self, error: str, message: str, data: object) -> Refusal:
        values = data if isinstance(data, dict) else {}
        id_read = _short(values.get(self._id_key))
        return Refusal(
            error,
            message,
            command_id=id_read if self._id_key == "commandId" else None,
            input_id=id_read if self._id_key == "inputId" else None,
            action=_short(values.get(self._action_key)),
            of_input=self._id_key == "inputId",
        )


_NO_JSON: Final = "The payload is not JSON."

# pydantic's own words where they are not a user's, or would repeat the value.
_WORDS: Final = {
    "extra_forbidden": "unknown key",
    "missing": "required",
    "value_error": "must be an ISO 8601 date and time in UTC",
}


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and 1 <= len(value) <= _MAX_ID else None


parse_command: Final = _Parser[AnyCommand](
    Command, "command", id_key="commandId", action_key="actionName"
)
parse_input: Final = _Parser[AnyInput](Input, "input", id_key="inputId", action_key="action")
parse_message: Final = _Parser[Message](Message, "message")
parse_simulate: Final = _Parser[AnySimulation](Simulate, "simulation", action_key="action")
parse_clock: Final = _Parser[ClockTo](ClockTo, "clock setting")
