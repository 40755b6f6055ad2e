"""JSON Schema of fleet files, held against the files that exist and against the parser."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from broker.errors import FileError
from fleet.config.loader import TABLES, parse_fleet
from fleet.config.sample import SAMPLE
from fleet.config.schema import fleet_schema
from tests.support.documented_files import blocks, files

SCHEMA = fleet_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
GROUP = '[[group]]\nname = "phones"\nplatform = "ios"\n'


def documents() -> Iterator[tuple[str, str]]:
    yield "the sample", SAMPLE
    yield from files("fleet.toml", "examples")
    yield from blocks("toml", r"\[\[group\]\]")


@pytest.mark.parametrize(
    ("place", "text"), list(documents()), ids=lambda value: value.split("\n")[0]
)
def test_every_file_and_example_fits(place: str, text: str) -> None:
    errors = [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]
    assert not errors, place


def test_schema_is_a_schema_with_every_table() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(SCHEMA["properties"]) == set(TABLES)
    assert all(table for table in SCHEMA["properties"].values())
    for example in SCHEMA["examples"]:
        VALIDATOR.validate(example)


def test_every_key_is_described() -> None:
    tables = [SCHEMA["properties"]["fleet"], SCHEMA["properties"]["group"]["items"]]
    for table in tables:
        for key, value in table["properties"].items():
            assert value.get("description"), key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[fleet]\nseed = 1\n",
        f"colour = 1\n{GROUP}",
        f"[fleet]\ncolour = 1\n{GROUP}",
        f"{GROUP}colour = 1\n",
        '[[group]]\nname = "phones"\n',
        '[[group]]\nplatform = "ios"\n',
        f"{GROUP}count = 0\n",
        f'{GROUP}count = "many"\n',
        f'{GROUP}reaction = "soon"\n',
        f"{GROUP}reaction = 2\n",
        f'{GROUP}check_in = "8 hours"\n',
        f"{GROUP}offline = 1\n",
        f"{GROUP}push_loss = 2\n",
        f'{GROUP}management = "none"\n',
        f'{GROUP}biometrics = ["finger"]\n',
        f'{GROUP}connection = "both"\n',
        f'{GROUP}os_version = "eleven"\n',
        f"{GROUP}policy = {{ minlength = 4 }}\n",
        f"{GROUP}policy = {{ minLength = -1 }}\n",
        GROUP.replace("phones", "all"),
        GROUP.replace("phones", "my phones"),
        f'[fleet]\nclock = "fast"\n{GROUP}',
        f"[fleet]\nspeed = 0\n{GROUP}",
        f"[fleet]\nworkers = 0\n{GROUP}",
        f'[fleet]\nworkers = "all"\n{GROUP}',
        f'[fleet]\nconformance = "never"\n{GROUP}',
        f'[broker]\nurl = "somewhere"\n{GROUP}',
        f'[broker]\npassword = "secret"\n{GROUP}',
        f'[graph]\nfilters = "some"\n{GROUP}',
        f"[users.alex]\n{GROUP}",
        f"[platforms.kiosk]\n{GROUP}",
        f'[platforms.kiosk]\nextends = "ios"\ncolour = 1\n{GROUP}',
        f'[platforms.kiosk]\nextends = "ios"\nlock = {{ supported = 1 }}\n{GROUP}',
        f"[organization]\ncontact = 5\n{GROUP}",
    ],
)
def test_wrong_form_is_refused_by_parser_and_schema(text: str) -> None:
    with pytest.raises(FileError):
        parse_fleet(text)
    assert not VALIDATOR.is_valid(tomllib.loads(text))


@pytest.mark.parametrize(
    "line",
    [
        'reaction = "200ms..2s"', 'reaction = " 5ms "', 'push_delay = "2s..5m"', "push_loss = 1",
        'check_in = "8h"', "offline = 0", 'os_version = "10.0.15063"', 'biometrics = ["touchId"]',
        'passcode = ""', 'management = "hybrid"', 'id = "phone-{n:03}"',
    ],
)  # fmt: skip
def test_every_notation_fits(line: str) -> None:
    parse_fleet(GROUP + line)
    VALIDATOR.validate(tomllib.loads(GROUP + line))
