"""Wire contract: each payload is parsed, or refused with an error code, and never raises."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from broker.contract import (
    ACTIONS,
    MAX_PAYLOAD,
    REFUSALS,
    ActionResult,
    Biometrics,
    ClockTo,
    DeviceCommand,
    DeviceState,
    Escrow,
    InputResult,
    KeyInput,
    LockCommand,
    Message,
    Notification,
    PasscodeInput,
    PlainInput,
    PlainSimulation,
    Policy,
    PolicyCommand,
    Presence,
    Refusal,
    RefuseSimulation,
    SignInInput,
    Topics,
    parse_clock,
    parse_command,
    parse_input,
    parse_message,
    parse_simulate,
)
from platforms.profile import Action

Parse = Callable[..., Any]

PARSERS: dict[str, Parse] = {
    "command": parse_command,
    "input": parse_input,
    "message": parse_message,
    "simulate": parse_simulate,
    "clock": parse_clock,
}
ERRORS = {
    "invalidJson",
    "invalidCommand",
    "unknownAction",
    "retainedCommand",
    "payloadTooLarge",
}
SECRET = "Gn4vQ81xTz6k"

COMMAND: dict[str, Any] = {"commandId": "c-1", "actionName": "resetPasscode"}
POLICY: dict[str, Any] = {
    "commandId": "c-1",
    "actionName": "applyPasscodePolicy",
    "policy": {"minLength": 6},
}
INPUT: dict[str, Any] = {"inputId": "i-1", "action": "setPasscode", "passcode": SECRET}
MESSAGE: dict[str, Any] = {"messageId": "m-1", "kind": "text", "from": "+1", "body": "code 123456"}

fuzz = settings(max_examples=3_000, deadline=None, database=None, derandomize=True)
quickly = settings(max_examples=500, deadline=None, database=None, derandomize=True)
every_parser = pytest.mark.parametrize("kind", PARSERS)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _refused(refusal: object, error: str) -> Refusal:
    assert isinstance(refusal, Refusal)
    assert refusal.error == error
    return refusal


KEYS = st.sampled_from(
    (
        "commandId",
        "actionName",
        "issuedBy",
        "issuedDateTime",
        "expiresDateTime",
        "policy",
        "inputId",
        "action",
        "passcode",
        "user",
        "key",
        "messageId",
        "kind",
        "from",
        "body",
        "to",
        "minLength",
        "allowSimple",
        "command_id",
        "",
    )
)
WORDS = st.sampled_from(
    (
        "resetPasscode",
        "remoteLock",
        "applyPasscodePolicy",
        "setPasscode",
        "swipeUp",
        "pressKey",
        "signIn",
        "crash",
        "text",
        "user",
        "admin",
        "#",
        "2015-12-10T20:19:07Z",
        "2015-12-10T20:19:07+01:00",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "",
        "x" * 257,
    )
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)  # JSON has no others
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(payload=st.binary(max_size=200), retained=st.booleans())
@fuzz
def test_any_bytes_are_parsed_or_refused(payload: bytes, *, retained: bool) -> None:
    for parse in PARSERS.values():
        parsed = parse(payload, retained=retained)
        assert not isinstance(parsed, Refusal) or parsed.error in ERRORS


@given(value=VALUES | st.dictionaries(KEYS, VALUES, max_size=6), retained=st.booleans())
@fuzz
def test_any_json_is_parsed_or_refused(value: object, *, retained: bool) -> None:
    for parse in PARSERS.values():
        parsed = parse(_json(value), retained=retained)
        if isinstance(parsed, Refusal):
            assert parsed.error in ERRORS
            assert len(parsed.message) < 1_000
        else:
            assert isinstance(parsed, BaseModel)
            assert not retained


MUTATIONS = st.sampled_from(("drop", "replace", "add", "rename"))


@pytest.mark.parametrize(
    ("parse", "sound"),
    [(parse_command, COMMAND), (parse_command, POLICY), (parse_input, INPUT)],
    ids=["command", "policy", "input"],
)
@given(data=st.data(), mutation=MUTATIONS, value=VALUES)
@settings(fuzz, max_examples=700)
def test_one_change_to_a_sound_payload_is_parsed_or_refused_with_its_id(
    parse: Parse, sound: dict[str, Any], data: st.DataObject, mutation: str, value: object
) -> None:
    changed = dict(sound)
    key = data.draw(st.sampled_from(sorted(sound)))
    if mutation == "drop":
        del changed[key]
    elif mutation == "replace":
        changed[key] = value
    elif mutation == "add":
        changed["unknownKey"] = value
    else:
        changed["renamed"] = changed.pop(key)
    parsed = parse(_json(changed))
    if mutation != "replace":
        assert isinstance(parsed, Refusal)
    if isinstance(parsed, Refusal):
        assert parsed.error in {"invalidCommand", "unknownAction"}
        id_key = "commandId" if "commandId" in sound else "inputId"
        id_read = parsed.command_id if id_key == "commandId" else parsed.input_id
        given_id = changed.get(id_key)
        readable = isinstance(given_id, str) and 1 <= len(given_id) <= 256
        assert id_read == (given_id if readable else None)
        assert SECRET not in parsed.message


# The secret stands where a careless message would repeat it.
CARELESS: list[tuple[Parse, dict[str, Any]]] = [
    (parse_input, INPUT | {"passcode": {"value": SECRET}}),
    (parse_input, INPUT | {"passcode": [SECRET]}),
    (parse_input, INPUT | {"passcode": SECRET * 30}),
    (parse_input, INPUT | {"extra": SECRET}),
    (parse_input, INPUT | {"action": "setPasscodeNow"}),
    (parse_input, INPUT | {"action": SECRET}),
    (parse_input, INPUT | {"action": 5}),
    (parse_input, INPUT | {"inputId": None}),
    (parse_input, {"inputId": "i-1", "action": "pressKey", "key": SECRET}),
    (parse_input, {"inputId": "i-1", "action": "signIn", "user": [SECRET]}),
    (parse_input, {"inputId": "i-1", "action": "swipeUp", "passcode": SECRET}),
    (parse_command, COMMAND | {"issuedBy": SECRET}),
    (parse_command, COMMAND | {"expiresDateTime": SECRET}),
    (parse_command, COMMAND | {"newPasscode": SECRET}),
    (parse_command, POLICY | {"policy": SECRET}),
    (parse_command, POLICY | {"policy": {"minLength": SECRET}}),
    (parse_command, POLICY | {"policy": {"passcode": SECRET}}),
    (parse_message, MESSAGE | {"kind": SECRET}),
    (parse_simulate, {"action": SECRET}),
    (parse_clock, {"to": SECRET}),
]


@pytest.mark.parametrize(("parse", "payload"), CARELESS)
def test_refusal_repeats_no_refused_value(parse: Parse, payload: dict[str, Any]) -> None:
    for retained in (False, True):
        refusal = parse(_json(payload), retained=retained)
        assert isinstance(refusal, Refusal)
        assert SECRET not in refusal.message


def test_a_broken_payload_with_a_passcode_is_refused_without_it() -> None:
    for payload in (_json(INPUT)[:-1], _json(INPUT) + b"x", _json([INPUT]), _json(SECRET)):
        refusal = parse_input(payload)
        assert isinstance(refusal, Refusal)
        assert SECRET not in repr(refusal)


def test_a_parsed_passcode_is_not_in_the_repr() -> None:
    parsed = parse_input(_json(INPUT))
    assert isinstance(parsed, PasscodeInput)
    assert parsed.passcode == SECRET
    assert SECRET not in repr(parsed)
    result = _result(new_passcode=SECRET)
    escrow = Escrow(command_id="c", new_passcode=SECRET, reset_number=1)
    assert SECRET not in repr(result) + str(result) + repr(escrow) + str(escrow)
    assert SECRET.encode() in result.to_bytes()


# Which error


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "invalidJson"),
        (b"{", "invalidJson"),
        (b"\xff\xfe", "invalidJson"),
        (b'{"commandId": "c-1"}}', "invalidJson"),
        (b"[" * 60_000, "invalidJson"),
        (b"NaN", "invalidJson"),
        (b'{"commandId": "c", "actionName": "remoteLock", "issuedBy": NaN}', "invalidJson"),
        (b'{"commandId": "c", "actionName": "remoteLock", "x": Infinity}', "invalidJson"),
        (b'{"commandId": "c", "actionName": "remoteLock", "x": [-Infinity]}', "invalidJson"),
        (b'{"commandId": NaN, "commandId": "c", "actionName": "remoteLock"}', "invalidJson"),
        (_json({"commandId": "NaN", "actionName": "-Infinity"}), "unknownAction"),
        (b"null", "invalidCommand"),
        (b"[]", "invalidCommand"),
        (b"{}", "invalidCommand"),
        (b'"resetPasscode"', "invalidCommand"),
        (_json({"commandId": "c-1", "actionName": "explode"}), "unknownAction"),
        (_json({"commandId": "c-1", "actionName": ""}), "unknownAction"),
        (_json({"commandId": "c-1", "actionName": None}), "invalidCommand"),
        (_json({"commandId": "c-1"}), "invalidCommand"),
        (_json({"actionName": "remoteLock"}), "invalidCommand"),
        (_json(COMMAND | {"commandId": ""}), "invalidCommand"),
        (_json(COMMAND | {"commandId": 7}), "invalidCommand"),
        (_json(COMMAND | {"commandId": "x" * 257}), "invalidCommand"),
        (_json(COMMAND | {"unknownKey": 1}), "invalidCommand"),
        (_json(COMMAND | {"policy": {}}), "invalidCommand"),
        (_json(COMMAND | {"expiresDateTime": 1449778747}), "invalidCommand"),
        (_json(COMMAND | {"expiresDateTime": "tomorrow"}), "invalidCommand"),
        (_json(COMMAND | {"expiresDateTime": "2015-12-10T20:19:07"}), "invalidCommand"),
        (_json(COMMAND | {"expiresDateTime": "2015-12-10T20:19:07+01:00"}), "invalidCommand"),
        (_json({"commandId": "c", "actionName": "applyPasscodePolicy"}), "invalidCommand"),
        (_json(POLICY | {"policy": None}), "invalidCommand"),
        (_json(POLICY | {"policy": {"minLength": "6"}}), "invalidCommand"),
        (_json(POLICY | {"policy": {"minLength": 6.5}}), "invalidCommand"),
        (_json(POLICY | {"policy": {"minLength": True}}), "invalidCommand"),
        (_json(POLICY | {"policy": {"allowSimple": 1}}), "invalidCommand"),
    ],
)
def test_invalid_payload_gets_its_documented_error_code(payload: bytes, error: str) -> None:
    _refused(parse_command(payload), error)


def test_the_id_and_action_of_a_refused_payload_are_read_where_they_can_be() -> None:
    refusal = _refused(parse_command(_json(COMMAND | {"x": 1})), "invalidCommand")
    assert (refusal.command_id, refusal.input_id, refusal.action) == ("c-1", None, "resetPasscode")
    refusal = _refused(parse_command(_json(COMMAND | {"actionName": "explode"})), "unknownAction")
    assert (refusal.command_id, refusal.action) == ("c-1", "explode")
    refusal = _refused(parse_command(_json(COMMAND), retained=True), "retainedCommand")
    assert (refusal.command_id, refusal.action) == ("c-1", "resetPasscode")
    refusal = _refused(parse_input(_json(INPUT | {"x": 1})), "invalidCommand")
    assert (refusal.command_id, refusal.input_id) == (None, "i-1")
    for unread in ("", "x" * 257, 7, None, ["c-1"]):
        refusal = _refused(parse_command(_json(COMMAND | {"commandId": unread})), "invalidCommand")
        assert (refusal.command_id, refusal.action) == (None, "resetPasscode")
    for payload in (b"", b"{", b"null", _json(["c-1"]), b'{"commandId": "c-1", "x": NaN}'):
        read = parse_command(payload)
        assert isinstance(read, Refusal)
        assert (read.command_id, read.action) == (None, None)


def test_the_limit_is_sixty_four_kibibytes_exactly() -> None:
    room = MAX_PAYLOAD - len(_json(MESSAGE | {"body": ""}))
    assert MAX_PAYLOAD == 65_536
    fits = _json(MESSAGE | {"body": "x" * room})
    assert len(fits) == MAX_PAYLOAD
    assert isinstance(parse_message(fits), Message)
    _refused(parse_message(_json(MESSAGE | {"body": "x" * (room + 1)})), "payloadTooLarge")
    for parse in PARSERS.values():
        _refused(parse(b" " * (MAX_PAYLOAD + 1)), "payloadTooLarge")
        _refused(parse(b" " * MAX_PAYLOAD), "invalidJson")


@pytest.mark.parametrize(
    ("parse", "payload"),
    [
        (parse_command, {"command_id": "c-1", "actionName": "remoteLock"}),
        (parse_command, {"commandId": "c-1", "action_name": "remoteLock"}),
        (parse_command, COMMAND | {"expires_date_time": "2015-12-10T20:19:07Z"}),
        (parse_command, POLICY | {"policy": {"min_length": 6}}),
        (parse_input, {"input_id": "i-1", "action": "swipeUp"}),
        (parse_message, {"messageId": "m", "kind": "text", "sender": "+1", "body": ""}),
    ],
)
def test_python_field_names_are_refused_on_the_wire(parse: Parse, payload: dict[str, Any]) -> None:
    _refused(parse(_json(payload)), "invalidCommand")


@every_parser
def test_retained_messages_are_refused(kind: str) -> None:
    sound = {
        "command": COMMAND,
        "input": INPUT,
        "message": MESSAGE,
        "simulate": {"action": "crash"},
        "clock": {"to": "2015-12-10T20:19:07Z"},
    }[kind]
    assert not isinstance(PARSERS[kind](_json(sound)), Refusal)
    _refused(PARSERS[kind](_json(sound), retained=True), "retainedCommand")


# Round trips

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
INSTANTS = st.integers(0, 253_402_300_799_999)
MAYBE_INSTANT = st.none() | INSTANTS
INTEGERS = st.none() | st.integers(-(2**31), 2**31 - 1)
FLAGS = st.sampled_from((None, True, False))


def _made(model: Any, **fields: Any) -> st.SearchStrategy[Any]:
    """Strategy for a model. `builds` would also pass the aliases in the model's signature."""
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


COMMANDS = (
    _made(
        DeviceCommand,
        command_id=IDS,
        action_name=st.sampled_from(("resetPasscode", "syncDevice", "wipe", "disableLostMode")),
        issued_by=st.sampled_from(("user", "admin")),
        issued_date_time=MAYBE_INSTANT,
        expires_date_time=MAYBE_INSTANT,
    )
    | _made(
        LockCommand,
        command_id=IDS,
        action_name=st.sampled_from(("remoteLock", "enableLostMode")),
        message=st.none() | IDS,
        phone_number=st.none() | IDS,
    )
    | _made(
        PolicyCommand,
        command_id=IDS,
        action_name=st.just("applyPasscodePolicy"),
        policy=_made(
            Policy,
            min_length=INTEGERS,
            require_alphanumeric=FLAGS,
            min_complex_characters=INTEGERS,
            allow_simple=FLAGS,
            history=INTEGERS,
            max_failed_attempts=INTEGERS,
            max_inactivity_minutes=INTEGERS,
            max_age_days=INTEGERS,
            force_pin=FLAGS,
            max_grace_period_minutes=INTEGERS,
        ),
    )
)
INPUTS: st.SearchStrategy[Any] = st.one_of(
    _made(PlainInput, input_id=IDS, action=st.sampled_from(("swipeUp", "later", "restart"))),
    _made(
        PasscodeInput,
        input_id=IDS,
        action=st.sampled_from(("enterPasscode", "setPasscode")),
        passcode=IDS,
    ),
    _made(SignInInput, input_id=IDS, action=st.just("signIn"), user=IDS),
    _made(KeyInput, input_id=IDS, action=st.just("pressKey"), key=st.sampled_from("0123456789*#")),
)
MESSAGES = st.builds(
    lambda message_id, kind, sender, body: Message.model_validate(
        {"messageId": message_id, "kind": kind, "from": sender, "body": body}
    ),
    IDS,
    st.sampled_from(("text", "call")),
    IDS,
    st.text(st.characters(codec="utf-8"), max_size=50),
)
CLOCKS = _made(ClockTo, to=INSTANTS)
SIMULATIONS = _made(
    PlainSimulation, action=st.sampled_from(("offline", "crash", "restore"))
) | _made(
    RefuseSimulation,
    action=st.just("refuse"),
    case=st.sampled_from(REFUSALS),
    count=st.integers(1, 1000),
)


@given(model=COMMANDS | INPUTS | MESSAGES | CLOCKS | SIMULATIONS)
@quickly
def test_operator_payloads_survive_a_round_trip(model: Any) -> None:
    payload = model.to_bytes()
    parsers: dict[type, Callable[[bytes], object]] = {
        DeviceCommand: parse_command,
        LockCommand: parse_command,
        PolicyCommand: parse_command,
        Message: parse_message,
        ClockTo: parse_clock,
        PlainSimulation: parse_simulate,
        RefuseSimulation: parse_simulate,
    }
    assert parsers.get(type(model), parse_input)(payload) == model
    assert set(json.loads(payload)) == _keys(type(model))


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def _result(**more: Any) -> ActionResult:
    return ActionResult(
        command_id="c-1",
        device_id="ios-001",
        action_name="resetPasscode",
        action_state="done",
        message="Passcode successfully reset",
        start_date_time=1_449_778_747_000,
        last_updated_date_time=1_449_778_748_500,
        **more,
    )


PUBLISHED: list[tuple[Any, list[str]]] = [
    (
        _result(native={"protocol": "apple-mdm", "errorChain": []}),
        [
            "commandId",
            "deviceId",
            "actionName",
            "actionState",
            "message",
            "newPasscode",
            "errorCode",
            "startDateTime",
            "lastUpdatedDateTime",
            "duplicate",
            "native",
        ],
    ),
    (
        Notification(
            device_id="ios-001", notification_id="n-1", title="t", body="b", buttons=[], date_time=0
        ),
        ["deviceId", "notificationId", "title", "body", "buttons", "dateTime"],
    ),
    (
        Escrow(command_id="c-1", new_passcode="k3Wq9T", reset_number=2),
        ["commandId", "newPasscode", "resetNumber"],
    ),
    (
        DeviceState(
            device_id="ios-001",
            platform="ios",
            management="standalone",
            group="phones",
            owner="alex",
            current_user="alex",
            locked=False,
            passcode="none",
            passcode_deadline=None,
            compliance="compliant",
            biometrics=Biometrics(touch_id="mustEnroll", face="none"),
            failed_attempts=0,
            wiped=False,
            enrolled=True,
            lost_mode=False,
            last_check_in=None,
            version=7,
        ),
        [
            "deviceId",
            "platform",
            "management",
            "group",
            "owner",
            "currentUser",
            "locked",
            "passcode",
            "passcodeDeadline",
            "compliance",
            "biometrics",
            "failedAttempts",
            "wiped",
            "enrolled",
            "lostMode",
            "lastCheckIn",
            "version",
        ],
    ),
    (Presence(status="online", session=3), ["status", "session"]),
]


@pytest.mark.parametrize(("model", "keys"), PUBLISHED, ids=lambda x: type(x).__name__)
def test_device_payloads_have_every_documented_key_and_survive_a_round_trip(
    model: Any, keys: list[str]
) -> None:
    written = json.loads(model.to_bytes())
    assert set(written) == set(keys)
    assert type(model).model_validate_json(model.to_bytes()) == model


def test_an_input_s_answer_has_its_input_id_in_place_of_the_command_id() -> None:
    answer = InputResult(
        input_id="i-1",
        device_id="d",
        action_name="swipeUp",
        action_state="done",
        message="",
        start_date_time=0,
        last_updated_date_time=0,
    )
    written = json.loads(answer.to_bytes())
    assert set(written) == (set(json.loads(_result().to_bytes())) - {"commandId"}) | {"inputId"}


def test_unset_keys_are_null_and_biometrics_camel_case() -> None:
    state = PUBLISHED[3][0]
    written = json.loads(state.to_bytes())
    assert written["passcodeDeadline"] is None
    assert written["biometrics"] == {"touchId": "mustEnroll", "face": "none"}
    result = json.loads(_result().to_bytes())
    assert result["newPasscode"] is result["errorCode"] is result["native"] is None
    assert result["duplicate"] is False


def test_times_have_whole_seconds_or_three_decimals() -> None:
    written = json.loads(_result().to_bytes())
    assert written["startDateTime"] == "2015-12-10T20:19:07Z"
    assert written["lastUpdatedDateTime"] == "2015-12-10T20:19:08.500Z"
    for text, instant in (
        ("2015-12-10T20:19:07Z", 1_449_778_747_000),
        ("2015-12-10T20:19:07.250Z", 1_449_778_747_250),
        ("2015-12-10T20:19:07+00:00", 1_449_778_747_000),
    ):
        assert parse_clock(_json({"to": text})) == ClockTo(to=instant)


def test_issuer_defaults_to_the_administrator() -> None:
    parsed = parse_command(_json(COMMAND))
    assert isinstance(parsed, DeviceCommand)
    assert (parsed.issued_by, parsed.expires_date_time) == ("admin", None)


def test_topics_are_split_into_their_parts() -> None:
    topics = Topics("some/root")
    assert topics.device("ios-001", "state") == "some/root/devices/ios-001/state"
    assert topics.split(topics.device("ios-001", "state")) == ("ios-001", "state")
    assert topics.group("all") == "some/root/groups/all/commands"
    for other in (
        topics.clock,
        topics.group("all"),
        "some/root/devices/ios-001",
        "other/devices/a/b",
    ):
        assert topics.split(other) is None


def test_the_union_of_inputs_covers_the_documented_actions() -> None:
    actions = {
        *("swipeUp", "enterPasscode", "changeNow", "later", "setPasscode", "useBiometric"),
        *("enrollBiometric", "signIn", "pressKey", "restart"),
    }
    more = {
        "enterPasscode": {"passcode": "1"},
        "setPasscode": {"passcode": "1"},
        "signIn": {"user": "alex"},
        "pressKey": {"key": "#"},
    }
    for action in actions:
        parsed = parse_input(_json({"inputId": "i", "action": action, **more.get(action, {})}))
        assert not isinstance(parsed, Refusal)
        assert parsed.action == action


def test_platform_profiles_use_the_action_names_of_the_contract() -> None:
    assert {action.value for action in Action} == set(ACTIONS)
