"""Search, parsing and validation of scenario files, before anything runs.

An invalid file raises `FileError` with file, line, column, the expected value and the most similar
valid name. The error reports the first problem of the file and the number of further problems.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agent.definition.device_rules import device_problems, setup_of, starting_passcode
from agent.definition.platforms import Platforms, read_platforms
from agent.device_factory import DeviceSpec
from agent.random_stream import DeviceRandomStream
from broker.bounded_file import read_bounded
from broker.contract import DEVICE_ID
from broker.dialects.dialect import Dialect
from broker.dialects.reader import NO_DIALECTS, dialects, read_dialects
from broker.errors import FileError, UsageError
from broker.file_validation import KeyPath, Problem, Problems, shorten_value, suggest, validate
from platforms.conformance import CONFORMANCE
from scenarios.model.actor import Account, Organization, SelfServiceReset
from scenarios.model.file import (
    ContactEntry,
    DeviceEntry,
    OrganizationEntry,
    ScenarioFile,
    UserEntry,
)
from scenarios.model.scenario import Scenario
from scenarios.model.variables import (
    fill_environment,
    fill_saved,
    saved_names,
    without_secrets,
)
from scenarios.parsing.phone_numbers import phone_problems
from scenarios.parsing.steps import KnownNames, ParsedSteps, parse_steps
from scenarios.parsing.yaml_positions import YamlDocument, read_yaml

__all__ = [
    "ENDINGS",
    "LIBRARY",
    "find_scenarios",
    "load_scenario",
    "load_scenarios",
    "parse_scenario",
]

LIBRARY: Final = Path(__file__).resolve().parents[1] / "library"
"""Folder of the scenarios that passfleet includes."""
ENDINGS: Final = (".yaml", ".yml")
"""File name extensions of scenario files."""
_MAX_SIZE: Final = 512 * 1024
_NAME: Final = re.compile(DEVICE_ID)
_STEPS: Final = "steps"
_IN_STEPS: Final = "saved values in steps only, ${env.NAME} anywhere"
_FILLED: Final = ("organization", "platforms", "users", "devices", "steps")
"""Keys below which placeholders are filled in."""
_TEXT_KEYS: Final = frozenset({"proves"})
"""Keys whose values remain text: YAML would read the statement number 002.30 as 2.3."""
_OWN_PLATFORM: Final = (
    "one of your own is defined under platforms: in this file, or in a fleet file (play --fleet)"
)
_DEFAULT_PASSWORD_PREFIX: Final = "Pa55word of "  # noqa: S105  # of a virtual user
"""Default password of a user, followed by the name of the user."""


def find_scenarios(paths: Sequence[Path]) -> list[Path]:
    """Return the scenario files among `paths` and in the folders among `paths`, each once.

    Files in hidden folders are skipped. Raises UsageError for a folder without scenario files.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(
                each
                for each in path.rglob("*")
                if each.suffix in ENDINGS and each.is_file() and not _hidden(each, path)
            )
            if not inside:
                raise UsageError(
                    f"there is no scenario in {path}", hint="scenario files end in .yaml"
                )
            found.update(dict.fromkeys(inside))
        else:
            found[path] = None
    return list(found)


def _hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def load_scenarios(
    paths: Iterable[Path],
    known: Platforms | None = None,
    own: Mapping[str, Dialect] = NO_DIALECTS,
) -> list[Scenario]:
    """Load and validate scenario files. Raises FileError for the first invalid file.

    `known` are the platforms and the conformance table of a fleet file; None means the built-in
    ones. `own` are the dialects of that file.
    """
    return [load_scenario(path, known, own) for path in paths]


def load_scenario(
    path: Path, known: Platforms | None = None, own: Mapping[str, Dialect] = NO_DIALECTS
) -> Scenario:
    """Load and validate one scenario file; `known` is described at `load_scenarios`.

    Raises FileError if the file cannot be read or is invalid.
    """
    return parse_scenario(_read(path), path, known, own)


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, _MAX_SIZE, "a scenario")
    except FileNotFoundError:
        raise FileError("there is no such file", path=path) from None
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror}", path=path) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError("not UTF-8 text", path=path, line=line, expected="YAML") from None


def parse_scenario(
    text: str,
    path: Path | str,
    known: Platforms | None = None,
    own: Mapping[str, Dialect] = NO_DIALECTS,
) -> Scenario:
    """Parse and validate the text of a scenario file.

    `path` is the name of the file in error messages. Raises FileError if the text is invalid.
    """
    located = read_yaml(text, path, text_keys=_TEXT_KEYS)
    return _Reader(located, path, known or Platforms(), own).scenario()


class _Reader:
    """Reader of one document; collects its problems."""

    def __init__(
        self,
        located: YamlDocument,
        path: Path | str,
        known: Platforms,
        own: Mapping[str, Dialect],
    ) -> None:
        self._located = located
        self._path = str(path)
        self._platforms = known
        self._dialects = {**dialects(), **own}
        self._problems: list[Problem] = []
        self._placeholder_problems: list[Problem] = []
        self._secrets: dict[str, str] = {}

    def scenario(self) -> Scenario:
        written = self._located.value
        if not isinstance(written, dict):
            self._raise_problem(
                Problem((), f"got {shorten_value(written)}", "keys: name, devices, steps")
            )
        document = self._filled(written)
        file = validate(ScenarioFile, document, (), self._problems)
        self._read_platforms(document)
        self._dialects |= read_dialects(document.get("dialects", {}), self._problems)
        devices = self._devices(document.get("devices"))
        users = self._users(document.get("users"))
        names = KnownNames(
            devices=tuple(_keys(document.get("devices"))),
            users=tuple(dict.fromkeys([*_owners(document.get("devices")), *users])),
            groups=tuple(dict.fromkeys(device.setup.name for device in devices)),
        )
        steps = document.get("steps")
        read = (
            parse_steps(steps, written["steps"], names, self._located)
            if isinstance(steps, list)
            else ParsedSteps()
        )
        self._problems += read.problems
        owners = dict(zip(names.devices, _owners(document.get("devices")), strict=True))
        self._problems += phone_problems(read.steps, owners, names.users)
        self._raise_problems()
        assert file is not None  # noqa: S101  # otherwise _raise_problems raised
        return Scenario(
            name=file.name,
            path=self._path,
            line=self._located.lines[()],
            source=file.source,
            seed=file.seed,
            devices=tuple(devices),
            accounts=_accounts(devices, users),
            organization=_organization(file.organization),
            steps=read.steps,
            proves=tuple(dict.fromkeys(file.proves)),
            platforms=self._platforms,
            secrets=self._secrets,
        )

    def _filled(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """Return the document with the environment filled in; saved values remain in steps."""
        document = dict(written)
        for key in _FILLED:
            if key not in document:
                continue
            value = fill_environment(
                document[key], (key,), os.environ, self._secrets, self._placeholder_problems
            )
            if key != _STEPS:
                for name in saved_names(value):
                    self._problems.append(
                        Problem((key,), f"{shorten_value(name)} is saved by no step", _IN_STEPS)
                    )
                    return document
                value = fill_saved(value, {})
            document[key] = value
        return document

    def _raise_problems(self) -> None:
        problems = Problems(
            self._path, self._located.value, self._located.lines, self._located.columns
        )
        unfilled = {each.path for each in self._placeholder_problems}
        others = [each for each in self._problems if each.path not in unfilled]
        problems.extend(self._placeholder_problems)
        problems.extend(without_secrets(others, self._located.value, self._secrets))
        problems.raise_first()

    def _raise_problem(self, problem: Problem) -> None:
        self._problems.append(problem)
        self._raise_problems()

    def _read_platforms(self, document: Mapping[str, Any]) -> None:
        """Read the platforms that the file defines, based on the conformance table it selects."""
        # Runs for invalid files, too: the validation of `conformance` reports an unknown table.
        asked, known = document.get("conformance"), self._platforms
        table = asked if isinstance(asked, str) and asked in CONFORMANCE else known.conformance
        self._platforms, problems = read_platforms(document.get("platforms", {}), table, known.own)
        self._problems += problems

    def _devices(self, tables: Any) -> list[DeviceSpec]:
        """Return the valid devices, in the order of the file."""
        found = []
        for number, name in enumerate(_keys(tables), 1):
            path: KeyPath = ("devices", name)
            if not _NAME.fullmatch(name):
                words = "1 to 64 letters, digits, dots, dashes or underscores"
                self._problems.append(Problem(path, "cannot be the name of a device", words))
            entry = validate(DeviceEntry, tables[name], path, self._problems)
            if entry is not None and (device := self._device(entry, name, number)) is not None:
                found.append(device)
        return found

    def _device(self, entry: DeviceEntry, name: str, number: int) -> DeviceSpec | None:
        path: KeyPath = ("devices", name)
        profiles = self._platforms.profiles
        profile = profiles.get(entry.platform)
        if profile is None:
            own = self._located.value.get("platforms", {})
            if not isinstance(own, Mapping) or entry.platform in own:
                return None  # `read_platforms` reported the problem of that platform
            guess = suggest(entry.platform, profiles)
            self._problems.append(
                Problem(
                    (*path, "platform"),
                    f"got {shorten_value(entry.platform)}",
                    f"one of {', '.join(profiles)}",
                    f"{guess} {_OWN_PLATFORM}" if guess else _OWN_PLATFORM,
                )
            )
            return None
        problems = list(device_problems(entry, path, profile))
        self._problems += problems
        if problems:
            return None
        dialect, problem = self._dialect(entry.dialect, (*path, "dialect"))
        if problem is not None:
            self._problems.append(problem)
            return None
        owner = entry.owner or _default_owner(number)
        setup = setup_of(entry, entry.group, profile)
        passcode = starting_passcode(
            entry, setup.policy, profile.passcode, DeviceRandomStream(0, name)
        )
        return DeviceSpec(name, owner, setup, passcode, dialect=dialect)

    def _dialect(self, name: str | None, path: KeyPath) -> tuple[Dialect | None, Problem | None]:
        """Return the dialect of a device, or the problem with its name or its topics."""
        if name is None:
            return None, None
        dialect = self._dialects.get(name)
        if dialect is not None and dialect.finds_device:
            return dialect, None
        if dialect is not None:
            message = f"the commands of {name} carry no device id, and all devices share one login"
            return None, Problem(path, message, "{deviceId} in the topic or payload of commands")
        own = self._located.value.get("dialects", {})
        if isinstance(own, Mapping) and name in own:
            return None, None  # `read_dialects` reported the problem of that dialect
        expected = f"one of {', '.join(self._dialects)}"
        hint = suggest(name, self._dialects)
        return None, Problem(path, f"got {shorten_value(name)}", expected, hint)

    def _users(self, tables: Any) -> dict[str, UserEntry]:
        found = {}
        for name in _keys(tables):
            table = tables[name]
            entry = validate(
                UserEntry, {} if table is None else table, ("users", name), self._problems
            )
            if entry is not None:
                found[name] = entry
        return found


def _keys(table: object) -> list[str]:
    return list(table) if isinstance(table, Mapping) else []


def _owners(tables: object) -> list[str]:
    """Return the owners of all devices, including devices with another problem."""
    owners = []
    for number, name in enumerate(_keys(tables), 1):
        table = tables[name] if isinstance(tables, Mapping) else None
        owner = table.get("owner") if isinstance(table, Mapping) else None
        owners.append(owner if isinstance(owner, str) else _default_owner(number))
    return owners


def _default_owner(number: int) -> str:
    return f"user{number}"


def _accounts(devices: Iterable[DeviceSpec], users: Mapping[str, UserEntry]) -> tuple[Account, ...]:
    names = dict.fromkeys([*(device.owner for device in devices), *users])
    entries = {name: users.get(name) or UserEntry() for name in names}
    return tuple(
        Account(
            user=name,
            password=entry.password or _DEFAULT_PASSWORD_PREFIX + name,
            has_personal_account=entry.personal_account,
        )
        for name, entry in entries.items()
    )


def _organization(entry: OrganizationEntry) -> Organization:
    offer = entry.self_service_reset
    return Organization(
        reset_passcode=entry.reset_passcode,
        contact=_contact(entry),
        delivery=entry.delivery,
        self_service_reset=SelfServiceReset(
            enabled=offer.enabled, methods=offer.methods, required=offer.required
        ),
    )


def _contact(entry: OrganizationEntry) -> str | Mapping[str, str] | None:
    if isinstance(entry.contact, ContactEntry):
        return entry.contact.model_dump(exclude_none=True)
    return entry.contact
