"""The house stands as it was drawn: floors, the core without I/O, platforms as data."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import PLATFORMS_BY_ID

HOUSE = Path(__file__).parent.parent
FLOORS = {
    "platforms": set[str](),
    "broker": set[str](),
    "agent": {"platforms", "broker"},
    "scenarios": {"platforms", "broker", "agent"},
    "fleet": {"platforms", "broker", "agent", "scenarios"},
}
ROOMS = set(FLOORS)
PURE = [
    *sorted((HOUSE / "platforms").glob("*.py")),
    *(HOUSE / "agent" / f"{name}.py" for name in ("machine", "state", "events", "effects")),
    HOUSE / "agent" / "passcode.py",
]
NO_IO = {
    *("asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "sqlite3"),
    *("subprocess", "sys", "threading", "time", "datetime", "paho", "aiomqtt", "pydantic"),
}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_imports_run_down_only(room: str) -> None:
    allowed = FLOORS[room] | {room}
    for file in (HOUSE / room).rglob("*.py"):
        wrong = {name for name in imported(file) if name.split(".")[0] in ROOMS - allowed}
        assert not wrong, f"{file.relative_to(HOUSE)} imports {wrong}"


@pytest.mark.parametrize("file", PURE, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_the_core_knows_no_wire_clock_or_randomness(file: Path) -> None:
    banned = NO_IO | {"broker", "scenarios", "fleet"}
    wrong = {name for name in imported(file) if name.split(".")[0] in banned}
    assert not wrong


def test_no_platform_is_asked_for_by_name_outside_its_room() -> None:
    for room in ROOMS - {"platforms"}:
        for file in (HOUSE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Compare):
                    literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                    assert not literals & set(PLATFORMS_BY_ID), f"{file}:{node.lineno}"


def test_every_platform_has_a_file_of_its_own() -> None:
    for platform in PLATFORMS_BY_ID:
        assert (HOUSE / "platforms" / f"{platform}.py").is_file()
