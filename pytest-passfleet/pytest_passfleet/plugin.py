"""Pytest hooks: settings, the fixture `passfleet_fleet`, its marker, and scenario collection."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_passfleet.errors import UnmetError
from pytest_passfleet.scenarios import ENDINGS, ScenarioFile
from pytest_passfleet.settings import Settings, Spec, add_options, spec_of

if TYPE_CHECKING:
    from pytest_passfleet.fleet import Fleet
    from pytest_passfleet.process import Running

__all__ = [
    "passfleet_fleet",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_unconfigure",
]

_FIXTURE: Final = "passfleet_fleet"
_MARKER: Final = "passfleet"
_SHOWN: Final = 20
_HIDDEN: Final[Any] = getattr(pytest, "HIDDEN_PARAM", "fleet")
"""Keeps the marker's parameter out of the test id; pytest has this since 8.4."""


class _Pool:
    """Running fleets of this process, one for each spec and scope node."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running: dict[tuple[Spec, str], Running] = {}

    def get(self, spec: Spec, place: str, folder: Path) -> Fleet:
        """Return the fleet of a spec; start it if it is not running yet."""
        # Imported here because pytest loads this module in every run, also in unrelated projects.
        from pytest_passfleet.process import Running  # noqa: PLC0415

        key = spec, place
        if key not in self.running:
            self.running[key] = Running(self.settings, spec, folder)
        return self.running[key].fleet

    def stop(self, place: str | None = None) -> None:
        """Stop the fleets of one scope node, or all."""
        for key in [key for key in self.running if place in (None, key[1])]:
            self.running.pop(key).stop()


_POOL: Final = pytest.StashKey[_Pool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(devices=N, platform=ID, fleet=FILE, broker=URL): the fleet that {_FIXTURE} is.",
    )
    config.stash[_POOL] = _Pool(Settings(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the fleets that still run; called also after an aborted session."""
    if (pool := config.stash.get(_POOL, None)) is not None:
        pool.stop()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect scenario files."""
    if file_path.name.endswith(ENDINGS):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pass a test's marker to the fixture: a fixture of a wider scope cannot see it."""
    marker = metafunc.definition.get_closest_marker(_MARKER)
    if marker is None or _FIXTURE not in metafunc.fixturenames:
        return
    if marker.args:
        raise pytest.UsageError(f"the marker {_MARKER} takes names: {_MARKER}(platform='ios')")
    spec = spec_of(marker.kwargs, metafunc.definition.path.parent)
    metafunc.parametrize(_FIXTURE, [spec], indirect=True, ids=[_HIDDEN])


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    """Return the fixture's scope from the settings; pytest prescribes the parameter names."""
    del fixture_name
    return Settings(config).scope


@pytest.fixture(scope=_scope)
def passfleet_fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Running fleet, started on first use and stopped at the end of its scope."""
    spec = getattr(request, "param", None)
    if isinstance(spec, Mapping):
        spec = spec_of(spec, request.config.rootpath)
    pool = request.config.stash[_POOL]
    session = request.scope == "session"
    # In session scope all fleets are kept to the end: tests with alternating markers share them.
    place = "" if session else f"{request.scope} {request.node.nodeid}"
    yield pool.get(spec or Spec(), place, tmp_path_factory.mktemp("passfleet"))
    if not session:
        pool.stop(place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Delete the messages of earlier tests."""
    for running in item.config.stash[_POOL].running.values():
        running.fleet.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the fleet's last messages to the report of a failed test."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get(_FIXTURE)
    # The text of an UnmetError contains them already.
    shown = call.excinfo is not None and isinstance(call.excinfo.value, UnmetError)
    if fleet is not None and call.when == "call" and report.failed and not shown:
        lines = [str(message) for message in fleet.messages()[-_SHOWN:]]
        report.sections.append(("passfleet: last messages", "\n".join(lines) or "none"))
    return report
