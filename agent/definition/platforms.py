"""The platforms that a file may name: the built-in ones and its own, under the table in force.

`platforms.kiosk` says what it `extends` and what it does otherwise. What a file says of its own
platform's reset or lock goes before the dated table; where it says nothing of whether and when
these are supported, the table rules as it does over the built-in platform underneath. Fleet files,
scenarios and traces say it alike.

`Platforms` holds the tables as they are written and makes the profiles when they are first asked
for, so that it can be pickled for a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final

from agent.definition.platform_reader import overridden
from agent.definition.platform_rules import profile_problems, truthful
from broker.errors import UsageError
from broker.validation import KeyPath, Problem, shorten_value, suggest
from platforms import PLATFORMS, PLATFORMS_BY_ID
from platforms.conformance import CONFORMANCE, DEFAULT_CONFORMANCE, ConformanceTable, under
from platforms.profile import PlatformProfile

__all__ = ["Platforms", "read_platforms", "table_named"]

_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_EXTENDS: Final = "extends"
_RESET_SUPPORT: Final = frozenset({"outcome", "limits"})
_LOCK_SUPPORT: Final = frozenset({"supported", "without_passcode", "enrolling_user_only"})

_Tables = Mapping[str, Any]


@dataclass(frozen=True)
class Platforms:
    """The platforms that a file may name. `own` are those that files define, as written."""

    conformance: str = DEFAULT_CONFORMANCE
    own: _Tables = field(default_factory=dict)

    @property
    def table(self) -> ConformanceTable:
        """The dated table in force."""
        return CONFORMANCE[self.conformance]

    @cached_property
    def profiles(self) -> Mapping[str, PlatformProfile]:
        """The profiles by id, as they behave under the table: the built-in ones first."""
        table = self.table
        own = {name: self._under(name, table) for name in self.own}
        return MappingProxyType({**_built_in(self.conformance), **own})

    def like(self, platform: str) -> str:
        """The built-in platform that a platform is, or extends in the end."""
        return _line(platform, self.own)[-1]

    def definitions(self, platforms: Iterable[str]) -> dict[str, Any]:
        """The own ones among `platforms`, and those that they extend: all that they need."""
        needed = {name for platform in platforms for name in _line(platform, self.own)}
        return {name: table for name, table in self.own.items() if name in needed}

    def at(self, conformance: str) -> Platforms:
        """Platforms under another dated table. Raises UsageError for an unknown one."""
        return replace(self, conformance=table_named(conformance).name)

    def _under(self, platform: str, table: ConformanceTable) -> PlatformProfile:
        profile = _profile(platform, self.own, [])
        ruled = under(profile, table, self.like(platform))
        said = set(_supports_said(platform, self.own))
        if "reset" in said:
            ruled = replace(ruled, reset=profile.reset)
        if "lock" in said:
            ruled = replace(ruled, lock=profile.lock, native=profile.native)
        return ruled

    def __getstate__(self) -> dict[str, Any]:
        """Without the profiles, which are made again."""
        return {"conformance": self.conformance, "own": self.own}


@cache
def _built_in(conformance: str) -> Mapping[str, PlatformProfile]:
    """One profile a platform and table, for all fleets of the process."""
    table = CONFORMANCE[conformance]
    return MappingProxyType({p.id: under(p, table, p.id) for p in PLATFORMS})


def table_named(name: str) -> ConformanceTable:
    """The dated table of that name. Raises UsageError where there is none."""
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
    """The platforms of a file whose `platforms` key holds `tables`, and what is wrong with them.

    Those with a problem are left out. `besides` are own ones that another file has defined, and
    that was found right: these may extend them, and not be called as they are.
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
    """Note what is wrong with a platform's name, or that it is no table."""
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
    """Note where what a platform extends does not end at a built-in one."""
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
            expected = "a built-in platform at the end of the line"
            problems.append(Problem(path, f"this goes in a circle: {circle}", expected))
    return True


def _line(name: str, tables: _Tables) -> tuple[str, ...]:
    """A platform and what it extends, one after the other, up to a built-in one.

    Ends with the one met again where it is a circle, with one that is unknown where there is one.
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
    """Note what is wrong with the values of a platform, or with what they come to together."""
    profile = _profile(name, tables, problems)
    if not problems:
        problems.extend(profile_problems(profile, tables[name], ("platforms", name)))


def _profile(name: str, tables: _Tables, problems: list[Problem]) -> PlatformProfile:
    """Profile of a platform before any dated table; adds problems of its own values only."""
    if name in PLATFORMS_BY_ID:
        return PLATFORMS_BY_ID[name]
    table = tables[name]
    base = _profile(table[_EXTENDS], tables, [])
    said = {key: value for key, value in table.items() if key != _EXTENDS}
    path: KeyPath = ("platforms", name)
    profile = overridden(base, said, path, problems, fixed=frozenset({"id"}))
    named = replace(profile, id=name, title=said.get("title", name.replace("_", " ").capitalize()))
    return named if problems else truthful(named, base, said)


def _supports_said(name: str, tables: _Tables) -> Iterator[str]:
    """Of `reset` and `lock`, those whose support a platform or one that it extends says itself."""
    for platform in _line(name, tables)[:-1]:
        table = tables[platform]
        if _RESET_SUPPORT & set(table.get("reset", ())):
            yield "reset"
        if _LOCK_SUPPORT & set(table.get("lock", ())):
            yield "lock"
