"""The plugin's settings, the `passfleet` command, and which fleet a test asks for."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_passfleet.errors import CommandMissingError

__all__ = ["SCOPES", "Settings", "Spec", "add_options", "spec_of"]

SCOPES: Final = ("session", "package", "module", "class", "function")
_ENVIRONMENT: Final = "PASSFLEET_COMMAND"
_PROGRAM: Final = "passfleet"
_HINT: Final = (
    "install it from a checkout of passfleet with `uv tool install .` or `pipx install .`, or say "
    "where it is: passfleet_command in pytest's configuration, or the environment variable "
    f"{_ENVIRONMENT}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Which fleet: what the marker `passfleet` says. None leaves it to the settings."""

    devices: int | None = None
    platform: str | None = None
    fleet: Path | None = None
    broker: str | None = None


def add_options(parser: pytest.Parser) -> None:
    """Declare the settings."""
    for name, text, default in (
        ("command", "The passfleet command, with arguments where it needs some.", ""),
        ("fleet_file", "The fleet file; unsaid: one device of every platform, virtual time.", ""),
        ("broker", "embedded, mosquitto, or mqtt://host:port; unsaid: the fleet file's.", ""),
        ("scope", f"How long a fleet is kept: {', '.join(SCOPES)}.", "session"),
        ("limit", "Seconds that an answer may take.", "10"),
        ("start_limit", "Seconds that a fleet may take to start, or a scenario to play.", "60"),
        ("missing", "Where there is no passfleet command: error or skip.", "error"),
    ):
        parser.addini(f"passfleet_{name}", text, default=default)
    parser.addini("passfleet_play", "Further arguments of `passfleet play`.", "args", default=[])


@dataclass(frozen=True, slots=True)
class Settings:
    """What pytest's configuration says."""

    config: pytest.Config

    def _text(self, name: str) -> str:
        return str(self.config.getini(f"passfleet_{name}")).strip()

    def _seconds(self, name: str) -> float:
        try:
            return float(self._text(name))
        except ValueError:
            raise pytest.UsageError(f"passfleet_{name} is to be a number of seconds") from None

    def _one_of(self, name: str, *words: str) -> str:
        word = self._text(name)
        if word not in words:
            raise pytest.UsageError(f"passfleet_{name} is {word!r}; one of {', '.join(words)}")
        return word

    @property
    def scope(self) -> str:
        """How long a fleet is kept."""
        return self._one_of("scope", *SCOPES)

    @property
    def skip_missing(self) -> bool:
        """Whether tests are skipped where the command is missing, rather than failed."""
        return self._one_of("missing", "error", "skip") == "skip"

    @property
    def limit(self) -> float:
        """Seconds that an answer may take."""
        return self._seconds("limit")

    @property
    def start_limit(self) -> float:
        """Seconds that a start or a play may take."""
        return self._seconds("start_limit")

    @property
    def play(self) -> list[str]:
        """Arguments of `passfleet play`: the fleet file, for its platforms, and further ones."""
        said = [str(argument) for argument in self.config.getini("passfleet_play")]
        fleet = self.fleet_file
        if fleet is None or any(word.partition("=")[0] == "--fleet" for word in said):
            return said
        return ["--fleet", str(fleet), *said]

    @property
    def folder(self) -> Path:
        """Where relative paths of the settings start."""
        inipath = self.config.inipath
        return inipath.parent if inipath else self.config.rootpath

    @property
    def fleet_file(self) -> Path | None:
        """The fleet file of tests that name none."""
        name = self._text("fleet_file")
        return self.folder / name if name else None

    @property
    def broker(self) -> str | None:
        """The broker of tests that name none."""
        return self._text("broker") or None

    def command(self) -> list[str]:
        """The command to start; skips the test or raises CommandMissingError where none is."""
        said = os.environ.get(_ENVIRONMENT, "").strip() or self._text("command")
        words = shlex.split(said) if said else [_PROGRAM]
        found = shutil.which(words[0])
        if found is None and not said:
            # Both in one environment that is not activated.
            found = shutil.which(_PROGRAM, path=str(Path(sys.executable).parent))
        if found is None and said:
            beside = self.folder / words[0]
            found = str(beside) if os.access(beside, os.X_OK) and beside.is_file() else None
        if found is not None:
            return [found, *words[1:]]
        told = f"there is no command {words[0]!r}; {_HINT}"
        if self.skip_missing:
            pytest.skip(told)
        raise CommandMissingError(told)


def spec_of(said: Mapping[str, Any], folder: Path) -> Spec:
    """The fleet that a marker asks for; relative paths start in `folder`.

    Raises pytest.UsageError for what is not known.
    """
    known = {field.name for field in fields(Spec)}
    if wrong := sorted(set(said) - known):
        raise pytest.UsageError(
            f"the marker passfleet takes {', '.join(sorted(known))}; not {', '.join(wrong)}"
        )
    kinds: dict[str, tuple[type, ...]] = {"devices": (int,), "fleet": (str, Path)}
    for name, value in said.items():
        if value is not None and not isinstance(value, kinds.get(name, (str,))):
            raise pytest.UsageError(f"the marker passfleet: {name}={value!r} is not right")
    fleet = said.get("fleet")
    return Spec(**{**said, "fleet": folder / fleet if fleet is not None else None})
