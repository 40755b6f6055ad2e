"""The fleet file: read, checked, and expanded into devices.

`load_fleet` is the one door. What it returns is right in all that can be told without starting
anything; what is wrong is refused as `FileError` with file, line, key and what was expected.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from agent.definition.device_rules import setup_of, starting_passcode
from agent.definition.platforms import Platforms, read_platforms
from agent.device_factory import DeviceSpec
from agent.random_stream import DeviceRandomStream
from broker.errors import FileError, UsageError
from broker.validation import KeyPath, Problem, Problems, line_of, shorten_value, suggest, validated
from fleet.config.checks import (
    MANAGED,
    broker_problems,
    device_id_problem,
    device_ids,
    fleet_problems,
    fleet_wide_problems,
    group_problems,
)
from fleet.config.graph_section import GraphSection, graph_problems
from fleet.config.password import read_secret
from fleet.config.tables import (
    MAX_DEVICES,
    BrokerSection,
    FleetSection,
    GroupSection,
    parse_speed,
)
from fleet.config.toml_positions import key_lines
from platforms.conformance import CONFORMANCE, DEFAULT_CONFORMANCE
from platforms.profile import PlatformProfile

__all__ = ["FleetConfig", "load_fleet", "load_platforms", "parse_fleet"]

_UNNAMED: Final = Path("fleet.toml")
"""How the text of a fleet file is called that stands in none."""
_TABLES: Final = ("fleet", "broker", "graph", "platforms", "group")
_LINE_OF_SYNTAX_ERROR: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END: Final = " (at end of document)"
_DEFAULT_DEVICES: Final = 10
"""How many devices `--platform` makes of a platform that no group has."""


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """A fleet file that was found right. Can be pickled, for a worker process.

    `path` is the file, None for a fleet that comes from none; `fleet`, `broker` and `groups` are
    its tables as written. The properties give them resolved: files against the file's folder.
    `known` are the platforms, the file's own among them, under the dated table it asks for.
    `password_line` is where the file says from where to fetch the password, from 1.
    """

    path: Path | None
    fleet: FleetSection
    broker: BrokerSection
    groups: tuple[GroupSection, ...]
    known: Platforms = field(default_factory=Platforms)
    password_line: int | None = None
    graph: GraphSection = field(default_factory=GraphSection)
    graph_token_line: int | None = None

    @property
    def folder(self) -> Path:
        """Where relative paths start: the file's folder, else the current one."""
        return Path.cwd() if self.path is None else self.path.resolve().parent

    @property
    def platforms(self) -> Mapping[str, PlatformProfile]:
        """The platforms that groups may name, by id, as they behave here."""
        return self.known.profiles

    @property
    def seed(self) -> int:
        """What all randomness comes from."""
        return self.fleet.seed

    @property
    def speed(self) -> float | None:
        """How many times as fast as the time of day the clock runs; None for virtual time."""
        return self.fleet.speed or parse_speed(self.fleet.clock)

    @property
    def workers(self) -> int:
        """Worker processes, at least 1; "auto" is one for each core of this machine."""
        workers = self.fleet.workers
        return (os.cpu_count() or 1) if workers == "auto" else workers

    @property
    def state(self) -> Path | None:
        """The SQLite file in which devices survive a restart; None where they do not."""
        return self._resolved(self.fleet.state)

    @property
    def root(self) -> str:
        """The topic root, without a slash at either end."""
        return self.fleet.root

    @property
    def ca(self) -> Path | None:
        """The authorities that may have signed the broker's certificate; None: the system's."""
        return self._resolved(self.broker.ca)

    @property
    def cert(self) -> Path | None:
        """The certificate shown to the broker."""
        return self._resolved(self.broker.cert)

    @property
    def key(self) -> Path | None:
        """The key of `cert`; None where it stands in the same file."""
        return self._resolved(self.broker.key)

    @property
    def device_count(self) -> int:
        """How many devices there are, without making them."""
        return sum(group.count for group in self.groups)

    @property
    def connection_count(self) -> int:
        """How many connections to the broker the devices need: those that share one count once."""
        own = sum(group.count for group in self.groups if group.connection == "own")
        return own + (self.workers if own < self.device_count else 0)

    def login(self, url: str) -> dict[str, Any]:
        """What `open_broker` needs besides `url`: nothing for a broker that it starts.

        Raises as `password` does.
        """
        if url in MANAGED:
            return {}
        return {
            "username": self.broker.username,
            "password": self.password(),
            "ca": self.ca,
            "cert": self.cert,
            "key": self.key,
        }

    def password(self) -> str | None:
        """The broker's password, fetched now from where the file says it is; None where unsaid.

        A file's last line break does not belong to it. Raises FileError, with the line that says
        where the password is, where it is not there.
        """
        source = self.broker.password
        return None if source is None else self._secret(read_secret(source, self.folder))

    def graph_token(self) -> str | None:
        """The bearer token of the Graph API, fetched now; None where unsaid. Raises as above."""
        source = self.graph.token
        if source is None:
            return None
        what = "the Graph API's token"
        return self._secret(read_secret(source, self.folder, key=("graph", "token"), what=what))

    def _secret(self, found: str | Problem) -> str:
        if isinstance(found, str):
            return found
        raise FileError(
            found.message,
            path=self.path or _UNNAMED,
            line=self.graph_token_line if found.path[0] == "graph" else self.password_line,
            key=".".join(map(str, found.path)),
            hint=found.hint,
        )

    def devices(self) -> tuple[DeviceSpec, ...]:
        """All devices in the order of the file; numbers `n` start at 1 in each group."""
        return tuple(spec for group in self.groups for spec in self._devices_of(group))

    def resized(self, devices: int | None = None, platform: str | None = None) -> FleetConfig:
        """The fleet for `--devices` and `--platform`.

        `platform` keeps the groups of that platform; where there is none, one group named after it
        is made, of 10 devices unless `devices` says otherwise. `devices`, from 1 to 1000000, are
        spread over the groups in proportion to their counts; a group that gets none is left out.
        Raises UsageError for an unknown platform, or where ids do not work out for so many.
        """
        groups = self.groups if platform is None else self._groups_of(platform)
        if devices is not None:
            if not 1 <= devices <= MAX_DEVICES:
                raise UsageError(f"{devices} devices cannot be: from 1 to {MAX_DEVICES}")
            shares = _distribute(devices, [group.count for group in groups])
            groups = tuple(
                group.model_copy(update={"count": share})
                for group, share in zip(groups, shares, strict=True)
                if share
            )
        _check_ids(groups)
        return replace(self, groups=groups)

    def with_workers(self, workers: int | Literal["auto"]) -> FleetConfig:
        """The fleet for `--workers`."""
        return replace(self, fleet=self.fleet.model_copy(update={"workers": workers}))

    def _resolved(self, name: str | None) -> Path | None:
        return None if name is None else self.folder / name

    def _groups_of(self, platform: str) -> tuple[GroupSection, ...]:
        if platform not in self.platforms:
            raise UsageError(
                f"there is no platform {platform!r}",
                hint=suggest(platform, self.platforms) or f"one of {', '.join(self.platforms)}",
            )
        kept = tuple(group for group in self.groups if group.platform == platform)
        return kept or (GroupSection(name=platform, platform=platform, count=_DEFAULT_DEVICES),)

    def _devices_of(self, group: GroupSection) -> Iterator[DeviceSpec]:
        setup = setup_of(group, group.name, self.platforms[group.platform])
        rules, owner = setup.profile.passcode, group.owner.format
        shared = group.connection == "shared"
        for n, device_id in enumerate(device_ids(group), 1):
            draws = DeviceRandomStream(self.seed, device_id)
            passcode = starting_passcode(group, setup.policy, rules, draws)
            yield DeviceSpec(device_id, owner(n=n), setup, passcode, group.offline, shared)


def load_fleet(path: Path) -> FleetConfig:
    """Read and check the fleet file at `path`.

    Raises FileError for a file that cannot be read, is not TOML, or says something that cannot be:
    with the first such place in the file, and how many more there are.
    """
    return parse_fleet(_read(path), path)


def parse_fleet(text: str, path: Path | None = None) -> FleetConfig:
    """Check a fleet file's text. `path` is where it stands, None for nowhere.

    Raises FileError as `load_fleet` does.
    """
    place = path or _UNNAMED
    document, lines = _toml(text, place)
    reader = _Reader(document)
    folder = Path.cwd() if path is None else path.resolve().parent
    problems = Problems(place, document, lines)
    fleet, broker = reader.fleet(), reader.broker(folder)
    graph = reader.graph()
    known = reader.platforms()
    groups = reader.groups(known.profiles)
    problems.extend(reader.problems)
    problems.refuse()
    assert fleet is not None  # noqa: S101  # a table that is None left a problem
    assert broker is not None  # noqa: S101
    return FleetConfig(
        path=path,
        fleet=fleet,
        broker=broker,
        groups=groups,
        known=known,
        password_line=line_of(("broker", "password"), lines),
        graph=graph,
        graph_token_line=line_of(("graph", "token"), lines),
    )


def load_platforms(path: Path) -> Platforms:
    """The platforms of a fleet file, of which only these and the dated table are looked at.

    Raises FileError as `load_fleet` does.
    """
    document, lines = _toml(_read(path), path)
    reader = _Reader(document)
    known = reader.platforms()
    reader.fleet()
    problems = Problems(path, document, lines)
    concerned = ("platforms", "conformance")
    problems.extend(p for p in reader.problems if set(concerned) & set(p.path[:2]))
    problems.refuse()
    return known


class _Reader:
    """The tables of one document, and in `problems` what is wrong with them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        expected = "one of [fleet], [broker], [graph], [platforms.NAME], [[group]]"
        self.problems = [
            Problem((key,), "unknown key", expected, _table_hint(key))
            for key in document
            if key not in _TABLES
        ]

    def fleet(self) -> FleetSection | None:
        table = self._table("fleet")
        found = validated(FleetSection, table, ("fleet",), self.problems)
        if found is not None:
            self.problems.extend(fleet_problems(found))
        return found

    def broker(self, folder: Path) -> BrokerSection | None:
        table = self._table("broker")
        found = validated(BrokerSection, table, ("broker",), self.problems)
        if found is not None:
            self.problems.extend(broker_problems(found, folder))
        return found

    def graph(self) -> GraphSection:
        table = self._table("graph")
        found = validated(GraphSection, table, ("graph",), self.problems)
        if found is None:
            return GraphSection()
        self.problems.extend(graph_problems(found))
        return found

    def platforms(self) -> Platforms:
        fleet, tables = self._document.get("fleet"), self._document.get("platforms", {})
        # Also where something else is wrong in [fleet]; an unknown table is refused there.
        asked = fleet.get("conformance") if isinstance(fleet, dict) else None
        known = isinstance(asked, str) and asked in CONFORMANCE
        found, problems = read_platforms(tables, str(asked) if known else DEFAULT_CONFORMANCE)
        self.problems.extend(problems)
        return found

    def groups(self, platforms: Mapping[str, PlatformProfile]) -> tuple[GroupSection, ...]:
        tables = self._document.get("group")
        if not isinstance(tables, list) or not tables:
            message = f"got {shorten_value(tables)}" if tables else "there is no group"
            self.problems.append(Problem(("group",), message, "[[group]], at least once"))
            return ()
        found: list[tuple[KeyPath, GroupSection]] = []
        for index, table in enumerate(tables):
            path: KeyPath = ("group", index)
            group = validated(GroupSection, table, path, self.problems)
            if group is None:
                continue
            if group.platform not in platforms and self._names_platform(group.platform):
                continue  # what is wrong with that platform is told where it stands
            problems = list(group_problems(group, path, platforms))
            self.problems.extend(problems)
            if not problems:
                found.append((path, group))
        self.problems.extend(fleet_wide_problems(found))
        return tuple(group for _, group in found)

    def _names_platform(self, name: str) -> bool:
        tables = self._document.get("platforms")
        return isinstance(tables, dict) and name in tables

    def _table(self, name: str) -> object:
        table = self._document.get(name, {})
        if not isinstance(table, dict):
            self.problems.append(
                Problem((name,), f"got {shorten_value(table)}", f"a table: [{name}]")
            )
            return {}
        return table


def _table_hint(key: str) -> str | None:
    """Where a key belongs that stands outside of all tables."""
    tables = (("[fleet]", FleetSection), ("[broker]", BrokerSection), ("[graph]", GraphSection))
    for name, model in tables:
        if key in model.model_fields:
            return f"'{key}' belongs under {name}"
    if key in GroupSection.model_fields:
        return f"'{key}' belongs under [[group]]"
    return suggest(key, _TABLES)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileError(
            "there is no such file", path=path, hint="passfleet init writes one"
        ) from None
    except OSError as error:
        # A directory is "permission denied" on Windows.
        why = "this is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise FileError(why, path=path, expected="a fleet file") from None
    try:
        # Editors on Windows put a byte order mark in front.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError("not UTF-8 text", path=path, line=line, expected="TOML") from None


def _toml(text: str, path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        return tomllib.loads(text), key_lines(text)
    except RecursionError:
        raise FileError("too deeply nested", path=path, expected="a fleet file") from None
    except ValueError as error:
        message = str(error)
        match = _LINE_OF_SYNTAX_ERROR.search(message)
        line = int(match[1]) if match else None
        if message.endswith(_AT_END):
            line = len(text.rstrip().splitlines()) or 1
        reason = message.removesuffix(match[0] if match else _AT_END)
        if not isinstance(error, tomllib.TOMLDecodeError):
            reason = "a number has too many digits"  # int() would explain itself to programmers
        raise FileError(f"not TOML: {reason}", path=path, line=line) from None


def _distribute(total: int, weights: list[int]) -> list[int]:
    """`total` in shares proportional to `weights`, by largest remainder, ties to the first."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def _check_ids(groups: tuple[GroupSection, ...]) -> None:
    """Raise UsageError where groups of a new size do not get proper ids."""
    numbered: list[tuple[KeyPath, GroupSection]] = [((g.name,), g) for g in groups]
    problems = [p for path, group in numbered if (p := device_id_problem(group, path))]
    for problem in problems or fleet_wide_problems(numbered):
        raise UsageError(f"group {problem.path[0]}: {problem.message}", hint=problem.expected)
