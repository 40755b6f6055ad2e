"""docs/scenarios.md: every example runs, and every step and key is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.actors import ACTORS
from scenarios.parsing.parser import parse_scenario
from scenarios.run.runner import PlayOptions, play_all
from tests.support.http_backend import running_backend

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"


def examples() -> list[tuple[int, str]]:
    """Return (line, text) of each scenario on the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.finditer(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


async def test_every_example_of_the_page_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_backend() as backend:
        monkeypatch.setenv("BACKEND", backend.url)
        monkeypatch.setenv("API_KEY", "key of the page")
        scenarios = [parse_scenario(text, f"{PAGE.name}:{line}") for line, text in examples()]
        outcomes = await play_all(scenarios, PlayOptions())
    assert [(each.path, each.failure) for each in outcomes if not each.passed] == []


def test_every_actor_has_an_example() -> None:
    played = "".join(text for _, text in examples())
    for actor in ACTORS:
        assert f"- {actor.name}." in played or f"- expect.{actor.name}:" in played


def test_every_step_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for actor in ACTORS:
        for verb in actor.steps:
            assert f"`{verb}`" in text or f"`{actor.name}.{verb}`" in text
