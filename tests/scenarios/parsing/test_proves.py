"""Key `proves` of scenario files."""

from __future__ import annotations

import pytest

from broker.errors import FileError
from scenarios.parsing.parser import parse_scenario

FILE = """\
name: A scenario
proves: {proves}
devices: {{phone: {{platform: ios}}}}
steps: [wait: 1s]
"""


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("[000.1, 000.10, 004.30]", ("000.1", "000.10", "004.30")),
        ("[\"000.10\", '004.40']", ("000.10", "004.40")),
        ("\n  - 001.27\n  - 001.27", ("001.27",)),
        ("[]", ()),
    ],
)
def test_numbers_are_read_as_written(written: str, numbers: tuple[str, ...]) -> None:
    assert parse_scenario(FILE.format(proves=written), "a.yaml").proves == numbers


def test_scenario_without_the_key_proves_nothing() -> None:
    text = FILE.format(proves="[]").replace("proves: []\n", "")

    assert parse_scenario(text, "a.yaml").proves == ()


@pytest.mark.parametrize(
    ("written", "column", "message", "hint"),
    [
        ("[000.1, 002.30]", 17, 'no statement "002.30"', "did you mean '002.22'?"),
        ("[007.3]", 10, 'no statement "007.3"', "did you mean '004.3'?"),
        ('["1.27"]', 10, 'no statement "1.27"', "did you mean '001.27'?"),
        ("[2]", 10, 'no statement "2"', "did you mean '002.1'?"),
        ("[chooser]", 10, 'no statement "chooser"', None),
        ("[[000.1]]", 10, "got a list", None),
        ("000.1", 1, 'got "000.1"', None),
    ],
)
def test_wrong_number_is_refused_with_its_place_and_the_nearest(
    written: str, column: int, message: str, hint: str | None
) -> None:
    with pytest.raises(FileError, match=message) as refused:
        parse_scenario(FILE.format(proves=written), "a.yaml")

    assert str(refused.value).startswith(f"a.yaml:2:{column}: proves")
    assert refused.value.hint == hint
