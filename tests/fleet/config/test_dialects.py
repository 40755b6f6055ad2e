"""Dialects in fleet files: a mistake is refused with file, line and key."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.errors import FileError
from fleet.config.loader import parse_fleet
from tests.support.fleet_files import group

COMMAND = """\
[dialects.acme.command]
topic = "acme/{deviceId}/cmd/{commandId}"
payload = { op = "{actionName}", by = "{issuedBy=admin}" }
"""
RESULT = """\
[dialects.acme.result]
topic = "acme/{deviceId}/ack/{commandId}"
payload = { status = "{actionState}", code = "{errorCode?}" }
"""
PHONES = group("phones", dialect='"acme"')
SHARED = group("phones", dialect='"acme"', connection='"shared"')


@dataclass(frozen=True)
class Bad:
    text: str
    line: int
    key: str
    says: str
    hint: str | None = None


BAD = {
    "no command": Bad(RESULT, 1, "dialects.acme", "needs a command section"),
    "unknown section": Bad(
        f"{COMMAND}[dialects.acme.results]\n", 4, "dialects.acme.results", "key", "'result'"
    ),
    "unknown key": Bad(
        f"{COMMAND}retained = true\n", 4, "dialects.acme.command.retained", "unknown key"
    ),
    "qos": Bad(f"{COMMAND}qos = 2\n", 4, "dialects.acme.command.qos", "expected 0 or 1"),
    "open brace": Bad(
        COMMAND.replace("{actionName}", "{actionName"),
        3,
        "dialects.acme.command.payload.op",
        "no partner",
    ),
    "unknown placeholder": Bad(
        COMMAND + RESULT.replace("{errorCode?}", "{errorCod?}"),
        6,
        "dialects.acme.result.payload.code",
        "unknown placeholder {errorCod}",
        "'errorCode'",
    ),
    "unknown placeholder in a topic": Bad(
        COMMAND + RESULT.replace("ack/{commandId}", "ack/{rid}"),
        5,
        "dialects.acme.result.topic",
        "must be in [command] too",
    ),
    "unused capture": Bad(
        COMMAND.replace('by = "{issuedBy=admin}"', 'by = "{isuedBy}"'),
        3,
        "dialects.acme.command.payload.by",
        "{_} for a value to ignore",
        "'issuedBy'",
    ),
    "no action": Bad(
        COMMAND.replace("{actionName}", "{_}"), 1, "dialects.acme.command", "{actionName}"
    ),
    "own results": Bad(
        COMMAND + RESULT.replace("/ack/", "/cmd/"),
        5,
        "dialects.acme.result.topic",
        "take its own [result] as a [command]",
    ),
    "two sections": Bad(
        f'{COMMAND}[dialects.acme.rejected]\ntopic = "acme/{{deviceId}}/{{_}}/no"\n',
        5,
        "dialects.acme.rejected.topic",
        "fit both [command] and [rejected]",
    ),
    "word twice": Bad(
        f'{COMMAND}[dialects.acme.words]\nactionName = {{ wipe = "X", retire = "X" }}\n',
        5,
        "dialects.acme.words.actionName.retire",
        "the word for 'wipe' already",
    ),
    "word of no value": Bad(
        f'{COMMAND}[dialects.acme.words]\nactionName = {{ wip = "X" }}\n',
        5,
        "dialects.acme.words.actionName.wip",
        "never 'wip'",
        "'wipe'",
    ),
    "word that is a value": Bad(
        f'{COMMAND}[dialects.acme.words]\nactionName = {{ wipe = "retire" }}\n',
        5,
        "dialects.acme.words.actionName.wipe",
        "itself a value",
    ),
    "words of no name": Bad(
        f'{COMMAND}[dialects.acme.words]\nactionNam = {{ wipe = "W" }}\n',
        5,
        "dialects.acme.words.actionNam",
        "no section has a value",
        "'actionName'",
    ),
    "base": Bad(
        f'[dialects.acme]\nextends = "pasfleet"\n{COMMAND}',
        2,
        "dialects.acme.extends",
        "there is no dialect",
        "'passfleet'",
    ),
    "base of itself": Bad(
        f'[dialects.acme]\nextends = "acme"\n{COMMAND}', 2, "dialects.acme.extends", "itself"
    ),
    "name of a preset": Bad(
        COMMAND.replace("acme.", "passfleet."), 1, "dialects.passfleet", "of this name"
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_refused_with_its_place(name: str) -> None:
    bad = BAD[name]
    with pytest.raises(FileError) as caught:
        parse_fleet(f"{bad.text}\n{PHONES}", Path("fleet.toml"))
    error = caught.value
    assert str(error).startswith(f"fleet.toml:{bad.line}: {bad.key}: "), str(error)
    assert bad.says in str(error)
    assert bad.hint is None or bad.hint in str(error.hint)


def test_a_group_of_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(
        FileError, match=r"fleet.toml:7: group\[phones\].dialect: got \"acmee\""
    ) as e:
        parse_fleet(COMMAND + group("phones", dialect='"acmee"'), Path("fleet.toml"))
    assert e.value.hint == "did you mean 'acme'?"


def test_topics_without_device_id_are_refused_where_all_share_one_login() -> None:
    text = COMMAND.replace("{deviceId}", "me")
    with pytest.raises(FileError, match="carry no device id") as caught:
        parse_fleet(text + PHONES, Path("fleet.toml"))
    assert caught.value.key == "group[phones].dialect"


def test_devices_share_a_connection_only_where_commands_name_them() -> None:
    text = COMMAND.replace("{deviceId}", "all")
    with pytest.raises(FileError, match="do not name a device"):
        parse_fleet(text + SHARED, Path("fleet.toml"))
    named = text.replace('op = "{actionName}"', 'op = "{actionName}", to = "{deviceId}"')
    assert all(spec.shared for spec in parse_fleet(named + SHARED).devices())


def test_a_dialect_extends_another_by_section_key_and_word() -> None:
    text = f"""
    {COMMAND}{RESULT}
    [dialects.acme.words.actionState]
    done = "OK"
    failed = "ERROR"
    [dialects.more]
    extends = "acme"
    presence = {{ topic = "acme/{{deviceId}}/up" }}
    [dialects.more.result]
    qos = 0
    [dialects.more.words]
    actionState = {{ done = "FINE" }}
    """
    dialect = parse_fleet(text + group("phones", dialect='"more"')).dialects["more"]
    assert dialect.table["result"]["qos"] == 0
    assert dialect.table["result"]["topic"] == "acme/{deviceId}/ack/{commandId}"
    assert dialect.table["words"]["actionState"] == {"done": "FINE", "failed": "ERROR"}
    assert dialect.publishes("presence")


def test_an_inherited_section_is_removed() -> None:
    text = f'{COMMAND}{RESULT}[dialects.more]\nextends = "acme"\nresult = "none"\n'
    assert not parse_fleet(text + PHONES).dialects["more"].publishes("result")


def test_a_fleet_with_a_dialect_goes_to_a_worker() -> None:
    config = pickle.loads(pickle.dumps(parse_fleet(COMMAND + RESULT + PHONES)))  # noqa: S301
    dialect = config.devices()[0].dialect
    arrival = dialect.read("acme/phones-001/cmd/c-1", b'{"op":"wipe"}')
    assert arrival.values == {"commandId": "c-1", "actionName": "wipe", "issuedBy": "admin"}


def test_with_control_devices_of_the_contract_are_controlled_too() -> None:
    text = '[control]\nurl = "embedded"\n' + group("phones")
    dialect = parse_fleet(text).devices()[0].dialect
    assert dialect is not None
    assert dialect.name == "passfleet"
