"""Sample files of `passfleet init`, and the schemas that editors find by their first lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.errors import FileError, UsageError
from fleet.config.loader import load_fleet
from fleet.config.sample import SAMPLE
from fleet.config.schema import fleet_schema
from fleet.service.init_files import SCENARIO, write_fleet_file, write_scenario
from scenarios.parsing.parser import load_scenario
from scenarios.parsing.schema import scenario_schema
from scenarios.run.runner import PlayOptions, play_all

WRITERS = [
    pytest.param(write_fleet_file, "fleet.toml", SAMPLE, id="fleet"),
    pytest.param(write_scenario, "first.passfleet.yaml", SCENARIO, id="scenario"),
]


@pytest.mark.parametrize(("write", "name", "text"), WRITERS)
def test_file_names_the_schema_that_is_written_beside_it(
    write: Callable[..., None], name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    assert rest == text
    found = re.fullmatch(r"(?:#:schema |# yaml-language-server: \$schema=)(\S+)", first)
    assert found is not None, first
    schema = json.loads((tmp_path / found[1]).read_text(encoding="utf-8"))
    assert schema == json.loads(
        json.dumps(fleet_schema() if name.endswith(".toml") else scenario_schema())
    )


@pytest.mark.parametrize(("write", "name", "text"), WRITERS)
def test_file_is_overwritten_only_by_force(
    write: Callable[..., None], name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text("mine")
    with pytest.raises(UsageError) as caught:
        write(path)
    assert "--force" in (caught.value.hint or "")
    assert path.read_text() == "mine"
    write(path, force=True)
    assert path.read_text(encoding="utf-8").endswith(text)
    with pytest.raises(FileError):
        write(tmp_path)
    with pytest.raises(FileError):
        write(tmp_path / "no" / name)


async def test_written_files_are_valid(tmp_path: Path) -> None:
    write_fleet_file(tmp_path / "fleet.toml")
    assert load_fleet(tmp_path / "fleet.toml").device_count == 70
    write_scenario(tmp_path / "first.passfleet.yaml")
    scenario = load_scenario(tmp_path / "first.passfleet.yaml")
    assert [each.failure for each in await play_all([scenario], PlayOptions())] == [None]
