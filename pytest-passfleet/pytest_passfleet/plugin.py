"""The plugin: settings, the fixture `passfleet_fleet`, its marker, and scenario files as tests."""

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
"""A marked test keeps its name, from pytest 8.4 on."""


class _Pool:
    """The fleets of this process: one for each spec and each place that it is kept for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.running: dict[tuple[Spec, str], Running] = {}

    def get(self, spec: Spec, place: str, folder: Path) -> Fleet:
        """The fleet, started where it does not run yet."""
        # Paid for by those who use it: pytest loads this module in every run.
        from pytest_passfleet.process import Running  # noqa: PLC0415

        key = spec, place
        if key not in self.running:
            self.running[key] = Running(self.settings, spec, folder)
        return self.running[key].fleet

    def stop(self, place: str | None = None) -> None:
        """Stop the fleets of a place, or all."""
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
    """Stop what still runs, however the session ended."""
    if (pool := config.stash.get(_POOL, None)) is not None:
        pool.stop()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Collect scenario files."""
    if file_path.name.endswith(ENDINGS):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Hand a test's marker to the fixture, which by its scope could not see it."""
    marker = metafunc.definition.get_closest_marker(_MARKER)
    if marker is None or _FIXTURE not in metafunc.fixturenames:
        return
    if marker.args:
        raise pytest.UsageError(f"the marker {_MARKER} takes names: {_MARKER}(platform='ios')")
    spec = spec_of(marker.kwargs, metafunc.definition.path.parent)
    metafunc.parametrize(_FIXTURE, [spec], indirect=True, ids=[_HIDDEN])


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    """The fixture's scope, as the settings have it; pytest asks for it by these names."""
    del fixture_name
    return Settings(config).scope


@pytest.fixture(scope=_scope)
def passfleet_fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """A running fleet: started when first asked for, stopped at the end of its scope."""
    said = getattr(request, "param", None)
    if isinstance(said, Mapping):
        said = spec_of(said, request.config.rootpath)
    pool = request.config.stash[_POOL]
    session = request.scope == "session"
    # In a session's scope all fleets are kept to its end: tests that take turns share them.
    place = "" if session else f"{request.scope} {request.node.nodeid}"
    yield pool.get(said or Spec(), place, tmp_path_factory.mktemp("passfleet"))
    if not session:
        pool.stop(place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let every test hear only what came since it began."""
    for running in item.config.stash[_POOL].running.values():
        running.fleet.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the fleet said last."""
    report = yield
    fleet = getattr(item, "funcargs", {}).get(_FIXTURE)
    # An UnmetError has told already.
    told = call.excinfo is not None and isinstance(call.excinfo.value, UnmetError)
    if fleet is not None and call.when == "call" and report.failed and not told:
        said = [str(message) for message in fleet.messages()[-_SHOWN:]]
        report.sections.append(("passfleet: last messages", "\n".join(said) or "none"))
    return report
