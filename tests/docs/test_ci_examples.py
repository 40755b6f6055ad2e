"""The composite action and the component of examples/ci, and the files of deploy/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.distributions import ROOT
from tests.support.fleet_processes import Start, fleet_text, phones, write_fleet
from tests.support.scratch_project import environment

CI = ROOT / "examples" / "ci"
DEPLOY = ROOT / "deploy"
INPUT = re.compile(r"\$\{\{ inputs\.(\w+) \}\}|\$\[\[ inputs\.(\w+) \]\]")


def filled(text: str, inputs: dict[str, Any], values: dict[str, str]) -> str:
    """The text with the inputs' values or defaults; an undeclared input is an error."""
    return INPUT.sub(
        lambda found: str(values.get(name := found[1] or found[2], inputs[name]["default"])), text
    )


def run(script: str, folder: Path, **more: str) -> None:
    ended = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


async def test_composite_action_starts_a_fleet(tmp_path: Path, start: Start) -> None:
    action = yaml.safe_load((CI / "github-action" / "action.yml").read_text(encoding="utf-8"))
    write_fleet(tmp_path, fleet_text(phones(count=3)))
    output = tmp_path / "output"
    install, up = action["runs"]["steps"]
    assert install["run"] == 'pip install "$PACKAGE"'
    values = {"arguments": "--devices 2"}
    variables = {name: filled(text, action["inputs"], values) for name, text in up["env"].items()}
    try:
        run(up["run"], tmp_path, GITHUB_OUTPUT=str(output), **variables)
        assert re.fullmatch(r"broker=mqtt://127\.0\.0\.1:\d+\n", output.read_text())
    finally:
        assert await start("down").ended() == 0


async def test_component_starts_and_stops_a_fleet(tmp_path: Path, start: Start) -> None:
    text = (CI / "gitlab-component" / "templates" / "passfleet.yml").read_text(encoding="utf-8")
    spec = yaml.safe_load(text.partition("\n---\n")[0])
    inputs = spec["spec"]["inputs"]
    job = yaml.safe_load(filled(text.partition("\n---\n")[2], inputs, {}))[".passfleet"]
    write_fleet(tmp_path, fleet_text(phones(count=3)))
    install, up = job["before_script"]
    assert install == 'pip install "./passfleet"'
    run(up, tmp_path)
    try:
        reset = start("reset", "--all")
        assert await reset.ended() == 0
    finally:
        run("\n".join(job["after_script"]), tmp_path)
    assert not (tmp_path / ".passfleet" / "up.json").exists()


def test_compose_file_names_what_exists() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    build = services["passfleet"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    for volume in services["mosquitto"]["volumes"]:
        assert (DEPLOY / volume.split(":")[0]).is_file()
    # The broker accepts every client: it must not be published beyond this machine.
    assert all(port.startswith("127.0.0.1:") for port in services["mosquitto"]["ports"])


def test_image_is_built_from_everything_that_the_wheel_needs() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert packages | {"pyproject.toml", "README.md", "LICENSE"} == kept
