"""Collection of scenario files `*.passfleet.yaml`: one test per file, run by `passfleet play`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_passfleet.errors import ScenarioFailedError
from pytest_passfleet.settings import Settings

__all__ = ["ENDINGS", "ScenarioFile", "ScenarioItem"]

ENDINGS: Final = (".passfleet.yaml", ".passfleet.yml")
_FAILED: Final = 1


class ScenarioFile(pytest.File):
    """A scenario file, which contains one scenario."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Yield the scenario, named after its file."""
        yield ScenarioItem.from_parent(self, name=self.path.name.partition(".passfleet.")[0])


class ScenarioItem(pytest.Item):
    """A scenario as a test."""

    def runtest(self) -> None:
        """Play the scenario. Raises ScenarioFailedError if it fails or is invalid."""
        settings = Settings(self.config)
        path = Path(os.path.relpath(self.path, self.config.invocation_params.dir))
        command = [*settings.command(), "play", str(path), *settings.play, "--json"]
        try:
            played = subprocess.run(  # noqa: S603  # the command that the user's settings name
                command,
                cwd=self.config.invocation_params.dir,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                timeout=settings.start_limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ScenarioFailedError(
                f"{path}: not played within {settings.start_limit:g} s (passfleet_start_limit)"
            ) from None
        if played.returncode == 0:
            return
        failures = _failures(played.stdout) if played.returncode == _FAILED else []
        words = played.stderr.strip() or f"{path}: `passfleet play` ended with {played.returncode}"
        raise ScenarioFailedError("\n".join(failures) or words)

    def repr_failure(
        self,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Any = None,
    ) -> Any:
        """Return the text of a plugin error without a traceback, other errors as pytest does."""
        if isinstance(excinfo.value, ScenarioFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the location of the scenario for the report."""
        return self.path, 0, f"scenario: {self.name}"


def _failures(document: str) -> list[str]:
    """Describe the failures in the JSON document of `passfleet play`."""
    lines = []
    try:
        scenarios = json.loads(document)["scenarios"]
    except ValueError:
        return []  # not JSON: the caller shows stderr
    for scenario in scenarios:
        for step in scenario["steps"]:
            if failure := step["failure"]:
                lines += _failure(step, failure)
        if scenario["status"] == "failed" and scenario.get("problem"):
            lines.append(f"{scenario['path']}: {scenario['problem']}")
    return lines


def _failure(step: dict[str, Any], failure: dict[str, Any]) -> list[str]:
    place = f"{failure['path']}:{failure['line']}:{failure['column']}"
    lines = [
        f"{place}: step {step['number']}, {step['text']}",
        f"expected: {failure['expected']}",
        f"seen:     {failure['seen']}",
    ]
    if failure["messages"]:
        lines.append("last messages:")
    for each in failure["messages"]:
        about = f"{each['device']} " if each["device"] else ""
        lines.append(f"  {each['at']} {about}{each['kind']}: {each['text']}")
    return lines
