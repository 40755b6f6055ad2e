"""Wheels and source archives: their content, and their programs among namesakes."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from fleet.cli import application
from tests.support.distributions import (
    PLUGIN,
    ROOT,
    Distribution,
    build,
    environment,
    install,
)

PACKAGES = ("agent", "broker", "fleet", "platforms", "scenarios")
LIMIT = 90
NAMESAKE = "raise SystemExit(f'imported the namesake {__file__}')\n"
PROJECT = {
    "pytest.ini": "[pytest]\nfilterwarnings = error\n",
    "agent/__init__.py": 'WHO = "the agent of the project"\n',
    "fleet.py": "from agent import WHO\n",
    "test_project.py": """
import fleet
import agent


def test_own_modules_and_a_fleet(passfleet_fleet):
    assert fleet.WHO == agent.WHO == "the agent of the project"
    assert passfleet_fleet.reset("ios-001")["actionState"] == "done"
""",
    "lost.passfleet.yaml": """
name: An administrator resets a phone
devices:
  phone: {platform: ios, passcode: "2580", owner: alex}
steps:
  - console.select: {devices: [phone]}
  - console.reset_passcode
  - expect.console: {actionState: done, within: 5m}
""",
}


@dataclass(frozen=True)
class Installed:
    """Both distributions, and an environment with their wheels."""

    program: Distribution
    plugin: Distribution
    commands: Path

    def run(self, folder: Path, command: str, *arguments: str, **more: str) -> str:
        """Run a command of the environment in a folder and return its stdout. It must succeed."""
        ended = subprocess.run(
            [self.commands / command, *arguments],
            cwd=folder,
            env=environment(self.commands, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
        return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("distributions")
    program, plugin = build(ROOT, folder / "program"), build(PLUGIN, folder / "plugin")
    return Installed(program, plugin, install(folder / "home", program.wheel, plugin.wheel))


def tracked(*folders: str) -> set[str]:
    """Paths of the files that git knows below some folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.splitlines())


def test_wheel_has_one_top_level_name(installed: Installed) -> None:
    names = installed.program.wheel_names()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"passfleet"}
    assert len(tops) == 2
    assert {"passfleet/__init__.py", "passfleet/__main__.py", "passfleet/py.typed"} <= set(names)


def test_distributions_are_complete(installed: Installed) -> None:
    application = {f"passfleet/_app/{path}" for path in tracked(*PACKAGES)}
    assert application | tracked("passfleet") <= set(installed.program.wheel_names())
    assert tracked(".") <= set(installed.program.archive_names())
    plugin = {path.removeprefix("pytest-passfleet/") for path in tracked("pytest-passfleet")}
    assert plugin <= set(installed.plugin.archive_names())
    code = {path for path in plugin if path.startswith("pytest_passfleet/")}
    assert code <= set(installed.plugin.wheel_names())
    for distribution in (installed.program, installed.plugin):
        assert any(name.endswith("/LICENSE") for name in distribution.wheel_names())
    assert not (ROOT / "build").exists()


# -- in a folder full of namesakes --------------------------------------------------------------


@pytest.fixture
def namesakes(tmp_path: Path) -> Path:
    """A folder with modules that have our names."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(NAMESAKE)
        (tmp_path / f"{name}.py").write_text(NAMESAKE)
    return tmp_path


def test_every_command_starts_among_namesakes(installed: Installed, namesakes: Path) -> None:
    more = {"PYTHONPATH": str(namesakes)}
    names = [command.name for command in application().registered_commands if command.name]
    assert "up" in names
    for name in names:
        assert f"passfleet {name}" in installed.run(namesakes, "passfleet", name, "--help", **more)
    version = installed.run(namesakes, "python", "-m", "passfleet", "--version", **more)
    assert version == installed.run(namesakes, "passfleet", "--version", **more)


@pytest.mark.parametrize("on_path", [False, True], ids=["in the folder", "on PYTHONPATH"])
def test_fleet_of_processes_runs_among_namesakes(
    installed: Installed, namesakes: Path, *, on_path: bool
) -> None:
    """Detached fleet, workers, embedded broker, load and scenarios are the installed ones."""
    more = {"PYTHONPATH": str(namesakes)} if on_path else {}
    run = partial(installed.run, namesakes, "passfleet", **more)
    run("init")
    ready = run("up", "--detach", "--workers", "2", "--devices", "12", "--for", "5m")
    try:
        assert ready.startswith("ready devices=12 ")
        assert json.loads(run("reset", "ios-001", "--json"))
        run("tap", "ios-001", "swipeUp")
        load = ("load", "--rate", "20", "--duration", "1s", "--json")
        assert json.loads(run(*load))["lost"] == 0
    finally:
        run("down")
    assert json.loads(run(*load, "--devices", "4"))["lost"] == 0
    run("play", "-k", "Touch ID")


def test_project_with_these_names_tests_itself(installed: Installed, tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
    options = ("-rA", "-p", "no:cacheprovider", "-p", "no:asyncio")
    output = installed.run(tmp_path, "python", "-m", "pytest", *options)
    assert "2 passed" in output
