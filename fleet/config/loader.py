"""Fleet file: reading, checking, and expanding groups into devices.

`load_fleet` is the entry point. It makes every check that needs no running process. It reports the
first problem as `FileError` with file, line, key and expected value.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from agent.definition.device_rules import setup_of, starting_passcode
from agent.definition.platforms import Platforms, read_platforms
from agent.device_factory import DeviceSpec
from agent.random_stream import DeviceRandomStream
from broker.bounded_file import read_bounded
from broker.client.login import DeviceLogin
from broker.contract import DEFAULT_ROOT, Topics
from broker.dialects.dialect import Dialect
from broker.dialects.reader import read_dialects
from broker.errors import FileError, UsageError
from broker.file_validation import (
    KeyPath,
    Problem,
    Problems,
    line_of,
    shorten_value,
    suggest,
    validate,
)
from fleet.config.access import device_logins
from fleet.config.checks import (
    MANAGED,
    broker_problems,
    device_id_problem,
    device_ids,
    fleet_problems,
    fleet_wide_problems,
    group_problems,
)
from fleet.config.dialects import ControlSection, dialect_of, dialect_problems
from fleet.config.graph_section import GraphSection, graph_problems
from fleet.config.logins import LOGIN_KEYS, device_login, login_problems
from fleet.config.password import read_secret
from fleet.config.sections import (
    MAX_DEVICES,
    BrokerSection,
    FleetSection,
    GroupSection,
    parse_speed,
)
from fleet.config.toml_positions import key_lines
from fleet.config.web_sections import OrganizationSection, UserSection, read_users
from platforms.conformance import CONFORMANCE, DEFAULT_CONFORMANCE
from platforms.profile import PlatformProfile

__all__ = [
    "TABLES",
    "FleetConfig",
    "load_dialects",
    "load_fleet",
    "load_platforms",
    "parse_fleet",
]

_UNNAMED: Final = Path("fleet.toml")
"""Name of a fleet file that exists as text only."""
TABLES: Final = (
    *("fleet", "broker", "control", "dialects", "graph", "users", "organization"),
    *("platforms", "group"),
)
"""Names of the tables of a fleet file."""
_LINE_OF_SYNTAX_ERROR: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_MAX_SIZE: Final = 1024 * 1024
_LONG_KEY: Final = re.compile(r"(?<![A-Za-z0-9_.-])(?:[A-Za-z0-9_-]++[ \t]*+\.[ \t]*+){32}")
"""Dotted key of more than 32 parts: the memory that it takes grows with the square of the parts."""
_AT_END: Final = " (at end of document)"
_DEFAULT_DEVICES: Final = 10
"""Devices that `--platform` creates if no group has that platform."""


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Valid fleet file. Can be pickled for a worker process.

    `path` is the file, None for a fleet without a file. `fleet`, `broker` and `groups` are the
    tables as written; the properties resolve them, with paths relative to the file's folder.
    `known` are the platforms, including those that the file defines, under the file's dated
    conformance table. `password_line` is the line of `broker.password`, from 1.
    """

    path: Path | None
    fleet: FleetSection
    broker: BrokerSection
    groups: tuple[GroupSection, ...]
    known: Platforms = field(default_factory=Platforms)
    password_line: int | None = None
    graph: GraphSection = field(default_factory=GraphSection)
    graph_token_line: int | None = None
    users: Mapping[str, UserSection] = field(default_factory=dict)
    organization: OrganizationSection = field(default_factory=OrganizationSection)
    control: ControlSection | None = None
    control_password_line: int | None = None
    dialects: Mapping[str, Dialect] = field(default_factory=dict)
    login_lines: Mapping[tuple[str, str], int | None] = field(default_factory=dict)
    """Lines of the keys of logins, by the group's name and the key."""

    @property
    def folder(self) -> Path:
        """Base of relative paths: the file's folder, else the current folder."""
        return Path.cwd() if self.path is None else self.path.resolve().parent

    @property
    def platforms(self) -> Mapping[str, PlatformProfile]:
        """Platforms that groups may name, by id, under the file's conformance table."""
        return self.known.profiles

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        return self.fleet.seed

    @property
    def speed(self) -> float | None:
        """Clock speed as a multiple of real time; None for virtual time."""
        return self.fleet.speed or parse_speed(self.fleet.clock)

    @property
    def workers(self) -> int:
        """Number of worker processes, at least 1; "auto" is one per CPU core."""
        workers = self.fleet.workers
        return (os.cpu_count() or 1) if workers == "auto" else workers

    @property
    def state(self) -> Path | None:
        """SQLite state file; None for a fleet that keeps no state."""
        return self._resolved(self.fleet.state)

    @property
    def survives_power_loss(self) -> bool:
        """True if what is answered survives a loss of power, not only the end of the process."""
        return self.fleet.durability == "power"

    @property
    def root(self) -> str:
        """Topic root, without leading or trailing slash."""
        return self.fleet.root

    @property
    def ca(self) -> Path | None:
        """CA certificates for the broker's certificate; None for the system's."""
        return self._resolved(self.broker.ca)

    @property
    def cert(self) -> Path | None:
        """Client certificate."""
        return self._resolved(self.broker.cert)

    @property
    def key(self) -> Path | None:
        """Private key of `cert`; None if the certificate file holds it."""
        return self._resolved(self.broker.key)

    @property
    def device_count(self) -> int:
        """Number of devices, computed from the groups."""
        return sum(group.count for group in self.groups)

    @property
    def connection_count(self) -> int:
        """Number of broker connections; devices on a shared connection count once per worker."""
        own = sum(group.count for group in self.groups if group.connection == "own")
        return own + (self.workers if own < self.device_count else 0)

    def login(self, url: str) -> dict[str, Any]:
        """Keyword arguments of `open_broker` for `url`, which may be another than the file's.

        Certificates are those for the file's URL: a broker that passfleet starts has none.
        Raises FileError as `password` does.
        """
        login = _login(url, self.broker, self.password(), self._resolved)
        if url not in MANAGED:
            return login
        return login | {"logins": device_logins(self.devices(), Topics(self.root))}

    def password(self) -> str | None:
        """The broker's password, read now from its source; None if the file names no source.

        A trailing line break of a password file is removed. Raises FileError with the line of
        `broker.password` if the password cannot be read.
        """
        source = self.broker.password
        return None if source is None else self._secret(read_secret(source, self.folder))

    def control_login(self) -> dict[str, Any]:
        """Keyword arguments of `open_broker` for `[control]`. Raises as `password` does."""
        control = self.control
        if control is None:
            return {}
        source, password = control.password, None
        if source is not None:
            key, what = ("control", "password"), "the password of the operators' broker"
            password = self._secret(read_secret(source, self.folder, key=key, what=what))
        return _login(control.url, control, password, self._resolved)

    def graph_token(self) -> str | None:
        """The bearer token of the Graph API, read now; None if unset. Raises as `password`."""
        source = self.graph.token
        if source is None:
            return None
        what = "the Graph API's token"
        return self._secret(read_secret(source, self.folder, key=("graph", "token"), what=what))

    def user_passwords(self) -> dict[str, str]:
        """The passwords of `[users.NAME]` by name, read now. Raises as `password`."""
        return {
            name: self._secret(
                read_secret(
                    user.password,
                    self.folder,
                    key=("users", name, "password"),
                    what=f"the password of {shorten_value(name)}",
                )
            )
            for name, user in self.users.items()
        }

    def _secret(self, found: str | Problem) -> str:
        if isinstance(found, str):
            return found
        raise FileError(
            found.message,
            path=self.path or _UNNAMED,
            line=self._secret_lines().get(str(found.path[0])),
            key=".".join(map(str, found.path)),
            hint=found.hint,
        )

    def _secret_lines(self) -> Mapping[str, int | None]:
        """Lines of the keys that name secrets, by table."""
        return {
            "broker": self.password_line,
            "graph": self.graph_token_line,
            "control": self.control_password_line,
        }

    def devices(self) -> tuple[DeviceSpec, ...]:
        """All devices in file order; `n` starts at 1 in each group."""
        return tuple(spec for group in self.groups for spec in self._devices_of(group))

    def resized(self, devices: int | None = None, platforms: Sequence[str] = ()) -> FleetConfig:
        """The fleet with `--devices` and `--platform` applied.

        `platforms`, unless empty, keeps the groups of these platforms. For one without a group, a
        group named after it is created, with 10 devices unless `devices` is given. `devices`, 1 to
        1000000, are distributed over the groups in proportion to their counts; a group that gets
        none is removed. Raises UsageError for an unknown platform, or if the new counts lead to
        invalid or duplicate ids.
        """
        groups = self._groups_of(platforms) if platforms else self.groups
        if devices is not None:
            if not 1 <= devices <= MAX_DEVICES:
                raise UsageError(f"{devices} is not a number of devices: from 1 to {MAX_DEVICES}")
            shares = _distribute(devices, [group.count for group in groups])
            groups = tuple(
                group.model_copy(update={"count": share})
                for group, share in zip(groups, shares, strict=True)
                if share
            )
        _check_ids(groups)
        return replace(self, groups=groups)

    def with_workers(self, workers: int | Literal["auto"]) -> FleetConfig:
        """The fleet with `--workers` applied."""
        return replace(self, fleet=self.fleet.model_copy(update={"workers": workers}))

    def _resolved(self, name: str | None) -> Path | None:
        return None if name is None else self.folder / name

    def _groups_of(self, platforms: Sequence[str]) -> tuple[GroupSection, ...]:
        for platform in platforms:
            if platform not in self.platforms:
                raise UsageError(
                    f"there is no platform {platform!r}",
                    hint=suggest(platform, self.platforms) or f"one of {', '.join(self.platforms)}",
                )
        kept = tuple(group for group in self.groups if group.platform in platforms)
        present = {group.platform for group in kept}
        created = (
            GroupSection(name=platform, platform=platform, count=_DEFAULT_DEVICES)
            for platform in dict.fromkeys(platforms)
            if platform not in present
        )
        return (*kept, *created)

    def _devices_of(self, group: GroupSection) -> Iterator[DeviceSpec]:
        setup = setup_of(group, group.name, self.platforms[group.platform])
        rules, owner = setup.profile.passcode, group.owner.format
        shared = group.connection == "shared"
        control = self.control is not None
        dialect = dialect_of(group, self.dialects, control=control, root=self.root)
        for n, device_id in enumerate(device_ids(group), 1):
            draws = DeviceRandomStream(self.seed, device_id)
            passcode = starting_passcode(group, setup.policy, rules, draws)
            login = self._login(group, n, device_id)
            yield DeviceSpec(
                device_id, owner(n=n), setup, passcode, group.offline, shared, dialect, login
            )

    def _login(self, group: GroupSection, n: int, device_id: str) -> DeviceLogin | None:
        """The login of a device. Raises FileError if its password cannot be read."""
        login = device_login(group, n, device_id, self.folder)
        if isinstance(login, Problem):
            raise self._login_error(group.name, login.path, login.message, login.hint)
        return login

    def _login_error(self, group: str, path: KeyPath, message: str, hint: str | None) -> FileError:
        return FileError(
            message,
            path=self.path or _UNNAMED,
            line=self.login_lines.get((group, str(path[0]))),
            key=f"group[{group}].{'.'.join(map(str, path))}",
            hint=hint,
        )

    def check_logins(self) -> None:
        """Load the certificate of every device, and read every password.

        Raises FileError with the name of the first device for which that fails.
        """
        for spec in self.devices():
            if spec.login is None:
                continue
            try:
                spec.login.check_certificate()
            except UsageError as error:
                message = f"the certificate of device {spec.device_id}: {error.message}"
                name = spec.setup.name
                raise self._login_error(name, ("cert",), message, error.hint) from None


def _login(
    url: str,
    broker: BrokerSection,
    password: str | None,
    resolved: Callable[[str | None], Path | None],
) -> dict[str, Any]:
    """Keyword arguments of `open_broker` for `url`, with the settings of `broker`."""
    login: dict[str, Any] = {"username": broker.username, "password": password}
    if url not in MANAGED:
        return login | {name: resolved(getattr(broker, name)) for name in ("ca", "cert", "key")}
    own = {"listen": broker.listen, "deny_subscribe": broker.deny_subscribe}
    # A user name alone is that of another broker: the checks demand both for one started here.
    return own if password is None else login | own


def load_fleet(path: Path) -> FleetConfig:
    """Read and check the fleet file at `path`.

    Raises FileError for a file that cannot be read, is not TOML, or has an invalid value. The error
    names the first problem in the file and the number of further problems.
    """
    return parse_fleet(_read(path), path)


def parse_fleet(text: str, path: Path | None = None) -> FleetConfig:
    """Check a fleet file's text. `path` is the file it was read from, None for no file.

    Raises FileError as `load_fleet` does.
    """
    place = path or _UNNAMED
    document, lines = _toml(text, place)
    reader = _Reader(document)
    folder = Path.cwd() if path is None else path.resolve().parent
    problems = Problems(place, document, lines)
    fleet, broker = reader.fleet(), reader.broker(folder)
    control, dialects = reader.control(folder), reader.dialects(fleet)
    graph = reader.graph()
    users, organization = reader.users(), reader.organization()
    known = reader.platforms()
    groups = reader.groups(known.profiles, dialects)
    problems.extend(reader.problems)
    problems.raise_first()
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
        users=users,
        organization=organization,
        control=control,
        control_password_line=line_of(("control", "password"), lines),
        dialects=dialects,
        login_lines={
            (group.name, key): line_of(("group", index, key), lines)
            for index, group in enumerate(groups)
            for key in LOGIN_KEYS
        },
    )


def load_platforms(path: Path) -> Platforms:
    """Platforms of a fleet file; only `[platforms]` and `fleet.conformance` are checked.

    Raises FileError as `load_fleet` does.
    """
    document, lines = _toml(_read(path), path)
    reader = _Reader(document)
    known = reader.platforms()
    reader.fleet()
    problems = Problems(path, document, lines)
    concerned = ("platforms", "conformance")
    problems.extend(p for p in reader.problems if set(concerned) & set(p.path[:2]))
    problems.raise_first()
    return known


def load_dialects(path: Path) -> dict[str, Dialect]:
    """Dialects of a fleet file; only `[dialects]` and `fleet.root` are checked.

    Raises FileError as `load_fleet` does.
    """
    document, lines = _toml(_read(path), path)
    reader = _Reader(document)
    found = reader.dialects(reader.fleet())
    problems = Problems(path, document, lines)
    problems.extend(p for p in reader.problems if {"dialects", "root"} & set(p.path[:2]))
    problems.raise_first()
    return found


class _Reader:
    """Reader of one TOML document's tables; collects problems in `problems`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        expected = (
            "one of [fleet], [broker], [control], [dialects.NAME], [graph], [users.NAME],"
            " [organization], [platforms.NAME], [[group]]"
        )
        self.problems = [
            Problem((key,), "unknown key", expected, _table_hint(key))
            for key in document
            if key not in TABLES
        ]

    def fleet(self) -> FleetSection | None:
        table = self._table("fleet")
        found = validate(FleetSection, table, ("fleet",), self.problems)
        if found is not None:
            self.problems.extend(fleet_problems(found))
        return found

    def broker(self, folder: Path) -> BrokerSection | None:
        table = self._table("broker")
        found = validate(BrokerSection, table, ("broker",), self.problems)
        if found is not None:
            self.problems.extend(broker_problems(found, folder))
        return found

    def control(self, folder: Path) -> ControlSection | None:
        if "control" not in self._document:
            return None
        table = self._table("control")
        found = validate(ControlSection, table, ("control",), self.problems)
        if found is not None:
            self.problems.extend(broker_problems(found, folder, "control"))
        return found

    def dialects(self, fleet: FleetSection | None) -> dict[str, Dialect]:
        root = DEFAULT_ROOT if fleet is None else fleet.root
        return read_dialects(self._document.get("dialects", {}), self.problems, root)

    def graph(self) -> GraphSection:
        table = self._table("graph")
        found = validate(GraphSection, table, ("graph",), self.problems)
        if found is None:
            return GraphSection()
        self.problems.extend(graph_problems(found))
        return found

    def users(self) -> dict[str, UserSection]:
        tables = self._table("users")
        return read_users(tables, self.problems) if isinstance(tables, dict) else {}

    def organization(self) -> OrganizationSection:
        table = self._table("organization")
        found = validate(OrganizationSection, table, ("organization",), self.problems)
        return found or OrganizationSection()

    def platforms(self) -> Platforms:
        fleet, tables = self._document.get("fleet"), self._document.get("platforms", {})
        # Read from the raw table, which may have other problems; `fleet()` refuses an unknown name.
        asked = fleet.get("conformance") if isinstance(fleet, dict) else None
        known = isinstance(asked, str) and asked in CONFORMANCE
        found, problems = read_platforms(tables, str(asked) if known else DEFAULT_CONFORMANCE)
        self.problems.extend(problems)
        return found

    def groups(
        self, platforms: Mapping[str, PlatformProfile], dialects: Mapping[str, Dialect]
    ) -> tuple[GroupSection, ...]:
        tables = self._document.get("group")
        if not isinstance(tables, list) or not tables:
            message = f"got {shorten_value(tables)}" if tables else "there is no group"
            self.problems.append(Problem(("group",), message, "[[group]], at least once"))
            return ()
        found: list[tuple[KeyPath, GroupSection]] = []
        for index, table in enumerate(tables):
            path: KeyPath = ("group", index)
            group = validate(GroupSection, table, path, self.problems)
            if group is None:
                continue
            if group.platform not in platforms and self._names_platform(group.platform):
                continue  # the platform's own table has the problem, which is reported there
            problems = list(group_problems(group, path, platforms))
            self.problems.extend(problems)
            if not problems:
                found.append((path, group))
        self.problems.extend(fleet_wide_problems(found))
        self.problems.extend(login_problems(found))
        self.problems.extend(dialect_problems(found, dialects, self._document.get("dialects")))
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
    """Hint for a key outside of all tables: the table it belongs to, or None."""
    tables = (("[fleet]", FleetSection), ("[broker]", BrokerSection), ("[graph]", GraphSection))
    for name, model in tables:
        if key in model.model_fields:
            return f"'{key}' belongs under {name}"
    if key in GroupSection.model_fields:
        return f"'{key}' belongs under [[group]]"
    return suggest(key, TABLES)


def _read(path: Path) -> str:
    try:
        data = read_bounded(path, _MAX_SIZE, "a fleet file")
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
    if _LONG_KEY.search(text):
        raise FileError("a key has too many parts", path=path, expected="at most 32 parts")
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
            reason = "a number has too many digits"  # the message of int() is about Python
        raise FileError(f"not TOML: {reason}", path=path, line=line) from None


def _distribute(total: int, weights: list[int]) -> list[int]:
    """Split `total` in proportion to `weights` by largest remainder; the first wins ties."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def _check_ids(groups: tuple[GroupSection, ...]) -> None:
    """Raise UsageError if resized groups get invalid or duplicate ids."""
    numbered: list[tuple[KeyPath, GroupSection]] = [((g.name,), g) for g in groups]
    problems = [p for path, group in numbered if (p := device_id_problem(group, path))]
    for problem in problems or fleet_wide_problems(numbered):
        raise UsageError(f"group {problem.path[0]}: {problem.message}", hint=problem.expected)
