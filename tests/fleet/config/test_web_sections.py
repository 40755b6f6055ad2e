"""`[users.NAME]` and `[organization]` in the fleet file."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.errors import FileError
from fleet.config.loader import load_fleet, parse_fleet
from tests.support.fleet_files import PHONES


def test_passwords_come_from_the_environment_and_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALEX_PW", "from the environment")
    (tmp_path / "kim.pw").write_text("from a file\n")
    (tmp_path / "fleet.toml").write_text(
        '[users.alex]\npassword = { env = "ALEX_PW" }\n'
        '[users."kim@example.com"]\npassword = { file = "kim.pw" }\n'
        f'[organization]\ncontact = "Call 555 0100."\n{PHONES}'
    )
    config = load_fleet(tmp_path / "fleet.toml")
    assert config.user_passwords() == {
        "alex": "from the environment",
        "kim@example.com": "from a file",
    }
    assert config.organization.contact == "Call 555 0100."
    assert "from" not in repr(config.users)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[users.alex]\npassword = "in clear"', "a password never stands in the fleet file"),
        ("[users.alex]", "password"),
        ("[users.alex]\npassword = {}", "exactly one source"),
        ('[users.alex]\npassword = { env = "A", file = "b" }', "exactly one source"),
        ('users = "alex"', "a table: [users]"),
        ('[organization]\nphone = "1"', "phone"),
        ('[organization]\ncontact = ""', "1 to 1000 characters"),
    ],
)
def test_what_cannot_be_is_refused_without_the_value(text: str, said: str) -> None:
    with pytest.raises(FileError) as refused:
        parse_fleet(f"{text}\n{PHONES}")
    assert said in str(refused.value) + str(refused.value.hint) + str(refused.value.expected)
    assert "in clear" not in str(refused.value)


def test_a_password_that_is_not_there_is_named_with_its_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ALEX_PW", raising=False)
    config = parse_fleet(f'[users.alex]\npassword = {{ env = "ALEX_PW" }}\n{PHONES}')
    with pytest.raises(FileError, match="ALEX_PW") as refused:
        config.user_passwords()
    assert refused.value.key == "users.alex.password.env"
