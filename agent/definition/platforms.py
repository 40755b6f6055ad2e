"""Platforms available in a file: built-in and user-defined ones, under the dated table in force.

A table such as `platforms.kiosk` names the platform that it `extends`, and the differences. Reset
and lock settings of a user-defined platform have precedence over the dated table; where they do not
set the support or its limits, the table applies as to the built-in platform that is extended.
Fleet files, scenarios and traces use the same format.

`Platforms` stores the tables of the file and builds the profiles on first use, so that it can be
pickled for a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final

from agent.definition.platform_reader import overridden
from agent.definition.platform_rules import annotate_overrides, profile_problems
from broker.errors import UsageError
from broker.file_validation import KeyPath, Problem, shorten_value, suggest
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.conformance import (
    CONFORMANCE,
    DEFAULT_CONFORMANCE,
    ConformanceTable,
    profile_under_table,
)
from platforms.profile import PlatformProfile

__all__ = ["Platforms", "read_platforms", "table_named"]

_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_EXTENDS: Final = "extends"
_RESET_SUPPORT: Final = frozenset({"outcome", "limits"})
_LOCK_SUPPORT: Final = frozenset({"supported", "without_passcode", "enrolling_user_only"})

_Tables = Mapping[str, Any]


@dataclass(frozen=True)
class Platforms:
    """Platforms available in a file. `own` are the tables of the user-defined ones."""

    conformance: str = DEFAULT_CONFORMANCE
    own: _Tables = field(default_factory=dict)

    @property
    def table(self) -> ConformanceTable:
        """The dated table in force."""
        return CONFORMANCE[self.conformance]

    @cached_property
    def profiles(self) -> Mapping[str, PlatformProfile]:
        """Profiles under the dated table by platform id, the built-in ones first."""
        table = self.table
        own = {name: self._under(name, table) for name in self.own}
        return MappingProxyType({**_built_in(self.conformance), **own})

    def like(self, platform: str) -> str:
        """Return the built-in platform that a platform is, or extends directly or indirectly."""
        return _line(platform, self.own)[-1]

    def definitions(self, platforms: Iterable[str]) -> dict[str, Any]:
        """Return the tables of user-defined `platforms` and of those that they extend."""
        needed = {name for platform in platforms for name in _line(platform, self.own)}
        return {name: table for name, table in self.own.items() if name in needed}

    def at(self, conformance: str) -> Platforms:
        """Return the platforms under another dated table. Raises UsageError if it is unknown."""
        return replace(self, conformance=table_named(conformance).name)

    def _under(self, platform: str, table: ConformanceTable) -> PlatformProfile:
        profile = _profile(platform, self.own, [])
        ruled = profile_under_table(profile, table, self.like(platform))
        said = set(_supports_said(platform, self.own))
        if "reset" in said:
            ruled = replace(ruled, reset=profile.reset)
        if "lock" in said:
            ruled = replace(ruled, lock=profile.lock, native=profile.native)
        return ruled

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the profiles, which are built again."""
        return {"conformance": self.conformance, "own": self.own}


@cache
def _built_in(conformance: str) -> Mapping[str, PlatformProfile]:
    """Return the built-in profiles under a dated table, shared by all fleets of the process."""
    table = CONFORMANCE[conformance]
    return MappingProxyType({p.id: profile_under_table(p, table, p.id) for p in PLATFORMS})


def table_named(name: str) -> ConformanceTable:
    """Return the dated table of that name. Raises UsageError if there is none."""
    table = CONFORMANCE.get(name)
    if table is None:
        known = f"known are: {', '.join(CONFORMANCE)}"
        guess = suggest(name, CONFORMANCE)
        raise UsageError(
            f"there is no conformance table {name!r}", hint=f"{guess} {known}" if guess else known
        )
    return table


def read_platforms(
    tables: object, conformance: str, besides: _Tables | None = None
) -> tuple[Platforms, list[Problem]]:
    """Parse the `platforms` key of a file; returns the valid platforms and the problems.

    Platforms with a problem are left out. `besides` are valid user-defined platforms of another
    file: these may extend them but not redefine them.
    """
    given = dict(besides or {})
    if not isinstance(tables, dict):
        problem = Problem(
            ("platforms",), f"got {shorten_value(tables)}", "a table of platforms by name"
        )
        return Platforms(conformance, given), [problem]
    problems: list[Problem] = []
    right = {n: table for n, table in tables.items() if not _misnamed(n, table, given, problems)}
    right = {n: table for n, table in right.items() if not _lost(n, given | right, problems)}
    everything, sound = given | right, dict(given)
    for name in sorted(right, key=lambda n: len(_line(n, everything))):
        found: list[Problem] = []
        _check(name, everything, found)
        problems += found
        base = right[name][_EXTENDS]
        if not found and (base in PLATFORMS_BY_ID or base in sound):
            sound[name] = right[name]
    kept = {name: sound[name] for name in (*given, *tables) if name in sound}
    return Platforms(conformance, kept), problems


def _misnamed(name: str, table: object, given: _Tables, problems: list[Problem]) -> bool:
    """Add a problem if the platform's id is invalid or taken, or its value is not a table."""
    path: KeyPath = ("platforms", name)
    before = len(problems)
    if name in PLATFORMS_BY_ID:
        expected = "an id of its own"
        problems.append(Problem(path, f"{shorten_value(name)} is a built-in platform", expected))
    elif name in given:
        message = f"{shorten_value(name)} is a platform of the fleet file already"
        problems.append(Problem(path, message, "an id of its own"))
    elif not _ID.fullmatch(name):
        expected = "1 to 64 small letters, digits and underscores, a letter first"
        problems.append(Problem(path, f"{shorten_value(name)} cannot be a platform id", expected))
    elif not isinstance(table, dict):
        problems.append(
            Problem(path, f"got {shorten_value(table)}", "a table with the key extends")
        )
    return len(problems) > before


def _lost(name: str, tables: _Tables, problems: list[Problem]) -> bool:
    """Add a problem if the chain of extended platforms does not end at a built-in one."""
    base = tables[name].get(_EXTENDS)
    path: KeyPath = ("platforms", name, _EXTENDS)
    known = (*PLATFORMS_BY_ID, *(other for other in tables if other != name))
    expected = f"one of {', '.join(known)}"
    if base is None:
        near = (key for key in tables[name] if suggest(key, (_EXTENDS,)))
        misspelt = next(near, None)
        if misspelt is None:
            problems.append(Problem(path, "this key is missing", expected))
        else:
            where = (*path[:-1], misspelt)
            problems.append(Problem(where, "unknown key", _EXTENDS, suggest(misspelt, (_EXTENDS,))))
    elif not isinstance(base, str):
        problems.append(Problem(path, f"got {shorten_value(base)}", expected))
    elif base not in PLATFORMS_BY_ID and base not in tables:
        problems.append(Problem(path, f"got {shorten_value(base)}", expected, suggest(base, known)))
    else:
        line = _line(name, tables)
        if line[-1] in PLATFORMS_BY_ID:
            return False
        if line[-1] == name:
            circle = " extends ".join(line)
            expected = "a built-in platform at the end of the chain"
            problems.append(Problem(path, f"the platforms extend each other: {circle}", expected))
    return True


def _line(name: str, tables: _Tables) -> tuple[str, ...]:
    """Return a platform and the chain of platforms that it extends, up to a built-in one.

    The chain ends with the first repeated platform if it is a cycle, or with an unknown platform.
    """
    line = [name]
    while line[-1] in tables:
        base = tables[line[-1]].get(_EXTENDS)
        if not isinstance(base, str):
            break
        line.append(base)
        if base in line[:-1]:
            break
    return tuple(line)


def _check(name: str, tables: _Tables, problems: list[Problem]) -> None:
    """Add the problems of a platform's values, single and in combination."""
    profile = _profile(name, tables, problems)
    if not problems:
        problems.extend(profile_problems(profile, tables[name], ("platforms", name)))


def _profile(name: str, tables: _Tables, problems: list[Problem]) -> PlatformProfile:
    """Return the profile without a dated table; adds problems of the platform's own values only."""
    if name in PLATFORMS_BY_ID:
        return PLATFORMS_BY_ID[name]
    table = tables[name]
    base = _profile(table[_EXTENDS], tables, [])
    said = {key: value for key, value in table.items() if key != _EXTENDS}
    path: KeyPath = ("platforms", name)
    profile = overridden(base, said, path, problems, fixed=frozenset({"id"}))
    named = replace(profile, id=name, title=said.get("title", name.replace("_", " ").capitalize()))
    return named if problems else annotate_overrides(named, base, said)


def _supports_said(name: str, tables: _Tables) -> Iterator[str]:
    """Yield `reset` and `lock` if the platform, or one that it extends, sets their support."""
    for platform in _line(name, tables)[:-1]:
        table = tables[platform]
        if _RESET_SUPPORT & set(table.get("reset", ())):
            yield "reset"
        if _LOCK_SUPPORT & set(table.get("lock", ())):
            yield "lock"
