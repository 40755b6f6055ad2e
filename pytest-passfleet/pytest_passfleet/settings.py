"""Settings of the plugin, the `passfleet` command, and the fleet spec of a test's marker."""

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
    "install it from a checkout of passfleet with `uv tool install .` or `pipx install .`, or name "
    "it: passfleet_command in pytest's configuration, or the environment variable "
    f"{_ENVIRONMENT}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Fleet requested by the marker `passfleet`. None means the value of the settings."""

    devices: int | None = None
    platform: str | None = None
    fleet: Path | None = None
    broker: str | None = None


def add_options(parser: pytest.Parser) -> None:
    """Declare the settings."""
    for name, text, default in (
        ("command", "The passfleet command, with arguments if needed.", ""),
        ("fleet_file", "Fleet file; default: one device of every platform, virtual time.", ""),
        ("broker", "embedded, mosquitto, or mqtt://host:port; default: the fleet file's.", ""),
        ("scope", f"Scope of a fleet: {', '.join(SCOPES)}.", "session"),
        ("limit", "Time limit for an answer, in seconds.", "10"),
        ("start_limit", "Time limit to start a fleet or play a scenario, in seconds.", "60"),
        ("missing", "If the passfleet command is not found: error or skip.", "error"),
    ):
        parser.addini(f"passfleet_{name}", text, default=default)
    parser.addini("passfleet_play", "Extra arguments of `passfleet play`.", "args", default=[])


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from pytest's configuration."""

    config: pytest.Config

    def _text(self, name: str) -> str:
        return str(self.config.getini(f"passfleet_{name}")).strip()

    def _seconds(self, name: str) -> float:
        try:
            return float(self._text(name))
        except ValueError:
            raise pytest.UsageError(f"passfleet_{name} must be a number of seconds") from None

    def _one_of(self, name: str, *words: str) -> str:
        word = self._text(name)
        if word not in words:
            raise pytest.UsageError(
                f"passfleet_{name} is {word!r}; expected one of {', '.join(words)}"
            )
        return word

    @property
    def scope(self) -> str:
        """Scope of a fleet, one of `SCOPES`."""
        return self._one_of("scope", *SCOPES)

    @property
    def skip_missing(self) -> bool:
        """True if tests are skipped, not failed, when the command is missing."""
        return self._one_of("missing", "error", "skip") == "skip"

    @property
    def limit(self) -> float:
        """Time limit for an answer, in seconds."""
        return self._seconds("limit")

    @property
    def start_limit(self) -> float:
        """Time limit to start a fleet or play a scenario, in seconds."""
        return self._seconds("start_limit")

    @property
    def play(self) -> list[str]:
        """Arguments of `passfleet play`: the fleet file, for its platforms, and the extra ones."""
        arguments = [str(argument) for argument in self.config.getini("passfleet_play")]
        fleet = self.fleet_file
        if fleet is None or any(word.partition("=")[0] == "--fleet" for word in arguments):
            return arguments
        return ["--fleet", str(fleet), *arguments]

    @property
    def folder(self) -> Path:
        """Base folder of relative paths in the settings."""
        inipath = self.config.inipath
        return inipath.parent if inipath else self.config.rootpath

    @property
    def fleet_file(self) -> Path | None:
        """Fleet file of tests whose marker names none."""
        name = self._text("fleet_file")
        return self.folder / name if name else None

    @property
    def broker(self) -> str | None:
        """Broker of tests whose marker names none."""
        return self._text("broker") or None

    def command(self) -> list[str]:
        """Return the command to run; if missing, skip the test or raise CommandMissingError."""
        configured = os.environ.get(_ENVIRONMENT, "").strip() or self._text("command")
        words = shlex.split(configured) if configured else [_PROGRAM]
        found = shutil.which(words[0])
        if found is None and not configured:
            # Plugin and program may share an environment that is not activated.
            found = shutil.which(_PROGRAM, path=str(Path(sys.executable).parent))
        if found is None and configured:
            beside = self.folder / words[0]
            found = str(beside) if os.access(beside, os.X_OK) and beside.is_file() else None
        if found is not None:
            return [found, *words[1:]]
        message = f"command {words[0]!r} not found; {_HINT}"
        if self.skip_missing:
            pytest.skip(message)
        raise CommandMissingError(message)


def spec_of(arguments: Mapping[str, Any], folder: Path) -> Spec:
    """Parse the arguments of a marker; relative paths start in `folder`.

    Raises pytest.UsageError for an unknown argument or an invalid value.
    """
    known = {field.name for field in fields(Spec)}
    if wrong := sorted(set(arguments) - known):
        raise pytest.UsageError(
            f"the marker passfleet takes {', '.join(sorted(known))}; not {', '.join(wrong)}"
        )
    kinds: dict[str, tuple[type, ...]] = {"devices": (int,), "fleet": (str, Path)}
    for name, value in arguments.items():
        if value is not None and not isinstance(value, kinds.get(name, (str,))):
            raise pytest.UsageError(f"the marker passfleet: {name}={value!r} is not valid")
    fleet = arguments.get("fleet")
    return Spec(**{**arguments, "fleet": folder / fleet if fleet is not None else None})
